"""Messages about files and folders that cannot be read or hold no text."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from charrnn.errors import CorpusError, UnpackingError, UnreadableError, VanishedError
from charrnn.escape import shell_quoted
from charrnn.paths import CHECKPOINT, STDIN, is_hidden_below, most_alike, told_of_address, told_of_home, told_of_link
from charrnn.text.globs import Patterns
from charrnn.text.left_out import BROKEN, LINKED, LOCKED, NO_MEND, Cause, LeftOut, Missed
from charrnn.text.unpacking import DAMAGE

CHANGED = "the text was changed while it was read; try again when nothing changes it"
"""Message about a text that has changed while it was read."""

_SAVE = "give a folder or a file of plain text"


def require_file(path: str) -> None:
    """Refuse an empty name or a folder in the place of a text file or "-".

    Raises:
        CorpusError: the path is one of these.
    """
    if not path:
        raise CorpusError("a file's name is empty; give a text file, or - for standard input")
    if path != STDIN and os.path.isdir(path):
        raise CorpusError(f"{path}: is a folder; give a text file")


@contextlib.contextmanager
def translate_read_errors(name: str) -> Iterator[None]:
    """Turn the errors of reading a file into errors with a one-line message.

    Raises:
        CorpusError: the file is missing or cannot be read.
        UnreadableError: its permissions forbid it.
        UnpackingError: it is compressed, and damaged.
    """
    try:
        yield
    except FileNotFoundError:
        mend = told_of_home(name) or _ask_for_neighbour(name) or "give a text file, or - for standard input"
        told = told_of_address(name) or told_of_link(name) or f"no such file; {mend}"
        raise CorpusError(f"{name}: {told}") from None
    except PermissionError as error:
        raise UnreadableError(f"{name}: cannot be read ({error.strerror}); check its permissions") from None
    except (OSError, *DAMAGE) as error:
        if isinstance(error, OSError) and error.errno:
            raise CorpusError(f"{name}: cannot be read ({error.strerror})") from None
        reason = str(error) or "it ends too early"
        raise UnpackingError(f"{name}: is compressed, and damaged ({reason}); get it again") from None
    except ValueError as error:  # a NUL byte in the path
        raise CorpusError(f"{name!r}: cannot be read ({error})") from None


@contextlib.contextmanager
def translate_read_errors_of_found(name: str) -> Iterator[None]:
    """Like `translate_read_errors`, for a file or a folder found before: if it is missing now, suggest no other name.

    Raises:
        CorpusError: it cannot be read; see `translate_read_errors`.
        VanishedError: it is gone.
    """
    with translate_read_errors(name):
        try:
            yield
        except (FileNotFoundError, NotADirectoryError):  # the latter if a file has replaced a folder
            raise VanishedError(f"{name}: is gone, so that {CHANGED}") from None


def nothing_found(path: str, patterns: Patterns, missed: Missed) -> str:
    """Say why nothing is left to be read in a folder, and what to do.

    Args:
        path: of the folder.
        patterns: which of its files are read.
        missed: what is left out of it.
    """
    if others := [left for left in missed.files if left.cause not in (LOCKED, BROKEN, LINKED)]:
        return f"holds no plain text ({_such_as(others)}); {_mend(others[0].cause)}"
    if locked := [left.name for left in missed.files if left.cause == LOCKED]:
        return f"nothing in it may be read, {locked[0]} for one; check the permissions"
    if broken := [left.name for left in missed.files if left.cause == BROKEN]:
        told = f"{broken[0]} is a broken link; fetch or mount what it names, or give another text"
        return f"nothing of it that is to be read is there: {told}"
    links = [left.name for left in missed.files]
    if patterns.include or patterns.exclude:
        return f"a folder in which no file fits --include and --exclude; {_to_fit(path, patterns, links)}"
    if links:
        return f"has no file to be read, but {links[0]} is a link to a folder, which is not followed; name that itself"
    if _has_others(path):
        return "has nothing but hidden files and what this training writes; name a file itself"
    return "a folder without files; give another"


def _to_fit(path: str, patterns: Patterns, links: Sequence[str]) -> str:
    """Advice if no file of a folder matches the patterns, which never choose hidden files or links to folders."""
    if hidden := _hidden_that_fits(path, patterns):
        return f"{hidden} would, but what is hidden is never read from a folder: name the file itself"
    if patterns.told_of_hidden:
        return patterns.told_of_hidden
    change = "change them, which are matched with names and with paths below the folder"
    return f"{change}, or name {links[0]} itself, a link to a folder, which is not followed" if links else change


def _hidden_that_fits(path: str, patterns: Patterns) -> str:
    """The path of a file that `--include` matches but that is hidden, or in a hidden folder; empty if none."""
    root = Path(path)
    files = (Path(place, name) for place, _, names in os.walk(path) for name in sorted(names))
    inners = (file.relative_to(root) for file in files if patterns.include)
    return next((str(root / inner) for inner in inners if is_hidden_below(root, inner) and patterns.take(inner)), "")


def _such_as(files: Sequence[LeftOut]) -> str:
    """Say how many files are left out, and why the first is."""
    which = "1 file," if len(files) == 1 else f"{len(files):,} files, such as"
    return f"{which} {files[0].name}: {files[0].cause.why}"


def _mend(cause: Cause) -> str:
    return _SAVE if cause.mend in ("", NO_MEND) else cause.mend


def _ask_for_neighbour(path: str) -> str:
    """Suggest a file in the same folder with an extension added or a similar name; empty if there is none."""
    folder, name = os.path.split(path)
    try:
        names = sorted(os.listdir(folder or "."))
    except OSError:
        return ""
    texts = {other.lower(): other for other in names if not other.startswith(".") and not other.endswith(CHECKPOINT)}
    longer = [other for other in texts if os.path.splitext(other)[0] == name.lower()]
    longer.sort(key=lambda other: not other.endswith(".txt"))
    likely = longer[0] if longer else most_alike(name.lower(), texts)
    return f"did you mean {shell_quoted(os.path.join(folder, texts[likely]))}?" if likely else ""


def _has_others(folder: str) -> bool:
    """Whether a folder holds any file, at any depth."""
    return any(files for _, _, files in os.walk(folder))
