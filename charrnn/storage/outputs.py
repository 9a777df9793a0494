"""Writing a file so that its path holds the whole of it or what was there before."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from charrnn.disk import sync
from charrnn.errors import OutputError
from charrnn.paths import names_stream, told_of_home

ATTEMPTS, PAUSE = 20, 0.1
"""How often a rename is tried where the target is open elsewhere, and the seconds between."""


def check_replaceable(path: str, mark: str, kind: str, flag: str) -> None:
    """Refuse a path where nothing can be written, or that of a file which is neither empty nor of the same kind.

    Args:
        path: of the file.
        mark: what a file of that kind has near its beginning.
        kind: what it is, for the message.
        flag: of the command line, likewise.

    Raises:
        OutputError: it must not or cannot be written.
    """
    require_output(path, flag)
    require_file_name(path, flag)
    target = Path(path)
    try:
        if target.exists() and not (target.is_file() and _is_replaceable(target, mark)):
            raise OutputError(f"{path}: exists and is not {kind} of charrnn's; choose another name with {flag}")
    except OSError as error:
        raise OutputError(f"{path}: cannot be replaced ({error.strerror}); choose another place with {flag}") from None
    require_folder(target, flag)


def require_file_name(path: str, flag: str) -> None:
    """Refuse a path that can only be a folder's: behind a file's name a slash finds nothing, and `Path` drops it.

    Raises:
        OutputError: it is one.
    """
    separators = tuple(filter(None, (os.sep, os.altsep)))
    if path.endswith((*separators, *(f"{separator}." for separator in separators))):
        raise OutputError(f"{flag} {path}: is a folder's name, and it writes a file; name one")


def require_folder(path: Path, flag: str) -> None:
    """Refuse a path whose folder is missing.

    Raises:
        OutputError: it is.
    """
    if not os.path.isdir(folder := folder_of(path)):
        mend = told_of_home(str(folder)) or f"make it, or choose another place with {flag}"
        raise OutputError(f"{folder}: no such folder; {mend}")


def require_output(path: str, flag: str) -> None:
    """Refuse an empty path, "-", and one that names an open stream: what is renamed to /dev/stdout would not go there.

    So is one that begins in a working directory which was deleted.

    Raises:
        OutputError: it is one of these.
    """
    if path in ("", "-"):
        raise OutputError(f"{flag} {path or 'is empty'}: it writes a file; name one")
    if names_stream(path):
        raise OutputError(f"{flag} {path}: names an open stream, and it writes a file; name one")
    if not os.path.isabs(path):
        try:
            os.getcwd()
        except FileNotFoundError:
            raise OutputError(f"{flag} {path}: the working directory is gone; go to another with `cd`") from None


def _is_replaceable(path: Path, mark: str) -> bool:
    """Whether a file is empty, or has a mark near its beginning."""
    with path.open("rb") as file:
        head = file.read(len(mark) + 64)
    return not head or mark.encode() in head


def write_whole(path: str, data: bytes, flag: str) -> None:
    """Put data at a path in one step, and clear away what killed processes left beside it.

    Args:
        path: of the file; its folder must exist.
        data: all of it.
        flag: of the command line, for the message.

    Raises:
        OutputError: it cannot be written; what was there is as it was.
    """
    require_output(path, flag)
    try:
        _clear_beside(Path(path))
        replace_file(Path(path), lambda file: file.write(data))
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise OutputError(f"{path}: cannot be written ({reason}); choose another place with {flag}") from None


def temporary_beside(path: Path) -> Path:
    """Where this process writes what will be put at a path; a link is followed, and stays one."""
    target = Path(os.path.realpath(path))
    return target.with_name(f".{target.name}.{os.getpid()}.tmp")


def folder_of(path: Path) -> Path:
    """The folder that holds what is put at a path; a link is followed."""
    return temporary_beside(path).parent if os.path.islink(path) else path.parent


def names_beside(path: Path, word: str) -> Iterator[Path]:
    """Such as `verse.unplaced.pt`, `verse.unplaced2.pt` and so on without end, where the word is "unplaced"."""
    words = itertools.chain([word], (f"{word}{number}" for number in itertools.count(2)))
    return (path.with_name(f"{path.stem}.{each}{path.suffix}") for each in words)


def strays_beside(path: Path) -> list[Path]:
    """The temporary files that killed processes left beside a path, as far as its folder can be read."""
    target = Path(os.path.realpath(path))
    pattern = re.compile(re.escape(f".{target.name}.") + r"\d+\.tmp")
    with contextlib.suppress(OSError):
        return [file for file in target.parent.iterdir() if pattern.fullmatch(file.name)]
    return []


def _clear_beside(path: Path) -> None:
    """Remove temporary files whose processes are gone, where that can be done without harm: not on Windows."""
    for stray in strays_beside(path) if os.name != "nt" else ():
        with contextlib.suppress(OSError):  # another user's
            if _is_gone(int(stray.name.split(".")[-2])):
                stray.unlink(missing_ok=True)


def _is_gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:  # it is there, and another user's
        pass
    return False


def put_in_place(temporary: Path, target: Path) -> None:
    """Rename a file to a path in one step, whatever lies there.

    Windows refuses while another program, such as a reader or a scanner, has the target open: then it waits for that.

    Raises:
        OSError: it cannot be done, or still not after two seconds.
    """
    for _ in range(ATTEMPTS - 1 if os.name == "nt" else 0):
        try:
            return os.replace(temporary, target)
        except PermissionError:
            time.sleep(PAUSE)
    return os.replace(temporary, target)


def replace_file(
    path: Path, write: Callable[[BinaryIO], object], place: Callable[[Path, Path], object] = put_in_place
) -> None:
    """Put a file at a path in one step: a temporary one in the same folder, synced, then renamed.

    It keeps the mode of the file that it replaces, and as far as the system lets it the owner.

    Args:
        path: of the file; its folder must exist.
        write: given the temporary file, writes all of it.
        place: given the temporary file's path and the one where it is to be, renames it.

    Raises:
        OSError: it cannot be written; the temporary file is gone and the path is as it was.
        ValueError: the path has a NUL byte in it.
    """
    target, temporary = Path(os.path.realpath(path)), temporary_beside(path)
    try:
        temporary.unlink(missing_ok=True)  # else what a link there leads to would be emptied
        with open(temporary, "xb") as file:
            _take_after(target, file.fileno())
            write(file)
            file.flush()
            sync(file.fileno())
        place(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)  # gone already where all went well
    _sync_folder(target.parent)


def _take_after(target: Path, descriptor: int) -> None:
    """Give an open file the owner and the mode of another, before anything stands in it; nothing if there is none.

    A folder's mode is none for a file, which may then be put beside it.
    """
    if os.name == "nt":  # its rights are the folder's
        return
    with contextlib.suppress(OSError):
        there = os.stat(target)
        if stat.S_ISDIR(there.st_mode):
            return
        with contextlib.suppress(OSError):  # to give a file away is root's right; the group may be kept
            os.fchown(descriptor, -1, there.st_gid)
            os.fchown(descriptor, there.st_uid, -1)
        os.fchmod(descriptor, there.st_mode & 0o777)


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut, where the system can: it has happened already, in any case."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            sync(descriptor)
        finally:
            os.close(descriptor)
