"""How many threads and processes to use where other programs run on the same cores."""

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
"""On Linux; its fourth field is the number of threads that run or wait for a core, a slash, and that of all threads."""

READINGS = 3
"""How often `LOAD` is read; the lowest value counts, since what starts at the same moment often ends soon."""

CGROUP, CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
"""On Linux: the file that names this process's control groups, and the folder with a folder for each group."""

THREAD_VARIABLES = {"OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"}
"""Environment variables by which a user sets the number of threads of numpy's matrix products."""

SPIN_COUNT = "3000"
"""How long a thread of torch's thread library (GNU OpenMP) spins, waiting for the others, before it sleeps.

Shorter than by default, since a spinning thread keeps other threads, also of other programs, off its core; see
`tests/benchmarks/SPEEDS.md`.
"""


def leave_busy_cores(environment: MutableMapping[str, str] = os.environ) -> None:
    """Limit OpenBLAS, which reads its number of threads once when numpy is imported, to the free cores.

    OpenBLAS waits for all of its threads at every product, and a character takes a product or two. So one thread that
    shares its core with another program holds up the others each time, and sampling takes twice as long as on one core.

    Args:
        environment: the environment in which the number is set, unless the user has set one.
    """
    if not THREAD_VARIABLES & set(environment) and (free := free_cores()) is not None and free < usable_cores():
        environment["OPENBLAS_NUM_THREADS"] = str(free)


def spread_over_cores(most: int, environment: MutableMapping[str, str] = os.environ) -> int:
    """Decide how many processes are to share some work, each on a free core of its own.

    Args:
        most: the most processes that pay; with one, OpenBLAS gets the free cores.
        environment: the environment in which each process is limited to one thread, unless the user has set a number of
            threads: then there is one process.

    Returns:
        The number of processes; 1 if processes cannot be forked safely, or the cores cannot be counted.
    """
    free = None if THREAD_VARIABLES & set(environment) or sys.platform != "linux" else free_cores()
    processes = min(most, free or 1)
    if processes < 2:
        leave_busy_cores(environment)
        return 1
    environment.update(OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    return processes


def prepare_training(environment: MutableMapping[str, str] = os.environ, *, is_launched: bool) -> None:
    """Set the variables that thread libraries read once when they are loaded, unless the user has set them.

    In a training, numpy computes only the samples that are shown, between torch's steps. It gets one thread, since
    several would wait for each other at every character if a core is busy, as in `leave_busy_cores`.

    Args:
        environment: the environment to change.
        is_launched: whether torchrun has started this process: torchrun asks for one thread by default, which is
            ignored; a user who wants one gives `--threads 1`.
    """
    environment.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    if is_launched and environment.get("OMP_NUM_THREADS") == "1":
        del environment["OMP_NUM_THREADS"]
    if platform.machine() in ("x86_64", "AMD64"):  # elsewhere torch computes with the library that numpy has
        environment.setdefault("OPENBLAS_NUM_THREADS", "1")


def free_cores() -> int | None:
    """Number of cores allotted to this process that no others use, at least 1; None if unknown."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    cores, allotted = usable_cores(), allotted_cores()
    # a quota is not shared with others; with an affinity to some cores, it is unknown whether others run on those
    if allotted < cores or cores < (os.cpu_count() or 1):
        return allotted
    try:
        return max(1, cores - _others())
    except (OSError, ValueError, IndexError):  # no such file, or one in another format
        return None


def usable_cores() -> int:
    """Number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def allotted_cores() -> int:
    """Number of cores whose time this process may use, rounded up: below `usable_cores` if a container has a quota."""
    return max(1, math.ceil(min(usable_cores(), _quota())))


def control_groups(controller: str) -> Iterator[Path]:
    """The folders of this process's control group and of its ancestors, for one controller; none off Linux.

    Args:
        controller: as Linux names it, "cpu" or "memory".
    """
    with contextlib.suppress(OSError, ValueError):
        for line in CGROUP.read_text().splitlines():
            _, controllers, name = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            group = CGROUPS / (controller if controllers else "") / name.lstrip("/")  # version 1 has a tree for each
            yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(CGROUPS))


def _others() -> int:
    """How many other threads run or wait for a core, on the whole system."""
    found = []
    for _ in range(READINGS):
        found.append(int(LOAD.read_text().split()[3].partition("/")[0]) - 1)
        if not found[-1]:  # nothing to wait for
            break
        time.sleep(0.001)
    return min(found)


def _quota() -> float:
    """The CPU quota of this process's control group, its ancestors included, in cores; infinity without one."""
    return min(map(_quota_of, control_groups("cpu")), default=math.inf)


def _quota_of(group: Path) -> float:
    """The CPU quota of one control group, version 2 or 1, in cores; infinity without one."""
    with contextlib.suppress(OSError, ValueError):  # the root has no such file, and "max" is no number
        most, period = map(float, (group / "cpu.max").read_text().split())
        return most / period
    with contextlib.suppress(OSError, ValueError):
        most, period = (float((group / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        return most / period if most > 0 else math.inf
    return math.inf
