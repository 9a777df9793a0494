"""Locks: one training an output, and what killed ones have left."""

import errno
import os
from pathlib import Path

import pytest

from charrnn.cli.trainer import lock, placing
from charrnn.cli.trainer.lock import locked_output
from charrnn.errors import OutputError
from charrnn.storage.outputs import replace_file, temporary_beside


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
