"""Several processes train one model: as one would, and through deaths, signals and restarts."""

import functools
import itertools
import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import typer
from conftest import NO_SPINNING, clean_environment, make_text, random_model, write_checkpoint
from processes import Training, server
from test_cli_train import all_but_the_clock
from test_recovery import break_forward
from torch import distributed as dist
from torch.distributed import TCPStore

from charrnn.cli.trainer import session
from charrnn.cli.trainer.effective_request import settle
from charrnn.cli.trainer.process_group import joined
from charrnn.cli.trainer.reading import read_texts
from charrnn.cli.trainer.request import Request, parse_reading
from charrnn.cli.trainer.signals import TrainingSignals
from charrnn.cli.trainer.suggested_commands import command_line
from charrnn.config import ModelConfig, TrainConfig
from charrnn.errors import ConfigError, DivergenceError, LostRankError, OutputError, SaveError
from charrnn.network.dropout import Dropout
from charrnn.storage.archive import read_checkpoint
from charrnn.storage.origin import CorpusFacts, Origin
from charrnn.text import corpus
from charrnn.text.cache import Cache
from charrnn.text.corpus import read_corpus
from charrnn.text.encoder import CharEncoder
from charrnn.text.read_options import ReadOptions
from charrnn.training import checkpoint, loop, rendezvous, validation
from charrnn.training import group as groups
from charrnn.training.clock import CLOCK
from charrnn.training.evaluation import evaluate, evaluate_cold, evaluate_lines
from charrnn.training.group import DistributedRanks
from charrnn.training.lanes import IGNORED, Lanes
from charrnn.training.line_lanes import LineLanes
from charrnn.training.randomness import get_random_states, seed_masks, set_random_states
from charrnn.training.ranks import ALONE, Ranks
from charrnn.training.rendezvous import join_incarnation
from charrnn.training.run import TrainingRun
from charrnn.training.torchrun import Place, read_place, speaks_for_host, told_of_no_rank

TEXT = make_text(3000)
ENCODER = CharEncoder(TEXT)
IDS = ENCODER.encode(TEXT)
LINE_FEED = int(ENCODER.encode("\n")[0])


class Part(Ranks):
    """A rank without peers: its collective calls return its own part."""

    def __init__(self, rank, world_size):
        self.rank, self.world_size = rank, world_size


def parts(world):
    return [Part(rank, world) for rank in range(world)]


@pytest.mark.parametrize("batch_size", [4, 5, 7])
@pytest.mark.parametrize("make", [
    lambda **sizes: Lanes(IDS, seq_len=16, **sizes),
    lambda **sizes: LineLanes(IDS, LINE_FEED, seq_len=16, seed=3, **sizes),
    lambda **sizes: Lanes(IDS, seq_len=16, reach=400, **sizes),
], ids=["stream", "lines", "recall"])  # fmt: skip
def test_lanes_of_all_ranks_together_are_those_of_one_process(make, batch_size):
    whole = make(batch_size=batch_size)
    slices = [make(batch_size=batch_size, own=part.shard(batch_size)) for part in parts(3)]
    for _ in range(2 * whole.windows_per_epoch):
        window, windows = next(whole), [next(lanes) for lanes in slices]
        assert (window.recalled is None) == (windows[0].recalled is None)
        for name in ("inputs", "targets", "recalled")[: 2 if window.recalled is None else 3]:
            np.testing.assert_array_equal(np.hstack([getattr(own, name) for own in windows]), getattr(window, name))
        counted = [int((own.targets != IGNORED).sum()) for own in windows]
        assert [own.num_targets for own in windows] == [window.num_targets] * 3 == [sum(counted)] * 3
        assert [own.share for own in windows] == pytest.approx([count / sum(counted) for count in counted])
        assert {own.resets_state for own in windows} == {window.resets_state}
    assert {lanes.chars_per_window for lanes in slices} == {whole.chars_per_window}


@pytest.mark.parametrize("world", [2, 3, 9])
@pytest.mark.parametrize("recall", [0, 500])
def test_shared_evaluation_has_the_loss_of_one_process(world, recall):
    shape = {"cell": "lstm", "hidden_size": 9, "num_layers": 2, "embedding_dim": 6}
    model = random_model(ModelConfig(vocab_size=len(ENCODER), **shape, recall=recall))
    for measure in (
        functools.partial(evaluate, model, IDS, batch_size=5),
        functools.partial(evaluate_cold, model, IDS),
        functools.partial(evaluate_lines, model, IDS, LINE_FEED),
    ):
        found = [measure(ranks=part) for part in parts(world)]
        assert sum(found) == pytest.approx(measure(), abs=1e-6)
        assert max(found) < 0.9 * sum(found)


def test_fewer_lanes_than_processes_are_refused_in_one_line():
    config = TrainConfig(batch_size=2, seq_len=16, max_steps=5, learning_rate=0.01)
    with pytest.raises(ConfigError, match=r"^2 lanes are fewer than 3 processes; start fewer "):
        TrainingRun.start(model_config(), config, IDS, IDS[:500], started=0.0, ranks=Part(0, 3))


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--seq-len", 0], "--seq-len is 0; it must be at least 1 and at most 65,536"),
        (["--seed", "x"], "--seed is 'x'; it must be a whole number; `charrnn train -h` tells more"),
    ],
)
def test_invalid_flag_is_reported_once_per_host(charrnn, flags, told):
    for rank, local_rank, lines in ((0, 0, f"charrnn: {told}\n"), (1, 1, ""), (1, 0, f"charrnn: {told}\n")):
        result = charrnn("train", "verse.txt", *flags, env={**place(rank, 2, 5), "LOCAL_RANK": str(local_rank)})
        assert (result.code, result.stderr) == (2, lines)


def test_sample_and_inspect_report_errors_on_every_rank(charrnn):
    for command in (["sample", "verse.pt", "--typo"], ["inspect", "verse.pt", "--typo"], ["tarin", "verse.txt"]):
        result = charrnn(*command, env=place(1, 2, 5))
        assert (result.code, len(result.stderr.splitlines())) == (2, 1)


def test_stop_sent_by_terminal_and_launcher_counts_once():
    with TrainingSignals(is_launched=True) as signals:
        signals.under_way = True
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGINT):
            os.kill(os.getpid(), number)
        assert signals.received == signal.SIGTERM


def test_stop_while_pytorch_loads_is_deferred():
    loaded = []

    def load(number):
        with TrainingSignals() as signals, signals.held_back():
            os.kill(os.getpid(), number)
            loaded.append(number)

    with pytest.raises(KeyboardInterrupt):
        load(signal.SIGINT)
    with pytest.raises(SystemExit, match="143"):
        load(signal.SIGTERM)
    assert loaded == [signal.SIGINT, signal.SIGTERM]
    with TrainingSignals() as signals, signals.held_back():
        pass
    assert not signals.received


