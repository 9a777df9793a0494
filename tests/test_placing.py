"""A save is put in its place only where it replaces nothing of others, and else beside it."""

import errno
import io
import itertools
import os
import re
import stat
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from processes import step_of
from runs import OTHER, PARENT, RUN, saver_of, start

from charrnn.cli.trainer.placing import ExistingFile, Placer, identify
from charrnn.errors import OutputError, SaveError
from charrnn.storage.outputs import replace_file


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
