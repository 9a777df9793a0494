"""Flushing writes to the disk, so that they survive a power cut."""

from __future__ import annotations

import contextlib
import os

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]


def sync(descriptor: int) -> None:
    """Wait until the writes to an open file, or the renames in an open folder, are on the disk.

    On macOS fsync leaves them in the disk's own cache; F_FULLFSYNC flushes that, but not every file system supports it.

    Raises:
        OSError: the sync fails.
    """
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, full)
            return
    os.fsync(descriptor)
