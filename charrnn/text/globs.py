"""Patterns of the names of files in a folder, such as *.py, and of folders, such as sub/."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from charrnn.escape import as_typed

_ANY_FOLDERS = re.compile(r"(?:(?<![^/])\*\*/)+")
_ROOT = re.compile(r"^\.?/")
_HIDDEN = re.compile(r"(?:^|/)\.[^./]")
_BACKUP = re.compile(r"^#.*#$|~$", re.DOTALL)


class Patterns:
    """Which files of folders are read; of each pattern it is noted whether it has fitted anything.

    Args:
        include: of files that are read, or of folders, with a slash at the end, in which all are; none: all.
        exclude: of those that are not, and of folders; of folders alone with a slash at the end.
    """

    def __init__(self, include: Sequence[str], exclude: Sequence[str]) -> None:
        self.include, self.exclude = include, exclude
        self._fitting = set[str]()

    def leave_out(self, inner: Path, *, is_folder: bool) -> bool:
        """Whether a file or a folder, by its path below the one that is read, is not read."""
        return self._note([pattern for pattern in self.exclude if _fits(inner, pattern, is_folder=is_folder)])

    def take(self, inner: Path) -> bool:
        """Whether a file, by its path below the folder that is read, is one of those that are."""
        return self._note([pattern for pattern in self.include if _includes(inner, pattern)]) or not self.include

    def leave_out_backup(self, inner: Path) -> bool:
        """Whether a file is an editor's backup, such as a.txt~ or #a.txt#, by its name, and no pattern means such."""
        is_wanted = any(_BACKUP.search(Path(pattern).name) and _includes(inner, pattern) for pattern in self.include)
        return _BACKUP.search(inner.name) is not None and not is_wanted

    def _note(self, fitting: Sequence[str]) -> bool:
        self._fitting.update(fitting)
        return bool(fitting)

    @property
    def told_of_idle(self) -> str:
        """What is to be known of patterns that have fitted nothing by now; nothing where all have.

        Hidden files are not read in any case.
        """
        idle = [f"--include {as_typed(pattern)}" for pattern in self.include if pattern not in self._fitting]
        if self._fitting.isdisjoint(self.exclude):  # else what they mean may lie in a folder that another leaves out
            left = [pattern for pattern in self.exclude if not _HIDDEN.search(pattern)]
            idle += [f"--exclude {as_typed(pattern)}" for pattern in left]
        how = "patterns choose among the files of folders, by names and by paths below the folder"
        return f"nothing fits {', '.join(idle)}; {self.told_of_hidden or how}" if idle else ""

    @property
    def told_of_hidden(self) -> str:
        """How a hidden file that is to be read is given; nothing where no pattern means one."""
        is_wanted = any(map(_HIDDEN.search, self.include))
        return "hidden files are never read from a folder: name the file itself" if is_wanted else ""


def is_hidden(inner: Path) -> bool:
    """Whether a path in a folder that is read is that of a hidden file or folder, or leads through one."""
    return any(part.startswith(".") for part in inner.parts)


def _includes(inner: Path, pattern: str) -> bool:
    """Whether a pattern fits a file, or a folder that it lies in."""
    is_below = pattern.endswith("/") and any(_fits(folder, pattern, is_folder=True) for folder in inner.parents[:-1])
    return is_below or _fits(inner, pattern, is_folder=False)


def _fits(inner: Path, pattern: str, *, is_folder: bool) -> bool:
    """Whether a pattern fits a path in a folder or, where it does not begin with `/` or `./`, the name at its end.

    Both are taken composed: what comes from a Mac has names that are not, which look the same.
    """
    if pattern.endswith("/") and not is_folder:
        return False
    texts = (inner.as_posix(),) if _ROOT.match(pattern) else (inner.name, inner.as_posix())
    return any(fnmatch(_composed(text), form) for form in _forms(_composed(pattern)) for text in texts)


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _forms(pattern: str) -> list[str]:
    """A pattern, in which a star stands for slashes too, and the same where any `**/` stands for no folder at all."""
    first, *others = _ANY_FOLDERS.split(_ROOT.sub("", pattern).rstrip("/"))
    forms = [first]
    for other in others:
        forms = [form + folders + other for form in forms for folders in ("**/", "")]
    return forms
