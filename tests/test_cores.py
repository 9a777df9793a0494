"""Threads leave cores to other programs: those of numpy's products as they start, those of a training all the time."""

import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch
from conftest import random_model
from runs import start

from charrnn.cli.common import cores
from charrnn.cli.common.cores import leave_busy_cores, prepare_training, spread_over_cores
from charrnn.cli.trainer import announce, cpu_load, machine, threads
from charrnn.cli.trainer.cpu_load import OtherLoad, threads_beside
from charrnn.cli.trainer.threads import POLL_SECONDS, ThreadKeeper
from charrnn.config import ModelConfig
from charrnn.network.ensemble import map_members, members_of
from charrnn.shapes import training_cost
from charrnn.training.timetable import PASSES_SHARE

NAME = "OPENBLAS_NUM_THREADS"


@pytest.fixture
def threads_with(monkeypatch, tmp_path):
    def threads_with(running, usable=8, present=8, quotas=None, **environment):
        file = tmp_path / "loadavg"
        file.write_text(running)
        monkeypatch.setattr(cores, "LOAD", file)
        if quotas is None:
            monkeypatch.setattr(cores, "CGROUP", tmp_path / "none")
        else:
            give_quotas(monkeypatch, tmp_path, *quotas)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(usable)), raising=False)
        monkeypatch.setattr(os, "cpu_count", lambda: present)
        leave_busy_cores(environment)
        return environment.get(NAME)

    return threads_with


def give_quotas(monkeypatch, folder, outer, inner):
    """Put this process into a group within a group, whose shares of the time are written as Linux does."""
    monkeypatch.setattr(cores, "CGROUP", folder / "group")
    monkeypatch.setattr(cores, "CGROUPS", folder / "groups")
    (folder / "group").write_text("4:memory:/elsewhere\n0::/pod/box\n")
    (folder / "groups" / "pod" / "box").mkdir(parents=True)
    for name, quota in (("pod", outer), ("pod/box", inner)):
        (folder / "groups" / name / "cpu.max").write_text(f"{quota}\n")


@pytest.mark.parametrize(
    ("outer", "inner", "allotted"),
    [
        ("max 100000", "200000 100000", 2),
        ("150000 100000", "max 100000", 2),  # rounded up
        ("100000 100000", "400000 100000", 1),
        ("max 100000", "5000 100000", 1),
        ("max 100000", "9900000 100000", 8),
        ("max 100000", "max 100000", 8),
        ("odd", "", 8),
    ],
)
def test_cores_are_limited_by_the_container_quota(monkeypatch, tmp_path, outer, inner, allotted):
    give_quotas(monkeypatch, tmp_path, outer, inner)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert cores.allotted_cores() == allotted
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert threads.default_threads(1) == min(6, allotted)


@pytest.mark.parametrize(
    ("group", "quota", "allotted"), [("pod/box", 250_000, 3), (".", 150_000, 2), ("pod/box", -1, 8), (".", "odd", 8)]
)
def test_cgroup_v1_quota_is_read_from_inside_and_outside_a_container(monkeypatch, tmp_path, group, quota, allotted):
    monkeypatch.setattr(cores, "CGROUP", tmp_path / "group")
    monkeypatch.setattr(cores, "CGROUPS", tmp_path / "groups")
    (tmp_path / "group").write_text("12:cpuset:/pod\n4:cpu,cpuacct:/pod/box\n1:name=systemd:/pod/box\n0::/\n")
    folder = tmp_path / "groups" / "cpu" / group
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert cores.allotted_cores() == allotted


def test_numpy_threads_are_limited_by_the_container_quota(threads_with):
    assert threads_with("0.10 0.20 0.30 9/250 4711\n", quotas=("max 100000", "300000 100000")) == "3"


@pytest.mark.parametrize(("others", "left"), [(0, None), (1, "7"), (5, "3"), (8, "1"), (30, "1")])
def test_busy_cores_are_left_to_others(threads_with, others, left):
    assert threads_with(f"0.10 0.20 0.30 {1 + others}/250 4711\n") == left


