"""Settings of glibc's malloc that keep freed memory in the process, so that the next training step reuses it.

A step allocates and frees the same hundreds of megabytes as the one before. By default glibc returns large blocks to
the system each time, which clears and maps them anew, 4 kB at a time, at their next use: 75,000 page faults in a step
of two layers of 512 and 64 lanes, and a fifth of its time.

Kept memory is in blocks of the sizes that were freed. Where sizes change, at an evaluation or in the first steps, in
which weights get their moments, new memory would be taken beside the old, so there the old is given back.
"""

from __future__ import annotations

import ctypes
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Parameters of `mallopt`: https://man7.org/linux/man-pages/man3/mallopt.3.html."""

_LARGEST_BLOCK = 1 << 30
"""Bytes from which on a block is still mapped by itself."""

_NEVER = (1 << 31) - 1


def keep_freed_memory() -> None:
    """Have glibc allocate large blocks from the heap, never shrink it, and use one arena for all threads.

    With other C libraries, do nothing.
    """
    if not _has_glibc():
        return
    mallopt = ctypes.CDLL(None).mallopt
    for parameter, value in ((_MMAP_THRESHOLD, _LARGEST_BLOCK), (_TRIM_THRESHOLD, _NEVER), (_ARENA_MAX, 1)):
        mallopt(parameter, value)  # a value that it refuses leaves the default: slower, with the same results


def give_back_freed_memory() -> None:
    """Return free memory to the system once; memory taken later is mapped anew, and kept again."""
    if _has_glibc():
        ctypes.CDLL(None).malloc_trim(0)


def _has_glibc() -> bool:
    names: dict[str, int] = getattr(os, "confstr_names", {})
    return "CS_GNU_LIBC_VERSION" in names and bool(os.confstr("CS_GNU_LIBC_VERSION"))
