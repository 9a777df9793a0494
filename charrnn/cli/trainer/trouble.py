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
        self._tell, self._told, self._told_at = tell, "", float("-inf")

    def begin(self, failure: str, *, is_safe: bool = False) -> None:
        """Take note of a failure, the first one or another, and tell of it, if the last warning was long ago.

        Args:
            failure: why it failed.
            is_safe: whether nothing is lost by it, so that it need not be told again until it is another.
        """
        self.failure = failure
        if failure != self._told if is_safe else time.monotonic() - self._told_at >= TELL_EVERY:
            self._told, self._told_at = failure, time.monotonic()
            self._tell(f"{failure}; training goes on, and tries again")

    def end(self, told: str) -> None:
        """Take note that it did not fail, and tell so where it did before."""
        if self.failure:
            self.failure, self._told, self._told_at = "", "", float("-inf")
            self._tell(told)
