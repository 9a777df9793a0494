"""The clock of a training, which leaves out pauses by Ctrl-Z or SIGSTOP and the time that the machine sleeps."""

from __future__ import annotations

import sys
import threading
import time

LONGEST = 2.0
"""Longest gap before SIGCONT, or longest sleep of the machine, that still counts as work, in seconds."""


class Clock:
    """`time.perf_counter()`, without pauses.

    A process is not told when it was stopped, nor whether it was: SIGCONT also comes to processes that were not. So a
    pause is taken to begin at the last reading of the clock, which leaves out the beginning of the step or evaluation
    window that it fell in, too.
    """

    def __init__(self) -> None:
        self._left_out = 0.0
        self._looked = time.perf_counter()
        self._slept = _slept()

    def now(self) -> float:
        """Seconds of `time.perf_counter()` less those of the pauses."""
        seconds = time.perf_counter()
        if threading.current_thread() is threading.main_thread():  # the only one to handle signals, with some delay
            self._looked = seconds
            before, self._slept = self._slept, _slept()
            if self._slept - before > LONGEST:
                self._left_out += self._slept - before
        return seconds - self._left_out

    def heartbeat(self) -> None:
        """Read the clock in work that needs no time, so that a later pause begins no earlier; main thread only."""
        self.now()

    def leave_out_pause(self) -> None:
        """Leave out the time since the last reading, if it is a pause; to be called on SIGCONT."""
        looked, self._looked = self._looked, time.perf_counter()
        if self._looked - looked > LONGEST:
            self._left_out += self._looked - looked


def _slept() -> float:
    """Seconds that `time.perf_counter()` counted while the machine slept, plus a constant, on Windows; elsewhere 0.

    Elsewhere it stops during sleep: it is Linux's CLOCK_MONOTONIC, and macOS's mach_absolute_time.
    """
    if sys.platform != "win32":
        return 0.0
    import ctypes  # slow to import, and needed on Windows only

    awake = ctypes.c_ulonglong()  # in units of 100 ns, and exact to some 16 ms: too coarse to measure a step by
    ctypes.windll.kernel32.QueryUnbiasedInterruptTime(ctypes.byref(awake))
    return time.perf_counter() - awake.value / 1e7


CLOCK = Clock()
"""The clock of this process."""