def test_place_without_launcher_variables_is_a_single_process():
    for environment in ({}, {"RANK": "1"}, {"WORLD_SIZE": "2"}, {"RANK": "0", "WORLD_SIZE": "1"}):
        assert read_place(environment) == Place()
    found = read_place({**place(1, 2, 5), "TORCHELASTIC_RESTART_COUNT": "3", "TORCHELASTIC_RUN_ID": "night"})
    assert found == Place(
        rank=1, world_size=2, local_rank=1, local_world_size=2, restarts=3, is_launched=True, host="127.0.0.1", port=5,
        has_store=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("environment", "is_told"),
    [
        ({"WORLD_SIZE": "2"}, True),
        ({"WORLD_SIZE": "2", "RANK": ""}, True),
        ({"WORLD_SIZE": "1"}, False),
        ({"WORLD_SIZE": ""}, False),
        ({"WORLD_SIZE": "all"}, False),
        ({"RANK": "0"}, False),
        ({"WORLD_SIZE": "2", "RANK": "0"}, False),  # which is one of two, or told what it lacks for that
        ({}, False),
    ],
)
def test_world_size_without_rank_warns_of_training_alone(environment, is_told):
    assert ("RANK is not set: this process trains alone" in told_of_no_rank(environment)) == is_told


@pytest.mark.parametrize(("flags", "begins"), [([], "charrnn: "), (["-q"], "charrnn: "), (["--json"], '{"warning": "')])
def test_warning_of_training_alone_comes_before_all_messages(charrnn, flags, begins):
    result = charrnn("train", "verse.txt", *flags, env={"WORLD_SIZE": "2"})
    first, *others = result.stderr.splitlines()
    told = "WORLD_SIZE=2 in the environment, and RANK is not set: this process trains alone; "
    assert first.startswith(begins + told)
    assert (result.code, len(others)) == (2, 1), "there is no such text"


def test_empty_launcher_variable_counts_as_unset():
    for name in ("RANK", "WORLD_SIZE"):
        assert read_place({**place(1, 2, 5), name: ""}) == Place()
    found = read_place({**place(1, 2, 5), "LOCAL_RANK": "", "LOCAL_WORLD_SIZE": "", "TORCHELASTIC_RESTART_COUNT": ""})
    assert (found.local_rank, found.local_world_size, found.restarts) == (1, 0, 0)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("RANK", "a", "at least 0 and at most 1"),
        ("RANK", "2", "at least 0 and at most 1"),
        ("RANK", "-1", "at least 0 and at most 1"),
        ("WORLD_SIZE", "0", "at least 1"),
        ("WORLD_SIZE", "2.0", "at least 1"),
        ("MASTER_PORT", "70000", "at least 1 and at most 65,535"),
        ("LOCAL_RANK", "-1", "at least 0"),
        ("LOCAL_WORLD_SIZE", "0", "at least 1"),
        ("TORCHELASTIC_RESTART_COUNT", "none", "at least 0"),
    ],
)
def test_invalid_launcher_variable_is_refused_in_one_line(name, value, allowed):
    environment = {**place(1, 2, 5), name: value}
    told = f"^{name}={value} in the environment: it must be a whole number, {allowed}; torchrun sets it, and without "
    with pytest.raises(ConfigError, match=told):
        read_place(environment)
    assert speaks_for_host(environment), "of flags that are wrong too"
    assert [speaks_for_host(place(rank, 2, 5)) for rank in (0, 1)] == [True, False]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ([], "RANK=a in the environment: it must be a whole number, at least 0 and at most 1; torchrun sets it, "),
        (["--max-steps", "0"], "--max-steps is 0; "),
        (["--max-step", "0"], "no such option: --max-step "),
    ],
)
def test_invalid_flags_are_reported_before_invalid_launcher_variables(charrnn, flags, told):
    result = charrnn("train", "verse.txt", *flags, env={**place(1, 2, 5), "RANK": "a"})
    assert (result.code, result.stderr.count("\n")) == (2, 1)
    assert result.stderr.startswith(f"charrnn: {told}")


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ({"MASTER_ADDR": ""}, "MASTER_ADDR is not set; set it, "),
        ({"MASTER_PORT": None}, "MASTER_PORT is not set; set it, "),
        ({"MASTER_ADDR": None, "MASTER_PORT": ""}, "MASTER_ADDR and MASTER_PORT are not set; set them, "),
    ],
)
def test_rank_without_a_master_address_is_refused(missing, told):
    """Otherwise each rank would train alone, and all would write to one output."""
    given = {name: value for name, value in {**place(0, 2, 5), **missing}.items() if value is not None}
    told = f"^WORLD_SIZE=2 in the environment, and {told}or unset WORLD_SIZE to train alone$"
    with pytest.raises(ConfigError, match=told):
        read_place(given)


def test_torchrun_error_folder_identifies_a_job_across_restarts(tmp_path):
    for life in ("attempt_0", "attempt_1"):
        error_file = str(tmp_path / "night_x" / life / "1" / "error.json")
        assert read_place({**place(1, 2, 5), "TORCHELASTIC_ERROR_FILE": error_file}).launches == {"night_x"}
    for other in ("", "error.json"):
        assert not read_place({**place(1, 2, 5), "TORCHELASTIC_ERROR_FILE": other}).launches


# What a later life of a job goes on from.


@pytest.mark.parametrize(
    ("flags", "restarts", "launches", "goes_on"),
    [
        ({"overwrite": True}, 1, {"night_a", "night_b"}, True),  # it has written this file itself, in the life before
        ({}, 2, {"night_a", "night_b"}, True),
        ({"overwrite": True}, 1, {"night_b", "night_c"}, True),  # and one of the hosts is another now
        ({"overwrite": True}, 0, {"night_a", "night_b"}, True),  # which is a new life that nobody counts
        ({"overwrite": True}, 0, {"night_c"}, False),
        ({"overwrite": True}, 1, {"night_c"}, False),  # it died before it had saved anything
        ({"overwrite": True}, 1, set(), False),
    ],
)
def test_restarted_job_resumes_only_from_its_own_checkpoint(tmp_path, flags, restarts, launches, goes_on):
    path = tmp_path / "verse.pt"
    save_checkpoint(path, job="night_a/night_b")
    life = Place(restarts=restarts, launches=frozenset(launches))
    settled = settle(make_request(tmp_path, **flags), life)
    assert (settled.resume, settled.overwrite) == (goes_on, flags.get("overwrite", False) and not goes_on)
    assert settled.explicit == ({} if goes_on else {"max_steps": 5})
    reading = replace(make_request(tmp_path).reading, min_count=2)  # which may have joined an alphabet to another
    settled = settle(make_request(tmp_path, reading=reading, **flags), life)
    assert settled.reading.min_count == (None if goes_on else 2)


