"""The time that a training counts: without that for which its process was stopped, as by Ctrl-Z and SIGSTOP."""

from __future__ import annotations

import threading
import time

LONGEST = 2.0
"""Seconds: a gap of up to so many before SIGCONT counts as work; a longer one is a pause."""


class Clock:
    """`time.perf_counter()`, without pauses.

    Nobody tells a process when it was stopped: a pause begins with the last look at the clock, so that of a step or an
    evaluation in which it fell the beginning is left out too.
    """

    def __init__(self) -> None:
        self._left_out, self._looked = 0.0, time.perf_counter()

    def now(self) -> float:
        """Seconds of `time.perf_counter()` less those of the pauses."""
        seconds = time.perf_counter()
        if threading.current_thread() is threading.main_thread():  # which alone is told of signals, and not at once
            self._looked = seconds
        return seconds - self._left_out

    def look(self) -> None:
        """Have a pause begin no earlier than now, in work that asks for no time; from the main thread alone."""
        self.now()

    def leave_out_pause(self) -> None:
        """Leave out the time since the last look; for a process that was stopped and goes on just now."""
        looked, self._looked = self._looked, time.perf_counter()
        if self._looked - looked > LONGEST:
            self._left_out += self._looked - looked


CLOCK = Clock()
"""This process's."""
