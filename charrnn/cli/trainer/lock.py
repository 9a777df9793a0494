"""One training at a time on an output: a lock that dies with its process, and what a killed one left behind.

The lock is the system's, on a hidden file beside the checkpoint or the log, which is removed at the end. A file that a
killed process left there locks nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from charrnn.errors import OutputError
from charrnn.storage.outputs import strays_beside

try:
    import fcntl
except ImportError:  # not a POSIX system: two trainings on one output are not found out there
    fcntl = None  # type: ignore[assignment]

_HELD: list[tuple[int, Path, bool]] = []
"""The locks of this process: descriptor, file, and whether the system can tell that the two are still the same."""

ATTEMPTS = 100
"""How often a lock is opened whose file seems to be another one each time, as on shares without lasting inodes."""

NO_LINK = getattr(os, "O_NOFOLLOW", 0)
"""How a lock is opened: where it were a link, what that leads to would be emptied."""

NO_WAIT = getattr(os, "O_NONBLOCK", 0)
"""And where it may only be read: a pipe would wait for somebody who writes."""


@contextlib.contextmanager
def locked_output(path: Path, log: Path | None = None) -> Iterator[None]:
    """Keep other trainings from an output, and clear away the temporary files of killed ones.

    Args:
        path: of the checkpoint; its folder is there and can be written to.
        log: of its training, if there is to be one; its folder is there.

    Raises:
        OutputError: another training has one of them, or what stands in a lock's place cannot be opened.
    """
    with contextlib.ExitStack() as locks:
        locks.enter_context(_locked(path, "--out"))
        if log is not None:
            with contextlib.suppress(OSError):  # a folder that may only be read, a name without room for a lock's
                locks.enter_context(_locked(log, "--log"))
        for stray in strays_beside(path):
            with contextlib.suppress(OSError):  # on Windows another training may write it
                stray.unlink(missing_ok=True)
        yield


def give_up_all() -> None:
    """Give up every lock of this process, which is to end at once and leave none; for any thread."""
    for held in [*_HELD]:
        _give_up(*held)


@contextlib.contextmanager
def _locked(path: Path, flag: str) -> Iterator[None]:
    target = Path(os.path.realpath(path))
    lock = target.with_name(f".{target.name}.lock")
    descriptor = _acquire(lock, path, flag)
    held = descriptor, lock, _is_still(descriptor, lock)
    _HELD.append(held)
    try:
        yield
    finally:
        _give_up(*held)
        _HELD.remove(held)


def _give_up(descriptor: int, lock: Path, can_tell: bool) -> None:
    with contextlib.suppress(OSError):  # the folder may be gone, or read-only by now
        if not can_tell or _is_still(descriptor, lock):  # else the folder was moved, and this is another's
            lock.unlink()
    with contextlib.suppress(OSError):  # a disk over the network may tell only now that it is full
        os.close(descriptor)
    if fcntl is None:  # Windows removes no file that is open, here or in another training
        with contextlib.suppress(OSError):
            lock.unlink(missing_ok=True)


def _acquire(lock: Path, path: Path, flag: str) -> int:
    """Open and lock the file; again where its former owner removed it between the two, as far as that shows."""
    for attempt in range(1, ATTEMPTS + 1):
        descriptor, is_own = _open(lock, path, flag)
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                return descriptor  # a file system without locks, such as some of the network's
            owner = os.read(descriptor, 20).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise OutputError(
                f"{path}: another training{f' (process {owner})' if owner.isdigit() else ''} is writing it; "
                f"wait for it, stop it, or give another file with {flag}"
            ) from None
        if fcntl is None or attempt == ATTEMPTS or _is_still(descriptor, lock):
            break
        os.close(descriptor)
    with contextlib.suppress(OSError):  # whose it is helps others alone, and a full disk is told by whoever needs it
        if is_own:
            os.truncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def _open(lock: Path, path: Path, flag: str) -> tuple[int, bool]:
    """Open the file, and say whether it may be written to: what another user left may be locked all the same."""
    try:
        return os.open(lock, os.O_RDWR | os.O_CREAT | NO_LINK, 0o666), True
    except OSError as error:
        if isinstance(error, PermissionError):
            with contextlib.suppress(PermissionError):
                return os.open(lock, os.O_RDONLY | NO_LINK | NO_WAIT), False
        if not os.path.lexists(lock):
            raise
        reason = "it is a link" if os.path.islink(lock) else error.strerror
        raise OutputError(
            f"{path}: what stands in its lock's place, {lock}, cannot be opened ({reason}); delete it, or give another "
            f"file with {flag}"
        ) from None


def _is_still(descriptor: int, lock: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(lock))
    except FileNotFoundError:
        return False
