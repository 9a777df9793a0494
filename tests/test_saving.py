"""Saving while a training goes on: how often, through failures, one training per output, and the log."""

import copy
import errno
import fcntl
import io
import itertools
import json
import os
import re
import resource
import shutil
import signal
import stat
import struct
import sys
import termios
import threading
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import make_text, refuse_a_thread
from processes import FIRST_STEP, Training, slow_steps, tell_first_step, train
from test_resume import saver_of
from test_training import start

from charrnn.cli.common.training_outputs import begins_as_log
from charrnn.cli.trainer import entry_point, lock, placing
from charrnn.cli.trainer.background_saver import DISK_SHARE, SHARE, BackgroundSaver
from charrnn.cli.trainer.lock import locked_output
from charrnn.cli.trainer.log import TrainingLog
from charrnn.cli.trainer.placing import ExistingFile, Placer, identify
from charrnn.cli.trainer.repeated_failure import TELL_EVERY
from charrnn.cli.trainer.resources import check_space
from charrnn.cli.trainer.session import Session
from charrnn.cli.trainer.signals import SAME_SECONDS, TrainingSignals
from charrnn.config import ModelConfig, TrainConfig
from charrnn.display import messages
from charrnn.errors import OutputError, SaveError
from charrnn.storage.archive import read_checkpoint
from charrnn.storage.origin import Origin
from charrnn.storage.outputs import replace_file, temporary_beside
from charrnn.training import checkpoint, loop
from charrnn.training.clock import Clock
from charrnn.training.loop import take_step
from charrnn.training.loop import train as train_run
from charrnn.training.run import FINISH_SECONDS

SMALL = ["--hidden-size", 16, "--batch-size", 4, "--seq-len", 16, "--precision", "float32"]
ENDLESS = ["--max-steps", 10**8]

STRANGE = (
    "verse.pt: cannot be replaced (another file was put there meanwhile); the checkpoint lies beside it, as "
    "verse.unplaced.pt"
)
BESIDE = f"{STRANGE}; go on with --resume-from verse.unplaced.pt and another --out"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "verse.txt").write_text(make_text(3000), encoding="utf-8")
    return tmp_path


def step_of(path):
    return torch.load(path, weights_only=True)["training"]["step"]


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


RUN, PARENT, OTHER = (digit * 12 for digit in "abc")
FIRST = "d" * 12
BRANCH = Origin(texts=[], run=RUN, parents=[PARENT, FIRST], left_at=[100, 20])


def write_log(path, *rows):
    """Lines of steps of one run or another."""
    path.write_text("".join(json.dumps({"run": run, "step": step}) + "\n" for run, step in rows))
    return path.read_text().splitlines(keepends=True)


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        ([(RUN, 120), (RUN, 150), (RUN, 160)], 2),
        ([(RUN, 160)], 0),
        ([(PARENT, 50), (PARENT, 100), (RUN, 140), (RUN, 160)], 3),
        ([(PARENT, 50), (RUN, 160)], 1),
        ([(OTHER, 50)], None),
        ([(RUN, 120), (OTHER, 130)], None),
        ([(RUN, 120), (OTHER, 160)], None),
        ([(PARENT, 50), (PARENT, 120)], None),  # it has gone on itself
        ([(PARENT, 50), (PARENT, 160)], None),
        ([(FIRST, 20), (PARENT, 100), (RUN, 140)], 3),
        ([(FIRST, 20), (FIRST, 40)], None),
    ],
)
def test_log_is_continued_only_if_its_lines_belong_to_this_run_or_its_ancestors(tmp_path, rows, kept):
    lines = write_log(tmp_path / "run.log", *rows)
    if kept is None:
        with pytest.raises(OutputError, match="is the log of another training; give another file with --log"):
            TrainingLog(tmp_path / "run.log", BRANCH, after_step=150)
        kept = len(rows)
    else:
        TrainingLog(tmp_path / "run.log", BRANCH, after_step=150)
    assert (tmp_path / "run.log").read_text() == "".join(lines[:kept])


@pytest.mark.parametrize(
    ("rows", "replaced", "kept"),
    [
        ([(PARENT, 50), (PARENT, 120)], [], 1),  # a copy of the parent's
        ([(PARENT, 120)], [], None),  # which has nothing of this one
        ([(OTHER, 120)], [OTHER], 0),
        ([(PARENT, 120)], [PARENT], 0),
        ([(FIRST, 20), (FIRST, 40)], [], None),  # of which this one is no copy
        ([(PARENT, 50), (OTHER, 60), (OTHER, 70)], [OTHER], 1),
        ([(OTHER, 120)], [], None),
        ([(OTHER, 120)], None, 0),  # whatever other training it is of
        ([(PARENT, 50), (OTHER, 60)], None, 1),
        ([(PARENT, 120)], None, None),  # which may go on with it
    ],
)
def test_branch_log_keeps_the_parents_lines_and_drops_those_of_the_replaced_branch(tmp_path, rows, replaced, kept):
    lines = write_log(tmp_path / "run.log", *rows)
    how = {"keeps": True} if replaced is None else {"replaced": replaced}
    if kept is None:
        with pytest.raises(OutputError, match="is the log of another training; give another file with --log"):
            TrainingLog(tmp_path / "run.log", BRANCH, after_step=100, **how)
        kept = len(rows)
    else:
        notice = TrainingLog(tmp_path / "run.log", BRANCH, after_step=100, **how).notice
        assert "begins after" not in notice
        assert ("ends with step 50" in notice) == bool(kept)
    assert (tmp_path / "run.log").read_text() == "".join(lines[:kept])


def test_branching_within_the_parents_log_keeps_a_copy_of_it(tmp_path):
    path, aside = tmp_path / "run.log", tmp_path / "run.before.log"
    lines = write_log(path, (PARENT, 50), (PARENT, 100), (PARENT, 200))
    log = TrainingLog(path, BRANCH, after_step=100)
    kept = f"as it was, for the one that it comes from, it is kept as {aside}"
    assert log.notice == f"{path}: goes on from here with this run; {kept}"
    assert (path.read_text(), aside.read_text()) == ("".join(lines[:2]), "".join(lines))
    log.write({"step": 120})
    again = "the one that it comes from needs another log now"
    told = f"{path}: goes on from here with this run; {again}"
    assert TrainingLog(path, BRANCH, after_step=100).notice == told, "killed before its second save: its own lines go"
    assert sorted(os.listdir(tmp_path)) == ["run.before.log", "run.log"]
    write_log(path, (PARENT, 50), (PARENT, 120))
    notice = TrainingLog(path, BRANCH, after_step=100).notice
    assert f"{path}: ends with step 50, " in notice
    assert notice.endswith(f"; {kept.replace('before', 'before2')}")
    assert not TrainingLog(aside, Origin(texts=[], run=PARENT), after_step=200).notice
    assert aside.read_text() == "".join(lines)


