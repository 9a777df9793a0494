"""How many threads numpy's products get where other programs are at work on the same cores."""

from __future__ import annotations

import os
import time
from collections.abc import MutableMapping
from pathlib import Path

LOAD = Path("/proc/loadavg")
"""Linux's: its fourth figure is the number of threads that run or wait for a core now, and of all that there are."""

READINGS = 3
"""How often that is read; the lowest counts, since what begins at the same moment is soon gone again."""


def leave_busy_cores(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let OpenBLAS, which reads its threads once as numpy is imported, use the cores that are free.

    It waits for all of its threads at every product, and a character is a product or two: one thread that shares its
    core with another program holds up the others each time, and sampling takes twice as long as on one core alone.

    Args:
        environment: where the number is set, unless the user has set one.
    """
    if {"OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"} & set(environment) or not hasattr(os, "sched_getaffinity"):
        return
    cores = len(os.sched_getaffinity(0))
    if cores < (os.cpu_count() or 1):  # the others may be at work on cores that this process may not use
        return
    try:
        others = _others()
    except (OSError, ValueError, IndexError):  # no such file, or another kind of system's
        return
    if others > 0:
        environment["OPENBLAS_NUM_THREADS"] = str(max(1, cores - others))


def _others() -> int:
    """How many threads run beside this one, which is one of those that are counted."""
    found = []
    for _ in range(READINGS):
        found.append(int(LOAD.read_text().split()[3].partition("/")[0]) - 1)
        if not found[-1]:  # nothing to wait for
            break
        time.sleep(0.001)
    return min(found)
