"""Where a sample ends, and which of its characters are certain to belong to it.

Characters are held back until they are certain, so that no part of a stop text is written (unless it is kept), nor of a
line that must not be written. A text may come byte by byte, with bytes that are no text by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from charrnn.generation.rules import KnownLines, Rules
from charrnn.surrogates import join_bytes, split_bytes

Drawn = tuple[str, float]
"""A character and its log-probability in nats."""

LINE_ENDS = ("\n", "\r\n")
"""Stops that are nothing but a line's end: they do not end a sample if the line is left out."""


class Ending:
    """The rules applied to one sample as it grows.

    Args:
        rules: what ends the sample, and what it must not hold.
        prompt: the text before it; a line that this begins is continued, and never counts as a repeat.

    Attributes:
        takes_text: whether `feed_text` may be called in place of `feed`.
        reason: "stop" or "lines" once a rule has ended the sample; the caller may set another.
        stop: the text that has ended it, if one has.
        lines: number of whole lines; one whose line feed a stop removes counts unless the stop ends with it.
        refused: number of known lines left out.
        repeated: number of other lines left out because they had come before.
        is_begun_left_out: whether an unfinished last line was left out because a line to leave out begins with it.
        is_empty: whether `feed` and `finish` have returned nothing so far.
        surplus: how many of the last characters taken by `feed_text` do not belong to the sample; 0 until it has ended.
    """

    def __init__(self, rules: Rules, prompt: str = "") -> None:
        self._rules = rules
        self.takes_text = rules.keep_all
        *lines_before, unfinished = prompt.split("\n")
        self._line_start = [unfinished] if unfinished else []  # of the current line, what is not held, in pieces
        self._keeps_line_start = rules.unique or rules.is_cut is not None
        self._written = KnownLines(lines_before) if rules.unique else None
        self._held: list[Drawn] = []
        self._text = ""
        self._is_within_line = False  # whether a part of the current line was released
        self._is_behind_gap = False  # whether the last line was left out, or empty
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
        """Take the next character; return those that have become certain."""
        self._held.append((character, log_probability))
        self._text += character
        self._tail.add(character)
        if (stop := self._tail.stop()) and not self._is_end_left_out(stop):
            self._end_by(stop)
            if self._rules.fits is not None and not self._rules.fits(self._line(self._text)):
                self._drop(self._line_length(self._text))
                self._line_start.clear()
            is_whole = stop.startswith(LINE_ENDS) and not self._rules.keep_stop
            return self._finish(is_whole=is_whole, is_counted=is_whole and stop not in LINE_ENDS)
        if character == "\n" and self._end_line():
            return self._release(len(self._held))
        return self._release(self._certain())

    def feed_text(self, text: str) -> None:
        """Take several characters at once, if `takes_text`; the sample ends where it would with `feed`."""
        before, most_lines = self._tail.text, self._rules.lines
        seen = before + text
        kept = len(seen)  # how many characters of it belong to the sample
        found = [(place + len(stop), place) for stop in self._tail.stops if (place := seen.find(stop)) >= 0]
        if found:
            stop_end, stop_start = min(found)  # the first that is whole; of several the longest
            self.reason, self.stop = "stop", seen[stop_start:stop_end]
            kept = stop_end if self._rules.keep_stop else stop_start
            text = seen[len(before) : stop_end - 1]  # a line feed at the end of a stop does not count a line here
        if most_lines is not None and self.lines + text.count("\n") >= most_lines:
            text = text.removesuffix(text.split("\n", most_lines - self.lines)[-1])
            self.reason, self.stop = "lines", None
            kept = len(before) + len(text)
        if text:
            self._is_within_line = not text.endswith("\n")
            self._extend_line_start(text)
        stop_ends_line = self._rules.keep_stop and self.stop is not None and self.stop.endswith("\n")
        self.lines += text.count("\n") + stop_ends_line
        self.surplus = len(seen) - kept
        self._tail.replace(seen)

    def finish(self) -> list[Drawn]:
        """End the sample: return what is still held, except a line to leave out or the beginning of one."""
        return self._finish(is_whole=False)

    def take_refused(self) -> str:
        """Return the characters of the whole lines left out since the last call."""
        text, self._refused_text = self._refused_text, ""
        return text

    def _end_by(self, stop: str) -> None:
        """End with a stop: remove it, or keep it; a line feed at the end of a kept stop ends a line like any other."""
        if not self._rules.keep_stop:
            self._drop(self._tail.num_kept(len(stop)))
        elif stop.endswith("\n"):
            self._end_line()
        self.reason, self.stop = "stop", join_bytes(stop)

    def _finish(self, *, is_whole: bool, is_counted: bool = False) -> list[Drawn]:
        """Return what is still held; where lines fit a pattern, count the last one unless the length has cut it.

        Args:
            is_whole: whether the last line is whole, as a stop that is removed begins with its line end.
            is_counted: whether that line was counted and recorded before the stop was complete.
        """
        length = self._line_length(self._text)
        if not is_counted and self._is_left_out(self._text):  # a counted line would be a repeat of itself
            if length:
                self._count_left_out(self._text)
            self._leave_out(length)
        elif not is_whole and self._rules.fits is None and self._begins_known(self._text):
            self.is_begun_left_out = length > 0
            self._drop(length)
        released = self._release(len(self._held))
        if self._rules.fits is not None and (self._is_within_line or self._line_start):
            is_cut = self._rules.is_cut if self.reason != "stop" else None
            self.lines += is_cut is None or not is_cut(self._line(""))
        return released

    def _is_end_left_out(self, stop: str) -> bool:
        """Whether a stop is nothing but the end of a line that is left out."""
        return stop in LINE_ENDS and self._leaves_out_line(self._text[:-1])

    def _end_line(self) -> bool:
        """Count the line that ends here, or leave it out; return whether it ends the sample."""
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
            self._written.add(join_bytes(self._line(text)))
        if self.lines == self._rules.lines:
            self.reason = "lines"
        return self.reason is not None

    def _leaves_out_line(self, text: str) -> bool:
        """Whether to leave out the last line of a text, which is whole: also if it is empty and follows a gap."""
        return self._is_left_out(text) or (self._is_behind_gap and self._is_empty(text))

    def _is_left_out(self, text: str) -> bool:
        """Whether the last line of a text is to be left out, as a known line or a repeat."""
        line = join_bytes(self._line(text))
        return any(line in lines for lines in self._unwanted(text))

    def _count_left_out(self, text: str) -> None:
        """Count the last line of a text, which is to be left out, as a known line or else as a repeat."""
        known = self._rules.known_lines
        is_known = known is not None and join_bytes(self._line(text)) in known
        self.refused += is_known
        self.repeated += not is_known

    def _unwanted(self, text: str) -> Iterator[KnownLines]:
        """The lines that the last line of a text must not equal: none if a part of it was released or is a prompt's."""
        if self._rules.known_lines is not None and self._is_held(text):
            yield self._rules.known_lines
        if self._written is not None and self._is_held(text) and ("\n" in text or not self._line_start):
            yield self._written

    def _is_empty(self, text: str) -> bool:
        """Whether lines may be left out and the last line of a text is empty or white space."""
        return self._rules.leave_out_lines and self._is_held(text) and not join_bytes(self._line(text)).strip()

    def _begins_known(self, text: str) -> bool:
        """Whether the last line of a text is blank or begins a line to leave out; a cut character does not count."""
        if not self._rules.leave_out_lines or not self._is_held(text):  # the usual case; spares joining a long line
            return False
        line = join_bytes(self._line(text), is_whole=False)
        return not line.strip() or any(lines.have_one_that_begins_with(line) for lines in self._unwanted(text))

    def _is_held(self, text: str) -> bool:
        """Whether the last line of a text, `_text` or its beginning, is held from the line's start on."""
        return not self._is_within_line or "\n" in text

    def _line(self, text: str) -> str:
        """The last line of a text, with the part of it that was released or stood before the sample."""
        _, end, line = text.rpartition("\n")
        return line if end else "".join([*self._line_start, line])

    def _line_length(self, text: str) -> int:
        return len(text.rpartition("\n")[2])

    def _leave_out(self, length: int) -> None:
        """Drop the held part of a line, its last `length` characters, which do not count."""
        if length:
            self._refused_text += self._text[-length:]
            self._tail.leave_out(length)
        self._drop(length)
        if not self._text:
            self._line_start.clear()

    def _certain(self) -> int:
        """How many of the held characters no rule can drop any more."""
        stops = self._tail.stops
        if not stops and not self._rules.leave_out_lines:
            return len(self._text)
        rest = self._text[: len(self._text) - (0 if self._rules.keep_stop else self._tail.num_in_begun_stop())]
        takes_all_of_a_line = bool(stops) and self._rules.fits is not None
        if takes_all_of_a_line or self._begins_known(rest):
            return len(rest) - self._line_length(rest)
        return len(rest)

    def _drop(self, count: int) -> None:
        """Drop the last characters held."""
        if count:
            del self._held[-count:]
            self._text = self._text[:-count]

    def _release(self, count: int) -> list[Drawn]:
        """Release the first characters held."""
        if not count:
            return []
        self.is_empty = False
        released, self._held = self._held[:count], self._held[count:]
        text, self._text = self._text[:count], self._text[count:]
        self._is_within_line = text[-1] != "\n"
        self._extend_line_start(text)
        return released

    def _extend_line_start(self, text: str) -> None:
        """Add what was released to the start of the current line; in pieces, since the line may be long."""
        if "\n" in text:
            self._line_start.clear()
        if self._keeps_line_start and self._is_within_line:
            self._line_start.append(text.rpartition("\n")[2])


