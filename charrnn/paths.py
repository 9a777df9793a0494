"""Paths on the command line: "-", patterns, mistakes such as a URL, and which paths lead to the same file."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from charrnn.escape import shell_quoted

Identity = tuple[int, int, str]
"""Device, inode and possibly a path: equal for two paths that lead to the same file or folder."""

STDIN = "-"
"""The path that stands for standard input."""

STDIN_NAME = "stdin"
"""Name of a text or a checkpoint read from standard input; others are named after their file."""

CHECKPOINT = ".pt"
"""File extension of checkpoints; a file with it is rarely a text."""

STREAM = re.compile(r"/(proc/.*|dev)/fd/")
"""Matches the folders in which a system lists the open file descriptors of processes."""

ALIKE = 0.85
"""Least similarity, as `difflib` measures it, of a mistyped name and the one that is meant."""

MOST_NEIGHBOURS = 1_000
"""Most names of a folder that are compared with a mistyped one."""

MOST_LINKS = 40
"""Most links that a system follows in one path."""


def real(path: str | Path) -> Path:
    """Resolve a path as far as its links exist; before Python 3.13 `Path.resolve` fails at a link to itself."""
    return Path(os.path.realpath(path))


def identity(path: str | Path) -> Identity:
    """Identify a file or a folder by device and inode, since many file systems ignore the case of names.

    Hard links to one file count as several files if their paths differ in more than case and Unicode form.

    Returns:
        The device and the inode, 0 where they are not known, and the resolved path where they do not suffice.
    """
    try:
        found = os.stat(path)
    except OSError:  # not there
        return 0, 0, str(real(path))
    is_alone = stat.S_ISDIR(found.st_mode) or found.st_nlink < 2
    suffices = is_alone and found.st_ino  # 0 on file systems without inodes
    return found.st_dev, found.st_ino, "" if suffices else folded(str(real(path)))


def is_hidden(entry: os.DirEntry[str] | Path) -> bool:
    """Whether a file's or folder's name begins with a dot, or the system hides it, as Windows does `desktop.ini`."""
    windows, macos = system_mark(entry, "st_file_attributes"), system_mark(entry, "st_flags")
    return entry.name.startswith(".") or bool(windows & stat.FILE_ATTRIBUTE_HIDDEN or macos & stat.UF_HIDDEN)


def is_hidden_below(root: Path, inner: Path) -> bool:
    """Whether a path below a folder is hidden, or leads through a hidden folder."""
    return any(is_hidden(root / part) for part in (inner, *inner.parents[:-1]))


def system_mark(entry: os.DirEntry[str] | Path, field: str) -> int:
    """A `stat` field that only Windows or macOS has; 0 if it is missing."""
    with contextlib.suppress(OSError):  # gone since it was listed
        if sys.platform in ("win32", "darwin"):  # elsewhere the call would be wasted
            return getattr(entry.stat(follow_symlinks=False), field, 0)
    return 0


def folded(name: str) -> str:
    """Normalise a name: equal for names that a file system may treat as one, whatever their case and Unicode form."""
    return unicodedata.normalize("NFC", name).casefold()


def told_of_address(path: str) -> str:
    """Say what is wrong with a URL in the place of a path; empty if it is no URL."""
    if not path.lower().startswith(("https://", "http://", "ftp://")):
        return ""
    return "is an address, and charrnn fetches nothing; download it, and give the file"


def told_of_home(path: str) -> str:
    """Say what is wrong with a path that begins with ~, which the shell has not expanded.

    Empty for any other path, and for a user without a home folder.
    """
    whole = os.path.expanduser(path)
    if path[:1] != "~" or path[1:2] not in ("", "/", os.sep) or whole == path:
        return ""
    told = "the shell expands ~ only at the beginning of a word and outside quotes, if at all"
    return f"{told}; write {shell_quoted(whole)}"


def told_of_link(path: str) -> str:
    """Say where a broken link, or the last link of a chain, leads; empty if the path is no link."""
    if not os.path.islink(path):
        return ""
    return f"is a link to {real(path)}, which is not there; fetch or mount that, or give another file"


def most_alike(name: str, others: Collection[str]) -> str:
    """Which of a folder's names a missing name probably means; empty if none is similar enough."""
    if len(others) > MOST_NEIGHBOURS:
        return ""
    from difflib import get_close_matches  # imported here: needed only after a failure

    return next(iter(get_close_matches(name, others, n=1, cutoff=ALIKE)), "")


def expanded(paths: Sequence[str]) -> list[str]:
    """Expand patterns such as *.txt on Windows, whose shells do not.

    A path that exists stays as it is, and so does a pattern that matches nothing.
    """
    return [file for path in paths for file in _fitting(path)]


def told_of_typing(paths: Iterable[object]) -> str:
    """Tell the user that input is read from the terminal, and how to end it; empty if it is not.

    Args:
        paths: the inputs, of which "-" is standard input.
    """
    if STDIN not in paths or not sys.stdin.isatty():
        return ""
    return f"reading from the terminal; {'Ctrl-Z and Enter end' if os.name == 'nt' else 'Ctrl-D ends'} it"


def names_stream(path: str) -> bool:
    """Whether a path leads to an open file descriptor, such as /dev/stdout or a shell's <(...)."""
    with contextlib.suppress(OSError, ValueError):  # the path is no link; a NUL byte in it
        for _ in range(MOST_LINKS):
            path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
            if STREAM.match(path):
                return True
            path = os.path.join(os.path.dirname(path), os.readlink(path))
    return False


def has_no_name(path: str) -> bool:
    """Whether a path is standard input or leads to a file descriptor, whose name is a number."""
    return path == STDIN or names_stream(path)


def as_argument(path: str) -> str:
    """A path as a command's argument: one that begins with a hyphen gets a ./ so as not to be taken for a flag."""
    return f".{os.sep}{path}" if path.startswith("-") else path


def name_of(path: str) -> str:
    """What messages call the input at a path."""
    return "standard input" if path == STDIN else path


def _fitting(path: str) -> list[str]:
    if os.name != "nt" or not ("*" in path or "?" in path) or os.path.exists(path):
        return [path]
    from glob import glob  # imported here: needed only on Windows

    return sorted(glob(path.replace("[", "[[]"))) or [path]