@pytest.mark.parametrize("restarts", [0, 1])
def test_restart_resumes_beside_a_later_unplaced_save_and_a_start_is_refused(tmp_path, capsys, restarts):
    path, beside, origin = tmp_path / "verse.pt", tmp_path / "verse.unplaced.pt", Origin(texts=[], run="0" * 12)
    save_checkpoint(path, step=3, origin=origin)
    save_checkpoint(beside, step=5, origin=origin)
    request, told = make_request(tmp_path, resume=True), f"{beside}: holds this training after step 5, "
    if restarts:
        assert settle(request, Place(restarts=restarts)).resume
        assert capsys.readouterr().err.startswith(f"charrnn: {told}")
    else:
        with pytest.raises(ConfigError, match=f"^{re.escape(told)}.* --overwrite, or move it away$"):
            settle(request, Place())
    save_checkpoint(beside, step=3, origin=origin)
    assert settle(request, Place()).resume
    assert capsys.readouterr().err == "", "it is no later one"


@pytest.mark.parametrize("restarts", [0, 1])
def test_script_under_torchrun_may_train_on_one_output_repeatedly(tmp_path, monkeypatch, restarts):
    save_checkpoint(tmp_path / "verse.pt", job="night_a")
    monkeypatch.setattr(sys, "argv", ["charrnn", "train", "verse.txt", "--overwrite", "--seed", "2"])
    life = Place(restarts=restarts, launches=frozenset({"night_a"}))
    assert settle(make_request(tmp_path, overwrite=True), life).resume == bool(restarts)


def log_line(**fields):
    return json.dumps({"run": "0" * 12, "step": 1, **fields}) + "\n"


def test_restarted_job_without_a_save_begins_its_log_anew(tmp_path):
    (tmp_path / "verse.log").write_text(log_line(job="night_a"))
    request = make_request(tmp_path, log=str(tmp_path / "verse.log"))
    settle(request, Place(restarts=1, launches=frozenset({"night_a", "night_c"})))
    assert not (tmp_path / "verse.log").exists()


@pytest.mark.parametrize("resume", [False, True])
def test_restarted_job_keeps_a_log_that_it_continues_or_overwrites(tmp_path, resume):
    save_checkpoint(tmp_path / "verse.pt", job="day")
    (tmp_path / "verse.log").write_text(log_line(job="night"))
    request = make_request(tmp_path, resume=resume, overwrite=not resume, log=str(tmp_path / "verse.log"))
    settle(request, Place(restarts=1, launches=frozenset({"night"})))
    assert (tmp_path / "verse.log").exists()


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("content", ["my notes\n", log_line(job="day"), log_line()])
def test_restarted_job_deletes_only_its_own_log(tmp_path, content, overwrite):
    (tmp_path / "verse.log").write_text(content)
    request = make_request(tmp_path, overwrite=overwrite, log=str(tmp_path / "verse.log"))
    with nullcontext() if overwrite and content.startswith("{") else pytest.raises(OutputError):
        settle(request, Place(restarts=1, launches=frozenset({"night"})))
    assert (tmp_path / "verse.log").read_text() == content


@pytest.mark.parametrize("restarts", [0, 1])
def test_restart_with_standard_input_is_refused(tmp_path, restarts):
    save_checkpoint(tmp_path / "verse.pt", job="night")
    with pytest.raises(ConfigError, match=r"^standard input: was read before the restart; "):
        settle(make_request(tmp_path, texts=("-",)), Place(restarts=restarts, launches=frozenset({"night"})))


def test_one_process_per_host_encodes_a_large_text_and_the_others_map_it(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "MAPPED_BYTES", 1)
    (tmp_path / "verse.txt").write_text(TEXT, encoding="utf-8")
    there, here = Cache(tmp_path / "there"), Cache(tmp_path / "here")
    read = read_corpus([str(tmp_path / "verse.txt")], ReadOptions(cache=there))
    (tmp_path / "verse.txt").unlink()  # whoever reads it again fails

    class Second(Part):
        local_rank = 1

        def broadcast(self, function):
            return replace(read, ids=IDS[:0]), (tmp_path / "gone" / Path(read.ids.filename).name, len(IDS), IDS.dtype)

        def barrier(self):  # behind which the first process of this host has done
            shutil.copytree(there.folder, here.folder, dirs_exist_ok=True)

    request = make_request(tmp_path, texts=(str(tmp_path / "verse.txt"),))
    mapped = read_texts(request, ReadOptions(cache=here), Second(3, 4)).ids
    assert (Path(mapped.filename).parent, mapped.tolist()) == (here.folder, IDS.tolist())


def make_request(folder, **changes):
    """A request to train on an existing text, unless other texts are given."""
    if "texts" not in changes:
        (folder / "verse.txt").write_text(TEXT, encoding="utf-8")
    flags = dict.fromkeys(["cache", "val_text", "include", "exclude", "min_count", "max_vocab"])
    text = {"unit": "character", "encoding": "utf-8", "errors": "strict", "newline": "keep", "normalize": "none"}
    reading = parse_reading({**flags, **text, "lowercase": False, "lines": False, "separator": "", "no_cache": True})
    settings = {
        "texts": (str(folder / "verse.txt"),), "reading": reading, "out": str(folder / "verse.pt"), "options": {},
        "explicit": {"max_steps": 5}, "log": None, "resume": False, "resume_from": None, "force": False,
        "overwrite": False, "quiet": True, "as_json": False, "started": 0.0,
    }  # fmt: skip
    return Request(**{**settings, **changes})


def save_checkpoint(path, job="", step=0, **contents):
    run = TrainingRun.start(model_config(), TrainConfig(batch_size=2, seq_len=16, max_steps=5, learning_rate=0.01),
                            IDS, IDS[:500], started=0.0)  # fmt: skip
    write_checkpoint(
        path, model=run.model.config, encoder=ENCODER, weights=run.model.state_dict(), history=[],
        made={"job": job, "command": command_line()},
        corpus=CorpusFacts("verse.txt", len(IDS), len(IDS), "00ff", [1] * len(ENCODER)),
        training={**run.state_dict(), "step": step}, **contents,
    )  # fmt: skip


def model_config(cell="lstm", members=1, recall=0):
    sizes = {"hidden_size": 16, "num_layers": 2, "embedding_dim": 8, "recall": recall, "recall_dropout": 0.0}
    return ModelConfig(vocab_size=len(ENCODER), cell=cell, members=members, **sizes)


def begin_lives(store, ranks, world=3):
    """The names and numbers of the incarnation that some ranks join, in their order."""
    with ThreadPoolExecutor() as threads:
        found = [threads.submit(join_incarnation, store, Place(rank, world), timedelta(seconds=20)) for rank in ranks]
    return [each.result() for each in found]


def test_ranks_of_one_incarnation_meet_despite_traces_of_earlier_ones():
    store = dist.HashStore()
    (first,) = {name for name, _ in begin_lives(store, (0, 1, 2))}
    for rank in (0, 1):  # came, and died before the others did
        with pytest.raises(TimeoutError):
            join_incarnation(store, Place(rank, 3), timedelta(0))
    found = begin_lives(store, (2, 1, 0))
    assert len({name for name, _ in found}) == 1
    assert found[0][0] != first
    assert found[-1][1] == 2, "two were begun before"


