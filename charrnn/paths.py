"""What may stand where a path is given, such as "-" or a pattern; what is no path, as a URL; which lead to one file."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from charrnn.escape import as_typed

Identity = tuple[int, int, str]
"""What two paths have in common that lead to one file or folder, however they are spelled."""

STDIN = "-"
"""The path that stands for standard input."""

STDIN_NAME = "stdin"
"""What a text or a checkpoint that came from it is called, as others are by their file."""

CHECKPOINT = ".pt"
"""How the names of checkpoints end, and so those of files that are no texts as a rule."""

STREAM = re.compile(r"/(proc/.*|dev)/fd/")
"""Where a system shows what processes have open."""

ALIKE, MOST_NEIGHBOURS = 0.85, 1_000
"""Share of two names that is the same, from which on one may be meant by the other; files that are compared at most."""

MOST_LINKS = 40
"""That a system follows from one path."""


def real(path: str | Path) -> Path:
    """Where a path leads, as far as it can be followed; `Path.resolve` fails at a link to itself before Python 3.13."""
    return Path(os.path.realpath(path))


def identity(path: str | Path) -> Identity:
    """Tell files and folders apart: by the disk and the number there, for many a disk takes a name in any case.

    Hard links, which are names of one file, stay as many files as long as more than case and Unicode form differs.

    Returns:
        The disk and the number, 0 where they are not known, and the name where they do not suffice.
    """
    try:
        found = os.stat(path)
    except OSError:  # not there
        return 0, 0, str(real(path))
    is_alone = stat.S_ISDIR(found.st_mode) or found.st_nlink < 2
    suffices = is_alone and found.st_ino  # which some disks do not have
    return found.st_dev, found.st_ino, "" if suffices else folded(str(real(path)))


def folded(name: str) -> str:
    """What names have in common that lead to one file on a disk which takes them in any case and Unicode form."""
    return unicodedata.normalize("NFC", name).casefold()


def told_of_address(path: str) -> str:
    """What is wrong with an address of the web where a path may be given; nothing where it is none."""
    if not path.lower().startswith(("https://", "http://", "ftp://")):
        return ""
    return "is an address, and charrnn fetches nothing; download it, and give the file"


def told_of_home(path: str) -> str:
    """What is wrong with a path that begins with ~, as no file does that the shell has named; nothing else."""
    if path[:1] != "~" or path[1:2] not in ("", "/", os.sep):
        return ""
    typed = as_typed(os.path.expanduser(path))
    return f"the shell expands ~ only at the beginning of a word and outside quotes, if at all; write {typed}"


def told_of_link(path: str) -> str:
    """What is wrong with a link that leads nowhere, by where the last of several leads; nothing with what is none."""
    if not os.path.islink(path):
        return ""
    return f"is a link to {real(path)}, which is not there; fetch or mount that, or give another file"


def most_alike(name: str, others: Collection[str]) -> str:
    """Which of the names in a folder may be meant by one that is not there; empty where none has nearly its letters."""
    from difflib import get_close_matches  # here: a command that starts well does without

    return next(iter(get_close_matches(name, others if len(others) <= MOST_NEIGHBOURS else (), 1, ALIKE)), "")


def expanded(paths: Sequence[str]) -> list[str]:
    """The files that patterns such as *.txt stand for on Windows, whose shells leave them as they are.

    A path that is there is itself, and so is a pattern that nothing fits.
    """
    return [file for path in paths for file in _fitting(path)]


def told_of_typing(paths: Iterable[object]) -> str:
    """What a person should know who is to type what is read; nothing where nobody is.

    Args:
        paths: what is to be read, of which "-" is standard input.
    """
    if STDIN not in paths or not sys.stdin.isatty():
        return ""
    return f"reading from the terminal; {'Ctrl-Z and Enter end' if os.name == 'nt' else 'Ctrl-D ends'} it"


def names_stream(path: str) -> bool:
    """Whether a path leads to what a process has open, as /dev/stdout and a shell's <(...) do."""
    with contextlib.suppress(OSError, ValueError):  # of a path that is no link; a NUL byte in it
        for _ in range(MOST_LINKS):
            path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
            if STREAM.match(path):
                return True
            path = os.path.join(os.path.dirname(path), os.readlink(path))
    return False


def has_no_name(path: str) -> bool:
    """Whether what a path leads to has no name of its own: standard input, or a stream, whose name is a number."""
    return path == STDIN or names_stream(path)


def as_argument(path: str) -> str:
    """A path as it may stand in a command: none that begins with a hyphen, as flags do."""
    return f".{os.sep}{path}" if path.startswith("-") else path


def name_of(path: str) -> str:
    """How a message calls what is read from a path."""
    return "standard input" if path == STDIN else path


def _fitting(path: str) -> list[str]:
    if os.name != "nt" or not ("*" in path or "?" in path) or os.path.exists(path):
        return [path]
    from glob import glob  # here: no other system needs it

    return sorted(glob(path.replace("[", "[[]"))) or [path]
