"""What ends a sample, and the lines that it must not hold; `endings` applies it to the characters as they come."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass


class KnownLines:
    """Lines that must not come, or not again, sorted, so that what begins with a text is found at once.

    White space at the ends of a line makes it no other one; nor does, therefore, the CR of its end.

    Args:
        lines: in any order; empty ones are left out: an empty line is never a copy.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = sorted({line.strip() for line in lines} - {""})

    def __contains__(self, line: str) -> bool:
        line = line.strip()
        return self._from(line) == line

    def add(self, line: str) -> None:
        """Take one more."""
        if line.strip() and line not in self:
            insort(self._lines, line.strip())

    def have_one_that_begins_with(self, text: str) -> bool:
        """Whether one of them begins with a text, or is all of it."""
        begun = text.lstrip()
        found = self._from(begun)
        return (found is not None and found.startswith(begun)) or text in self

    def _from(self, text: str) -> str | None:
        """The first line that is not before a text."""
        place = bisect_left(self._lines, text)
        return self._lines[place] if place < len(self._lines) else None


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What ends a sample before its length, and what it must not hold.

    Attributes:
        stops: texts that end it. Of several that end together the longest counts. What is drawn may hold one where a
            line is left out; a line's end alone does not end it there.
        keep_stop: whether the one that has ended it is a part of it.
        lines: whole lines after which it ends.
        known_lines: lines to leave out.
        unique: whether to leave out lines that stand in the sample already, or in what stands before it. Neither they
            nor known ones count, and where there may be such no empty one counts either; behind one left out, or
            another empty one, it is left out too.
        fits: tells whether a line that a stop has cut may stand; None: any may.
        is_cut: tells of a line that fits whether it might have ended, and gone on, where its text has come to its
            length: it is no whole one then. None: every line that fits is.
    """

    stops: tuple[str, ...] = ()
    keep_stop: bool = False
    lines: int | None = None
    known_lines: KnownLines | None = None
    unique: bool = False
    fits: Callable[[str], bool] | None = None
    is_cut: Callable[[str], bool] | None = None

    @property
    def are_none(self) -> bool:
        """Whether a sample ends by its length alone."""
        return not self.stops and self.lines is None and not self.leave_out_lines

    @property
    def leave_out_lines(self) -> bool:
        """Whether lines may be left out, wherever they stand."""
        return self.known_lines is not None or self.unique

    @property
    def keep_all(self) -> bool:
        """Whether all that is drawn before the end belongs to a sample."""
        return not self.leave_out_lines and not (self.stops and self.fits is not None)