def test_rank_without_peers_gives_up_and_names_the_address(monkeypatch):
    monkeypatch.setattr("charrnn.training.group.RENDEZVOUS_TIMEOUT", timedelta(seconds=0.2))
    keeper = make_store()
    for port, reason in ((keeper.port, "the first process has not come"), (1, "nobody answers")):
        group = DistributedRanks(Place(1, 2, host="127.0.0.1", port=port, has_store=True))
        with pytest.raises(
            LostRankError, match=rf"^the processes do not meet at 127.0.0.1:{port} \({reason}\); MASTER"
        ):
            group.meet()
        group.leave()
        assert group.may_speak(), "the first of its host"


# Two processes.


@pytest.mark.slow
def test_hosts_with_different_restart_counts_meet_and_may_then_be_slow(tmp_path):
    store = make_store()
    for life, pause in (("first", 0), ("second", MEETING + 1)):
        counted = ((0, 0), (1, 3))
        arguments = [(tmp_path / f"{life}{rank}", rank, 2, store.port, count, pause) for rank, count in counted]
        processes = [server().Process(target=meet_as, args=each, daemon=True) for each in arguments]
        for process in processes:
            process.start()
        for process in processes:
            process.join(100)
            assert process.exitcode == 0
        assert [arguments[rank][0].read_text() for rank in (0, 1)] == ["3 slow", "3 slow"]


MEETING = 10.0
"""Seconds in which they have to meet; more than that is slow afterwards."""


def meet_as(path, rank, world, port, restarts, pause):
    take_place(rank, world, port)
    os.environ["TORCHELASTIC_RESTART_COUNT"] = str(restarts)
    groups.RENDEZVOUS_TIMEOUT = timedelta(seconds=MEETING)
    group = DistributedRanks(read_place())
    group.meet()
    path.write_text(f"{group.restarts} {group.broadcast(lambda: time.sleep(pause) or 'slow')}")
    group.leave()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ranks", "change", "reason"),
    [
        ((0, 1), {"GLOO_SOCKET_IFNAME": "eth9"}, "Unable to find address for: eth9"),
        ((0,), {"TORCHELASTIC_USE_AGENT_STORE": "False"}, "EADDRINUSE"),
    ],
)
def test_ranks_that_cannot_meet_report_one_line(folder, ranks, change, reason):
    store = make_store()
    places = [functools.partial(take_changed_place, rank, 2, store.port, change) for rank in ranks]
    trainings = [Training(folder, *FLAGS, prepare=prepare) for prepare in places]
    assert {training.wait() for training in trainings} == {1}
    (line,) = "".join(training.stderr for training in trainings).splitlines()
    told = rf"the processes do not meet at 127.0.0.1:{store.port} \(.*{reason}.*\); "
    assert re.match(rf"charrnn: (process 2 of 2 \(rank 1\): )?{told}", line)


@pytest.mark.parametrize(
    ("platform", "chosen", "has_libuv"),
    [("linux", None, True), ("linux", "0", False), ("win32", None, False), ("win32", "1", False)],
)
def test_store_uses_libuv_only_if_torch_has_it_and_allows_it(monkeypatch, platform, chosen, has_libuv):
    monkeypatch.setattr(rendezvous, "TCPStore", lambda *_, **options: options["use_libuv"])
    monkeypatch.setattr(rendezvous.sys, "platform", platform)
    monkeypatch.delenv("USE_LIBUV", raising=False)
    if chosen is not None:
        monkeypatch.setenv("USE_LIBUV", chosen)
    place = Place(world_size=2, host="127.0.0.1", port=1)
    assert rendezvous.find_store(place, timedelta(seconds=1)) is has_libuv


def take_changed_place(rank, world, port, change):
    take_place(rank, world, port)
    os.environ.update(change)


@pytest.mark.slow
def test_signal_ends_a_rank_that_waits_for_the_others(folder):
    store = make_store()
    for number, port, code in ((signal.SIGINT, store.port, 130), (signal.SIGTERM, 1, 143)):
        training = Training(folder, *FLAGS, prepare=functools.partial(tell_meeting, 1, 2, port))
        training.wait_for("meeting")
        training.kill(number)
        assert training.wait() == code
        assert training.stderr == "meeting\n"


def tell_meeting(rank, world, port):
    take_place(rank, world, port)
    find_store = groups.find_store
    groups.find_store = lambda *given: print("meeting", file=sys.stderr, flush=True) or find_store(*given)


@pytest.mark.slow
def test_two_ranks_have_the_losses_and_weights_of_one(tmp_path):
    store = make_store()
    arguments = [(tmp_path, rank, 2, store.port) for rank in (0, 1)]
    processes = [server().Process(target=learn_as, args=each, daemon=True) for each in arguments]
    for process in processes:
        process.start()
    expected = learn(ALONE)
    for process in processes:
        process.join(100)
        assert process.exitcode == 0
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert first["broken"][0][:3] == [0, 1, 1], "a step that one of them cannot take is skipped by all"
    for name, (losses, weights) in expected.items():
        assert losses[-1] < losses[0] - 0.3
        np.testing.assert_allclose(first[name][0], losses, atol=1e-4, err_msg=name)
        torch.testing.assert_close(first[name][1], weights, rtol=0, atol=1e-4)


def learn_as(folder, rank, world, port):
    take_place(rank, world, port)
    group = DistributedRanks(read_place())
    group.meet()
    torch.save({**learn(group), "broken": break_one(group)}, folder / f"{rank}.pt")
    group.leave()


def break_one(ranks):
    """Counts and the clock after two steps, in the first of which the last rank finds no number, and the weights."""
    config = TrainConfig(batch_size=4, max_steps=2, seq_len=16, learning_rate=0.01)
    run = TrainingRun.start(model_config(), config, IDS, IDS[:500], started=ranks.now(), ranks=ranks)
    if not ranks.is_first:
        run.model.head.register_forward_hook(lambda head, inputs, scores: scores * math.nan)
    before = run.seconds
    loop.take_step(run)
    counts = [run.step, run.health.skipped]
    run.model.head._forward_hooks.clear()
    loop.take_step(run)
    assert 0 < run.seconds - before < 60
    return [*counts, run.step, run.seconds], dict(run.model.state_dict())


def learn(ranks):
    """Losses of all steps, and the last weights, over a stream and over lines: their last batch is one line alone."""
    torch.set_num_threads(1)
    found = {}
    end = int(np.flatnonzero(IDS == LINE_FEED)[60]) + 1  # of 61 lines: six at a time, and one
    for name, options in {
        "stream": {"cell": "lstm", "ids": IDS, "line_end_id": None, "batch_size": 5, "max_steps": 200},
        "recall": {"recall": 700, "ids": IDS, "line_end_id": None, "batch_size": 4, "max_steps": 60},
        "members": {"cell": "lstm", "members": 2, "ids": IDS, "line_end_id": None, "batch_size": 4, "max_steps": 40},
        "lines": {"cell": "gru", "ids": IDS[:end], "line_end_id": LINE_FEED, "batch_size": 6, "max_steps": 60},
    }.items():
        ids, line_end_id = options.pop("ids"), options.pop("line_end_id")
        model = model_config(**{name: options.pop(name) for name in ("cell", "members", "recall") if name in options})
        config = TrainConfig(**options, seq_len=16, learning_rate=0.01, state_reset=0.0)
        run = TrainingRun.start(
            model, config, ids, IDS[:500], started=ranks.now(), line_end_id=line_end_id, ranks=ranks
        )
        losses = []
        for _ in range(config.max_steps):
            before, chars = run.pace.loss, run.pace.chars
            loop.take_step(run)
            losses.append((run.pace.loss - before) / (run.pace.chars - chars))
        found[name] = losses, dict(run.model.state_dict())
    return found


