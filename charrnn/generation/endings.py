"""Where a sample ends, and which of its characters are certain to belong to it.

A stop text is never half written, and a line that must not be written is never begun: characters are held back until
they are certain.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass

Drawn = tuple[str, float]
"""A character and its log-probability in nats."""


class KnownLines:
    """Lines that a sample must not hold, sorted, so that what begins with a text is found at once.

    Args:
        lines: in any order, without their line ends; empty ones are left out: an empty line is never a copy.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = sorted({*lines} - {""})

    def __contains__(self, line: str) -> bool:
        return self._from(line) == line

    def have_one_that_begins_with(self, text: str) -> bool:
        """Whether one of them begins with a text."""
        found = self._from(text)
        return found is not None and found.startswith(text)

    def _from(self, text: str) -> str | None:
        """The first line that is not before a text."""
        place = bisect_left(self._lines, text)
        return self._lines[place] if place < len(self._lines) else None


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What ends a sample before its length, and what it must not hold.

    Attributes:
        stops: texts that end it; they are not part of it. Of several that end together the longest counts. What is
            drawn may hold one where a known line is left out.
        lines: whole lines after which it ends.
        known_lines: lines to leave out. Neither they nor empty lines count, and an empty line is left out too behind
            one left out or another empty one.
        fits: tells whether a line that a stop has cut may stand; None: any may.
    """

    stops: tuple[str, ...] = ()
    lines: int | None = None
    known_lines: KnownLines | None = None
    fits: Callable[[str], bool] | None = None

    @property
    def are_none(self) -> bool:
        """Whether a sample ends by its length alone."""
        return not self.stops and self.lines is None and self.known_lines is None

    @property
    def leave_out_no_line(self) -> bool:
        """Whether all that is drawn before the end belongs to a sample."""
        return self.known_lines is None and not (self.stops and self.fits is not None)


class _Tail:
    """The last characters drawn, those included that were left out, as far back as a stop may reach.

    Args:
        stops: texts that end a sample.

    Attributes:
        text: the characters.
    """

    def __init__(self, stops: Iterable[str]) -> None:
        self.stops = sorted(stops, key=len, reverse=True)  # of several that end together the longest counts
        self.text = ""
        self._longest = len(self.stops[0]) if self.stops else 0
        self._is_kept: list[bool] = []  # of the characters, what is not left out

    def add(self, character: str) -> None:
        """Take the next character."""
        if self._longest:
            self.text = (self.text + character)[-self._longest :]
            self._is_kept = [*self._is_kept, True][-self._longest :]

    def replace(self, text: str) -> None:
        """Take a whole text in the place of all before, of which nothing was left out."""
        self.text = text[max(len(text) - self._longest, 0) :]
        self._is_kept = [True] * len(self.text)

    def leave_out(self, count: int) -> None:
        """Mark the last characters as left out."""
        first = max(len(self._is_kept) - count, 0)
        self._is_kept[first:] = [False] * (len(self._is_kept) - first)

    def stop(self) -> str | None:
        """The stop that they end with, if any."""
        return next((stop for stop in self.stops if self.text.endswith(stop)), None)

    def num_kept(self, count: int) -> int:
        """How many of the last characters are not left out."""
        return sum(self._is_kept[-count:]) if count else 0

    def num_begun(self) -> int:
        """How many of the last that are not left out may be the beginning of a stop."""
        return max(map(self._num_begun, self.stops), default=0)

    def _num_begun(self, stop: str) -> int:
        longest = min(len(stop) - 1, len(self.text))
        return self.num_kept(next((n for n in range(longest, 0, -1) if self.text.endswith(stop[:n])), 0))


class Ending:
    """The rules applied to one sample as it grows.

    Args:
        rules: what ends it.
        beginning: what stands before it on its first line, which counts as a part of that line.

    Attributes:
        takes_text: whether `feed_text` may take the place of `feed`.
        reason: "stop" or "lines" once it has ended by a rule; who draws may set another.
        lines: whole lines that came, one whose line feed a stop takes back included, unless the stop ends with that.
        refused: known lines left out.
        surplus: the last characters that `feed_text` took which do not belong to the sample; none until it has ended.
    """

    def __init__(self, rules: Rules, beginning: str = "") -> None:
        self._rules = rules
        self.takes_text = rules.leave_out_no_line
        self._beginning = beginning.rpartition("\n")[2]
        self._held: list[Drawn] = []
        self._text = ""
        self._is_within_line = False  # of which a part was given out
        self._is_behind_gap = False  # a line left out, or an empty one
        self._refused_text = ""
        self._tail = _Tail(rules.stops)
        self.reason: str | None = None
        self.lines = 0
        self.refused = 0
        self.surplus = 0

    def feed(self, character: str, log_probability: float) -> list[Drawn]:
        """Take the next character; give those that have become certain."""
        self._held.append((character, log_probability))
        self._text += character
        self._tail.add(character)
        if stop := self._tail.stop():
            self.reason = "stop"
            self._drop(self._tail.num_kept(len(stop)))
            if self._rules.fits is not None and not self._rules.fits(self._line(self._text)):
                self._drop(self._line_length(self._text))
                self._beginning = ""
            return self._finish(is_whole=stop.startswith(("\n", "\r\n")))
        if character == "\n" and self._end_line():
            return self._release(len(self._held))
        return self._release(self._certain())

    def feed_text(self, text: str) -> None:
        """Take the next characters together where `takes_text`: it ends as `feed` ends it, which takes one by one."""
        before, lines = self._tail.text, self._rules.lines
        seen = before + text
        stops = [(place + len(stop), place) for stop in self._tail.stops if (place := seen.find(stop)) >= 0]
        end, kept = min(stops, default=(len(seen) + 1, len(seen)))
        text = seen[len(before) : end - 1]  # a line feed that ends a stop counts no line
        if stops:
            self.reason = "stop"
        if lines is not None and self.lines + text.count("\n") >= lines:
            text = text.removesuffix(text.split("\n", lines - self.lines)[-1])
            self.reason, kept = "lines", len(before) + len(text)
        if text:
            self._is_within_line, self._beginning = not text.endswith("\n"), ""
        self.lines += text.count("\n")
        self.surplus = len(seen) - kept
        self._tail.replace(seen)

    def finish(self) -> list[Drawn]:
        """Give what is still held, but for a known line and the beginning of one: nothing more comes."""
        return self._finish(is_whole=False)

    def take_refused(self) -> str:
        """The characters left out with whole lines since the last call."""
        text, self._refused_text = self._refused_text, ""
        return text

    def _finish(self, *, is_whole: bool) -> list[Drawn]:
        """Give what is still held; where lines fit a pattern, the last one is whole in any case."""
        if self._is_known(self._text):
            length = self._line_length(self._text)
            self.refused += length > 0
            self._leave_out(length)
        elif not is_whole and self._rules.fits is None and self._begins_known(self._text):
            self._drop(self._line_length(self._text))
        released = self._release(len(self._held))
        self.lines += self._rules.fits is not None and (self._is_within_line or self._beginning != "")
        return released

    def _end_line(self) -> bool:
        """Count a line, or leave it out; tell whether it was the last."""
        text = self._text[:-1]
        is_known, is_empty = self._is_known(text), self._is_empty(text)
        is_left_out = is_known or (is_empty and self._is_behind_gap)
        self._is_behind_gap = is_known or is_empty
        if is_left_out:
            self._leave_out(self._line_length(text) + 1)
            self.refused += is_known
            return False
        if is_empty:
            return False
        self.lines += 1
        if self.lines == self._rules.lines:
            self.reason = "lines"
        return self.reason is not None

    def _is_known(self, text: str) -> bool:
        """Whether the line that a text ends in is to be left out; a carriage return is a part of its end."""
        known = self._rules.known_lines
        return known is not None and self._is_held(text) and self._line(text).removesuffix("\r") in known

    def _is_empty(self, text: str) -> bool:
        """Whether the line that a text ends in is an empty one, where known lines are left out."""
        return self._rules.known_lines is not None and self._is_held(text) and self._line(text) in ("", "\r")

    def _begins_known(self, text: str) -> bool:
        """Whether the line that a text ends in may still become one that is to be left out."""
        known = self._rules.known_lines
        if known is None or not self._is_held(text):
            return False
        line = self._line(text).removesuffix("\r")
        return not line or known.have_one_that_begins_with(line)

    def _is_held(self, text: str) -> bool:
        """Whether the line that a text, the one held or its beginning, ends in is held from its start on."""
        return not self._is_within_line or "\n" in text

    def _line(self, text: str) -> str:
        """The line that a text ends in, with what stood before the sample."""
        return (self._beginning + text).rpartition("\n")[2]

    def _line_length(self, text: str) -> int:
        return len(text.rpartition("\n")[2])

    def _leave_out(self, length: int) -> None:
        """Take back a line of so many characters, which do not count."""
        if length:
            self._refused_text += self._text[-length:]
            self._tail.leave_out(length)
        self._drop(length)
        if not self._text:
            self._beginning = ""

    def _certain(self) -> int:
        """How many of the held characters no rule can take back any more."""
        stops = self._tail.stops
        if not stops and self._rules.known_lines is None:
            return len(self._text)
        rest = self._text[: len(self._text) - self._tail.num_begun()]
        takes_all_of_a_line = bool(stops) and self._rules.fits is not None
        if takes_all_of_a_line or self._begins_known(rest):
            return len(rest) - self._line_length(rest)
        return len(rest)

    def _drop(self, count: int) -> None:
        """Take back the last characters that are held."""
        if count:
            del self._held[-count:]
            self._text = self._text[:-count]

    def _release(self, count: int) -> list[Drawn]:
        """Give the first characters that are held."""
        if not count:
            return []
        released, self._held = self._held[:count], self._held[count:]
        self._is_within_line = self._text[count - 1] != "\n"
        self._beginning = ""
        self._text = self._text[count:]
        return released
