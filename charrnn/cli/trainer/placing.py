"""Put each save of a training at the checkpoint's path, or beside it if the file there must not or cannot be replaced.

A file that another program has put at the path meanwhile is not replaced.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from charrnn.errors import OutputError
from charrnn.storage.archive import read_run_and_step
from charrnn.storage.outputs import folder_of, free_name_beside, names_beside, put_in_place


@dataclass(frozen=True)
class ExistingFile:
    """What a path holds, with what identifies it later.

    Attributes:
        mark: size and modification time in ns; None for nothing, a folder or an empty file. Not the inode, which some
            file systems do not keep.
        run: name of the run whose checkpoint it is; None if it is not a checkpoint.
        step: of that checkpoint.
    """

    mark: tuple[int, int] | None = None
    run: str | None = None
    step: int = 0


NO_FILE = ExistingFile()
"""The occupant of a path where there is no file."""


class Placer:
    """Puts the checkpoints of one run at a path.

    Args:
        path: of the checkpoint.
        run: the run's name.
        found: what lay at the path when it was checked that it may be replaced.
        step: of the checkpoint there, if the run resumes from it; else 0.

    Attributes:
        path: of the checkpoint.
        unplaced: where the last save lies if it could not be put at the path; else None.
    """

    def __init__(self, path: Path, run: str, found: ExistingFile = NO_FILE, step: int = 0) -> None:
        self.path = path
        self._run = run
        self._found = found
        self._step = step
        self._aside = -1  # the step of the file at `unplaced`, which a user may move to the path
        self._mode: int | None = None  # permissions of the last file put at the path, taken over from the one before
        self.unplaced: Path | None = None

    def put(self, temporary: Path, target: Path, step: int) -> None:
        """Move a completely written checkpoint to its place.

        Args:
            temporary: where it is.
            target: the path, or the file that a link there points to.
            step: of the checkpoint.

        Raises:
            OutputError: it cannot be moved there; it lies at `unplaced`.
            OSError: it cannot be moved to `unplaced` either.
        """
        mark, mode = _mark_of(temporary), stat.S_IMODE(temporary.stat().st_mode)
        try:
            self._require_own(target)
            put_in_place(temporary, target)
        except OSError as error:
            aside = self.unplaced or free_name_beside(folder_of(self.path) / self.path.name, "unplaced")
            if self._mode is not None:  # the temporary file has the permissions of the other file
                temporary.chmod(self._mode)
            put_in_place(temporary, aside)
            self.unplaced, self._aside = aside, step
            told = f"{self.path}: cannot be replaced ({error.strerror}); the checkpoint lies beside it, as {aside}"
            raise OutputError(told) from None
        self._found = ExistingFile(mark, self._run)
        self._step = step
        self._mode = mode
        if self.unplaced is not None:
            with contextlib.suppress(OSError):  # already moved or removed, or not removable
                self.unplaced.unlink()
            self.unplaced = None

    def _require_own(self, target: Path) -> None:
        """Refuse to replace a file that is not this run's; this run's own may have been touched or copied back.

        Raises:
            FileExistsError: another file is there, or a checkpoint of this run that is further on.
        """
        if _mark_of(target) in (None, self._found.mark):
            return
        run, step = _read_run_and_step(target) or (None, -1)
        is_known = step <= self._step or step == self._aside
        if not (is_known if run == self._run else run is not None and run == self._found.run):
            raise FileExistsError(errno.EEXIST, "another file was put there meanwhile")


def identify(path: Path) -> ExistingFile:
    """Identify what lies at a path."""
    mark = _mark_of(path)
    found = None if mark is None else _read_run_and_step(path)
    return ExistingFile(mark) if found is None else ExistingFile(mark, *found)


def find_later(path: Path, run: str, step: int) -> tuple[Path, int] | None:
    """The latest unplaced save of a run beside `path`, and its step; None if none is later than `step`."""
    steps = {file: step_of(file, run) for file in _saves_beside(path)}
    later = [(file, found) for file, found in steps.items() if found is not None and found > step]
    return max(later, key=lambda save: (save[1], save[0]), default=None)


def find_unplaced(path: Path) -> Path | None:
    """A checkpoint of any run that lies beside `path` because it could not be put there; None if there is none."""
    return next((file for file in _saves_beside(path) if identify(file).run), None)


def step_of(path: Path, run: str) -> int | None:
    """The step of the run's checkpoint at `path`; None if there is none of this run."""
    found = identify(path)
    return found.step if found.run == run else None


def _saves_beside(path: Path) -> list[Path]:
    """The files with `unplaced` names beside a path, of any number: lower numbers may be free again."""
    is_one = re.compile(rf"{re.escape(path.stem)}\.unplaced\d*{re.escape(path.suffix)}").fullmatch
    try:
        return sorted(file for file in folder_of(path).iterdir() if is_one(file.name))
    except OSError:  # the folder cannot be read: try the names in turn, up to the first that is free
        names = names_beside(folder_of(path) / path.name, "unplaced")
        return list(itertools.takewhile(os.path.lexists, names))


def _mark_of(path: Path) -> tuple[int, int] | None:
    try:
        there = os.stat(path)
    except OSError:
        return None
    is_nothing = stat.S_ISDIR(there.st_mode) or (stat.S_ISREG(there.st_mode) and not there.st_size)
    return None if is_nothing else (there.st_size, there.st_mtime_ns)


def _read_run_and_step(path: Path) -> tuple[str, int] | None:
    return read_run_and_step(path) if os.path.isfile(path) else None  # opening a pipe would block