@pytest.mark.parametrize(("on_gpu", "count"), [(False, 2), (True, 1)])
def test_networks_share_a_group_with_a_short_timeout_until_connected(monkeypatch, on_gpu, count):
    told = []
    monkeypatch.setattr(DistributedRanks, "barrier", lambda self: told.append("barrier"))
    monkeypatch.setattr(DistributedRanks, "_settle", lambda self, model: told.append("connected"))
    monkeypatch.setattr(groups, "DistributedDataParallel", lambda model, process_group, **how: process_group)
    monkeypatch.setattr(groups, "_set_pg_timeout", lambda timeout, group: told.append((group, timeout)))
    monkeypatch.setattr(dist, "new_group", lambda backend, timeout: told.append((backend, timeout)) or object())
    ranks, members = DistributedRanks(Place(0, 2)), [Placed(on_gpu), Placed(on_gpu)]
    for member in members:
        ranks.replicate(member)
    first, second = (ranks.replica(member) for member in members)
    made = ("nccl" if on_gpu else "gloo", groups.RENDEZVOUS_TIMEOUT)
    assert told[:4] == ["barrier", made, "connected", (first, groups.PATIENCE)]
    assert told[4:] == ["barrier", *[made] * (count - 1), "connected", (second, groups.PATIENCE)]
    assert len({first, second}) == count


class Placed(torch.nn.Module):
    """A fake network that has only a device."""

    def __init__(self, on_gpu):
        super().__init__()
        self.on_gpu = on_gpu

    def parameters(self):
        return iter([SimpleNamespace(is_cuda=self.on_gpu)])


class OnGpus(Part):
    """One of several ranks on GPUs, which notes whether it took leave."""

    uses_nccl, has_left = True, False

    def meet(self):
        pass

    def leave(self):
        self.has_left = True

    def peer_failure(self, error):
        return DistributedRanks.peer_failure(self, error)


LOST = "another process of this training is gone\n"
NCCL_FAILURE = dist.DistBackendError("NCCL error in: x.cpp:2077, invalid usage\nLast error:\nDuplicate GPU detected\n")


@pytest.mark.parametrize("uses_nccl", [True, False])
@pytest.mark.parametrize(
    ("error", "is_told", "leaves"),
    [
        (None, "", True),
        (typer.Exit(143), "", True),
        (DivergenceError("too far"), "charrnn: too far\n", True),
        (SaveError("too full"), "charrnn: too full\n", True),
        (ConfigError("too wide"), "charrnn: too wide\n", False),
        (OSError(28, "No space left on device"), "", False),
        (OSError(28, "No space left on device", "gloo.log"), "", False),
        (BrokenPipeError(32, "Broken pipe"), "", False),  # whoever read what this process wrote has gone
        (torch.OutOfMemoryError("CUDA out of memory."), "", False),
        (NCCL_FAILURE, "gone, or NCCL does not reach it (Duplicate GPU detected)\n", False),
        (RuntimeError("[gloo/pair.cc:1] Connection closed by peer"), LOST, False),
        (RuntimeError("Gloo connectFullMesh failed with wait timeout after 600000ms"), LOST, False),
        (dist.DistStoreError("wait timeout after 600000ms, keys: /0//1//cpu//0/1"), LOST, False),
    ],
)
def test_failing_rank_on_gpus_does_not_wait_for_the_others(monkeypatch, capsys, error, is_told, leaves, uses_nccl):
    group = OnGpus(0, 2)
    group.uses_nccl = uses_nccl
    monkeypatch.setattr("charrnn.training.group.DistributedRanks", lambda place: group)
    ends = nullcontext() if error is None else pytest.raises(typer.Exit if is_told else type(error))
    with ends, joined(Place(0, 2), TrainingSignals()):
        if error:
            raise error
    assert group.has_left == (leaves or not uses_nccl), "NCCL's leave is one that all take together"
    assert capsys.readouterr().err.endswith(is_told)


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory."), OSError(28, "No space")]
)
def test_error_common_to_all_ranks_is_reported_by_one(monkeypatch, capsys, error):
    for speaks, ends in ((True, type(error)), (False, typer.Exit)):
        group = OnGpus(0, 2)
        monkeypatch.setattr(group, "may_speak", lambda speaks=speaks: speaks)
        monkeypatch.setattr("charrnn.training.group.DistributedRanks", lambda place, group=group: group)
        with pytest.raises(ends) as raised, joined(Place(0, 2), TrainingSignals()):
            raise error
        assert getattr(raised.value, "exit_code", 1) == 1
        assert not capsys.readouterr().err, "whoever may speak leaves it to the command line"


def test_error_of_a_later_rank_names_process_and_rank(monkeypatch, capsys):
    monkeypatch.setattr("charrnn.training.group.DistributedRanks", lambda place: OnGpus(1, 2))
    with pytest.raises(typer.Exit), joined(Place(1, 2), TrainingSignals()):
        raise RuntimeError("[gloo/pair.cc:1] Connection closed by peer")
    assert capsys.readouterr().err == f"charrnn: process 2 of 2 (rank 1): {LOST}"


class OnGpu:
    """A fake model that has only its random state."""

    device = torch.device("cuda")

    def __init__(self):
        self.members = [self]
        self.dropout = Dropout()


def test_each_rank_starts_with_its_own_dropout_masks():
    config = TrainConfig(batch_size=4, seq_len=16, max_steps=5, learning_rate=0.01)
    models = [
        TrainingRun.start(model_config(), config, IDS, IDS[:500], started=0.0, ranks=part).model for part in parts(3)
    ]
    assert len({str(model.dropout.random_state) for model in models}) == 3


def test_stored_random_state_of_a_gpu_is_restored(monkeypatch):
    seeds = seeds_of_gpu(monkeypatch)
    model, other = OnGpu(), OnGpu()
    seed_masks(model, 5)
    stored = get_random_states(model)
    seed_masks(other, 6)
    set_random_states(other, stored)
    assert seeds == [5, 6, 5]
    assert other.dropout.random_state == model.dropout.random_state


