"""Repeated failures during training: at most one warning a minute, and a note when the operation succeeds again."""

from __future__ import annotations

import time
from collections.abc import Callable

TELL_EVERY = 60.0
"""Seconds between two warnings."""


class RepeatedFailure:
    """The failures of an operation that training repeats, such as a save.

    Args:
        tell: called with each message for the user.

    Attributes:
        failure: why the last attempt failed; empty if it succeeded.
    """

    def __init__(self, tell: Callable[[str], object]) -> None:
        self.failure = ""
        self._tell = tell
        self._told = ""
        self._told_at = float("-inf")

    def begin(self, failure: str, *, is_safe: bool = False) -> None:
        """Record a failure, and warn of it if the last warning was at least `TELL_EVERY` seconds ago.

        Args:
            failure: why the operation failed.
            is_safe: whether nothing is lost by the failure: then warn only when its reason changes.
        """
        self.failure = failure
        is_due = failure != self._told if is_safe else time.monotonic() - self._told_at >= TELL_EVERY
        if is_due:
            self._told, self._told_at = failure, time.monotonic()
            self._tell(f"{failure}; training goes on, and tries again")

    def end(self, told: str) -> None:
        """Record a success; if the attempt before failed, pass `told` to the user."""
        if self.failure:
            self.failure, self._told, self._told_at = "", "", float("-inf")
            self._tell(told)