def test_log_begun_anew_is_continued_and_its_gap_is_reported(tmp_path):
    path = tmp_path / "run.log"
    write_log(path, (RUN, 160), (RUN, 170))
    log = TrainingLog(path, BRANCH, after_step=150)
    assert log.notice == f"{path}: begins after step 150; what came before is not in it"
    assert path.read_text() == "", "it is written anew"
    write_log(path, (RUN, 110))
    assert not TrainingLog(path, BRANCH, after_step=100).notice, "a branch begins there"


def test_second_training_on_one_output_is_refused_but_a_stale_lock_is_ignored(tmp_path):
    path = tmp_path / "m.pt"
    (tmp_path / "link.pt").symlink_to(path)
    with locked_output(path):
        for other in (path, tmp_path / "link.pt"):
            with pytest.raises(OutputError, match=rf"another training \(process {os.getpid()}\) is writing it"):
                locked_output(other).__enter__()
        with locked_output(tmp_path / "other.pt"):
            pass
    assert sorted(os.listdir(tmp_path)) == ["link.pt"]
    (tmp_path / ".m.pt.lock").write_text("12345678901\n")  # of a killed process
    with locked_output(path), pytest.raises(OutputError, match=rf"another training \(process {os.getpid()}\) is"):
        locked_output(path).__enter__()
    assert sorted(os.listdir(tmp_path)) == ["link.pt"]


def test_second_training_on_one_log_is_refused_unless_locks_are_impossible(tmp_path):
    log, long = tmp_path / "run.log", tmp_path / ("x" * 255)
    (tmp_path / "link.log").symlink_to(log)
    with locked_output(tmp_path / "one.pt", log):
        for other in (log, tmp_path / "link.log"):
            with pytest.raises(OutputError, match=rf"{other.name}: another training .* another file with --log$"):
                locked_output(tmp_path / "other.pt", other).__enter__()
        with locked_output(tmp_path / "other.pt"), locked_output(tmp_path / "third.pt", tmp_path / "other.log"):
            pass
    with locked_output(tmp_path / "one.pt", long), locked_output(tmp_path / "other.pt", long):
        pass
    assert os.listdir(tmp_path) == ["link.log"]


def test_lock_file_removed_before_it_was_locked_does_not_count(tmp_path, monkeypatch):
    """Its owner ends and removes it after we opened it and before we locked it."""
    flock, removed = lock.fcntl.flock, []

    def late(descriptor, how):
        if not removed:
            removed.append((tmp_path / ".m.pt.lock").unlink())
        flock(descriptor, how)

    monkeypatch.setattr(lock.fcntl, "flock", late)
    with locked_output(tmp_path / "m.pt"), pytest.raises(OutputError, match="is writing it"):
        locked_output(tmp_path / "m.pt").__enter__()


def test_lock_file_of_another_user_is_locked_or_reported(tmp_path, monkeypatch):
    opened, refused = os.open, [os.O_RDWR]

    def guarded(path, flags, *mode):
        if str(path).endswith(".lock") and flags & 3 in refused:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, flags, *mode)

    monkeypatch.setattr(lock.os, "open", guarded)
    (tmp_path / ".m.pt.lock").write_text("1\n")
    with locked_output(tmp_path / "m.pt"):
        assert (tmp_path / ".m.pt.lock").read_text() == "1\n"
        with pytest.raises(OutputError, match="is writing it"):
            locked_output(tmp_path / "m.pt").__enter__()
    os.mkfifo(tmp_path / ".m.pt.lock", 0o444)
    with locked_output(tmp_path / "m.pt"):
        pass  # nobody writes to the pipe, and it is not waited for
    (tmp_path / ".m.pt.lock").touch()
    refused.append(os.O_RDONLY)
    with pytest.raises(OutputError, match=r"\.m\.pt\.lock, cannot be opened \(Permission denied\); delete it"):
        locked_output(tmp_path / "m.pt").__enter__()
    (tmp_path / ".m.pt.lock").unlink()
    with pytest.raises(PermissionError):  # nobody's lock is there
        locked_output(tmp_path / "m.pt").__enter__()


def test_lock_path_that_is_a_link_or_folder_is_refused_and_left_alone(tmp_path):
    path, mine = tmp_path / "m.pt", tmp_path / "mine"
    mine.write_text("my only one")
    (tmp_path / ".m.pt.lock").symlink_to(mine)
    with pytest.raises(OutputError, match=r"\.m\.pt\.lock, cannot be opened \(it is a link\); delete it"):
        locked_output(path).__enter__()
    (tmp_path / ".m.pt.lock").unlink()
    (tmp_path / ".m.pt.lock").mkdir()
    with pytest.raises(OutputError, match=r"\.m\.pt\.lock, cannot be opened \(Is a directory\); delete it"):
        locked_output(path).__enter__()
    temporary_beside(path).symlink_to(mine)
    replace_file(path, lambda file: file.write(b"ours"))
    assert (mine.read_text(), path.read_bytes()) == ("my only one", b"ours")