def test_resume_on_a_gpu_after_a_cpu_uses_fresh_dropout_seeds(monkeypatch):
    """A GPU may have trained before the CPU did and have used the first numbers of the seed."""
    seeds = seeds_of_gpu(monkeypatch)
    model = OnGpu()
    for step in (20, 20, 30):
        seed_masks(model, 5)
        set_random_states(model, {"random_state": [{"seed": 5}], "cuda_random_state": None}, 5, 0, step)
    first, *again, other = seeds[1::2]
    assert seeds[::2] == [5, 5, 5]
    assert again == [first]
    assert len({5, first, other}) == 3


def seeds_of_gpu(monkeypatch):
    """Where a GPU's random numbers have begun so far; one that is asked where they stand tells the last of these."""
    seeds = []
    monkeypatch.setattr(torch.cuda, "manual_seed", seeds.append)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda: torch.tensor(seeds[-1]))
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state: seeds.append(int(state)))
    return seeds


FLAGS = [
    "--hidden-size", 16, "--num-layers", 2, "--batch-size", 5, "--seq-len", 16, "--dropout", 0.2,
    "--precision", "float32", "--patience", 1000,
]  # fmt: skip
SAVING = ["--save-every", "0.1s"]
STAYS_SECONDS = 25


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "verse.txt").write_text(TEXT, encoding="utf-8")
    return folder


@pytest.fixture
def torchrun(folder):
    """Start torchrun with two ranks; what a failed test leaves of it is stopped, its ranks first.

    A rank that stays for long says where it is, before torchrun kills it for that.
    """
    started = []
    early = folder.parent / "early"
    early.mkdir()
    dump = f"faulthandler.dump_traceback_later({STAYS_SECONDS})"
    (early / "sitecustomize.py").write_text(f"import faulthandler, os\nif 'RANK' in os.environ:\n    {dump}\n")
    paths = os.pathsep.join(filter(None, [str(early), os.environ.get("PYTHONPATH")]))

    def start(*arguments, meeting=("--standalone",), ranks=2, **environment):
        command = [sys.executable, "-m", "torch.distributed.run", *meeting, "--nproc-per-node", str(ranks)]
        started.append(subprocess.Popen(
            [*command, *map(str, arguments)], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            encoding="utf-8", env={**clean_environment(), **NO_SPINNING, "PYTHONPATH": paths, **environment},
        ))  # fmt: skip
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()  # it hands that on to them
            process.communicate(timeout=60)


@pytest.mark.slow
def test_killed_rank_leaves_one_line_and_a_checkpoint_that_resumes_bit_for_bit(folder):
    ends = [*FLAGS, "--max-steps", 60]
    straight = start_ranks(folder, 3, *ends, "--out", "straight.pt", "-q")
    assert [process.wait() for process in straight] == [0, 0, 0], straight[0].stderr
    first, second, third = start_ranks(folder, 3, *ends, "--log", "verse.log", step_takes=0.02)
    first.wait_for("validation")
    second.kill(signal.SIGKILL)
    assert [first.wait(), third.wait()] == [1, 1]
    step = read_checkpoint(str(folder / "verse.pt")).step
    (line,) = [line for line in (first.stderr + third.stderr).splitlines() if line.startswith("charrnn: ")]
    kept = f"verse.pt is as it was after step {step:,}; go on with --resume"
    assert line == f"charrnn: another process of this training is gone; {kept}"
    assert (second.stderr, third.stderr) == ("", "")
    assert sorted(os.listdir(folder)) == ["straight.pt", "verse.log", "verse.pt", "verse.txt"]
    resumed = start_ranks(folder, 3, "--resume", "--log", "verse.log", "-q")
    assert [process.wait() for process in resumed] == [0, 0, 0], resumed[0].stderr
    assert [process.stdout for process in resumed] == ["verse.pt\n", "", ""]
    one, other = (all_but_the_clock(folder / name) for name in ("verse.pt", "straight.pt"))
    assert one["history"] == other["history"]
    for part in ("weights", "optimizer", "state"):
        torch.testing.assert_close(one["training"][part], other["training"][part], rtol=0, atol=0)
    for part in ("random_state", "other_ranks", "lanes"):
        assert one["training"][part] == other["training"][part]
    assert len(one["training"]["other_ranks"]) == 2


@pytest.mark.slow
def test_failing_members_end_all_ranks(folder):
    flags = [*FLAGS, "--members", 4, "--recall", 0, "--max-steps", 60]
    ranks = start_ranks(folder, 2, *flags, prepare=break_members)
    assert [process.wait(60) for process in ranks] == [1, 1], ranks[0].stderr
    (line,) = "".join(process.stderr for process in ranks if "charrnn: " in process.stderr).splitlines()[-1:]
    assert line.startswith("charrnn: out of memory; ")


@pytest.mark.slow
@pytest.mark.parametrize("where", ["before", "while it connects"])
def test_rank_killed_before_the_first_step_is_reported_in_one_line(folder, where):
    prepare = functools.partial(die_before_it_learns, where)
    first, second = start_ranks(folder, 2, *FLAGS, "--max-steps", 5, "-q", prepare=prepare)
    assert [first.wait(60), second.wait(60)] == [1, -signal.SIGKILL]
    (line,) = [line for line in first.stderr.splitlines() if line.startswith("charrnn: ")]
    assert line == "charrnn: another process of this training is gone"


@pytest.mark.slow
def test_library_output_while_connecting_stays_out_of_stdout(folder):
    """As gloo of PyTorch 2.10 does."""
    ranks = start_ranks(folder, 2, *FLAGS, "--max-steps", 5, "-q", prepare=speak_while_connecting)
    assert [process.wait() for process in ranks] == [0, 0], ranks[0].stderr
    assert [process.stdout for process in ranks] == ["verse.pt\n", ""]


def speak_while_connecting(rank):
    def aloud(connect):
        return lambda *given, **options: (os.write(1, b"connected\n"), connect(*given, **options))[1]

    dist.init_process_group, dist.new_group = aloud(dist.init_process_group), aloud(dist.new_group)


def die_before_it_learns(where, rank):
    replicate = DistributedRanks.replicate

    def die(*given, **options):
        os.kill(os.getpid(), signal.SIGKILL)

    def replicate_in_haste(self, model):
        groups.RENDEZVOUS_TIMEOUT = timedelta(seconds=1)  # they have met
        replicate(self, model)

    if where == "while it connects":
        DistributedRanks.replicate = replicate_in_haste
        dist.new_group = die if rank else dist.new_group
    elif rank:
        DistributedRanks.replicate = die


def break_members(rank):
    take_step = loop.take_step

    def take_broken_step(run):
        run.model.at_once = 2
        if rank and run.step == 3:
            for member in run.model.members[:2]:
                member.head.register_forward_hook(fail)
        return take_step(run)

    loop.take_step = take_broken_step


def fail(*given):
    time.sleep(0.2)
    raise MemoryError


@pytest.mark.slow
def test_ranks_agree_on_the_weights_to_keep_when_one_is_still_saving(folder):
    ranks = start_ranks(folder, 2, *FLAGS, "--max-steps", 60, prepare=save_slowly_and_break)
    assert [process.wait() for process in ranks] == [1, 1]
    assert ranks[0].stderr.endswith("; verse.pt keeps the best so far\n")
    assert ranks[1].stderr == ""


