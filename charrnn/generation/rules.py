"""Rules for what ends a sample, and for lines that it must not hold; `endings` applies them as characters come."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass


class KnownLines:
    """A set of lines that must not come (again), sorted, so that lines with a given prefix are found quickly.

    Lines are compared without white space at their ends, and so without the CR of a CR LF.

    Args:
        lines: in any order; empty ones are dropped: an empty line is never a copy.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = sorted({line.strip() for line in lines} - {""})

    def __contains__(self, line: str) -> bool:
        line = line.strip()
        return self._from(line) == line

    def add(self, line: str) -> None:
        """Add a line."""
        if line.strip() and line not in self:
            insort(self._lines, line.strip())

    def have_one_that_begins_with(self, text: str) -> bool:
        """Whether one of the lines begins with a text, or equals it."""
        begun = text.lstrip()
        found = self._from(begun)
        return (found is not None and found.startswith(begun)) or text in self

    def _from(self, text: str) -> str | None:
        """The first line that does not sort before a text."""
        place = bisect_left(self._lines, text)
        return self._lines[place] if place < len(self._lines) else None


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What ends a sample before its length, and what it must not hold.

    Lines left out do not count. With `known_lines` or `unique`, empty lines do not count either, and an empty line
    after one left out, or after another empty one, is left out too.

    Attributes:
        stops: texts that end the sample. Of several that end at the same character the longest counts. A stop in a line
            that is left out ends the sample too, unless it is only a line's end.
        keep_stop: whether the stop that has ended the sample is a part of it.
        lines: number of whole lines after which the sample ends.
        known_lines: lines to leave out.
        unique: whether to leave out lines that the sample, or the text before it, holds already.
        fits: tells whether a line that a stop has cut may stay; None: any may.
        is_cut: tells of a matching last line, where the length ends the sample, whether it could both have ended and
            gone on; such a line does not count as whole. None: every matching line does.
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
        """Whether only the length ends a sample."""
        return not self.stops and self.lines is None and not self.leave_out_lines

    @property
    def leave_out_lines(self) -> bool:
        """Whether lines may be left out."""
        return self.known_lines is not None or self.unique

    @property
    def keep_all(self) -> bool:
        """Whether all that is drawn before the end belongs to a sample."""
        return not self.leave_out_lines and not (self.stops and self.fits is not None)
