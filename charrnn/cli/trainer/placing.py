"""Where a training puts its checkpoint, save after save, so that nothing is lost there.

What somebody else has put at its path meanwhile is kept beside it, and so is a save that cannot be put there.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from pathlib import Path

from charrnn.errors import CheckpointError, OutputError
from charrnn.storage.archive import read_checkpoint
from charrnn.storage.outputs import folder_of, put_in_place

OTHER, UNPLACED = "other", "unplaced"
"""What stands in the names of what is kept: `verse.other.pt`, or where that is taken `verse.other2.pt`."""


class Placer:
    """Puts the files of one run at a path.

    Args:
        path: of the checkpoint.
        run: the run's name, by which a file of its own is known.
        may_replace: whether what lies there now may be replaced, whatever it is.

    Attributes:
        unplaced: where the last save lies that could not be put at the path; None if it was.
    """

    def __init__(self, path: Path, run: str, *, may_replace: bool) -> None:
        self._path, self._run = path, run
        self._left = _mark_of(path) if may_replace else None
        self._notes: list[str] = []
        self.unplaced: Path | None = None

    def put(self, temporary: Path, target: Path) -> None:
        """Put a file that was written whole in its place; called by whoever writes it.

        Raises:
            OutputError: that cannot be done; the file lies at `unplaced`.
            OSError: nor can it be kept there.
        """
        try:
            self._keep_other(target)
            put_in_place(temporary, target)
        except OSError as error:
            aside = self.unplaced or self._free_name(UNPLACED)
            with contextlib.suppress(OSError):
                put_in_place(temporary, aside)
                self.unplaced = aside
                told = f"{self._path}: cannot be replaced ({error.strerror}); the checkpoint lies beside it, as {aside}"
                raise OutputError(told) from None
            raise
        self._left = _mark_of(target)
        if self.unplaced is not None:
            with contextlib.suppress(OSError):  # somebody else has used it meanwhile
                self.unplaced.unlink()
            self.unplaced = None

    def take_notes(self) -> list[str]:
        """What the user should know of the saves since the last call."""
        notes, self._notes = self._notes, []
        return notes

    def _keep_other(self, target: Path) -> None:
        """Rename a file that somebody else has put there; one that was touched, or copied back, is still the run's."""
        mark = _mark_of(target)
        if mark in (None, self._left) or self._is_own(target):
            return
        kept = self._free_name(OTHER)
        put_in_place(target, kept)
        self._notes.append(f"{self._path}: another file was put there meanwhile; it is kept as {kept}")

    def _is_own(self, target: Path) -> bool:
        try:
            return read_checkpoint(str(target)).origin.run == self._run
        except CheckpointError:
            return False

    def _free_name(self, word: str) -> Path:
        words = itertools.chain([word], (f"{word}{number}" for number in itertools.count(2)))
        paths = (folder_of(self._path) / f"{self._path.stem}.{word}{self._path.suffix}" for word in words)
        return next(path for path in paths if not os.path.lexists(path))


def _mark_of(path: Path) -> tuple[int, ...] | None:
    """By what a file is known that nobody has touched; None where no file lies, or none that holds anything."""
    try:
        there = os.stat(path)
    except OSError:
        return None
    is_file = stat.S_ISREG(there.st_mode) and there.st_size > 0
    return (there.st_dev, there.st_ino, there.st_size, there.st_mtime_ns) if is_file else None