def test_unreadable_but_writable_folder_can_be_locked(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with locked_output(tmp_path / "m.pt"):
        assert os.listdir(tmp_path) == [".m.pt.lock"]
    (tmp_path / "m.unplaced.pt").write_bytes(b"a checkpoint")
    monkeypatch.setattr(placing, "_read_run_and_step", lambda path: ("run", 6) if path.exists() else None)
    assert placing.find_later(tmp_path / "m.pt", "run", 3) == (tmp_path / "m.unplaced.pt", 6)


def test_lock_of_another_training_in_a_recreated_folder_is_kept(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    with locked_output(folder / "m.pt", folder / "m.log"):
        folder.rename(tmp_path / "old")
        folder.mkdir()
        other = locked_output(folder / "m.pt", folder / "m.log")
        other.__enter__()
    with pytest.raises(OutputError, match="is writing it"):
        locked_output(folder / "m.pt").__enter__()
    assert sorted(os.listdir(folder)) == [".m.log.lock", ".m.pt.lock"]
    other.__exit__(None, None, None)
    assert not os.listdir(folder)


def test_immediate_exit_removes_only_its_own_locks(tmp_path):
    (tmp_path / ".their.pt.lock").touch()
    folder = tmp_path / "run"
    folder.mkdir()
    with locked_output(tmp_path / "m.pt", tmp_path / "m.log"), locked_output(folder / "m.pt"):
        folder.rename(tmp_path / "old")
        folder.mkdir()
        (folder / ".m.pt.lock").touch()  # of another training
        lock.give_up_all()
        assert sorted(os.listdir(tmp_path)) == [".their.pt.lock", "old", "run"]
        assert os.listdir(folder) == [".m.pt.lock"]
        with locked_output(tmp_path / "m.pt"):
            pass
    assert not lock._HELD


@pytest.mark.parametrize("call", ["write", "truncate", "close"])
def test_full_disk_prevents_no_locking_and_leaves_no_lock(tmp_path, monkeypatch, call):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patches:
        patches.setattr(lock.os, call, full)
        with locked_output(tmp_path / "m.pt"):
            pass
    with locked_output(tmp_path / "m.pt"), pytest.raises(OutputError, match="is writing it"):
        locked_output(tmp_path / "m.pt").__enter__()
    assert not os.listdir(tmp_path)


def test_locking_ends_on_a_disk_where_an_open_file_seems_replaced(tmp_path, monkeypatch):
    """As over SMB without the server's inodes."""
    left = [10_000]

    def is_another(*_):
        left[0] -= 1
        assert left[0], "it goes on for ever"
        return False

    monkeypatch.setattr(lock.os.path, "samestat", is_another)
    with locked_output(tmp_path / "m.pt"):
        assert (tmp_path / ".m.pt.lock").read_text() == f"{os.getpid()}\n"
    assert not os.listdir(tmp_path)


def test_temporary_files_of_killed_processes_are_removed_and_no_others(tmp_path):
    for name in (".m[1].pt.123.tmp", ".m[1].pt.9.tmp", ".m[1].pt.x.5.tmp", ".m1.pt.5.tmp", "m[1].pt.5.tmp"):
        (tmp_path / name).write_text("")
    with locked_output(tmp_path / "m[1].pt"):
        assert sorted(os.listdir(tmp_path)) == [".m1.pt.5.tmp", ".m[1].pt.lock", ".m[1].pt.x.5.tmp", "m[1].pt.5.tmp"]


def test_log_is_continued_after_a_step_without_its_torn_line(tmp_path):
    path = tmp_path / "train.log"
    log = TrainingLog(path, BRANCH, after_step=0)
    for step in (1, 2, 3):
        log.write({"step": step, "loss": float("inf")})
    with open(path, "ab") as file:
        file.write(b'{"run": "aaaaaaaaaaaa", "step": 4, "lo')
    log = TrainingLog(path, BRANCH, after_step=2)
    log.write({"step": 3, "loss": 0.5})
    lines = path.read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"run": RUN, "step": step, "loss": loss} for step, loss in ((1, None), (2, None), (3, 0.5))
    ]


@pytest.mark.parametrize("is_evaluated", [True, False])
@pytest.mark.parametrize("run", [RUN, PARENT])
def test_unsaved_evaluation_of_the_last_step_is_cut_off_the_log(tmp_path, run, is_evaluated):
    """A training resumed to an end that has passed may be killed before it saves that evaluation."""
    path = tmp_path / "train.log"
    log = TrainingLog(path, Origin(texts=[], run=run), after_step=0)
    for step, loss in ((99, 0.7), (100, None), (100, 0.6)):
        log.write({"step": step, "val_loss": loss})
    lines = path.read_text().splitlines(keepends=True)
    assert not TrainingLog(path, BRANCH, after_step=100, is_evaluated=is_evaluated).notice.startswith("ends")
    assert path.read_text() == "".join(lines[: 3 if is_evaluated else 2])


def test_log_lines_are_synced_before_the_checkpoint(tmp_path, monkeypatch):
    synced, path = [], tmp_path / "x.log"
    monkeypatch.setattr("charrnn.disk.fcntl", None)  # macOS has a way of its own
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor)))
    log = TrainingLog(path, BRANCH, after_step=0)
    log.write({"step": 1})
    saver_of(tmp_path / "x.pt", start(max_steps=5), log).save_at_the_end("it is cut")
    files = (path, tmp_path / "x.pt", tmp_path)
    assert [there.st_ino for there in synced] == [file.stat().st_ino for file in files]


def test_gap_in_the_log_of_a_run_is_reported(tmp_path):
    path = tmp_path / "train.log"
    assert not TrainingLog(path, BRANCH, after_step=9).notice, "it is a new one"
    for left in ("", '{"run": "aaa'):  # by a power cut
        path.write_text(left)
        told = f"{path}: begins after step 9; what came before is not in it"
        assert TrainingLog(path, BRANCH, after_step=9).notice == told
        path.write_text(left)
        assert not TrainingLog(path, BRANCH, after_step=0).notice
    lines = write_log(path, (RUN, 10), (RUN, 2000), (RUN, 2500))
    assert not TrainingLog(path, BRANCH, after_step=2500).notice
    told = (
        f"{path}: ends with step 2,500, and the run goes on after step 2,600; what lies between is not in it, as after "
        "a resume without --log"
    )
    assert TrainingLog(path, BRANCH, after_step=2600).notice == told
    assert path.read_text() == "".join(lines)


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("", True),
        ('{"ru', True),
        ('{"run": "abcd', True),
        ('{"run": "abcdef012345", "step": 12, "epo', True),
        ('{"run": "abcdef012345", "step": 12}\n{"ru', True),
        ('{"run": "abc\n', False),
        ('{"run": "experiment 7", "step": 12, "loss": 1.5}\n', False),  # other programs' logs may begin alike
        ('{"step": 12, "loss": 1.5}\n', False),
        ("[1]\n", False),
    ],
)
def test_log_is_recognized_by_its_first_line(tmp_path, text, begins):
    (tmp_path / "run.log").write_text(text)
    assert begins_as_log(tmp_path / "run.log") is begins