def save_slowly_and_break(rank):
    write, handle = checkpoint.write, session.Session._handle
    checkpoint.write = lambda *given: (time.sleep(5), write(*given))

    def handle_and_break(self, report):
        handle(self, report)
        if report.val_loss is not None:
            break_forward(self._run, range(10**6))

    session.Session._handle = handle_and_break


@pytest.mark.slow
def test_lost_rank_is_reported_before_a_slow_save_ends(folder):
    """A launcher kills a process that stays too long, before its last message."""
    first, second = start_ranks(folder, 2, *FLAGS, *SAVING, "--max-steps", 10**6, prepare=save_slowly_and_soon_tell)
    first.wait_for("saves")
    second.kill(signal.SIGKILL)
    assert first.wait() == 1
    early, last = [line for line in first.stderr.splitlines() if "another process" in line]
    assert early == "charrnn: another process of this training is gone; a save is still under way"
    assert last.startswith("charrnn: another process of this training is gone; verse.pt is as it was after step ")


def save_slowly_and_soon_tell(rank):
    write, session.LAST_WORDS = checkpoint.write, 0.5

    def write_slowly(*given):
        print("saves", file=sys.stderr, flush=True)
        time.sleep(3)
        write(*given)

    checkpoint.write = write_slowly


@pytest.mark.slow
def test_surviving_rank_knows_that_the_save_of_the_other_failed(folder):
    first, second = start_ranks(folder, 2, *FLAGS, *SAVING, "--max-steps", 10**6, prepare=fail_to_save)
    first.wait_for("training goes on, and tries again")
    first.kill(signal.SIGKILL)
    assert second.wait() == 1
    lost = "charrnn: process 2 of 2 (rank 1): another process of this training is gone; this process knows of no save\n"
    assert second.stderr == lost


@pytest.mark.slow
@pytest.mark.parametrize("saves", [1, 2])
def test_surviving_rank_states_only_the_step_that_it_knows_to_be_saved(folder, saves):
    """The first rank may have saved since without reporting it, even its first save."""
    prepare = functools.partial(die_after_saves, saves)
    first, second = start_ranks(folder, 2, *FLAGS, *SAVING, "--max-steps", 10**6, prepare=prepare)
    assert [first.wait(), second.wait()] == [-signal.SIGKILL, 1]
    told = r"another process of this training is gone; verse.pt holds step (\d+) or a later one; go on with --resume"
    (step,) = re.fullmatch(rf"charrnn: process 2 of 2 \(rank 1\): {told}\n", second.stderr).groups()
    held = read_checkpoint(str(folder / "verse.pt")).step
    assert int(step) < held if saves > 1 else int(step) == held


def die_after_saves(saves, rank):
    write, written = checkpoint.write, []

    def write_and_die(path, *what):
        write(path, *what)
        written.append(path)
        if len(written) == saves:
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoint.write = write_and_die


def fail_to_save(rank):
    def write(path, *_):
        raise OutputError(f"{path}: the checkpoint cannot be written (No space left on device)")

    checkpoint.write = write


@pytest.mark.slow
def test_slow_samples_of_one_rank_keep_evaluations_in_step(folder):
    ranks = start_ranks(folder, 2, *FLAGS, *SAVING, "--time", "60s", "--sample-every", 1, prepare=put_forward_the_clock)
    assert [process.wait() for process in ranks] == [0, 0], ranks[0].stderr
    history = read_checkpoint(str(folder / "verse.pt")).history
    assert ranks[0].stderr.count(" writes: ") == len(history) >= 3
    assert ranks[1].stderr == ""


def put_forward_the_clock(rank):
    """A step, an evaluation and a sample take longer, by what nobody waits for: a sample is due every few steps."""

    def takes(seconds, function):
        def put_forward(*given, **options):
            CLOCK._left_out -= seconds
            return function(*given, **options)

        return put_forward

    loop.take_step = takes(0.5, loop.take_step)
    validation.evaluate = takes(0.1, validation.evaluate)
    session.Session._sample = takes(2.0, session.Session._sample)


@pytest.mark.slow
def test_signal_to_one_rank_stops_all_and_one_process_can_resume(folder):
    ranks = start_ranks(folder, 2, *FLAGS, *SAVING, "--max-steps", 5000)
    ranks[0].wait_for("validation")
    ranks[1].kill(signal.SIGTERM)
    assert [process.wait() for process in ranks] == [143, 143]
    stored = read_checkpoint(str(folder / "verse.pt"), with_training=True).training
    saved = (
        f"stopped after step {stored['step']:,}, saved; go on with: torchrun ... -m charrnn train verse.txt --resume"
    )
    assert ranks[0].stderr.splitlines()[-1] == saved
    assert ranks[1].stderr == ""
    assert stored["state"][0][0].shape == (5, 16)
    alone = Training(folder, "--resume", "--max-steps", stored["step"] + 50)
    assert alone.wait() == 0, alone.stderr
    assert "processes: 1, before 2, with new random numbers for dropout" in alone.stderr
    assert read_checkpoint(str(folder / "verse.pt")).step == stored["step"] + 50


@pytest.mark.slow
def test_torchrun_restarts_a_dead_rank_and_the_job_goes_on(folder, torchrun):
    (folder / "verse.pt").touch()  # as mktemp does
    command = ["--max-restarts", 1, "-m", "--", "charrnn", "train", "verse.txt", *FLAGS, *SAVING, "--overwrite"]
    process = torchrun(*command, "--max-steps", 400, "--log", "verse.log", LOGLEVEL="INFO")  # of torchrun's own lines
    wait_for_checkpoint(folder, process)
    killed = find_rank(1, process)
    os.kill(killed, signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=120)
    all_told = f"torchrun, of which process {killed} was killed, ended with {process.returncode} and said:\n{stderr}"
    assert process.returncode == 0, all_told
    assert stdout == "verse.pt\n", all_told
    assert "charrnn: another process of this training is gone; " in stderr, all_told  # early, where the disk is slow
    assert ", going on after step " in stderr, all_told
    steps = [json.loads(line)["step"] for line in (folder / "verse.log").read_text().splitlines()]
    assert steps == sorted(set(steps))
    assert steps[-1] == 400