def test_thread_variables_of_the_user_win(threads_with):
    busy = "8.00 8.00 8.00 9/250 4711\n"
    assert threads_with(busy, OPENBLAS_NUM_THREADS="5") == "5"
    assert threads_with(busy, OMP_NUM_THREADS="5") is None


def test_threads_are_unset_if_the_load_is_unknown(threads_with):
    assert threads_with("8.00 8.00 8.00 9/250 4711\n", usable=4) is None, "others run on cores of their own"
    assert threads_with("something else\n") is None


@pytest.mark.parametrize(
    ("others", "most", "environment", "processes", "threads"),
    [
        (0, 9, {}, 8, "1"),
        (3, 9, {}, 5, "1"),
        (3, 2, {}, 2, "1"),
        (3, 1, {}, 1, "5"),  # for one process OpenBLAS has what is free
        (0, 1, {}, 1, None),
        (0, -1, {}, 1, None),
        (7, 9, {}, 1, "1"),
        (0, 9, {NAME: "5"}, 1, "5"),
        (0, 9, {"OMP_NUM_THREADS": "1"}, 1, None),
    ],
)
def test_work_is_spread_over_the_free_cores(monkeypatch, tmp_path, others, most, environment, processes, threads):
    (tmp_path / "loadavg").write_text(f"0.10 0.20 0.30 {1 + others}/250 4711\n")
    monkeypatch.setattr(cores, "LOAD", tmp_path / "loadavg")
    monkeypatch.setattr(cores, "CGROUP", tmp_path / "none")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    environment = dict(environment)
    monkeypatch.setattr(sys, "platform", "linux")
    assert spread_over_cores(most, environment) == processes
    assert environment.get(NAME) == threads


def test_work_is_spread_only_where_fork_is_available(monkeypatch):
    environment = {}
    monkeypatch.setattr(sys, "platform", "darwin")
    assert spread_over_cores(8, environment) == 1


@pytest.mark.parametrize(
    ("command", "module", "function"),
    [
        (["sample", "words.pt", "-n", "5"], "sample", "spread_over_cores"),
        (["inspect", "words.pt"], "inspection", "leave_busy_cores"),
        (["train", "words.txt", "--max-steps", "1", "--out", "new.pt"], "train", "prepare_training"),
    ],
)
def test_threads_are_set_before_numpy_loads(trained, command, module, function):
    script = (
        f"import sys\nsys.argv = ['charrnn', *{command}]\nfrom charrnn.cli import main, {module}\n"
        f"{module}.{function} = lambda *_, **__: sys.exit('late' if 'numpy' in sys.modules else 'early')\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=trained, capture_output=True, text=True, timeout=60)
    assert done.stderr == "early\n"


@pytest.mark.parametrize(("machine", "threads"), [("x86_64", "1"), ("AMD64", "1"), ("aarch64", None)])
def test_numpy_gets_one_thread_in_training_if_torch_has_its_own_blas(monkeypatch, machine, threads):
    monkeypatch.setattr(cores.platform, "machine", lambda: machine)
    environment = {"OMP_NUM_THREADS": "1"}
    prepare_training(environment, is_launched=False)
    assert (environment.get(NAME), environment["OMP_NUM_THREADS"]) == (threads, "1")
    chosen = {NAME: "5", "OMP_NUM_THREADS": "1"}
    prepare_training(chosen, is_launched=True)
    assert chosen[NAME] == "5"
    assert "OMP_NUM_THREADS" not in chosen, "torchrun's, not the user's"


@pytest.fixture
def look_after(monkeypatch, tmp_path):
    """Measure the load of others after so many seconds, given the work of two cores and of this process."""
    file = tmp_path / "stat"
    monkeypatch.setattr(cpu_load, "STAT", file)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2}, raising=False)
    monkeypatch.setattr(os, "sysconf", lambda _: 100)
    monkeypatch.setattr(os, "nice", lambda _: 0)
    clock = {"monotonic": 0.0, "process_time": 0.0}
    for name in clock:
        monkeypatch.setattr(time, name, lambda name=name: clock[name])
    ticks = dict.fromkeys((0, 1, 2), (0,) * 8)

    def write():
        lines = [f"cpu{core} {' '.join(map(str, figures))} 7 7" for core, figures in ticks.items()]
        file.write_text("\n".join(["cpu  1 2 3 4 5 6 7 8 9 10", *lines, "intr 5 0 0", "ctxt 12"]))

    write()
    others = OtherLoad()

    def look_after(seconds, own=0.0, **done):
        clock["monotonic"] += seconds
        clock["process_time"] += own
        for name, figures in done.items():
            core = int(name.removeprefix("cpu"))
            ticks[core] = tuple(a + b for a, b in zip(ticks[core], figures, strict=True))
        write()
        return others.measure()

    return look_after


