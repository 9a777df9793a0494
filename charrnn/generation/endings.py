"""Where a sample ends, and which of its characters are certain to belong to it.

A stop text is never half written, and a line that must not be written is never begun: characters are held back until
they are certain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Drawn = tuple[str, float]
"""A character and its log-probability in nats."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What ends a sample before its length, and what it must not hold.

    Attributes:
        stops: texts that end it; they are not part of it.
        lines: whole lines after which it ends.
        known_lines: lines that are left out, each without its line end; they do not count.
        fits: tells whether a line that a stop has cut may stand; None: any may.
    """

    stops: tuple[str, ...] = ()
    lines: int | None = None
    known_lines: frozenset[str] | None = None
    fits: Callable[[str], bool] | None = None

    @property
    def are_none(self) -> bool:
        """Whether a sample ends by its length alone."""
        return not self.stops and self.lines is None and self.known_lines is None


class Ending:
    """The rules applied to one sample as it grows.

    Args:
        rules: what ends it.
        beginning: what stands before it on its first line, which counts as a part of that line.

    Attributes:
        reason: "stop" or "lines" once it has ended by a rule; who draws may set another.
        refused: known lines left out.
    """

    def __init__(self, rules: Rules, beginning: str = "") -> None:
        self._rules = rules
        self._beginning = beginning.rpartition("\n")[2]
        self._held: list[Drawn] = []
        self._text = ""
        self._lines = 0
        self.reason: str | None = None
        self.refused = 0

    def feed(self, character: str, log_probability: float) -> list[Drawn]:
        """Take the next character; give those that have become certain."""
        self._held.append((character, log_probability))
        self._text += character
        for stop in self._rules.stops:
            if self._text.endswith(stop):
                self.reason = "stop"
                self._drop(len(stop))
                if self._rules.fits is not None and not self._rules.fits(self._line(self._text)):
                    self._drop(self._line_length(self._text))
                return self.finish()
        if character == "\n" and self._end_line():
            return self.finish()
        return self._release(self._certain())

    def finish(self) -> list[Drawn]:
        """Give what is still held: nothing more comes."""
        if self._is_known(self._text):
            self._refuse(self._line_length(self._text))
        return self._release(len(self._held))

    def _end_line(self) -> bool:
        """Count a line, or leave it out; tell whether it was the last."""
        if self._is_known(self._text[:-1]):
            self._refuse(self._line_length(self._text[:-1]) + 1)
            return False
        self._beginning = ""
        self._lines += 1
        if self._lines == self._rules.lines:
            self.reason = "lines"
        return self.reason is not None

    def _is_known(self, text: str) -> bool:
        """Whether the line that a text ends in is to be left out; a carriage return is a part of its end."""
        known = self._rules.known_lines
        return known is not None and self._line(text).removesuffix("\r") in known

    def _line(self, text: str) -> str:
        """The line that a text ends in, with what stood before the sample."""
        return (self._beginning + text).rpartition("\n")[2]

    def _line_length(self, text: str) -> int:
        return len(text.rpartition("\n")[2])

    def _refuse(self, length: int) -> None:
        if length:
            self.refused += 1
        self._drop(length)
        self._beginning = ""

    def _certain(self) -> int:
        """How many of the held characters no rule can take back any more."""
        uncertain = 0
        if self._rules.known_lines is not None:
            uncertain = self._line_length(self._text)
        for stop in self._rules.stops:
            longest = min(len(stop) - 1, len(self._text))
            begun = next((n for n in range(longest, 0, -1) if self._text.endswith(stop[:n])), 0)
            if self._rules.fits is not None:  # the stop may take the rest of its line with it
                begun += self._line_length(self._text[: len(self._text) - begun])
            uncertain = max(uncertain, begun)
        return len(self._held) - uncertain

    def _drop(self, count: int) -> None:
        """Take back the last characters that are held."""
        if count:
            del self._held[-count:]
            self._text = self._text[:-count]

    def _release(self, count: int) -> list[Drawn]:
        released, self._held = self._held[:count], self._held[count:]
        self._text = self._text[count:]
        return released
