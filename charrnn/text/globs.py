"""Patterns for files in a folder, such as *.py, and for folders, such as sub/."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from charrnn.escape import shell_quoted

_ANY_FOLDERS = re.compile(r"(?:(?<![^/])\*\*/)+")
_ROOT = re.compile(r"^\.?/")
_HIDDEN = re.compile(r"(?:^|/)\.[^./]")
_BACKUP = re.compile(r"^#.*#$|~$", re.DOTALL)


class Patterns:
    """Which files of folders are read; records which patterns have matched anything.

    Args:
        include: patterns of files to read or, with a slash at the end, of folders to read whole; none: all files.
        exclude: patterns of files and folders not to read; with a slash at the end, of folders only.
    """

    def __init__(self, include: Sequence[str], exclude: Sequence[str]) -> None:
        self.include, self.exclude = include, exclude
        self._fitting = set[str]()

    def leave_out(self, inner: Path, *, is_folder: bool) -> bool:
        """Whether a file or a folder, by its path below the folder that is read, is excluded."""
        return self._note([pattern for pattern in self.exclude if _fits(inner, pattern, is_folder=is_folder)])

    def take(self, inner: Path) -> bool:
        """Whether a file, by its path below the folder that is read, is included."""
        return self._note([pattern for pattern in self.include if _includes(inner, pattern)]) or not self.include

    def leave_out_backup(self, inner: Path) -> bool:
        """Whether a file is an editor's backup by its name, such as a.txt~ or #a.txt#, that no pattern asks for."""
        is_wanted = any(_BACKUP.search(Path(pattern).name) and _includes(inner, pattern) for pattern in self.include)
        return _BACKUP.search(inner.name) is not None and not is_wanted

    def _note(self, fitting: Sequence[str]) -> bool:
        self._fitting.update(fitting)
        return bool(fitting)

    @property
    def told_of_idle(self) -> str:
        """A message about patterns that have matched nothing so far; empty if all have matched.

        Exclude patterns for hidden files are not reported, since these are never read.
        """
        idle = [f"--include {shell_quoted(pattern)}" for pattern in self.include if pattern not in self._fitting]
        if self._fitting.isdisjoint(self.exclude):  # else one may match within a folder that another excludes
            left = [pattern for pattern in self.exclude if not _HIDDEN.search(pattern)]
            idle += [f"--exclude {shell_quoted(pattern)}" for pattern in left]
        how = "patterns choose among the files of folders, by names and by paths below the folder"
        return f"nothing fits {', '.join(idle)}; {self.told_of_hidden or how}" if idle else ""

    @property
    def told_of_hidden(self) -> str:
        """Advice on how to read a hidden file; empty if no include pattern asks for one."""
        is_wanted = any(map(_HIDDEN.search, self.include))
        return "hidden files are never read from a folder: name the file itself" if is_wanted else ""


def _includes(inner: Path, pattern: str) -> bool:
    """Whether a pattern matches a file or, if it ends with a slash, a folder around the file."""
    is_below = pattern.endswith("/") and any(_fits(folder, pattern, is_folder=True) for folder in inner.parents[:-1])
    return is_below or _fits(inner, pattern, is_folder=False)


def _fits(inner: Path, pattern: str, *, is_folder: bool) -> bool:
    """Whether a pattern matches a path below a folder or, unless it begins with `/` or `./`, the last part of the path.

    Both are compared in composed form (NFC), since files from a Mac may have decomposed names.
    """
    if pattern.endswith("/") and not is_folder:
        return False
    texts = (inner.as_posix(),) if _ROOT.match(pattern) else (inner.name, inner.as_posix())
    return any(fnmatch(_composed(text), form) for form in _forms(_composed(pattern)) for text in texts)


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _forms(pattern: str) -> list[str]:
    """Variants of a pattern with and without each `**/`, which may match no folder (`fnmatch`'s star matches `/`)."""
    first, *others = _ANY_FOLDERS.split(_ROOT.sub("", pattern).rstrip("/"))
    forms = [first]
    for other in others:
        forms = [form + folders + other for form in forms for folders in ("**/", "")]
    return forms
