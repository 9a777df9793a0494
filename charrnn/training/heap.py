"""Memory that a training frees and takes again stays with its process, until something else needs other pieces of it.

A step takes and frees the same hundreds of megabytes as the one before. By default glibc gives large blocks back to the
system each time, which clears and maps them anew, 4 kB at a time, at their next use: 75,000 page faults in a step of
two layers of 512 and 64 lanes, and a fifth of its time.

Kept memory lies in pieces as large as those who freed them wanted. Where the pattern changes, at an evaluation or in
the first steps, in which weights get their moments, the next would take new memory beside the old: that is given back.
"""

from __future__ import annotations

import ctypes
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Parameters of `mallopt`: https://man7.org/linux/man-pages/man3/mallopt.3.html."""

_LARGEST_BLOCK = 1 << 30
"""Bytes of a block that is a mapping of its own still."""

_NEVER = (1 << 31) - 1


def keep_freed_memory() -> None:
    """Let large blocks come from the heap, the heap never shrink, and all threads share one.

    Other C libraries have other habits; there, nothing is done.
    """
    if not _has_glibc():
        return
    mallopt = ctypes.CDLL(None).mallopt
    for parameter, value in ((_MMAP_THRESHOLD, _LARGEST_BLOCK), (_TRIM_THRESHOLD, _NEVER), (_ARENA_MAX, 1)):
        mallopt(parameter, value)  # what it refuses stays as it was: slower, and no different


def give_back_freed_memory() -> None:
    """Give to the system what is free, once: what is taken next is mapped anew, and then kept again."""
    if _has_glibc():
        ctypes.CDLL(None).malloc_trim(0)


def _has_glibc() -> bool:
    names: dict[str, int] = getattr(os, "confstr_names", {})
    return "CS_GNU_LIBC_VERSION" in names and bool(os.confstr("CS_GNU_LIBC_VERSION"))
