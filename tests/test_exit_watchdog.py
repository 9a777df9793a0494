"""Signals that arrive during a long computation, when Python cannot handle them."""

import contextlib
import hashlib
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import make_text, refuse_a_thread
from processes import Training

from charrnn.cli.trainer import entry_point, exit_watchdog, prepared_run
from charrnn.cli.trainer import signals as signals_module
from charrnn.cli.trainer.signals import SAME_SECONDS, TrainingSignals
from charrnn.training import loop

SMALL = ["--hidden-size", "16", "--batch-size", "4", "--seq-len", "16", "--precision", "float32", "--max-steps", 9]
UNSAVED = "stopped before a step was made; nothing was saved\n"
AT_WORK, STAYS, LEAVES = "at work", "it is to stay", "it is to leave"


def compute_for_minutes(*_, **__):
    print(AT_WORK, file=sys.stderr, flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # as torch's products do, it leaves other threads alone


def long_set_up():
    exit_watchdog.PATIENCE = 0.5
    prepared_run.begin = compute_for_minutes


def long_step():
    exit_watchdog.PATIENCE = 0.5
    loop.take_step = compute_for_minutes
    must_leave = TrainingSignals._must_leave

    def tell(self, number):
        leaves = must_leave(self, number)
        print(LEAVES if leaves else STAYS, file=sys.stderr, flush=True)
        return leaves

    TrainingSignals._must_leave = tell


def two_stops_amid_loading():
    @contextlib.contextmanager
    def load():
        assert ".verse.pt.lock" in os.listdir()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        yield

    entry_point._translate_import_memory_errors = load  # which is entered where PyTorch is loaded next


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "verse.txt").write_text(make_text(3000), encoding="utf-8")
    return folder


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stop_during_a_long_setup_exits_soon(folder, number, code):
    training = Training(folder, *SMALL, prepare=long_set_up)
    training.wait_for(AT_WORK)
    training.kill(number)
    assert training.wait(20) == code
    assert "Traceback" not in training.stderr
    assert training.stderr.endswith(f"\n{UNSAVED}")
    assert training.stderr.count(UNSAVED) == 1
    assert os.listdir(folder) == ["verse.txt"], "it has left its lock"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no process but the system's own is the first")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_init_process_of_a_container_ends_by_signals_like_any_other(trained, start, number):
    container = ["unshare", "--map-root-user", "--pid", "--fork", "--kill-child"]
    process = start(trained, "sample", "words.pt", "--length", -1, "-q", before=container)
    if not process.stdout.read(10):
        pytest.skip("no containers can be made here")
    (first,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(first), number)
    assert process.wait(timeout=20) == 128 + number


def test_second_ctrl_c_during_a_long_step_exits_soon(folder):
    training = Training(folder, *SMALL, prepare=long_step)
    training.wait_for(AT_WORK)
    try:
        training.kill(signal.SIGINT)
        training.wait_for(STAYS)  # the first is heeded after the step
        time.sleep(SAME_SECONDS)
        training.kill(signal.SIGINT)
        assert training.wait(20) == 130
    finally:
        training.process.kill()  # which would not heed the end of the tests for minutes
    assert training.stderr.splitlines()[-1] == LEAVES, "it says no more"
    assert os.listdir(folder) == ["verse.txt"], "it has left its lock"


def test_second_stop_while_pytorch_loads_exits_at_once_and_leaves_no_lock(folder):
    training = Training(folder, *SMALL, "-q", prepare=two_stops_amid_loading)
    assert training.wait(20) == 130
    assert training.stderr == f"charrnn: {UNSAVED}"
    assert os.listdir(folder) == ["verse.txt"], "it has left its lock"


def test_unsaved_message_is_printed_once_though_interrupted():
    told = []

    def tell():
        told.append("nothing was saved")
        signals.tell_unsaved()

    signals = TrainingSignals(tell=tell)
    signals.tell_unsaved()
    assert told == ["nothing was saved"]


@pytest.mark.parametrize("has_threads", [True, False])
def test_exit_after_a_signal_does_not_wait_for_a_hanging_disk(monkeypatch, has_threads):
    exits, goes_on = [], threading.Event()
    monkeypatch.setattr(exit_watchdog, "HURRY_SECONDS", 0.1)
    monkeypatch.setattr(exit_watchdog.os, "_exit", exits.append)
    monkeypatch.setattr(exit_watchdog, "give_up_all", goes_on.wait)
    if not has_threads:
        monkeypatch.setattr(exit_watchdog.threading.Thread, "start", refuse_a_thread)
    exit_watchdog.leave(signal.SIGTERM, lambda: None)
    assert exits == [143]
    if has_threads:  # what is told may depend on a file
        exit_watchdog.leave(signal.SIGINT, goes_on.wait)
        assert exits == [143, 130]
    goes_on.set()


