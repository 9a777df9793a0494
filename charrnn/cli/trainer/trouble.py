"""What goes wrong again and again while a training goes on: told once a minute, and once more when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable

TELL_EVERY = 60.0
"""Seconds between two warnings."""


class Trouble:
    """Something that training does over and over, and that may fail each time.

    Args:
        tell: called with what the user should know.

    Attributes:
        failure: why it failed the last time; empty where it did not.
    """

    def __init__(self, tell: Callable[[str], object]) -> None:
        self.failure = ""
        self._tell, self._told = tell, float("-inf")

    def begin(self, failure: str) -> None:
        """Take note of a failure, the first one or another, and tell of it, if the last warning was long ago."""
        self.failure = failure
        if time.monotonic() - self._told >= TELL_EVERY:
            self._told = time.monotonic()
            self._tell(f"{failure}; training goes on, and tries again")

    def end(self, told: str) -> None:
        """Take note that it did not fail, and tell so where it did before."""
        if self.failure:
            self.failure, self._told = "", float("-inf")
            self._tell(told)
