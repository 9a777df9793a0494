"""How many threads products get where other programs are at work on the same cores."""

from __future__ import annotations

import contextlib
import math
import os
import platform
import sys
import time
from collections.abc import MutableMapping
from pathlib import Path

LOAD = Path("/proc/loadavg")
"""Linux's: its fourth figure is the number of threads that run or wait for a core now, and of all that there are."""

READINGS = 3
"""How often that is read; the lowest counts, since what begins at the same moment is soon gone again."""

STAT = Path("/proc/stat")
"""Linux's: what each core has done, in ticks: user, nice, system, idle, iowait, irq, softirq, steal."""

CGROUP, CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
"""Linux's: the group of processes that this one is in, and a folder for each group."""

NICE, IDLE, WAITING = 1, 3, 4
"""Indices of the figures in `STAT` that are no work of others: niced programs, which give way, and idle time."""

THREAD_VARIABLES = {"OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"}
"""Variables by which a user sets the threads of numpy's products."""

SPIN_COUNT = "3000"
"""What torch's thread library is told of how long a thread is to look out for the others before it sleeps.

Shorter than by default, for a thread that looks out keeps the core from the others, of other programs too; see
`tests/benchmarks/RECIPES.md`.
"""

SHARED, FREE = 0.45, 0.35
"""Share of a core that others may use before its thread is given up, and share below which the thread comes back.

Two threads and a program that works half of the time are as fast as one thread; see `tests/benchmarks/RECIPES.md`.
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
    for each other at every character where a core is taken, and a sample took ten seconds.

    Args:
        environment: where it is set.
        is_launched: whether torchrun has started this process, which asks for one thread unless it is told otherwise;
            `--threads 1` says that for certain.
    """
    environment.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    if is_launched and environment.get("OMP_NUM_THREADS") == "1":
        del environment["OMP_NUM_THREADS"]
    if platform.machine() in ("x86_64", "AMD64"):  # elsewhere torch computes with OpenBLAS too
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


class Neighbours:
    """How many cores other programs keep busy, on average from one look to the next; 0 where that cannot be known.

    Attributes:
        began: `time.monotonic()` from which the first look counts.
    """

    def __init__(self) -> None:
        self.began, self._last = time.monotonic(), _work_done()

    def look(self) -> float:
        """The mean number of cores that other programs kept busy since the last look."""
        last, self._last = self._last, _work_done()
        if last is None or self._last is None:
            return 0.0
        seconds, of_all, own = (now - before for now, before in zip(self._last, last, strict=True))
        return max(0.0, (of_all - own) / seconds) if seconds > 0 else 0.0


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
    """As many of them as it is given the time of, rounded up: fewer where a container has a quota."""
    return max(1, math.ceil(min(usable_cores(), _quota())))


def _quota() -> float:
    """Cores' worth of time that this process's group, or one that it lies in, may have; infinity where untold."""
    quota = math.inf
    with contextlib.suppress(OSError, ValueError):  # another system
        for line in CGROUP.read_text().splitlines():
            _, controllers, name = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            group = CGROUPS / ("cpu" if controllers else "") / name.lstrip("/")  # version 1 has a tree for each
            for folder in (group, *group.parents):
                if folder == CGROUPS.parent:
                    break
                quota = min(quota, _quota_of(folder))
    return quota


def _quota_of(group: Path) -> float:
    """The same for one group by itself, as either version writes it."""
    with contextlib.suppress(OSError, ValueError):  # the root has no such file, and "max" is no number
        most, period = map(float, (group / "cpu.max").read_text().split())
        return most / period
    with contextlib.suppress(OSError, ValueError):
        most, period = (float((group / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        return most / period if most > 0 else math.inf
    return math.inf


def threads_beside(others: float, *, usable: int, threads: int, most: int) -> int:
    """How many threads to go on with. All wait for the slowest, the one whose core others use most.

    Args:
        others: cores that other programs keep busy.
        usable: cores that there are.
        threads: at work now.
        most: that there may be.
    """
    fewer, more = (max(1, math.floor(usable - others + share)) for share in (SHARED, FREE))
    return min(most, fewer if fewer < threads else max(threads, more))


def _work_done() -> tuple[float, float, float] | None:
    """Seconds of the clock, of work on all cores that this process may use, and of its own; None where untold."""
    try:
        lines = dict(line.split(maxsplit=1) for line in STAT.read_text().splitlines() if line.startswith("cpu"))
        ticks = 0
        for core in os.sched_getaffinity(0):
            figures = [int(figure) for figure in lines[f"cpu{core}"].split()[:8]]
            ticks += sum(figures) - figures[IDLE] - figures[WAITING] - (0 if os.nice(0) > 0 else figures[NICE])
        return time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), time.process_time()
    except (OSError, ValueError, KeyError, IndexError, AttributeError):  # no such file, or another system
        return None
