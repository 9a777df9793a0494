"""How many threads products get where other programs are at work on the same cores."""

from __future__ import annotations

import contextlib
import math
import os
import platform
import sys
import time
from collections.abc import Iterator, MutableMapping
from pathlib import Path

LOAD = Path("/proc/loadavg")
"""Linux's: its fourth figure is the number of threads that run or wait for a core now, and of all that there are."""

READINGS = 3
"""How often that is read; the lowest counts, since what begins at the same moment is soon gone again."""

CGROUP, CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
"""Linux's: the group of processes that this one is in, and a folder for each group."""

THREAD_VARIABLES = {"OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"}
"""Variables by which a user sets the threads of numpy's products."""

SPIN_COUNT = "3000"
"""What torch's thread library is told of how long a thread is to look out for the others before it sleeps.

Shorter than by default, for a thread that looks out keeps the core from the others, of other programs too; see
`tests/benchmarks/RECIPES.md`.
"""


def leave_busy_cores(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let OpenBLAS, which reads its threads once as numpy is imported, use the cores that are free.

    It waits for all of its threads at every product, and a character is a product or two: one thread that shares its
    core with another program holds up the others each time, and sampling takes twice as long as on one core alone.

    Args:
        environment: where the number is set, unless the user has set one.
    """
    if not THREAD_VARIABLES & set(environment) and (free := free_cores()) is not None and free < usable_cores():
        environment["OPENBLAS_NUM_THREADS"] = str(free)


def spread_over_cores(most: int, environment: MutableMapping[str, str] = os.environ) -> int:
    """Settle how many processes are to share some work, each on a core of its own, of those that are free.

    Args:
        most: that pay; with one, OpenBLAS has the free cores.
        environment: where each is given one thread, unless the user has set a number: then there is one process.

    Returns:
        How many there are to be; 1 where processes cannot be forked safely, or the cores not be counted.
    """
    free = None if THREAD_VARIABLES & set(environment) or sys.platform != "linux" else free_cores()
    processes = min(most, free or 1)
    if processes < 2:
        leave_busy_cores(environment)
        return 1
    environment.update(OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    return processes


def prepare_training(environment: MutableMapping[str, str] = os.environ, *, is_launched: bool) -> None:
    """Settle what the libraries of threads read once, as they are loaded, where the user has not.

    Numpy computes nothing in a training but the samples that are shown, between torch's steps: its threads would wait
    for each other at every character where a core is taken, as in `leave_busy_cores`.

    Args:
        environment: where it is set.
        is_launched: whether torchrun has started this process, which asks for one thread unless it is told otherwise;
            `--threads 1` says that for certain.
    """
    environment.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    if is_launched and environment.get("OMP_NUM_THREADS") == "1":
        del environment["OMP_NUM_THREADS"]
    if platform.machine() in ("x86_64", "AMD64"):  # elsewhere torch computes with the library that numpy has
        environment.setdefault("OPENBLAS_NUM_THREADS", "1")


def _others() -> int:
    """How many threads run beside this one, which is one of those that are counted."""
    found = []
    for _ in range(READINGS):
        found.append(int(LOAD.read_text().split()[3].partition("/")[0]) - 1)
        if not found[-1]:  # nothing to wait for
            break
        time.sleep(0.001)
    return min(found)


def free_cores() -> int | None:
    """Cores that this process is allotted and no others are at work on, at least 1; None where that is not known."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    cores, allotted = usable_cores(), allotted_cores()
    # a container has its time to itself, and on some cores alone it is not known whether the others are elsewhere
    if allotted < cores or cores < (os.cpu_count() or 1):
        return allotted
    try:
        return max(1, cores - _others())
    except (OSError, ValueError, IndexError):  # no such file, or another kind of system's
        return None


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def allotted_cores() -> int:
    """Cores that this process is given the time of, rounded up: fewer than it may use where a container has a quota."""
    return max(1, math.ceil(min(usable_cores(), _quota())))


def control_groups(controller: str) -> Iterator[Path]:
    """The folders of the group of processes that this one is in, and of those that it lies in, for one controller.

    Args:
        controller: as Linux names it, "cpu" or "memory"; of another system there are no folders.
    """
    with contextlib.suppress(OSError, ValueError):
        for line in CGROUP.read_text().splitlines():
            _, controllers, name = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            group = CGROUPS / (controller if controllers else "") / name.lstrip("/")  # version 1 has a tree for each
            yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(CGROUPS))


def _quota() -> float:
    """Cores' worth of time that this process's group, or one that it lies in, may have; infinity where untold."""
    return min(map(_quota_of, control_groups("cpu")), default=math.inf)


def _quota_of(group: Path) -> float:
    """Cores' worth of time that one group by itself may have, as either version writes it; infinity where untold."""
    with contextlib.suppress(OSError, ValueError):  # the root has no such file, and "max" is no number
        most, period = map(float, (group / "cpu.max").read_text().split())
        return most / period
    with contextlib.suppress(OSError, ValueError):
        most, period = (float((group / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        return most / period if most > 0 else math.inf
    return math.inf
