"""Atomic writes: a path holds either the whole new file or what was there before."""

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
"""How often a rename is tried on Windows while the target is open elsewhere, and the seconds between two tries."""


def check_replaceable(path: str, mark: str, kind: str, flag: str) -> None:
    """Refuse a path that cannot be written, or where a file is that is neither empty nor of the same kind.

    Args:
        path: of the file.
        mark: text near the beginning of every file of that kind.
        kind: name of the kind, for the message.
        flag: of the command line, likewise.

    Raises:
        OutputError: the path is refused.
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
    """Refuse a path that ends with a slash or with "/.": it can only be a folder's, and `Path` would drop that ending.

    Raises:
        OutputError: the path has such an ending.
    """
    separators = tuple(filter(None, (os.sep, os.altsep)))
    if path.endswith((*separators, *(f"{separator}." for separator in separators))):
        raise OutputError(f"{flag} {path}: is a folder's name, and it writes a file; name one")


def require_folder(path: Path, flag: str) -> None:
    """Refuse a path whose folder is missing.

    Raises:
        OutputError: the folder is missing.
    """
    if not os.path.isdir(folder := folder_of(path)):
        mend = told_of_home(str(folder)) or f"make it, or choose another place with {flag}"
        raise OutputError(f"{folder}: no such folder; {mend}")


def require_output(path: str, flag: str) -> None:
    """Refuse an empty path, "-", an open stream, and a relative path in a working directory that was deleted.

    A file is put in place by a rename, which does not write to a stream such as /dev/stdout.

    Raises:
        OutputError: the path is one of these.
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


def write_whole(path: str, data: bytes, flag: str) -> None:
    """Write a file atomically, and remove temporary files that killed processes left beside it.

    Args:
        path: of the file; its folder must exist.
        data: the whole content.
        flag: of the command line, for the message.

    Raises:
        OutputError: the file cannot be written; the path is as it was.
    """
    require_output(path, flag)
    try:
        _clear_beside(Path(path))
        replace_file(Path(path), lambda file: file.write(data))
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise OutputError(f"{path}: cannot be written ({reason}); choose another place with {flag}") from None


def temporary_beside(path: Path) -> Path:
    """Path of this process's temporary file for a target; a symbolic link is followed, so that it stays a link."""
    target = Path(os.path.realpath(path))
    return target.with_name(f".{target.name}.{os.getpid()}.tmp")


def folder_of(path: Path) -> Path:
    """The folder of the file that is written at a path; a symbolic link is followed."""
    return temporary_beside(path).parent if os.path.islink(path) else path.parent


def names_beside(path: Path, word: str) -> Iterator[Path]:
    """Endless names for a file beside a path: for "unplaced", `verse.unplaced.pt`, `verse.unplaced2.pt` and so on."""
    words = itertools.chain([word], (f"{word}{number}" for number in itertools.count(2)))
    return (path.with_name(f"{path.stem}.{each}{path.suffix}") for each in words)


def free_name_beside(path: Path, word: str) -> Path:
    """The first of `names_beside` that is not taken."""
    return next(name for name in names_beside(path, word) if not os.path.lexists(name))


def strays_beside(path: Path) -> list[Path]:
    """The temporary files beside a path, of any process; none if its folder cannot be read."""
    target = Path(os.path.realpath(path))
    pattern = re.compile(re.escape(f".{target.name}.") + r"\d+\.tmp")
    with contextlib.suppress(OSError):
        return [file for file in target.parent.iterdir() if pattern.fullmatch(file.name)]
    return []


def put_in_place(temporary: Path, target: Path) -> None:
    """Rename a file to a path atomically, and replace a file that is there.

    Windows refuses while another program, such as a reader or a virus scanner, has the target open: the rename is then
    retried.

    Raises:
        OSError: the rename fails, on Windows still after two seconds.
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
    """Write a file atomically: write and sync a temporary file in the same folder, then rename it.

    The file keeps the mode of the one that it replaces and, as far as the system permits, the owner and the group.

    Args:
        path: of the file; its folder must exist.
        write: writes the content to the open temporary file.
        place: renames the temporary file, given its path and the target's.

    Raises:
        OSError: the file cannot be written; the temporary file is removed and the path is as it was.
        ValueError: the path contains a NUL byte.
    """
    target, temporary = Path(os.path.realpath(path)), temporary_beside(path)
    try:
        temporary.unlink(missing_ok=True)  # left by an earlier process with this id: "xb" would refuse it
        with open(temporary, "xb") as file:
            _take_after(target, file.fileno())
            write(file)
            file.flush()
            sync(file.fileno())
        place(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)  # already renamed on success
    _sync_folder(target.parent)


def _is_replaceable(path: Path, mark: str) -> bool:
    """Whether a file is empty, or has the mark near its beginning."""
    with path.open("rb") as file:
        head = file.read(len(mark) + 64)
    return not head or mark.encode() in head


def _clear_beside(path: Path) -> None:
    """Remove temporary files whose processes are gone; not on Windows, where the check is not harmless."""
    for stray in strays_beside(path) if os.name != "nt" else ():
        with contextlib.suppress(OSError):  # another user's
            if _is_gone(int(stray.name.split(".")[-2])):
                stray.unlink(missing_ok=True)


def _is_gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:  # it exists, and belongs to another user
        pass
    return False


def _take_after(target: Path, descriptor: int) -> None:
    """Give an open file, still empty, the owner, group and mode of the target, if that exists and is not a folder."""
    if os.name == "nt":  # files take their permissions from the folder
        return
    with contextlib.suppress(OSError):
        there = os.stat(target)
        if stat.S_ISDIR(there.st_mode):
            return
        with contextlib.suppress(OSError):  # only root may change the owner; the group may be allowed
            os.fchown(descriptor, -1, there.st_gid)
            os.fchown(descriptor, there.st_uid, -1)
        os.fchmod(descriptor, there.st_mode & 0o777)


def _sync_folder(folder: Path) -> None:
    """Sync a folder so that a rename in it survives a power cut; a failure is ignored, as the rename is done."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            sync(descriptor)
        finally:
            os.close(descriptor)