@pytest.mark.parametrize("has_threads", [True, False])
def test_exit_message_is_printed_with_and_without_a_helper_thread(monkeypatch, has_threads):
    told = []
    monkeypatch.setattr(exit_watchdog.os, "_exit", lambda _: None)
    if not has_threads:
        monkeypatch.setattr(exit_watchdog.threading.Thread, "start", refuse_a_thread)
    exit_watchdog.leave(signal.SIGTERM, lambda: told.append("nothing was saved"))
    assert told == ["nothing was saved"]


@pytest.mark.parametrize(
    ("before", "number", "is_under_way", "is_launched", "leaves"),
    [
        ([], signal.SIGTERM, False, False, True),
        ([], signal.SIGTERM, False, True, True),
        ([], signal.SIGTERM, True, False, False),
        ([signal.SIGINT], signal.SIGTERM, True, False, False),
        ([signal.SIGTERM], signal.SIGINT, True, False, True),
        ([signal.SIGTERM], signal.SIGINT, True, True, False),
        ([signal.SIGUSR1], signal.SIGINT, True, False, False),
        ([signal.SIGINT], signal.SIGUSR1, False, False, False),
        ([], signal.SIGQUIT, True, True, True),
    ],
)
def test_signals_that_end_a_process_at_once(clock, before, number, is_under_way, is_launched, leaves):
    signals = TrainingSignals(is_launched=is_launched)
    signals.under_way = is_under_way
    for each in before:
        signals._must_leave(each)
        clock[0] += SAME_SECONDS
    assert signals._must_leave(number) is leaves
    with signals.held_back():
        waits = number != signal.SIGQUIT
        assert signals._must_leave(number) is not waits, "amid the loading of PyTorch all but Ctrl-\\ waits"


def test_ctrl_c_sent_twice_at_the_same_moment_counts_once(clock, signals):
    """The terminal sends it, and `timeout` sends it again to its child."""
    for _ in range(2):
        assert not signals._must_leave(signal.SIGINT)
        signals._remember(signal.SIGINT, None)
        clock[0] += SAME_SECONDS / 2
    assert signals.received == signal.SIGINT
    clock[0] += SAME_SECONDS
    assert signals._must_leave(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signals._remember(signal.SIGINT, None)


def test_ctrl_c_that_python_delivers_late_counts_once(clock, signals):
    """It arrived during a step of the model, when only the watchdog thread could receive it."""
    assert not signals._must_leave(signal.SIGINT)
    clock[0] += 10
    signals._remember(signal.SIGINT, None)
    assert signals.received == signal.SIGINT
    with pytest.raises(KeyboardInterrupt):
        signals._remember(signal.SIGINT, None)


def test_two_ctrl_c_delivered_late_together_count_twice(clock, signals):
    assert not signals._must_leave(signal.SIGINT)
    clock[0] += 1
    assert signals._must_leave(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signals._remember(signal.SIGINT, None)


def test_second_ctrl_c_exits_even_without_the_watchdog_thread(clock, signals):
    signals._remember(signal.SIGTERM, None)
    clock[0] += 1
    with pytest.raises(KeyboardInterrupt):
        signals._remember(signal.SIGINT, None)


@pytest.fixture
def signals():
    """Those of a training under way."""
    signals = TrainingSignals()
    signals.under_way = True
    return signals


@pytest.fixture
def clock(monkeypatch):
    """The seconds of the monotonic clock, which a test sets."""
    now = [100.0]
    monkeypatch.setattr(signals_module.time, "monotonic", lambda: now[0])
    return now


def test_normal_exit_restores_signal_handlers(monkeypatch):
    monkeypatch.setattr(exit_watchdog.os, "_exit", pytest.fail)
    threads, handlers = threading.active_count(), handlers_of_signals()
    with pytest.raises(SystemExit), TrainingSignals():
        signal.raise_signal(signal.SIGTERM)
    assert handlers_of_signals() == handlers
    assert signal.set_wakeup_fd(-1) == -1
    end = time.monotonic() + 10
    while threading.active_count() > threads:
        assert time.monotonic() < end
        time.sleep(0.01)


def handlers_of_signals():
    return {number: signal.getsignal(number) for number in signal.valid_signals()}