def test_log_that_is_emptied_may_be_of_any_training(tmp_path):
    write_log(tmp_path / "run.log", (OTHER, 0), (RUN, 10))
    TrainingLog(tmp_path / "run.log", BRANCH, after_step=0, keeps=True)
    assert (tmp_path / "run.log").read_bytes() == b""


@pytest.mark.parametrize("meanwhile", [[], [(OTHER, 1), (OTHER, 2)], None])
def test_log_is_restored_if_the_run_that_replaced_it_never_saved(tmp_path, meanwhile):
    path, other = tmp_path / "run.log", Origin(texts=[], run=OTHER)
    lines = write_log(path, (PARENT, 50), (RUN, 120), (RUN, 150), (RUN, 160))
    TrainingLog(path, other, after_step=0, keeps=True)
    assert (path.read_bytes(), len(os.listdir(tmp_path))) == (b"", 2)
    if meanwhile is None:
        path.unlink()  # as a job does that begins anew
    else:
        write_log(path, *meanwhile)
    TrainingLog(path, other, after_step=0, keeps=True)  # it is tried again
    log = TrainingLog(path, BRANCH, after_step=150)
    assert (path.read_text(), log.notice) == ("".join(lines[:3]), "")
    log.settle()
    assert os.listdir(tmp_path) == ["run.log"]


def test_backup_of_a_replaced_log_is_removed_once_the_new_run_is_saved(tmp_path):
    path = tmp_path / "run.log"
    for run in (RUN, FIRST):
        write_log(path, (run, 120))
        log = TrainingLog(path, Origin(texts=[], run=OTHER), after_step=0, keeps=True)
    for name in (".run.log.mine.old", f"..run.log.{RUN}.old.123.tmp", ".run.log.9.tmp"):  # two by killed processes
        (tmp_path / name).touch()
    log.settle()
    assert sorted(os.listdir(tmp_path)) == [".run.log.mine.old", "run.log"]
    write_log(path, (OTHER, 120))
    with pytest.raises(OutputError, match="is the log of another training"):
        TrainingLog(path, BRANCH, after_step=150)


def test_log_restored_by_hand_wins_over_its_backup(tmp_path):
    path = tmp_path / "run.log"
    write_log(path, (RUN, 120))
    TrainingLog(path, Origin(texts=[], run=OTHER), after_step=0, keeps=True)
    lines = write_log(path, (RUN, 120), (RUN, 140))
    TrainingLog(path, BRANCH, after_step=150)
    assert (path.read_text(), os.listdir(tmp_path)) == ("".join(lines), ["run.log"])


def test_log_that_cannot_be_backed_up_is_still_replaced(tmp_path, monkeypatch):
    path = tmp_path / "run.log"
    write_log(path, (RUN, 120))
    monkeypatch.setattr("charrnn.cli.trainer.log_backup.replace_file", find_no_room)
    TrainingLog(path, Origin(texts=[], run=OTHER), after_step=0, keeps=True).settle()
    assert (path.read_bytes(), os.listdir(tmp_path)) == (b"", ["run.log"])


def find_no_room(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("text", [
    "hello\n", "{}\n", '{"step": 1}\n', '{"run": "aaaaaaaaaaaa", "step": "x"}\n', "[1]\n",
    pytest.param("[" * 200_000 + "\n", id="nested"),
])  # fmt: skip
def test_file_that_is_not_a_log_is_refused_and_kept(tmp_path, text):
    (tmp_path / "notes.txt").write_text(text)
    with pytest.raises(OutputError, match=r"notes\.txt: is not the log of a training"):
        TrainingLog(tmp_path / "notes.txt", BRANCH, after_step=5)
    assert (tmp_path / "notes.txt").read_text() == text


def test_log_with_a_torn_line_can_be_overwritten(tmp_path):
    path = tmp_path / "run.log"
    path.write_bytes(b'{"run": "aaaaaaaaaaaa", "step": 5, \0\0\0\n')
    TrainingLog(path, Origin(texts=[], run=OTHER), after_step=0, keeps=True)
    assert path.read_bytes() == b""


def test_unwritable_log_line_is_retried_and_leaves_no_torn_one(tmp_path, monkeypatch):
    path = tmp_path / "train.log"
    log = TrainingLog(path, BRANCH, after_step=0)
    log.write({"step": 1})
    original, room = TrainingLog._append, [5]

    class Full:
        """A file with room for a few bytes more."""

        def __init__(self, file):
            self._file = file

        def write(self, data):
            if not room[0]:
                raise OSError(errno.ENOSPC, "No space left on device")
            data, room[0] = data[: room[0]], 0
            return self._file.write(data)

        def __getattr__(self, name):
            return getattr(self._file, name)

    monkeypatch.setattr(TrainingLog, "_append", lambda self, file: original(self, Full(file)))
    log.write({"step": 2})
    assert log.lost == (
        f"{path}: the log cannot be written (No space left on device): its lines from step 2 on are missing"
    )
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1]
    monkeypatch.setattr(TrainingLog, "_append", original)
    log.write({"step": 3})
    assert not log.lost
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3]


def test_log_failure_and_its_end_are_reported_at_most_once_a_minute(tmp_path, monkeypatch):
    now, told, path = [1000.0], [], tmp_path / "away" / "train.log"
    monkeypatch.setattr("charrnn.cli.trainer.repeated_failure.time.monotonic", lambda: now[0])
    path.parent.mkdir()
    log = TrainingLog(path, BRANCH, after_step=0, tell=told.append)
    log.write({"step": 1})
    path.parent.rename(tmp_path / "gone")
    for step in (2, 3):
        log.write({"step": step})
    failure = f"{path}: the log cannot be written (No such file or directory)"
    assert told == [f"{failure}; training goes on, and tries again"]
    assert log.lost == f"{failure}: its lines from step 2 on are missing"
    now[0] += 60
    log.write({"step": 4})
    assert len(told) == 2
    (tmp_path / "gone").rename(path.parent)
    log.write({"step": 5})
    assert told[2:] == [f"{path}: the log is written again, and nothing of it is missing"]
    assert not log.lost
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3, 4, 5]


