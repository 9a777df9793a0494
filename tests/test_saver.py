"""The saver that works beside a training: how often it saves, and what it does about failures."""

import copy
import threading
import time
from pathlib import Path

import pytest
import torch
from conftest import refuse_a_thread
from runs import RUN, saver_of, start

from charrnn.cli.trainer.background_saver import DISK_SHARE, SHARE, BackgroundSaver
from charrnn.cli.trainer.placing import Placer
from charrnn.cli.trainer.repeated_failure import TELL_EVERY
from charrnn.errors import OutputError
from charrnn.training import checkpoint
from charrnn.training.clock import Clock
from charrnn.training.loop import take_step
from charrnn.training.loop import train as train_run
from charrnn.training.run import FINISH_SECONDS


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still unless it is told otherwise."""
    now = [1000.0]
    for name in ("monotonic", "perf_counter"):
        monkeypatch.setattr(time, name, lambda: now[0])
    return now


def written(monkeypatch, failures=()):
    """Let saves be counted, some of which fail, instead of written."""
    done, left = [], list(failures)

    def write(path, contents, _):
        if left and left.pop(0):
            raise OutputError(f"{path}: the checkpoint cannot be written (No space left on device)")
        done.append(contents)

    monkeypatch.setattr(checkpoint, "write", write)
    return done


def save(saver, contents=None):
    saver.save(lambda: contents or {}, 1)
    saver.wait()


def test_save_is_due_after_an_evaluation_and_after_a_minute(monkeypatch, clock):
    written(monkeypatch)
    saver = BackgroundSaver(Placer(Path("x.pt"), RUN), None, print)
    assert saver.is_due(evaluated=True)
    assert not saver.is_due(evaluated=False)
    clock[0] += 60
    assert saver.is_due(evaluated=False)
    save(saver)
    assert not saver.is_due(evaluated=False)


def test_save_every_flag_makes_saves_rarer_than_one_a_minute(monkeypatch, clock):
    written(monkeypatch)
    saver = BackgroundSaver(Placer(Path("x.pt"), RUN), 600.0, print)
    clock[0] += 599
    assert not saver.is_due(evaluated=False)
    assert saver.is_due(evaluated=True)
    clock[0] += 1
    assert saver.is_due(evaluated=False)


@pytest.mark.parametrize(("what", "share"), [("copy", SHARE), ("writing", SHARE), ("disk", DISK_SHARE)])
def test_saving_takes_about_one_percent_of_the_time_and_waiting_for_the_disk_little(monkeypatch, clock, what, share):
    worked = [0.0]

    def take(step):
        if step == what:
            clock[0] += 3.0
            worked[0] += 3.0 * (what == "writing")
        return {}

    monkeypatch.setattr("charrnn.cli.trainer.background_saver.time.thread_time", lambda: worked[0])
    monkeypatch.setattr(checkpoint, "write", lambda *_: take("writing") or take("disk"))
    saver, often = (
        BackgroundSaver(Placer(Path("x.pt"), RUN), None, print),
        BackgroundSaver(Placer(Path("x.pt"), RUN), 5.0, print),
    )
    for each in (often, saver):
        worked[0] = 0.0
        each.save(lambda: take("copy"), 1)
        each.wait()
    assert saver.seconds == pytest.approx(3.0)
    clock[0] += 3.0 / share - 3.0 - 1
    assert not saver.is_due(evaluated=True)
    assert often.is_due(evaluated=False)
    clock[0] += 62
    assert saver.is_due(evaluated=False)


def test_pause_during_a_save_does_not_count_as_its_duration(monkeypatch, clock):
    """Such as by Ctrl-Z, which the saving thread does not notice, and the main thread only later."""
    watch = Clock()
    monkeypatch.setattr("charrnn.cli.trainer.background_saver.CLOCK", watch)

    def write(*_):
        clock[0] += 1.0

    monkeypatch.setattr(checkpoint, "write", write)
    saver = BackgroundSaver(Placer(Path("x.pt"), RUN), None, print)
    saver.save(dict, 1)
    saver._thread.join()
    assert saver.seconds == 1.0
    clock[0] += 600.0
    saver.seconds = clock[0] - saver._begun  # as it finds where it looks before the main thread is told
    watch.leave_out_pause()
    saver.wait()
    assert saver.seconds < 2.0


def test_no_save_is_due_while_another_is_being_written(monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr(checkpoint, "write", lambda *_: gate.wait(30))
    saver = BackgroundSaver(Placer(Path("x.pt"), RUN), 0.0, print)
    saver.save(dict, 1)
    assert not saver.is_due(evaluated=True)
    gate.set()
    saver.wait()
    assert saver.is_due(evaluated=False)


def test_saves_are_written_in_order(monkeypatch):
    done = []
    monkeypatch.setattr(
        checkpoint, "write", lambda _, contents, place: time.sleep(contents["s"]) or done.append(contents)
    )
    saver = BackgroundSaver(Placer(Path("x.pt"), RUN), None, print)
    slow, fast = {"s": 0.3}, {"s": 0.0}
    saver.save(lambda: slow, 1)
    save(saver, fast)
    assert done == [slow, fast]


@pytest.mark.parametrize("evaluate_every", [1, 2])
def test_save_holds_the_state_from_when_it_began(tmp_path, monkeypatch, evaluate_every):
    done = written(monkeypatch)
    run = start(evaluate_every=evaluate_every)
    run.fallback_weights = dict(run.model.state_dict())
    saver = saver_of(tmp_path / "x.pt", run)
    next(train_run(run, report_every=1))
    take_step(run)
    best, state = copy.deepcopy((run.best_weights or dict(run.model.state_dict()), run.state_dict()))
    saver.save_if_due(evaluated=True)
    take_step(run)
    assert saver.finish() == ""
    assert not torch.equal(run.model.head.weight, state["weights"]["head.weight"])
    (contents,) = done
    saved = contents["training"]
    torch.testing.assert_close(contents["weights"], best, rtol=0, atol=0)
    for name in saved.keys() & {"weights", "state", "beginning"}:
        torch.testing.assert_close(saved[name], state[name], rtol=0, atol=0, msg=name)
    moments = [[each["state"] for each in held["optimizer"]] for held in (saved, state)]
    torch.testing.assert_close(*moments, rtol=0, atol=0)
    assert ("beginning" in saved) == (evaluate_every == 2), "before an evaluation, after which nothing goes back to it"


def test_time_limit_leaves_room_for_a_save_as_long_as_the_last(tmp_path, monkeypatch, clock):
    def write(*_):
        clock[0] += 3.0

    monkeypatch.setattr(checkpoint, "write", write)
    run = start(time_limit=60.0)
    saver = saver_of(tmp_path / "x.pt", run)
    for _ in range(2):
        saver.save_now()
    assert run.finish_seconds == FINISH_SECONDS + 3.0


def test_save_failure_and_its_end_are_reported_at_most_once_a_minute(monkeypatch, clock):
    written(monkeypatch, failures=[1, 1, 1, 0, 1, 0])
    told = []
    saver = BackgroundSaver(Placer(Path("x.pt"), RUN), None, told.append)
    save(saver)
    assert told == [
        "x.pt: the checkpoint cannot be written (No space left on device); training goes on, and tries again"
    ]
    clock[0] += TELL_EVERY - 1
    save(saver)
    assert len(told) == 1
    clock[0] += 1
    save(saver)
    assert len(told) == 2
    save(saver)
    assert told[2:] == ["x.pt: saved again"]
    save(saver)
    assert len(told) == 4
    assert saver.failure


def test_failure_of_the_last_save_is_left_to_the_caller_to_report(monkeypatch):
    written(monkeypatch, failures=[1])
    told = []
    saver = BackgroundSaver(Placer(Path("x.pt"), RUN), None, told.append)
    saver.save(dict, 1)
    saver.wait(is_last=True)
    assert not told
    assert saver.failure


def test_saved_step_is_that_of_the_last_successful_save(monkeypatch):
    written(monkeypatch, failures=[1, 0, 1])
    saver, known = BackgroundSaver(Placer(Path("x.pt"), RUN), None, lambda _: None), []
    for step in (10, 20, 30):
        saver.save(dict, step)
        saver.wait()
        known.append(saver.saved_step)
    assert known == [None, 20, 20]


def test_save_is_synchronous_if_no_thread_can_be_started(monkeypatch, clock):
    def write(*_):
        clock[0] += 3.0
        raise OutputError("x.pt: no space")

    monkeypatch.setattr(checkpoint, "write", write)
    monkeypatch.setattr(threading.Thread, "start", refuse_a_thread)
    told = []
    saver = BackgroundSaver(Placer(Path("x.pt"), RUN), None, told.append)
    saver.save(dict, 1)
    saver.poll()
    assert told == ["x.pt: no space; training goes on, and tries again"]
    assert saver.cost == saver.seconds == 3.0
    written(monkeypatch)
    save(saver)
    assert saver.saved_step == 1


def out_of_memory(error):
    raise error


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tri")])
def test_out_of_memory_while_copying_is_reported_and_training_goes_on(monkeypatch, error):
    done, told = written(monkeypatch), []
    saver = BackgroundSaver(Placer(Path("x.pt"), RUN), None, told.append)
    saver.save(lambda: out_of_memory(error), 10)
    saver.wait()
    assert told == ["x.pt: the checkpoint cannot be written (out of memory); training goes on, and tries again"]
    assert not done
    assert saver.saved_step is None
    save(saver)
    assert told[1:] == ["x.pt: saved again"]


def test_other_error_while_copying_is_raised():
    with pytest.raises(RuntimeError, match="size mismatch"):
        BackgroundSaver(Placer(Path("x.pt"), RUN), None, print).save(
            lambda: out_of_memory(RuntimeError("size mismatch")), 10
        )


def test_programming_error_while_saving_is_raised(monkeypatch):
    monkeypatch.setattr(checkpoint, "write", lambda *_: 1 / 0)
    saver = BackgroundSaver(Placer(Path("x.pt"), RUN), None, print)
    with pytest.raises(ZeroDivisionError):
        save(saver)


def test_saves_beside_the_path_are_reported_once(tmp_path, clock, monkeypatch):
    path, told = tmp_path / "m.pt", []

    def write(path, _, place):
        (tmp_path / "temporary").write_bytes(b"ours")
        place(tmp_path / "temporary", path)

    monkeypatch.setattr(checkpoint, "write", write)
    saver = BackgroundSaver(Placer(path, RUN), None, told.append)
    path.write_bytes(b"theirs")
    for _ in range(3):
        save(saver)
        clock[0] += TELL_EVERY
    path.unlink()
    save(saver)
    beside = tmp_path / "m.unplaced.pt"
    assert told == [
        f"{path}: cannot be replaced (another file was put there meanwhile); the checkpoint lies beside it, as {beside}"
        "; training goes on, and tries again",
        f"{path}: saved again",
    ]