class _Tail:
    """The last characters drawn, including those left out, as far back as a stop may reach.

    Args:
        stops: texts that end a sample.

    Attributes:
        text: the characters.
        stops: as given, with those also as they are drawn byte by byte, longest first.
    """

    def __init__(self, stops: Iterable[str]) -> None:
        ways = {way for stop in stops for way in (stop, split_bytes(stop))}
        self.stops = sorted(ways, key=len, reverse=True)  # of several that end at the same character the longest counts
        self.text = ""
        self._longest = len(self.stops[0]) if self.stops else 0
        self._is_kept: list[bool] = []  # for each of the characters, whether it is not left out

    def add(self, character: str) -> None:
        """Take the next character."""
        if self._longest:
            self.text = (self.text + character)[-self._longest :]
            self._is_kept = [*self._is_kept, True][-self._longest :]

    def replace(self, text: str) -> None:
        """Replace the characters by the end of a text of which nothing was left out."""
        self.text = text[max(len(text) - self._longest, 0) :]
        self._is_kept = [True] * len(self.text)

    def leave_out(self, count: int) -> None:
        """Mark the last characters as left out."""
        first = max(len(self._is_kept) - count, 0)
        self._is_kept[first:] = [False] * (len(self._is_kept) - first)

    def stop(self) -> str | None:
        """The stop that the characters end with, if any."""
        return next((stop for stop in self.stops if self.text.endswith(stop)), None)

    def num_kept(self, count: int) -> int:
        """How many of the last characters are not left out."""
        return sum(self._is_kept[-count:]) if count else 0

    def num_in_begun_stop(self) -> int:
        """How many of the last characters may be the beginning of a stop, not counting those left out."""
        return max(map(self._num_in_begun_stop, self.stops), default=0)

    def _num_in_begun_stop(self, stop: str) -> int:
        longest = min(len(stop) - 1, len(self.text))
        return self.num_kept(next((n for n in range(longest, 0, -1) if self.text.endswith(stop[:n])), 0))
