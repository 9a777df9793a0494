"""Signals and limits of processor time: a training saves and stops."""

import fcntl
import json
import os
import resource
import signal
import struct
import sys
import termios
import time
from pathlib import Path

import pytest
import torch
from processes import (
    ENDLESS,
    FIRST_STEP,
    SMALL,
    Training,
    all_but_the_clock,
    step_of,
    tell_first_step,
    train,
    wait_until,
)

from charrnn.cli.trainer.session import Session
from charrnn.cli.trainer.signals import SAME_SECONDS, TrainingSignals
from charrnn.cli.trainer.threads import ThreadKeeper
from charrnn.display import messages
from charrnn.training import loop


@pytest.mark.slow
@pytest.mark.parametrize("flags", [["--json"], []])
def test_stop_saves_even_if_nobody_reads_the_messages(folder, flags):
    path, log = folder / "verse.pt", folder / "verse.log"
    flags = [*flags, "--log", log.name, "--evaluate-every", 1, "--save-every", "1h"]
    training = Training(folder, *SMALL, *ENDLESS, *flags, prepare=stop_reading)
    wait_until((folder / "full").exists, seconds=60)
    last = json.loads(log.read_text().splitlines()[-1])["step"]
    training.kill(signal.SIGTERM)
    assert training.wait() == 143
    assert step_of(path) == last


def stop_reading():
    """Let stderr be a pipe that takes a page, and nobody read it; a file `full` tells that what is written waits."""
    reader, writer = os.pipe()
    size = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    sys.stderr.close()
    os.dup2(writer, 2)
    sys.stderr = open(2, "w", encoding="utf-8")  # noqa: SIM115
    write = messages._write

    def write_and_tell(descriptor, data):
        (written,) = struct.unpack("i", fcntl.ioctl(reader, termios.FIONREAD, bytes(4)))
        if len(data) > size - written:
            Path("full").touch()
        write(descriptor, data)

    messages._write = write_and_tell


@pytest.mark.slow
def test_processor_time_limit_ends_a_training_after_it_has_saved(folder):
    rare = ["--report-every", 10**8, "--evaluate-every", 10**8]
    training = train(folder, *SMALL, *ENDLESS, *rare, "--log", "log", prepare=few_seconds)
    assert training.process.exitcode == 128 + signal.SIGXCPU
    step = step_of(folder / "verse.pt")
    assert f"stopped after step {step:,}, saved" in training.stderr
    assert json.loads((folder / "log").read_text().splitlines()[-1])["step"] == step


def few_seconds():
    """What `ulimit -t 8` sets."""
    resource.setrlimit(resource.RLIMIT_CPU, (8, 8))


@pytest.mark.parametrize(("before", "within"), [
    ((8, 8), (5, 8)), ((3600, 3600), (3540, 3600)), ((100, 200), (100, 200)), ((190, 200), (180, 200)),
    ((resource.RLIM_INFINITY, 400), (360, 400)), ((2, 2), (1, 2)), ((0, 0), (0, 0)),
    ((30, resource.RLIM_INFINITY), (30, resource.RLIM_INFINITY)), (2 * (resource.RLIM_INFINITY,),) * 2,
])  # fmt: skip
def test_processor_time_limit_is_lowered_to_leave_time_to_save(monkeypatch, before, within):
    limits = [before]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, now: limits.append(now))
    with TrainingSignals():
        assert limits[-1] == within
    assert limits[-1] == before


@pytest.mark.parametrize(("before", "threads", "within"), [
    ((3600, 3600), 1, (3540, 3600)), ((3600, 3600), 16, (2640, 3600)), ((100, 100), 16, (50, 100)),
    ((3000, 3600), 16, (2640, 3600)), ((600, 3600), 16, (600, 3600)), ((3550, 3600), 1, (3540, 3600)),
])  # fmt: skip
def test_processor_time_to_save_grows_with_the_threads(monkeypatch, before, threads, within):
    limits = [before]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, now: limits.append(now))
    with TrainingSignals() as signals:
        signals.keep_time_to_save(threads)
        assert limits[-1] == within
    assert limits[-1] == before


@pytest.mark.slow
@pytest.mark.parametrize("members", [1, 2])
def test_processor_time_to_save_counts_the_threads_of_all_members(folder, members):
    flags = ["--members", members, "--max-steps", 1]
    training = train(folder, *SMALL, *flags, threads=2, prepare=tell_limit)
    assert training.process.exitcode == 0, training.stderr
    assert "limits in the first step: (80, 100)\n" in training.stderr


