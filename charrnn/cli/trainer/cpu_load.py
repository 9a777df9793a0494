"""Measure how busy other programs keep a training's cores, and choose the number of threads beside them."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

STAT = Path("/proc/stat")
"""On Linux, each core's time in ticks: user, nice, system, idle, iowait, irq, softirq, steal."""

NICE, IDLE, WAITING = 1, 3, 4
"""Indices of the times in `STAT` that do not count as work: of niced programs, which give way, idle and iowait."""

SHARED, FREE = 0.45, 0.35
"""Share of a core used by others above which its thread is given up, and share below which the thread comes back.

Two threads and a program that works half of the time are as fast as one thread; see `tests/benchmarks/SPEEDS.md`.
"""


class OtherLoad:
    """Measures how many cores other programs keep busy, on average between two looks; 0 if that is unknown.

    Attributes:
        began: `time.monotonic()` at the start of the first interval.
    """

    def __init__(self) -> None:
        self.began, self._last = time.monotonic(), _work_done()

    def measure(self) -> float:
        """The mean number of cores that other programs kept busy since the last look."""
        last, self._last = self._last, _work_done()
        if last is None or self._last is None:
            return 0.0
        seconds, of_all, own = (now - before for now, before in zip(self._last, last, strict=True))
        return max(0.0, (of_all - own) / seconds) if seconds > 0 else 0.0


def threads_beside(others: float, *, usable: int, threads: int, most: int) -> int:
    """Choose the number of threads to go on with; all wait for the slowest, whose core others use most.

    Args:
        others: cores that other programs keep busy.
        usable: cores that this process may use.
        threads: current number of threads.
        most: largest number of threads.
    """
    to_keep, to_take = (max(1, math.floor(usable - others + share)) for share in (SHARED, FREE))
    return min(most, to_keep if to_keep < threads else max(threads, to_take))


def _work_done() -> tuple[float, float, float] | None:
    """Seconds of the clock, of work on all usable cores, and of this process's CPU time; None if unknown."""
    try:
        lines = dict(line.split(maxsplit=1) for line in STAT.read_text().splitlines() if line.startswith("cpu"))
        ticks = 0
        for core in os.sched_getaffinity(0):
            figures = [int(figure) for figure in lines[f"cpu{core}"].split()[:8]]
            ticks += sum(figures) - figures[IDLE] - figures[WAITING] - (0 if os.nice(0) > 0 else figures[NICE])
        return time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), time.process_time()
    except (OSError, ValueError, KeyError, IndexError, AttributeError):  # no such file, or another system
        return None
