"""Where a sample ends, and which of its characters are certain to belong to it.

Unless it is kept, a stop text is never half written, and a line that must not be written is never begun: characters
are held back until they are certain. A text may come byte by byte, with bytes that are no text by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from charrnn.generation.rules import KnownLines, Rules
from charrnn.surrogates import apart, together

Drawn = tuple[str, float]
"""A character and its log-probability in nats."""

LINE_ENDS = ("\n", "\r\n")
"""Stops that end a text of one line: of a line that does not come they end nothing."""


class _Tail:
    """The last characters drawn, those included that were left out, as far back as a stop may reach.

    Args:
        stops: texts that end a sample.

    Attributes:
        text: the characters.
    """

    def __init__(self, stops: Iterable[str]) -> None:
        ways = {way for stop in stops for way in (stop, apart(stop))}
        self.stops = sorted(ways, key=len, reverse=True)  # of several that end together the longest counts
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
        beginning: what stands before it. Of its last line, if it does not end there, the first one is a part, which is
            never a repeat then, having begun already.

    Attributes:
        takes_text: whether `feed_text` may take the place of `feed`.
        reason: "stop" or "lines" once it has ended by a rule; who draws may set another.
        stop: the text that has ended it, if one has.
        lines: whole lines that came, one whose line feed a stop takes back included, unless the stop ends with that.
        refused: known lines left out.
        repeated: other lines left out since they had come before.
        is_begun_left_out: whether the last line was left out since one that is to be left out begins so.
        is_empty: whether `feed` and `finish` have given nothing.
        surplus: the last characters that `feed_text` took which do not belong to the sample; none until it has ended.
    """

    def __init__(self, rules: Rules, beginning: str = "") -> None:
        self._rules = rules
        self.takes_text = rules.keep_all
        *before, begun = beginning.split("\n")
        self._begun = [begun] if begun else []  # of the line at hand, what is no more held, where that is to be known
        self._keeps_begun = rules.unique or rules.is_cut is not None
        self._written = KnownLines(before) if rules.unique else None
        self._held: list[Drawn] = []
        self._text = ""
        self._is_within_line = False  # of which a part was given out
        self._is_behind_gap = False  # a line left out, or an empty one
        self._refused_text = ""
        self._tail = _Tail(rules.stops)
        self.reason: str | None = None
        self.stop: str | None = None
        self.lines = 0
        self.refused = 0
        self.repeated = 0
        self.is_begun_left_out = False
        self.is_empty = True
        self.surplus = 0

    def feed(self, character: str, log_probability: float) -> list[Drawn]:
        """Take the next character; give those that have become certain."""
        self._held.append((character, log_probability))
        self._text += character
        self._tail.add(character)
        if (stop := self._tail.stop()) and not self._is_end_left_out(stop):
            self._end_by(stop)
            if self._rules.fits is not None and not self._rules.fits(self._line(self._text)):
                self._drop(self._line_length(self._text))
                self._begun.clear()
            is_whole = stop.startswith(LINE_ENDS) and not self._rules.keep_stop
            return self._finish(is_whole=is_whole, is_counted=is_whole and stop not in LINE_ENDS)
        if character == "\n" and self._end_line():
            return self._release(len(self._held))
        return self._release(self._certain())

    def feed_text(self, text: str) -> None:
        """Take the next characters together where `takes_text`: it ends as `feed` ends it, which takes one by one."""
        before, lines = self._tail.text, self._rules.lines
        seen = before + text
        stops = [(place + len(stop), place) for stop in self._tail.stops if (place := seen.find(stop)) >= 0]
        end, begun = min(stops, default=(len(seen) + 1, len(seen)))
        kept = end if stops and self._rules.keep_stop else begun
        text = seen[len(before) : end - 1]  # a line feed that ends a stop counts no line
        if stops:
            self.reason, self.stop = "stop", seen[begun:end]
        if lines is not None and self.lines + text.count("\n") >= lines:
            text = text.removesuffix(text.split("\n", lines - self.lines)[-1])
            self.reason, self.stop, kept = "lines", None, len(before) + len(text)
        if text:
            self._is_within_line = not text.endswith("\n")
            self._begin(text)
        self.lines += text.count("\n") + (self._rules.keep_stop and (self.stop or "").endswith("\n"))
        self.surplus = len(seen) - kept
        self._tail.replace(seen)

    def finish(self) -> list[Drawn]:
        """Give what is still held, but for a known line and the beginning of one: nothing more comes."""
        return self._finish(is_whole=False)

    def take_refused(self) -> str:
        """The characters left out with whole lines since the last call."""
        text, self._refused_text = self._refused_text, ""
        return text

    def _end_by(self, stop: str) -> None:
        """End with a stop: it is taken back, or kept, and then its line feed ends a line as any other does."""
        if not self._rules.keep_stop:
            self._drop(self._tail.num_kept(len(stop)))
        elif stop.endswith("\n"):
            self._end_line()
        self.reason, self.stop = "stop", together(stop)

    def _finish(self, *, is_whole: bool, is_counted: bool = False) -> list[Drawn]:
        """Give what is still held; where lines fit a pattern, the last one is whole unless the length has cut it."""
        length = self._line_length(self._text)
        if not is_counted and self._is_left_out(self._text):  # else it would be a repeat of itself
            if length:
                self._count_left_out(self._text)
            self._leave_out(length)
        elif not is_whole and self._rules.fits is None and self._begins_known(self._text, goes_on=False):
            self.is_begun_left_out = length > 0
            self._drop(length)
        released = self._release(len(self._held))
        if self._rules.fits is not None and (self._is_within_line or self._begun):
            is_cut = self._rules.is_cut if self.reason != "stop" else None
            self.lines += is_cut is None or not is_cut(self._line(""))
        return released

    def _is_end_left_out(self, stop: str) -> bool:
        """Whether a stop that has come is no more than the end of a line that is left out."""
        return stop in LINE_ENDS and self._leaves_out_line(self._text[:-1])

    def _end_line(self) -> bool:
        """Count a line, or leave it out; tell whether it was the last."""
        text = self._text[:-1]
        is_gone, is_left_out, is_empty = self._leaves_out_line(text), self._is_left_out(text), self._is_empty(text)
        self._is_behind_gap = is_left_out or is_empty
        if is_left_out:
            self._count_left_out(text)
        if is_gone:
            self._leave_out(self._line_length(text) + 1)
        if is_left_out or is_empty:
            return False
        self.lines += 1
        if self._written is not None:
            self._written.add(together(self._line(text)))
        if self.lines == self._rules.lines:
            self.reason = "lines"
        return self.reason is not None

    def _leaves_out_line(self, text: str) -> bool:
        """Whether the line that a text ends in, being whole, is left out, as is an empty one behind a gap."""
        return self._is_left_out(text) or (self._is_behind_gap and self._is_empty(text))

    def _is_left_out(self, text: str) -> bool:
        """Whether the line that a text ends in is to be left out, being a known one or a repeat."""
        line = together(self._line(text))
        return any(line in lines for lines in self._unwanted(text))

    def _count_left_out(self, text: str) -> None:
        """Count the line that a text ends in, which is to be left out; a known one is no repeat."""
        known = self._rules.known_lines
        is_known = known is not None and together(self._line(text)) in known
        self.refused += is_known
        self.repeated += not is_known

    def _unwanted(self, text: str) -> Iterator[KnownLines]:
        """The lines that the one that a text ends in must not be; it can be left out where it is held as a whole."""
        if self._rules.known_lines is not None and self._is_held(text):
            yield self._rules.known_lines
        if self._written is not None and self._is_held(text) and ("\n" in text or not self._begun):
            yield self._written

    def _is_empty(self, text: str) -> bool:
        """Whether the line that a text ends in is an empty one, or of spaces, where lines are left out."""
        return self._rules.leave_out_lines and self._is_held(text) and not together(self._line(text)).strip()

    def _begins_known(self, text: str, *, goes_on: bool = True) -> bool:
        """Whether the line that a text ends in may still become one that is to be left out, or has begun as one."""
        if not self._rules.leave_out_lines or not self._is_held(text):  # as most are, and a line may be a long one
            return False
        line = together(self._line(text), is_whole=not goes_on)
        return any(not line.strip() or lines.have_one_that_begins_with(line) for lines in self._unwanted(text))

    def _is_held(self, text: str) -> bool:
        """Whether the line that a text, the one held or its beginning, ends in is held from its start on."""
        return not self._is_within_line or "\n" in text

    def _line(self, text: str) -> str:
        """The line that a text ends in, with what stood before the sample."""
        _, end, line = text.rpartition("\n")
        return line if end else "".join([*self._begun, line])

    def _line_length(self, text: str) -> int:
        return len(text.rpartition("\n")[2])

    def _leave_out(self, length: int) -> None:
        """Take back a line of so many characters, which do not count."""
        if length:
            self._refused_text += self._text[-length:]
            self._tail.leave_out(length)
        self._drop(length)
        if not self._text:
            self._begun.clear()

    def _certain(self) -> int:
        """How many of the held characters no rule can take back any more."""
        stops = self._tail.stops
        if not stops and not self._rules.leave_out_lines:
            return len(self._text)
        rest = self._text[: len(self._text) - (0 if self._rules.keep_stop else self._tail.num_begun())]
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
        self.is_empty = False
        released, self._held = self._held[:count], self._held[count:]
        text, self._text = self._text[:count], self._text[count:]
        self._is_within_line = text[-1] != "\n"
        self._begin(text)
        return released

    def _begin(self, text: str) -> None:
        """Keep what was given out of the line at hand, piece by piece: it may be a long one."""
        if "\n" in text:
            self._begun.clear()
        if self._keeps_begun and self._is_within_line:
            self._begun.append(text.rpartition("\n")[2])