@pytest.mark.slow
def test_lost_log_is_reported_though_the_checkpoint_is_saved(folder):
    (folder / "away").mkdir()
    training = train(folder, *SMALL, "--max-steps", 30, "--log", "away/verse.log", prepare=lose_the_log)
    assert training.process.exitcode == 1
    told = "away/verse.log: the log cannot be written (No such file or directory)"
    assert f"charrnn: {told}; training goes on, and tries again\n" in training.stderr
    saved = re.escape(f"charrnn: the training is done and saved as verse.pt, but {told}: its lines from step ")
    assert re.fullmatch(rf"{saved}\d+ on are missing", training.stderr.splitlines()[-1])
    assert step_of(folder / "verse.pt") == 30


def lose_the_log():
    write = TrainingLog.write

    def write_nowhere(self, fields):
        if self._path.parent.is_dir():
            shutil.rmtree(self._path.parent)
        write(self, fields)

    TrainingLog.write = write_nowhere


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


@pytest.mark.slow
def test_rare_reports_do_not_delay_saves_or_stops(folder):
    rare = ["--report-every", 10**8, "--evaluate-every", 10**8]
    training = Training(folder, *SMALL, *ENDLESS, *rare, "--save-every", "0.1s", prepare=slow_steps)
    wait_until((folder / "verse.pt").exists)
    first = step_of(folder / "verse.pt")
    wait_until(lambda: step_of(folder / "verse.pt") > first)
    training.kill(signal.SIGTERM)
    assert training.wait() == 143
    assert f"stopped after step {step_of(folder / 'verse.pt'):,}, saved" in training.stderr


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


