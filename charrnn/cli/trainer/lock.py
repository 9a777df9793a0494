"""Let only one training at a time write an output, and clean up after killed ones.

The lock is the system's (`flock`), on a hidden file beside the checkpoint or the log, which is removed at the end. It
ends with its process: a file that a killed process left locks nothing.
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
except ImportError:  # not a POSIX system: two trainings on one output are not detected there
    fcntl = None  # type: ignore[assignment]

_HELD: list[tuple[int, Path, bool]] = []
"""The locks of this process: descriptor, path, and whether comparing the two works on this file system."""

ATTEMPTS = 100
"""Most tries to open a lock whose file differs from the opened one each time, as on shares without stable inodes."""

NO_LINK = getattr(os, "O_NOFOLLOW", 0)
"""Flag for opening a lock: opening a link would truncate the file that it points to."""

NO_WAIT = getattr(os, "O_NONBLOCK", 0)
"""Flag for opening a read-only lock: opening a pipe would wait for a writer."""


@contextlib.contextmanager
def locked_output(path: Path, log: Path | None = None) -> Iterator[None]:
    """Lock an output against other trainings, and remove the temporary files of killed ones.

    Args:
        path: of the checkpoint; its folder exists and is writable.
        log: path of the training's log, if any; its folder exists.

    Raises:
        OutputError: another training has locked one of them, or the file at a lock's path cannot be opened.
    """
    with contextlib.ExitStack() as locks:
        locks.enter_context(_locked(path, "--out"))
        if log is not None:
            with contextlib.suppress(OSError):  # a read-only folder, or a name too long for a lock's
                locks.enter_context(_locked(log, "--log"))
        for stray in strays_beside(path):
            with contextlib.suppress(OSError):  # on Windows another training may be writing it
                stray.unlink(missing_ok=True)
        yield


def give_up_all() -> None:
    """Release every lock of this process, which is about to end; callable in any thread."""
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
        if not can_tell or _is_still(descriptor, lock):  # else the folder was moved: another's lock
            lock.unlink()
    with contextlib.suppress(OSError):  # a network disk may report only now that it is full
        os.close(descriptor)
    if fcntl is None:  # Windows removes no file that is open, in this process or another
        with contextlib.suppress(OSError):
            lock.unlink(missing_ok=True)


def _acquire(lock: Path, path: Path, flag: str) -> int:
    """Open and lock the file; try again if its former owner removed it in between."""
    for attempt in range(1, ATTEMPTS + 1):
        descriptor, is_own = _open(lock, path, flag)
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                return descriptor  # a file system without locks, such as some network ones
            owner = os.read(descriptor, 20).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise OutputError(
                f"{path}: another training{f' (process {owner})' if owner.isdigit() else ''} is writing it; "
                f"wait for it, stop it, or give another file with {flag}"
            ) from None
        if fcntl is None or attempt == ATTEMPTS or _is_still(descriptor, lock):
            break
        os.close(descriptor)
    with contextlib.suppress(OSError):  # the process id is only information; a full disk shows elsewhere
        if is_own:
            os.truncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def _open(lock: Path, path: Path, flag: str) -> tuple[int, bool]:
    """Open the file, and return whether it is writable: another user's file can be locked all the same."""
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
