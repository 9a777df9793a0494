"""The time that a training counts: without pauses, as by Ctrl-Z and SIGSTOP, and without the sleep of its machine."""

from __future__ import annotations

import sys
import threading
import time

LONGEST = 2.0
"""Seconds: a gap of up to so many before SIGCONT counts as work; a longer one is a pause."""


class Clock:
    """`time.perf_counter()`, without pauses.

    Nobody tells a process when it was stopped, nor whether it was: SIGCONT also comes to some that were not. A pause
    begins with the last look at the clock, so that of a step, or of an evaluation's window, in which it fell the
    beginning is left out too.
    """

    def __init__(self) -> None:
        self._left_out, self._looked, self._slept = 0.0, time.perf_counter(), _slept()

    def now(self) -> float:
        """Seconds of `time.perf_counter()` less those of the pauses."""
        seconds = time.perf_counter()
        if threading.current_thread() is threading.main_thread():  # which alone is told of signals, and not at once
            self._looked = seconds
            before, self._slept = self._slept, _slept()
            if self._slept - before > LONGEST:
                self._left_out += self._slept - before
        return seconds - self._left_out

    def look(self) -> None:
        """Have a pause begin no earlier than now, in work that asks for no time; from the main thread alone."""
        self.now()

    def leave_out_pause(self) -> None:
        """Leave out the time since the last look; for a process that was stopped and goes on just now."""
        looked, self._looked = self._looked, time.perf_counter()
        if self._looked - looked > LONGEST:
            self._left_out += self._looked - looked


def _slept() -> float:
    """Seconds that `time.perf_counter()` has gone on while the machine slept, and some number that stays; on Windows.

    Elsewhere it stands still: it is Linux's CLOCK_MONOTONIC, and macOS's mach_absolute_time.
    """
    if sys.platform != "win32":
        return 0.0
    import ctypes  # a slow import, which no other system needs

    awake = ctypes.c_ulonglong()  # in units of 100 ns, and exact to some 16 ms: too coarse to measure a step by
    ctypes.windll.kernel32.QueryUnbiasedInterruptTime(ctypes.byref(awake))
    return time.perf_counter() - awake.value / 1e7


CLOCK = Clock()
"""This process's."""
