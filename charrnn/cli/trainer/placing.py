"""Where a training puts its checkpoint, save after save: at its path, or beside what must or can not be replaced there.

What somebody else has put at the path meanwhile stays there.
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
from charrnn.storage.outputs import folder_of, names_beside, put_in_place


@dataclass(frozen=True)
class Occupant:
    """What a path holds, by what it is known again later.

    Attributes:
        mark: size and time of the last change, which a file keeps as long as nobody touches it; None where
            nothing lies there, a folder or a file that holds nothing. Inodes do not last on every file system.
        run: name of the run whose checkpoint it is; None where it is none.
        step: that this is of.
    """

    mark: tuple[int, int] | None = None
    run: str | None = None
    step: int = 0


NOTHING = Occupant()
"""What is found where no file lies."""


class Placer:
    """Puts the checkpoints of one run at a path.

    Args:
        path: of the checkpoint.
        run: the run's name.
        found: what lay there when it was found that it may be replaced.
        step: that the run goes on after, if it does so from the checkpoint there.

    Attributes:
        path: of the checkpoint.
        unplaced: where the last save lies that could not be put at the path; None if it was.
    """

    def __init__(self, path: Path, run: str, found: Occupant = NOTHING, step: int = 0) -> None:
        self.path = path
        self._run, self._found, self._step = run, found, step
        self._aside = -1  # the step of what lies at `unplaced`, which somebody may move to the path
        self._mode: int | None = None  # of what was last put at the path, which has taken it from the one before
        self.unplaced: Path | None = None

    def put(self, temporary: Path, target: Path, step: int) -> None:
        """Put a file that was written whole in its place.

        Args:
            temporary: where it is.
            target: the path, or where that leads.
            step: that it is of.

        Raises:
            OutputError: that cannot be done; the file lies at `unplaced`.
            OSError: nor can it be kept there.
        """
        mark, mode = _mark_of(temporary), stat.S_IMODE(temporary.stat().st_mode)
        try:
            self._require_own(target)
            put_in_place(temporary, target)
        except OSError as error:
            aside = self.unplaced or self._free_name()
            if self._mode is not None:  # it has that of a stranger's file
                temporary.chmod(self._mode)
            put_in_place(temporary, aside)
            self.unplaced, self._aside = aside, step
            told = f"{self.path}: cannot be replaced ({error.strerror}); the checkpoint lies beside it, as {aside}"
            raise OutputError(told) from None
        self._found, self._step, self._mode = Occupant(mark, self._run), step, mode
        if self.unplaced is not None:
            with contextlib.suppress(OSError):  # somebody else has used it meanwhile
                self.unplaced.unlink()
            self.unplaced = None

    def _require_own(self, target: Path) -> None:
        """Refuse to replace what somebody else has put there; one that was touched, or copied back, is none.

        Raises:
            FileExistsError: it is; of the same run that is one which has gone further elsewhere.
        """
        if _mark_of(target) in (None, self._found.mark):
            return
        run, step = _read_run_and_step(target) or (None, -1)
        is_known = step <= self._step or step == self._aside
        if not (is_known if run == self._run else run is not None and run == self._found.run):
            raise FileExistsError(errno.EEXIST, "another file was put there meanwhile")

    def _free_name(self) -> Path:
        """Such as `verse.unplaced.pt`, or where that is taken `verse.unplaced2.pt`."""
        names = names_beside(folder_of(self.path) / self.path.name, "unplaced")
        return next(name for name in names if not os.path.lexists(name))


def look_at(path: Path) -> Occupant:
    """Take note of what lies at a path."""
    mark = _mark_of(path)
    run, step = (mark and _read_run_and_step(path)) or (None, 0)
    return Occupant(mark, run, step)


def find_later(path: Path, run: str, step: int) -> tuple[Path, int] | None:
    """The latest save of a run that lies beside its path, and its step; None where none is of a later step."""
    saves = _saves_beside(path)
    steps = [(found, file) for file in saves if (found := step_of(file, run)) is not None and found > step]
    return max(steps)[::-1] if steps else None


def find_unplaced(path: Path) -> Path | None:
    """A checkpoint that lies beside a path since it could not be put there, of whichever run."""
    return next((file for file in _saves_beside(path) if look_at(file).run), None)


def _saves_beside(path: Path) -> list[Path]:
    """What lies where that goes which cannot be put at a path, of whatever number: a lower one may be free again."""
    is_one = re.compile(rf"{re.escape(path.stem)}\.unplaced\d*{re.escape(path.suffix)}").fullmatch
    try:
        return sorted(file for file in folder_of(path).iterdir() if is_one(file.name))
    except OSError:  # a folder that may be written to and not be read: as far as the numbers go on
        names = names_beside(folder_of(path) / path.name, "unplaced")
        return list(itertools.takewhile(os.path.lexists, names))


def step_of(path: Path, run: str) -> int | None:
    """The step of a run's checkpoint; None where a path holds none of it."""
    found = look_at(path)
    return found.step if found.run == run else None


def _mark_of(path: Path) -> tuple[int, int] | None:
    try:
        there = os.stat(path)
    except OSError:
        return None
    is_nothing = stat.S_ISDIR(there.st_mode) or (stat.S_ISREG(there.st_mode) and not there.st_size)
    return None if is_nothing else (there.st_size, there.st_mtime_ns)


def _read_run_and_step(path: Path) -> tuple[str, int] | None:
    return read_run_and_step(path) if os.path.isfile(path) else None  # a pipe is waited for
