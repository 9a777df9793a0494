"""Stopping a training from outside, at a point where it can be saved."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

STOPS = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
"""Ctrl-C, a polite kill, and a terminal that goes away."""


class StopSignals:
    """While it is entered, the first of `STOPS` is remembered; a SIGINT after it interrupts at once.

    A signal that was ignored before, as SIGINT is for a background job of a script, stays ignored.

    Attributes:
        received: number of the first signal; 0 before.
    """

    def __init__(self) -> None:
        self.received = 0
        self._former: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        for number in STOPS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._former[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _remember(self, number: int, _: FrameType | None) -> None:
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number