def tell_limit():
    """Let a training say the limits on its processor time as it begins its first step."""
    resource.setrlimit(resource.RLIMIT_CPU, (100, 100))
    step = loop.take_step

    def tell_and_step(run):
        loop.take_step = step
        print(f"limits in the first step: {resource.getrlimit(resource.RLIMIT_CPU)}", file=sys.stderr)
        return step(run)

    loop.take_step = tell_and_step


def test_repeated_sigxcpu_counts_as_one_stop(monkeypatch):
    exits = []
    monkeypatch.setattr(os, "_exit", exits.append)
    with pytest.raises(SystemExit) as left, TrainingSignals() as signals, signals.held_back():  # noqa: PT012
        signal.raise_signal(signal.SIGXCPU)
        signal.raise_signal(signal.SIGXCPU)
    assert left.value.code == 128 + signal.SIGXCPU
    assert not exits


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_sigusr1_and_sigusr2_save_and_go_on(folder, number):
    training = Training(folder, *SMALL, *ENDLESS, prepare=tell_first_step)
    training.wait_for(FIRST_STEP)
    training.kill(number)
    training.wait_for("saved after step")
    assert f"saved after step {step_of(folder / 'verse.pt'):,}\n" in training.stderr
    assert training.process.is_alive()
    training.kill(signal.SIGTERM)
    assert training.wait() == 143


@pytest.mark.slow
def test_second_ctrl_c_leaves_at_once_and_the_next_run_cleans_up(folder):
    training = Training(folder, *SMALL, *ENDLESS, prepare=stop_at_the_disk)
    training.wait_for(FIRST_STEP)
    training.kill(signal.SIGINT)
    training.wait_for("stopping", "waiting for the disk")
    time.sleep(SAME_SECONDS)
    training.kill(signal.SIGINT)
    assert training.wait() == 130
    assert "Traceback" not in training.stderr
    assert not (folder / "verse.pt").exists(), "it waits no more"
    assert len(os.listdir(folder)) > 1
    assert train(folder, *SMALL, "--max-steps", 3, "--overwrite").process.exitcode == 0
    assert sorted(os.listdir(folder)) == ["verse.pt", "verse.txt"]


def stop_at_the_disk():
    """Let a save wait for the disk for ever, and what comes before be told."""
    tell_first_step()
    stop = Session._stop
    Session._stop = lambda *given: print("stopping", file=sys.stderr, flush=True) or stop(*given)
    os.fsync = lambda _: print("waiting for the disk", file=sys.stderr, flush=True) or time.sleep(1e6)


@pytest.mark.slow
def test_stop_before_the_first_step_leaves_no_files(folder):
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        training = Training(folder, *SMALL, *ENDLESS, prepare=slow_start)
        training.wait_for("waiting")
        training.kill(number)
        assert training.wait() == code
        assert training.stderr == "waiting\nstopped before a step was made; nothing was saved\n"
        assert sorted(os.listdir(folder)) == ["verse.txt"]


@pytest.mark.slow
def test_stop_before_the_first_save_is_reported_with_json_and_quiet(folder):
    none, there = (f"stopped before a step was made; {told}" for told in ("nothing was saved", "verse.pt is as it was"))
    stopped = {"step": 0, "interrupted": True, "checkpoint": None}
    assert stop_before_a_step(folder, "-q") == f"charrnn: {none}"
    assert json.loads(stop_before_a_step(folder, "--json", "-q")) == {"warning": none, **stopped}
    assert json.loads(stop_before_a_step(folder, "--json")) == stopped
    assert train(folder, *SMALL, "--max-steps", 3).process.exitcode == 0
    before = (folder / "verse.pt").read_bytes()
    assert stop_before_a_step(folder, "--overwrite") == there
    assert json.loads(stop_before_a_step(folder, "--overwrite", "--json")) == stopped
    assert stop_before_a_step(folder, "--resume") == there
    resumed = json.loads(stop_before_a_step(folder, "--resume", "--json"))
    assert resumed == {"step": None, "interrupted": True, "checkpoint": "verse.pt"}
    assert (folder / "verse.pt").read_bytes() == before


def stop_before_a_step(folder, *flags):
    """The last message of a training that is stopped while it reads its text."""
    training = Training(folder, *flags, prepare=slow_start)
    training.wait_for("waiting")
    training.kill(signal.SIGTERM)
    assert training.wait() == 143
    assert training.stdout == ""
    (line,) = training.stderr.removeprefix("waiting\n").splitlines()
    return line


