"""The progress of a text: how many characters are left to draw, and what share of the text is behind.

The consumer of the characters, not the sampler, knows the progress: characters that it leaves out do not count, and
progress may be measured in lines.
"""

from __future__ import annotations

ENDLESS = 1 << 61
"""Number of characters left to draw in an endless text."""

MOST_CHARACTERS = 10**12
"""The greatest length of a text that is not endless: a terabyte of ASCII."""

MOST_DRAWN = 10
"""The most characters to draw, as a multiple of the length: a model may write nothing but what is left out."""

MOST_IN_VAIN = 100_000
"""The most characters of an endless text to leave out in a row: after these, nothing else is expected."""


class SampleProgress:
    """The progress of one text.

    Args:
        length: the most characters that count; None for no limit.
        over_lines: number of lines, at least two, in which progress is measured; None: in characters.

    Attributes:
        line: number of whole lines so far, set by the consumer of the characters.
        is_spent: whether so much was left out that the text stays shorter than its length; see `MOST_DRAWN`.
    """

    def __init__(self, length: int | None, over_lines: int | None = None) -> None:
        self.line, self.is_spent = 0, False
        self._over_lines = over_lines
        self._length = length
        self._end = ENDLESS if length is None else length
        self._latest = ENDLESS if length is None else length * MOST_DRAWN

    def left(self, drawn: int) -> int:
        """How many characters may still come after `drawn`."""
        return self._end - drawn

    def give_back(self, count: int) -> None:
        """Do not count `count` of the characters drawn, as far as `MOST_DRAWN` allows."""
        wanted = self._end + count
        self._end = min(wanted, self._latest)
        self.is_spent |= wanted > self._end and 0 < self._latest < ENDLESS

    def end(self) -> None:
        """End the text here."""
        self._end = self._latest = 0

    def share(self, drawn: int) -> float:
        """The share of the text that is behind after `drawn` characters, from 0 to 1; always 0 for an endless text."""
        if self._over_lines is not None:
            return min(self.line / (self._over_lines - 1), 1.0)
        if self._length is None:
            return 0.0
        return min((drawn - (self._end - self._length)) / max(self._length - 1, 1), 1.0)
