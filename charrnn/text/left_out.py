"""Files and folders that are left out of a folder that is read: the cause of each, and how to have it read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from charrnn.errors import CorpusError, UnreadableError, VanishedError


@dataclass(frozen=True)
class Cause:
    """Why a file or a subfolder is left out.

    Attributes:
        why: a phrase that fits one file or several.
        mend: what to do about it; empty if nothing.
    """

    why: str
    mend: str = ""


@dataclass(frozen=True)
class LeftOut:
    """The path of what is left out of a folder, the cause, and whether it is a "file" or a "folder"."""

    name: str
    cause: Cause
    kind: str = "file"


MADE = Cause("made by a training")
GONE = Cause("gone before all was read")
LOCKED = Cause("not readable by you", "check the permissions")
BROKEN = Cause("linked to what is not there", "fetch or mount that")
LINKED = Cause("reached by a link alone", "name the folder itself to read it too")
ENDLESS = Cause("of a kind that may have no end, as pipes, sockets and devices", "name a pipe itself to read it")
BACKUP = Cause("kept by an editor as a backup", "name the file itself to read it")
NULS = Cause(
    "with many NUL characters, as UTF-16 and UTF-32 have (--encoding utf-16-le, utf-32-be, ...) and what is no text",
    "name the file itself to read it all the same, or give --unit byte",
)
NO_MEND = "--exclude leaves such files out and says nothing of them"
"""Advice on files that no flag turns into text."""


@dataclass(frozen=True)
class Missed:
    """Collects what is left out of folders."""

    files: list[LeftOut] = field(default_factory=list)

    def add(self, name: str, cause: Cause, kind: str = "file") -> None:
        """Add a file or a folder."""
        self.files.append(LeftOut(name, cause, kind))

    @contextlib.contextmanager
    def noting(self, name: str, kind: str = "file") -> Iterator[None]:
        """Add the file or folder, instead of raising, if it is unreadable or gone."""
        try:
            yield
        except UnreadableError:
            self.add(name, LOCKED, kind)
        except VanishedError:
            self.add(name, GONE, kind)


def cause_in(error: CorpusError, name: str) -> Cause:
    """Split an error's message "NAME: is WHY; MEND" into a cause."""
    why, _, mend = str(error).removeprefix(f"{name}: ").partition("; ")
    return Cause(why.removeprefix("is "), mend)
