"""How far a text is on its way: how much of it is left to draw, and where between its beginning and its end it is.

Who takes the characters knows more of that than who draws them: some are left out again, and do not count then, and
lines may count in their place.
"""

from __future__ import annotations

ENDLESS = 1 << 61
"""Characters that are left of a text without end."""

MOST_CHARACTERS = 10**12
"""The longest text with an end: a terabyte of ASCII."""

MOST_DRAWN = 10
"""At most this many times a text's length is drawn, what is left out of it included: a model may say nothing else."""

MOST_IN_VAIN = 100_000
"""Characters of a text without end that are left out in a row, at most: then nothing else may come any more."""


class Course:
    """One text on its way.

    Args:
        length: characters that count, at most; None for no limit.
        over_lines: lines, at least two, that make up all of it; None: its characters do.

    Attributes:
        line: whole lines that are behind, told by who takes the characters.
        is_spent: whether more does not count than there was room for, which makes the text a shorter one.
    """

    def __init__(self, length: int | None, over_lines: int | None = None) -> None:
        self.line, self.is_spent = 0, False
        self._over_lines = over_lines
        self._length = length
        self._end = ENDLESS if length is None else length
        self._latest = ENDLESS if length is None else length * MOST_DRAWN

    def left(self, drawn: int) -> int:
        """Characters that may still come after so many."""
        return self._end - drawn

    def give_back(self, count: int) -> None:
        """Let so many of the characters drawn not count, as far as there is room for others."""
        wanted = self._end + count
        self._end = min(wanted, self._latest)
        self.is_spent |= wanted > self._end and 0 < self._latest < ENDLESS

    def end(self) -> None:
        """Let nothing more come."""
        self._end = self._latest = 0

    def share(self, drawn: int) -> float:
        """How far it is after so many characters, from 0 to 1; without end it never leaves its beginning."""
        if self._over_lines is not None:
            return min(self.line / (self._over_lines - 1), 1.0)
        if self._length is None:
            return 0.0
        return min((drawn - (self._end - self._length)) / max(self._length - 1, 1), 1.0)