def slow_start():
    import sys

    from charrnn.cli.trainer import reading

    def read(*_):
        print("waiting", file=sys.stderr, flush=True)
        while True:  # a signal that comes just before a sleep does not end that
            time.sleep(0.01)

    reading.read_corpus = read


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


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_interrupted_and_resumed_run_equals_a_straight_one_bit_for_bit(text, threads):
    folder, steps = text.parent, 100
    options = [*SMALL, "--num-layers", 2, "--dropout", 0.3, "--max-steps", steps]
    straight = train(folder, *options, "--out", "straight.pt", "-q", threads=threads)
    assert straight.process.exitcode == 0, straight.stderr
    cut = train(folder, *options, prepare=stop_amid_it, threads=threads)
    assert cut.process.exitcode == 130, cut.stderr
    assert "validation" in cut.stderr
    assert STOP_AT <= saved_step(text) < steps
    assert train(folder, "--resume", "-q", threads=threads).process.exitcode == 0
    straight, resumed = (all_but_the_clock(folder / name) for name in ("straight.pt", "verse.pt"))
    assert resumed["history"] == straight["history"]
    torch.testing.assert_close(resumed["weights"], straight["weights"], rtol=0, atol=0)
    assert resumed["training"]["random_state"] == straight["training"]["random_state"]
    for part in ("weights", "optimizer", "state"):
        torch.testing.assert_close(resumed["training"][part], straight["training"][part], rtol=0, atol=0)


STOP_AT = 40
"""Steps, of which there is an evaluation at every 25th."""


def stop_amid_it():
    step = loop.take_step

    def take_step(run):
        if run.step == STOP_AT:
            os.kill(os.getpid(), signal.SIGINT)
        return step(run)

    loop.take_step = take_step


def test_json_ends_with_the_path_after_a_signal_and_at_the_end(text):
    for prepare, code, flags, end in (
        (stop_amid_it, 130, ["--max-steps", 100], "interrupted"),
        (None, 0, ["--resume", "--max-steps", 60], None),
        (None, 0, ["--resume"], "finished"),
    ):
        training = train(text.parent, *SMALL, *flags, "--json", prepare=prepare)
        assert training.process.exitcode == code, training.stderr
        last = json.loads(training.stderr.splitlines()[-1])
        stored = {"step": saved_step(text), "checkpoint": "verse.pt"}
        assert {name: last[name] for name in stored} == stored
        assert end is None or last == {**stored, end: True}


@pytest.mark.parametrize("pending", ["signal", "news"])
def test_json_has_no_line_after_the_path_whatever_is_pending(text, pending):
    prepare = {"signal": ask_for_a_save, "news": beside_other_programs}[pending]
    training = train(text.parent, *SMALL, "--max-steps", 1, "--json", prepare=prepare)
    assert training.process.exitcode == 0, training.stderr
    last = json.loads(training.stderr.splitlines()[-1])
    assert last.get("checkpoint") == "verse.pt", last


def ask_for_a_save():
    step = loop.take_step
    loop.take_step = lambda run: os.kill(os.getpid(), signal.SIGUSR1) or step(run)


def beside_other_programs():
    ThreadKeeper.tell = lambda *_: "other programs keep 1.0 cores busy"


def saved_step(text):
    return torch.load(text.with_name("verse.pt"), weights_only=True)["training"]["step"]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [
    (signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGXCPU, 152),
])  # fmt: skip
def test_signal_saves_and_prints_the_resume_command(charrnn, text, number, code):
    training = Training(text.parent, *SMALL, "--max-steps", 10**8, prepare=tell_first_step)
    training.wait_for(FIRST_STEP)
    training.kill(number)
    assert training.wait() == code
    assert training.stdout == ""
    assert "go on with: charrnn train verse.txt --resume" in training.stderr
    assert "Traceback" not in training.stderr
    step = saved_step(text)
    assert f"stopped after step {step:,}, saved" in training.stderr
    assert charrnn("inspect", "verse.pt").code == 0
    assert len(charrnn("sample", "verse.pt", "-n", 10).text) == 10
    resumed = charrnn("train", "verse.txt", "--resume", "--max-steps", step + 5)
    assert resumed.code == 0, resumed.stderr
    assert f"going on after step {step:,}" in resumed.stderr