@pytest.mark.slow
def test_restart_ignores_a_checkpoint_of_an_earlier_job_with_the_same_id(folder, torchrun):
    restarts = ["--max-restarts", 2]  # torch itself may abort, too
    command = [*restarts, "-m", "charrnn", "train", "verse.txt", *FLAGS, *SAVING, "-q"]
    meeting = ["--rdzv-id", "night", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    earlier = torchrun(*command, "--max-steps", 5, meeting=meeting)
    _, stderr = earlier.communicate(timeout=120)
    assert earlier.returncode == 0, stderr
    later = torchrun(*command, "--max-steps", 20, "--overwrite", "--learning-rate", 0.5, meeting=meeting)
    os.kill(find_rank(1, later), signal.SIGKILL)  # while it loads PyTorch, or soon after
    _, stderr = later.communicate(timeout=120)
    assert later.returncode == 0, stderr
    assert read_checkpoint(str(folder / "verse.pt")).train_config.learning_rate == 0.5


@pytest.mark.slow
def test_two_hosts_go_on_if_only_one_counts_the_restart(folder, torchrun):
    """The second rank waits a second for the first to report; its host finds it healthy and restarts with the other."""
    meeting = [
        "--nnodes",
        2,
        "--rdzv-id",
        "night",
        "--rdzv-backend",
        "c10d",
        "--rdzv-endpoint",
        f"127.0.0.1:{free_port()}",
    ]
    command = ["--max-restarts", 1, "-m", "charrnn", "train", "verse.txt", *FLAGS, *SAVING, "--overwrite"]
    hosts = [torchrun(*command, "--max-steps", 200, meeting=map(str, meeting), ranks=1) for _ in range(2)]
    wait_for_checkpoint(folder, *hosts)
    os.kill(find_rank(0, *hosts), signal.SIGKILL)
    stdouts, stderrs = zip(*(host.communicate(timeout=120) for host in hosts), strict=True)
    assert [host.returncode for host in hosts] == [0, 0], stderrs
    assert "".join(stdouts) == "verse.pt\n"
    assert ", going on after step " in "".join(stderrs)


@pytest.mark.slow
def test_two_hosts_go_on_if_one_does_not_notice_the_restart(folder, torchrun):
    """Its own process is healthy, in a long step, while the other host restarts."""
    (folder / "slow.py").write_text(SLOW_STEPS)
    meeting = ["--nnodes", 2, "--rdzv-id", "night", "--rdzv-backend", "c10d", "--rdzv-endpoint"]
    meeting = [*map(str, meeting), f"127.0.0.1:{free_port()}"]
    command = ["--max-restarts", 3, "slow.py", "train", "verse.txt", *FLAGS, *SAVING, "--overwrite", "--max-steps", 40]
    hosts = [torchrun(*command, meeting=meeting, ranks=1) for _ in range(2)]
    wait_for_checkpoint(folder, *hosts)
    os.kill(find_rank(1, *hosts), signal.SIGKILL)
    stdouts, stderrs = zip(*(host.communicate(timeout=180) for host in hosts), strict=True)
    assert [host.returncode for host in hosts] == [0, 0], stderrs
    assert "".join(stdouts) == "verse.pt\n"
    assert ", going on after step " in "".join(stderrs)


@pytest.mark.slow
def test_second_host_that_joins_late_continues_the_run(folder, torchrun):
    (folder / "slow.py").write_text(SLOW_STEPS)
    meeting = ["--nnodes", "1:2", "--rdzv-id", "night", "--rdzv-backend", "c10d", "--rdzv-endpoint"]
    meeting = [*meeting, f"127.0.0.1:{free_port()}", "--rdzv-conf", "last_call_timeout=1"]
    command = ["--max-restarts", 3, "slow.py", "train", "verse.txt", *FLAGS, *SAVING, "--overwrite", "--max-steps", 50]
    # Else torch 2.13 waits in vain for an address that the first host gives in its first life alone.
    start = functools.partial(torchrun, *command, meeting=meeting, ranks=1, TORCH_DISABLE_SHARE_RDZV_TCP_STORE="1")
    hosts = [start()]
    wait_for_checkpoint(folder, *hosts)
    hosts.append(start())
    stdouts, stderrs = zip(*(host.communicate(timeout=180) for host in hosts), strict=True)
    assert [host.returncode for host in hosts] == [0, 0], stderrs
    assert "".join(stdouts) == "verse.pt\n"
    assert "processes: 2, before 1, " in "".join(stderrs)


SLOW_STEPS = """
import time

from charrnn.cli import main
from charrnn.training import loop

take_step = loop.take_step
loop.take_step = lambda run: (time.sleep(0.4), take_step(run))[1]
main()
"""


PORTS = itertools.count(10_000 + 10 * os.getpid() % 20_000)
"""Below those that the system gives to whoever asks for any, and others in each process that runs tests."""


def free_port():
    """A free port, reserved until it is bound."""
    return next(port for port in PORTS if not answers(port))


def answers(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
def test_ctrl_c_on_torchrun_saves_once_and_stops(folder, torchrun):
    process = torchrun("-m", "charrnn", "train", "verse.txt", *FLAGS, *SAVING, "--max-steps", 100_000)
    wait_for_checkpoint(folder, process)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode != 0
    assert stdout == ""
    step = read_checkpoint(str(folder / "verse.pt")).step
    assert stderr.count(f"stopped after step {step:,}, saved; go on with: ") == stderr.count("stopped after") == 1
    assert sorted(os.listdir(folder)) == ["verse.pt", "verse.txt"]


def start_ranks(folder, world, *arguments, step_takes=0.0, prepare=None):
    """A `charrnn train verse.txt` of several processes, as torchrun starts it; a step takes so many seconds more.

    In each process something may be prepared, by its rank.
    """
    store = make_store()
    places = [functools.partial(take_place, rank, world, store.port, step_takes, prepare) for rank in range(world)]
    trainings = [Training(folder, *arguments, prepare=prepare) for prepare in places]
    for each in trainings:
        each.store = store  # it lives as long as they do
    return trainings


def make_store():
    """Where processes find each other; torchrun keeps it, so that it outlives each of them."""
    return TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


def take_place(rank, world, port, step_takes=0.0, prepare=None):
    os.environ.update(place(rank, world, port))
    if prepare:
        prepare(rank)
    if step_takes:
        take_step = loop.take_step
        loop.take_step = lambda run: (time.sleep(step_takes), take_step(run))


def place(rank, world, port):
    """The environment variables of a launcher for a process."""
    names = {"RANK": rank, "WORLD_SIZE": world, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": world, "MASTER_PORT": port}
    store = {"MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}
    return {**store, **{name: str(value) for name, value in names.items()}}


def wait_for_checkpoint(folder, *launchers):
    """Wait until there is a checkpoint, unless a process that should write it has ended."""
    end = time.monotonic() + 60
    while not (folder / "verse.pt").exists() or (folder / "verse.pt").stat().st_size < 1000:
        assert time.monotonic() < end
        for process in launchers:
            assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)


def find_rank(rank, *launchers):
    """The process id of a rank, once one of some torchruns has started it."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for child in (child for process in launchers for child in children_of(process.pid)):
            with suppress(OSError):  # one that has ended meanwhile
                if f"RANK={rank}".encode() in Path("/proc", child, "environ").read_bytes().split(b"\0"):
                    return int(child)
        time.sleep(0.05)
    raise AssertionError("there is no such rank")


def children_of(number):
    """The process ids of what a process has started, as text."""
    return [child for task in Path(f"/proc/{number}/task").glob("*/children") for child in task.read_text().split()]
