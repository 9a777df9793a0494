"""What is to outlast a power cut, on its way to the disk."""

from __future__ import annotations

import contextlib
import os

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]


def sync(descriptor: int) -> None:
    """Wait until what was written to an open file, or was renamed in an open folder, is on the disk.

    On macOS fsync leaves it in the disk's own memory, and there is F_FULLFSYNC, which not every file system knows.

    Raises:
        OSError: it cannot be done.
    """
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, full)
            return
    os.fsync(descriptor)