def test_load_of_others_is_that_of_the_cores_less_our_own(look_after, monkeypatch):
    assert look_after(2.0, own=1.5, cpu0=[150, 0, 50, 0, 0, 0, 0, 0], cpu2=[0] * 8) == pytest.approx(0.25)
    assert look_after(1.0, cpu0=[0] * 8) == 0, "since the last look alone"
    assert look_after(1.0, own=1.0, cpu0=[50, 0, 0, 50, 0, 0, 0, 0]) == 0, "never less than nothing"
    assert look_after(2.0, cpu0=[0, 200, 0, 100, 100, 0, 0, 0]) == 0, "less important programs give way"
    monkeypatch.setattr(os, "nice", lambda _: 19)
    look_after(1.0)
    assert look_after(2.0, cpu0=[0, 100, 0, 100, 0, 0, 0, 0]) == 0.5, "not to one that is itself less important"
    assert look_after(2.0, cpu2=[0, 0, 0, 0, 0, 20, 30, 150]) == pytest.approx(1.0), "interrupts and other machines"
    assert look_after(2.0, cpu1=[200, 0, 0, 0, 0, 0, 0, 0]) == 0, "on a core that this process may not use"


@pytest.mark.skipif(not cpu_load.STAT.exists(), reason="only Linux tells what its cores do")
def test_busy_program_on_this_machine_is_noticed():
    """The program has the priority of this process."""
    endless = "print(flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", endless], stdout=subprocess.PIPE) as program:
        program.stdout.readline()
        others = OtherLoad()
        time.sleep(1)
        busy = others.measure()
        program.kill()
    assert busy > 0.5


def test_unknown_load_counts_as_none(monkeypatch, tmp_path):
    monkeypatch.setattr(cpu_load, "STAT", tmp_path / "none")
    assert OtherLoad().measure() == 0
    (tmp_path / "none").write_text("cpu0 what is this\n")
    assert OtherLoad().measure() == 0


@pytest.mark.parametrize(
    ("others", "at_work", "then"),
    [
        (0.0, 2, 2),
        (0.3, 2, 2),
        (0.4, 2, 2),
        (0.5, 2, 1),
        (1.0, 2, 1),
        (2.0, 2, 1),
        (1.0, 1, 1),
        (0.4, 1, 1),
        (0.3, 1, 2),
        (0.0, 1, 2),
    ],
)
def test_busy_core_gets_no_thread_until_it_is_free(others, at_work, then):
    assert threads_beside(others, usable=2, threads=at_work, most=2) == then


def test_threads_equal_the_free_cores():
    assert threads_beside(3.0, usable=8, threads=8, most=8) == 5
    assert threads_beside(3.0, usable=8, threads=4, most=4) == 4, "two threads of a core's are not both needed"
    assert threads_beside(1.0, usable=8, threads=2, most=8) == 7
    assert threads_beside(20.0, usable=8, threads=8, most=8) == 1


