"""The log of a training: which one is continued, replaced or refused, and what becomes of failures to write it."""

import errno
import json
import os

import pytest
from runs import OTHER, PARENT, RUN, saver_of, start

from charrnn.cli.common.training_outputs import begins_as_log
from charrnn.cli.trainer.log import TrainingLog
from charrnn.errors import OutputError
from charrnn.storage.origin import Origin

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