@pytest.mark.slow
def test_training_survives_a_disk_that_is_full_for_a_while(folder):
    """The limit on the size of files is lowered and raised while it runs: `No space` as the system tells it."""
    straight = train(folder, *SMALL, "--max-steps", 600, "--out", "straight.pt")
    assert straight.process.exitcode == 0
    flags = ["--save-every", "0.1s", "--log", "verse.log"]
    training = Training(folder, *SMALL, "--max-steps", 600, *flags, prepare=slow_steps)
    wait_until((folder / "verse.pt").exists)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.prlimit(training.process.pid, resource.RLIMIT_FSIZE, (20_000, hard))
    training.wait_for("verse.pt: the checkpoint cannot be written (File too large)")
    old = step_of(folder / "verse.pt")
    time.sleep(0.3)
    assert step_of(folder / "verse.pt") == old, "the old checkpoint stays"
    resource.prlimit(training.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
    training.wait_for("verse.pt: saved again")
    assert training.wait() == 0
    assert training.stdout == "verse.pt\n"
    assert sorted(os.listdir(folder)) == [
        "straight.pt", "verse.log", "verse.pt", "verse.txt",
    ]  # fmt: skip
    one, other = (torch.load(folder / name, weights_only=True) for name in ("straight.pt", "verse.pt"))
    torch.testing.assert_close(one["training"]["weights"], other["training"]["weights"], rtol=0, atol=0)
    logged = [json.loads(line)["step"] for line in (folder / "verse.log").read_text().splitlines()]
    assert logged == sorted(set(logged))
    assert {row["step"] for row in one["history"]} <= set(logged)


def slow_steps_of_which_the_first_is_told():
    slow_steps()
    tell_first_step()


def put(placer, path, data=b"ours", step=1):
    """Have a placer put a file with some data in its place, as a save does."""
    temporary = path.with_name("temporary")
    temporary.write_bytes(data)
    placer.put(temporary, path, step)


def put_beside(placer, path, data=b"ours", step=1):
    """The same, where it must not be put there: the file there stays, and only the save lies beside it."""
    there, beside = path.read_bytes(), path.with_name("m.unplaced.pt")
    told = (
        f"{path}: cannot be replaced (another file was put there meanwhile); the checkpoint lies beside it, as {beside}"
    )
    with pytest.raises(OutputError, match=f"^{re.escape(told)}$"):
        put(placer, path, data, step)
    assert path.read_bytes() == there
    assert beside.read_bytes() == data
    assert placer.unplaced == beside
    assert sorted(os.listdir(path.parent)) == ["m.pt", "m.unplaced.pt"]


def checkpoint_of(trained, run, step):
    """A checkpoint's bytes, of some run and step."""
    contents = torch.load(trained / "words.pt", weights_only=True)
    file = io.BytesIO()
    origin, training = {**contents["origin"], "run": run}, {**contents["training"], "step": step}
    torch.save({**contents, "history": [], "origin": origin, "training": training}, file)
    return file.getvalue()


@pytest.fixture
def tick(monkeypatch):
    """Write a file with a time and an inode that no other file has."""
    number, stat = itertools.count(1), os.stat

    def stat_anew(path, **options):
        there = stat(path, **options)
        return SimpleNamespace(
            st_mode=there.st_mode, st_size=there.st_size, st_mtime_ns=there.st_mtime_ns, st_dev=1, st_ino=next(number)
        )

    def write_later(path, data):
        path.write_bytes(data)
        os.utime(path, ns=(0, next(number)))

    monkeypatch.setattr("charrnn.cli.trainer.placing.os", SimpleNamespace(stat=stat_anew, path=os.path))
    return write_later


def test_save_replaces_only_the_file_found_at_the_start_or_its_own(tmp_path, tick):
    path = tmp_path / "m.pt"
    tick(path, b"old")
    placer = Placer(path, RUN, identify(path))
    for _ in range(3):
        put(placer, path)
        assert path.read_bytes() == b"ours"
    path.unlink()
    put(placer, path)
    path.write_bytes(b"")  # with which nothing is lost
    put(placer, path)
    assert os.listdir(tmp_path) == ["m.pt"]


@pytest.mark.parametrize("found", [ExistingFile(), ExistingFile(mark=(3, 5)), ExistingFile(mark=(3, 5), run=OTHER)])
def test_foreign_file_at_the_path_is_kept_and_saves_go_beside_it(tmp_path, tick, found):
    path = tmp_path / "m.pt"
    placer = Placer(path, RUN, found)
    for _ in range(2):
        tick(path, b"my only thesis")
        put_beside(placer, path, b"first")
        put_beside(placer, path, b"second")
        path.unlink()
        put(placer, path)
        assert placer.unplaced is None
        assert os.listdir(tmp_path) == ["m.pt"]


def test_pipe_at_the_path_is_kept(tmp_path):
    path = tmp_path / "m.pt"
    placer = Placer(path, RUN)
    os.mkfifo(path)
    with pytest.raises(OutputError, match="another file was put there meanwhile"):
        put(placer, path)
    assert path.is_fifo()
    assert placer.unplaced.read_bytes() == b"ours"


def test_two_runs_on_one_path_do_not_overwrite_each_other(trained, tmp_path, tick):
    path = tmp_path / "m.pt"
    tick(path, checkpoint_of(trained, PARENT, 9))
    one, other = (Placer(path, run, identify(path)) for run in (RUN, OTHER))
    for step in range(1, 4):
        put(one, path, checkpoint_of(trained, RUN, step), step)
        put_beside(other, path, checkpoint_of(trained, OTHER, step), step)
    assert [step_of(path), step_of(tmp_path / "m.unplaced.pt")] == [3, 3]
    assert sorted(os.listdir(tmp_path)) == ["m.pt", "m.unplaced.pt"]


def test_touched_or_restored_checkpoint_still_belongs_to_its_run(trained, tmp_path, tick):
    path = tmp_path / "m.pt"
    tick(path, checkpoint_of(trained, RUN, 5))
    resumed, replacing = Placer(path, RUN, identify(path), 5), Placer(path, OTHER, identify(path))
    tick(path, checkpoint_of(trained, RUN, 5))
    put(resumed, path, checkpoint_of(trained, RUN, 7), 7)
    tick(path, checkpoint_of(trained, RUN, 6))
    put(replacing, path, checkpoint_of(trained, OTHER, 1), 1)
    tick(path, checkpoint_of(trained, OTHER, 1))
    put(replacing, path, checkpoint_of(trained, OTHER, 2), 2)
    assert os.listdir(tmp_path) == ["m.pt"]
    tick(path, checkpoint_of(trained, RUN, 6))  # by now it is somebody's wish to have it there
    put_beside(replacing, path)


def test_checkpoint_of_the_same_run_at_a_later_step_is_kept(trained, tmp_path, tick):
    path = tmp_path / "m.pt"
    tick(path, checkpoint_of(trained, RUN, 5))
    placer = Placer(path, RUN, identify(path), 5)
    tick(path, checkpoint_of(trained, RUN, 6))
    for step in (7, 8):  # past the other's own
        put_beside(placer, path, checkpoint_of(trained, RUN, step), step)
    (tmp_path / "m.unplaced.pt").rename(path)
    put(placer, path, step=9)
    assert os.listdir(tmp_path) == ["m.pt"]


def test_save_goes_beside_its_path_while_that_cannot_be_replaced(tmp_path):
    path, beside = tmp_path / "m.pt", tmp_path / "m.unplaced.pt"
    path.mkdir()
    placer = Placer(path, RUN, identify(path))
    for data in (b"first", b"second"):
        with pytest.raises(OutputError, match=rf"cannot be replaced \(Is a dir.*; the checkpoint lies .* as {beside}$"):
            put(placer, path, data)
        assert beside.read_bytes() == data
        assert placer.unplaced == beside
    path.rmdir()
    put(placer, path)
    assert path.read_bytes() == b"ours"
    assert placer.unplaced is None
    assert os.listdir(tmp_path) == ["m.pt"]


def test_save_beside_its_path_has_the_mode_of_the_last_save_or_of_a_new_file(tmp_path):
    path, beside, new = tmp_path / "m.pt", tmp_path / "m.unplaced.pt", tmp_path / "new"
    new.touch()
    for saved in (False, True):
        placer = Placer(path, RUN, identify(path))
        if saved:
            replace_file(path, lambda file: file.write(b"ours"), partial(placer.put, step=0))
            path.chmod(0o600)
            replace_file(path, lambda file: file.write(b"ours"), partial(placer.put, step=1))
            path.unlink()
        path.mkdir(mode=0o755)
        with pytest.raises(OutputError):
            replace_file(path, lambda file: file.write(b"ours"), partial(placer.put, step=2))
        assert beside.stat().st_mode == (stat.S_IFREG | 0o600 if saved else new.stat().st_mode)
        path.rmdir()
        beside.unlink()


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


@pytest.mark.slow
def test_stop_with_an_irreplaceable_checkpoint_path_saves_beside_it(folder):
    training = Training(folder, *SMALL, *ENDLESS, "--save-every", "1h", prepare=tell_first_step)
    training.wait_for(FIRST_STEP)
    (folder / "verse.pt").mkdir()
    training.kill(signal.SIGTERM)
    assert training.wait() == 1
    step = step_of(folder / "verse.unplaced.pt")
    assert training.stderr.splitlines()[-1] == (
        f"charrnn: stopped after step {step:,}, but verse.pt: cannot be replaced (Is a directory); the checkpoint lies "
        "beside it, as verse.unplaced.pt; go on with --resume-from verse.unplaced.pt and another --out"
    )
    flags = ["--resume-from", "verse.unplaced.pt", "--out", "more.pt", "--max-steps", step + 5]
    assert train(folder, *flags).process.exitcode == 0


@pytest.mark.slow
def test_resume_is_refused_beside_a_later_unplaced_save(folder):
    kept, beside = folder / "kept", folder / "verse.unplaced3.pt"  # with a number that is free before it
    assert train(folder, *SMALL, "--max-steps", 3, "--log", "verse.log").process.exitcode == 0
    shutil.copy(folder / "verse.pt", kept)
    shutil.copy(folder / "verse.pt", folder / "verse.unplaced.pt")  # no later one
    assert train(folder, "--resume", "--max-steps", 6, "--log", "verse.log").process.exitcode == 0
    (folder / "verse.pt").rename(beside)
    kept.rename(folder / "verse.pt")
    told = (
        "charrnn: verse.unplaced3.pt: holds this training after step 6, which could not be saved as verse.pt; go on "
        "from there with --resume-from verse.unplaced3.pt --out verse.pt --overwrite, or move it away\n"
    )
    before = (folder / "verse.log").read_bytes()
    refused = train(folder, "--resume", "--max-steps", 4, "-q", "--log", "verse.log")
    assert (refused.process.exitcode, refused.stderr) == (2, told)
    assert (folder / "verse.log").read_bytes() == before, "which has lines of the later save"
    as_told = ["--resume-from", beside.name, "--out", "verse.pt", "--overwrite", "--max-steps", 7]
    for flags in (as_told, ["--resume", "--max-steps", 8]):
        later = train(folder, *flags)
        assert later.process.exitcode == 0, later.stderr
    assert step_of(folder / "verse.pt") == 8


@pytest.mark.slow
def test_no_resume_is_suggested_for_a_checkpoint_that_is_gone(folder):
    (folder / "runs").mkdir()
    training = Training(folder, *SMALL, *ENDLESS, "-q", "-o", "runs/m.pt", "--save-every", "0.1s", prepare=slow_steps)
    wait_until((folder / "runs" / "m.pt").exists)
    (folder / "runs").rename(folder / "moved")
    training.wait_for("training goes on, and tries again")
    training.kill(signal.SIGTERM)
    assert training.wait() == 1
    told = r"; runs/m.pt, which was saved after step [\d,]+, is gone"
    assert re.search(rf"{told}$", training.stderr.splitlines()[-1]), training.stderr


def test_message_about_the_kept_checkpoint_comes_from_the_file_itself(tmp_path, monkeypatch):
    def find_no_server(*_, **__):
        raise OSError(errno.ESTALE, "Stale file handle")

    path, run = tmp_path / "x.pt", start(max_steps=5)
    saver = saver_of(path, run)
    assert saver.what_is_kept() == "nothing was saved before"
    saver.save_at_the_end("it is cut")
    assert saver.what_is_kept() == f"{path} is as it was after step 0; go on with --resume"
    path.write_bytes(b"theirs")
    assert saver.what_is_kept() == f"{path}, which was saved after step 0, is another file now"
    with pytest.raises(SaveError, match=r"and another --out$"):
        saver.save_at_the_end("it is cut")
    (tmp_path / "x.unplaced.pt").unlink()
    assert saver.what_is_kept() == f"{path}, which was saved after step 0, is another file now"
    with monkeypatch.context() as patches:
        patches.setattr(os, "stat", find_no_server)
        told = saver.what_is_kept()
    assert told == f"{path}, which was saved after step 0, cannot be looked at (Stale file handle)"


@pytest.mark.slow
def test_training_saves_beside_a_file_that_was_put_at_its_path(folder):
    training = Training(folder, *SMALL, *ENDLESS, "-q", "--save-every", "0.1s", prepare=slow_steps)
    wait_until((folder / "verse.pt").exists)
    (folder / "thesis").write_text("my only one")
    (folder / "thesis").rename(folder / "verse.pt")
    training.wait_for(f"charrnn: {STRANGE}; training goes on, and tries again\n")
    training.kill(signal.SIGTERM)
    assert training.wait() == 1
    step = step_of(folder / "verse.unplaced.pt")
    assert training.stderr.splitlines()[1:] == [f"charrnn: stopped after step {step:,}, but {BESIDE}"]
    assert (folder / "verse.pt").read_text() == "my only one"
    assert sorted(os.listdir(folder)) == ["verse.pt", "verse.txt", "verse.unplaced.pt"]


@pytest.mark.slow
def test_file_created_at_the_output_while_the_text_is_read_is_kept(folder):
    assert train(folder, *SMALL, "--max-steps", 3).process.exitcode == 0
    flags = ["--max-steps", 5, "--overwrite"]
    training = train(folder, *SMALL, *flags, prepare=put_a_thesis_there_once_the_text_is_read)
    assert training.process.exitcode == 1
    assert training.stderr.endswith(f"charrnn: the training is done, but {BESIDE}\n")
    assert (folder / "verse.pt").read_text() == "my only one"


def put_a_thesis_there_once_the_text_is_read():
    read = entry_point.read_texts

    def read_and_put(*given):
        corpus = read(*given)
        Path("verse.pt").write_text("my only one")
        return corpus

    entry_point.read_texts = read_and_put


@pytest.mark.slow
@pytest.mark.parametrize("way", [["--overwrite"], ["--resume"], ["--init-from", "verse.pt", "--overwrite"]])
def test_checkpoint_touched_by_others_during_a_run_is_replaced(folder, way):
    assert train(folder, *SMALL, "--max-steps", 3).process.exitcode == 0
    fresh = [] if "verse.pt" in way or "--resume" in way else SMALL
    training = train(folder, *fresh, *way, "--max-steps", 300, "--save-every", "0.1s", prepare=touch_at_every_step)
    assert training.process.exitcode == 0, training.stderr
    assert step_of(folder / "verse.pt") == 300
    assert "verse.pt: " not in training.stderr
    assert sorted(os.listdir(folder)) == ["verse.pt", "verse.txt"]


def touch_at_every_step():
    from charrnn.training import loop

    slow_steps()
    take_step = loop.take_step

    def touch_and_take(run):
        os.utime("verse.pt")
        return take_step(run)

    loop.take_step = touch_and_take


@pytest.mark.slow
def test_failing_run_names_its_save_beside_the_path(folder):
    for prepare, told in ((break_after_saves, "lower --learning-rate"), (run_out_of_memory, "out of memory; go on")):
        training = train(folder, *SMALL, "--max-steps", 60, "--evaluate-every", 5, prepare=prepare)
        assert training.process.exitcode == 1
        last = training.stderr.splitlines()[-1]
        assert told in last
        assert BESIDE.rsplit("; ", 1)[-1] in last
        assert "could not be saved" not in training.stderr
        assert step_of(folder / "verse.unplaced.pt") > 0
        (folder / "verse.unplaced.pt").unlink()
        (folder / "verse.pt").unlink()


def put_another_file_there(then):
    """Put a file there before the first step, and call a function from the thirtieth step on."""
    from charrnn.training import loop

    take_step = loop.take_step

    def take(run):
        if not run.step:
            Path("verse.pt").write_text("theirs")
        if run.step >= 30:
            then(run)
        return take_step(run)

    loop.take_step = take


def break_after_saves():
    put_another_file_there(lambda run: next(run.model.parameters()).data.fill_(float("nan")))


def run_out_of_memory():
    def fail(_):
        raise MemoryError

    put_another_file_there(fail)


@pytest.mark.slow
@pytest.mark.parametrize("number", [None, signal.SIGTERM])
def test_failed_last_save_sets_the_exit_code(folder, number):
    steps = 600 if number is None else 10**8
    training = Training(folder, *SMALL, "--max-steps", steps, prepare=slow_steps_of_which_the_first_is_told)
    training.wait_for(FIRST_STEP)  # a signal before it ends what has nothing to save
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.prlimit(training.process.pid, resource.RLIMIT_FSIZE, (20_000, hard))
    if number is not None:
        training.kill(number)
    assert training.wait() == 1
    assert training.stdout == ""
    last = training.stderr.splitlines()[-1]
    assert last.startswith("charrnn: the training is done, but " if number is None else "charrnn: stopped after step ")
    assert last.endswith(
        "verse.pt: the checkpoint cannot be written (File too large); an older one, if any, is untouched; "
        "nothing was saved before"
    )
    assert sorted(os.listdir(folder)) == ["verse.txt"]


@pytest.mark.slow
def test_deleted_checkpoint_and_missing_folder_do_not_end_a_training(folder):
    (folder / "out").mkdir()
    flags = ["--out", "out/", "--save-every", "0.1s"]
    training = Training(folder, *SMALL, *ENDLESS, *flags, prepare=slow_steps)
    training.wait_for("training:")
    written = folder / "out" / "verse.pt"
    wait_until(written.exists)
    written.unlink()
    wait_until(written.exists)
    (folder / "out").rename(folder / "away")
    training.wait_for("out/verse.pt: the checkpoint cannot be written (No such file or directory)")
    (folder / "away").rename(folder / "out")
    training.wait_for("out/verse.pt: saved again")
    training.kill(signal.SIGINT)
    assert training.wait() == 130
    assert step_of(written) > 0
    assert os.listdir(folder / "out") == ["verse.pt"]


def wait_until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.slow
def test_second_training_on_the_same_output_or_log_is_refused(folder):
    first = Training(folder, *SMALL, *ENDLESS, "--evaluate-every", 10, "--log", "verse.log")
    wait_until((folder / "verse.pt").exists)  # which is saved after an evaluation
    for shared, flag, flags in (
        ("verse.pt", "--out", ["--overwrite"]),
        ("verse.log", "--log", ["--overwrite", "--out", "other.pt"]),
        ("verse.log", "--log", ["--resume-or-start", "--out", "other.pt"]),
    ):
        second = Training(folder, *SMALL, "--max-steps", 3, "--log", "verse.log", *flags)
        assert second.wait() == 2
        assert second.stderr == (
            f"charrnn: {shared}: another training (process {first.process.pid}) is writing it; wait for it, stop it, "
            f"or give another file with {flag}\n"
        )
    first.kill(signal.SIGKILL)
    first.wait()
    assert (folder / ".verse.pt.lock").exists()
    assert train(folder, *SMALL, "--max-steps", 3, "--log", "verse.log", "--overwrite").process.exitcode == 0
    assert sorted(os.listdir(folder)) == ["verse.log", "verse.pt", "verse.txt"]


def test_disk_space_is_checked_behind_links_and_unknown_space_is_enough(tmp_path, monkeypatch):
    (tmp_path / "far").mkdir()
    (tmp_path / "link.pt").symlink_to(tmp_path / "far" / "m.pt")
    usage = {"far": SimpleNamespace(total=1e9, free=0), "odd": SimpleNamespace(total=0, free=0)}
    monkeypatch.setattr(
        shutil, "disk_usage", lambda folder: usage.get(folder.name, SimpleNamespace(total=1e9, free=1e9))
    )
    shape = ModelConfig(vocab_size=5, cell="gru", hidden_size=8, num_layers=1, embedding_dim=4)
    run = SimpleNamespace(
        config=TrainConfig(batch_size=4, seq_len=8, learning_rate=0.01, epochs=1),
        model=SimpleNamespace(config=shape),
        history=[],
    )
    check_space(tmp_path / "m.pt", run)
    check_space(tmp_path / "odd" / "m.pt", run)  # a file system that says nothing
    with pytest.raises(OutputError, match=f"{tmp_path / 'far'}: has 0.00 MB of space left"):
        check_space(tmp_path / "link.pt", run)


@pytest.mark.slow
@pytest.mark.parametrize("flags", [
    ["--hidden-size", 16, "--max-steps", 3],
    ["--hidden-size", 96, "--members", 2, "--cell", "gru", "--optimizer", "sgd", "--max-steps", 60,
     "--evaluate-every", 1, "--patience", 100],
])  # fmt: skip
def test_checkpoint_size_is_estimated_to_ten_kilobytes(folder, flags):
    assert train(folder, *flags).process.exitcode == 0
    path = folder / "verse.pt"
    stored = read_checkpoint(str(path))
    size = checkpoint.estimate_size(stored.model, stored.train_config, rows=len(stored.history))
    assert path.stat().st_size <= size <= path.stat().st_size + 10_000


def test_space_is_needed_for_the_checkpoint_and_its_replacement(tmp_path, monkeypatch):
    shape = ModelConfig(vocab_size=5, cell="lstm", hidden_size=8, num_layers=1, embedding_dim=4)
    run = SimpleNamespace(
        config=TrainConfig(batch_size=4, seq_len=8, learning_rate=0.01, epochs=1),
        model=SimpleNamespace(config=shape),
        history=[],
    )
    path, size = tmp_path / "m.pt", checkpoint.estimate_size(shape, run.config, rows=run.config.evaluations)
    for before, needed in ((0, 2 * size), (size // 2, 2 * size - size // 2), (size, size), (3 * size, size)):
        path.write_bytes(bytes(before))
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=needed: SimpleNamespace(total=1e9, free=free))
        check_space(path, run)
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=needed: SimpleNamespace(total=1e9, free=free - 1))
        with pytest.raises(OutputError, match="of space left, and saving takes"):
            check_space(path, run)


@pytest.mark.slow
def test_too_little_disk_space_is_refused_before_training(folder):
    training = train(folder, *SMALL, "--max-steps", 3, prepare=full_disk)
    assert training.process.exitcode == 2
    assert training.stderr == (
        "charrnn: .: has 0.10 MB of space left, and saving takes 0.28 MB: a checkpoint of 0.14 MB is written beside "
        "the one that it replaces; make room, or give a file elsewhere with --out\n"
    )
    assert train(folder, *SMALL, "--max-steps", 3).process.exitcode == 0
    resume = ["--resume", "--max-steps"]
    assert train(folder, *resume, 3, prepare=full_disk).process.exitcode == 0, "it writes nothing"
    assert train(folder, *resume, 4, prepare=full_disk).process.exitcode == 2
    branch = ["--out", "other.pt", "--resume-from", "verse.pt"]
    assert train(folder, *branch, prepare=full_disk).process.exitcode == 2


def full_disk():
    import shutil
    from collections import namedtuple

    shutil.disk_usage = lambda _: namedtuple("Usage", "total free")(10**9, 10**5)