@pytest.fixture
def keeper_of(monkeypatch):
    """A keeper of four threads on four cores beside programs that keep `busy[0]` of them busy."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    busy = [0.0]
    monkeypatch.setattr(threads, "usable_cores", lambda: 4)
    monkeypatch.setattr(threads.OtherLoad, "measure", lambda _: busy[0])

    def keeper_of(busy_cores, most=4, is_fixed=False, **options):
        flags = {"device": "cpu", "time_limit": 60.0, "threads": most, **options}
        keeper = ThreadKeeper(flags, OtherLoad(), is_fixed=is_fixed)
        busy[0] = busy_cores
        keeper._looked -= POLL_SECONDS
        return keeper

    keeper_of.busy = busy
    return keeper_of


def small(members=1):
    shape = {"vocab_size": 3, "cell": "lstm", "hidden_size": 4, "num_layers": 1, "embedding_dim": 2}
    return random_model(ModelConfig(**shape, members=members))


def later(keeper):
    keeper._looked -= POLL_SECONDS
    return keeper


def test_timed_training_uses_fewer_threads_beside_other_load(keeper_of):
    keeper, model = keeper_of(1.0), small()
    keeper.share(model)
    assert torch.get_num_threads() == 4
    assert keeper.adjust(model)
    assert torch.get_num_threads() == 3
    assert keeper.tell(60.0) == "other programs keep 1.0 cores busy; going on with 3 of 4 threads until they are free"
    assert keeper.tell(60.0) == ""
    keeper_of.busy[0] = 0.0
    assert not keeper.adjust(model)
    assert torch.get_num_threads() == 3, "it looks from time to time"
    assert later(keeper).adjust(model)
    assert torch.get_num_threads() == 4
    assert keeper.tell(60.0) == "", "told once"


def test_load_during_a_pause_takes_no_thread(keeper_of, monkeypatch):
    keeper, model = keeper_of(3.0), small()
    keeper.share(model)
    now = threads.CLOCK.now
    monkeypatch.setattr(threads.CLOCK, "now", lambda: now() - 600.0)
    assert not keeper.adjust(model)
    assert torch.get_num_threads() == 4, "they were at work over the pause, and may be no more"
    assert later(keeper).adjust(model)
    assert torch.get_num_threads() == 1


def test_load_found_before_the_start_is_reported_after_it(keeper_of):
    keeper, probed = keeper_of(1.0), small()
    assert keeper.adjust(probed)
    keeper_of.busy[0] = 0.0
    later(keeper).adjust(small())
    assert keeper.tell(60.0).startswith("other programs keep 1.0 cores busy")


def test_load_is_first_measured_before_there_is_a_model(keeper_of):
    keeper, model = keeper_of(1.0), small()
    assert keeper.has_all
    keeper.adjust_first()
    assert not keeper.has_all
    keeper.share(model)
    assert torch.get_num_threads() == 3
    keeper_of.busy[0], keeper._looked = 0.0, time.monotonic()
    keeper.adjust_first()
    assert not keeper.has_all, "so soon after, nothing can be known"


def test_single_threaded_members_get_all_threads_despite_an_early_measurement(keeper_of):
    keeper = keeper_of(3.0)
    keeper.adjust_first()
    assert keeper.threads == 1
    keeper.share(small(members=4))
    assert (keeper.threads, keeper.tell(60.0)) == (4, "")


def test_training_by_steps_keeps_its_threads_and_suggests_a_faster_number(keeper_of):
    keeper, model = keeper_of(1.0, time_limit=None), small()
    keeper.share(model)
    assert not keeper.adjust(model)
    news = keeper.news
    assert keeper.tell(29.0) == "", "to start again would take as long"
    keeper.news = news
    assert "go on with --resume --threads 3 would be faster" in keeper.tell(60.0)
    assert torch.get_num_threads() == 4
    later(keeper).adjust(model)
    assert keeper.tell(60.0) == ""


@pytest.mark.parametrize("how", [{"is_fixed": True}, {"device": "cuda"}, {"most": 1}])
def test_chosen_or_irrelevant_threads_are_kept(keeper_of, how):
    keeper, model = keeper_of(3.0, **how), small()
    keeper.share(model)
    before = torch.get_num_threads()
    assert not keeper.adjust(model)
    assert (torch.get_num_threads(), keeper.tell(60.0)) == (before, "")


def test_threads_fixed_by_the_environment_are_kept(keeper_of, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    keeper, model = keeper_of(1.0), small()
    keeper.share(model)
    assert not keeper.adjust(model)
    assert (torch.get_num_threads(), keeper.tell(60.0)) == (4, "")


@pytest.mark.parametrize(
    ("most", "members", "told"),
    [(3, 2, "2 of 3 threads"), (4, 2, "4 threads"), (3, 4, "3 threads"), (3, 1, "3 threads"), (1, 2, "1 thread")],
)
def test_announced_threads_are_those_that_compute(keeper_of, most, members, told):
    run = start(members=members, threads=most)
    keeper = keeper_of(0.0, most=most)
    keeper.share(run.model)
    prepared = SimpleNamespace(run=run, keeper=keeper, reason="", chars_per_second=1000.0)
    assert f"; cpu, float32, {told}; " in announce.describe_training(prepared)
    assert len(set(threads_of_members(run.model))) == 1


def threads_of_members(model):
    """Where each member is computed, and how many threads it has there."""
    return map_members(model, lambda _: torch.get_num_threads(), members_of(model))


def test_multithreaded_members_give_up_threads_and_get_them_back(keeper_of):
    keeper, model = keeper_of(1.0), small(members=2)
    keeper.share(model)
    assert threads_of_members(model) == [2, 2]
    keeper.adjust(model)
    assert threads_of_members(model) == [1, 1]
    keeper_of.busy[0] = 0.0
    later(keeper).adjust(model)
    assert threads_of_members(model) == [2, 2]
    keeper_of.busy[0] = 3.0
    later(keeper).adjust(model)
    assert (threads_of_members(model), model.at_once) == ([1, 1], 1)


@pytest.mark.parametrize(("others", "more", "members", "measured"), [
    (0.0, 0.0, 2, [2]), (0.0, 1.0, 2, [2, 1]), (1.0, 0.0, 1, [3]), (1.0, 1.0, 1, [3, 2]),
])  # fmt: skip
def test_speed_is_measured_with_the_threads_of_the_training(keeper_of, monkeypatch, others, more, members, measured):
    """With two threads a member where none is taken, and again where one is taken meanwhile."""
    tried = []

    def measure(model, lanes, seq_len, precision, seconds):
        assert (precision, seconds) == ("bfloat16", 0.6)
        tried.append((model.config, max(threads_of_members(model))))
        keeper_of.busy[0] += more
        later(keeper)
        return 1000.0 / len(tried)

    monkeypatch.setattr(machine, "probe_precision", lambda *_: SimpleNamespace(precision="bfloat16"))
    monkeypatch.setattr(machine, "sustained_speed", measure)
    keeper = keeper_of(others)
    options = {"device": "cpu", "cell": "gru", "precision": "auto", "time_limit": 60.0}
    flops = machine.measure_flops(options, 30, keeper)
    assert [threads for _, threads in tried] == measured
    (config,) = {config for config, _ in tried}
    assert (config.cell, config.members) == ("gru", members)
    assert flops == PASSES_SHARE * 1000.0 / len(tried) * training_cost(config)


def test_single_threaded_members_stay_concurrent(keeper_of):
    keeper, model = keeper_of(1.0), small(members=4)
    assert keeper.adjust(small(members=2)), "the model that the speed is measured with"
    keeper.share(model)
    assert not later(keeper).adjust(model)
    assert (threads_of_members(model), model.at_once) == ([1] * 4, 4)
