"""Samples held to a pattern, line by line: what may be drawn next, so that every line can still match.

A character is open (may be drawn) if a match can be completed after it within the length; a line feed if the line is
complete, or the CR before it if both have room. The model draws from the open characters, in the proportions that it
gives them. A sample is over when no character is open, which happens after a whole line only: no room is left for
another, or there is no line feed to end the line with.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from charrnn.errors import ConfigError
from charrnn.generation.automaton import UNREACHABLE, Automaton, Mask, PatternState
from charrnn.generation.patterns import parse_pattern, shown
from charrnn.text.encoder import CharEncoder
from charrnn.text.options import BYTE

MOST_LACKING = 3
"""The most parts of a pattern without a matching character that a message names."""


@dataclass(frozen=True)
class LineMatch:
    """A pattern for the lines of samples, and the state in which the samples begin.

    Attributes:
        pattern: the pattern of each line.
        encoder: the model's encoder.
        automaton: the pattern over the model's alphabet.
        state: the state before the first character that is drawn.
        ends_by_cr_lf: whether a CR, which is no part of the pattern, stands before each line feed.
    """

    pattern: str
    encoder: CharEncoder
    automaton: Automaton
    state: PatternState
    ends_by_cr_lf: bool = False

    @classmethod
    def build(
        cls,
        pattern: str,
        encoder: CharEncoder,
        allowed: tuple[int, ...] | None = None,
        *,
        ends_by_cr_lf: bool = False,
    ) -> LineMatch:
        """Make the match for samples that begin at the start of a line.

        Args:
            pattern: the pattern of each line; see `charrnn.generation.patterns`.
            encoder: the model's encoder.
            allowed: ids that can be drawn; None for all.
            ends_by_cr_lf: whether each line is to end with CR LF, as the model's do; the pattern covers what stands
                before it.

        Raises:
            ConfigError: the pattern is invalid, or the model writes bytes.
        """
        if encoder.unit == BYTE:
            raise ConfigError("--match is a pattern of characters, and this model writes bytes; leave it out")
        drawable = np.full(len(encoder), allowed is None)
        drawable[list(allowed or ())] = True
        if encoder.unknown_id is not None:
            drawable[encoder.unknown_id] = False
        parsed = parse_pattern(pattern, "\r\n" if ends_by_cr_lf else "\n")
        automaton = Automaton(parsed, encoder.spelled, drawable)
        return cls(pattern, encoder, automaton, automaton.start, ends_by_cr_lf)

    def after(self, prompt: str, length: int | None) -> LineMatch:
        """Return the match for samples that continue a prompt, whose last line is the start of their first.

        Args:
            prompt: of the model's characters, or of any if the model has an unknown id.
            length: the most characters to draw; None for no limit.

        Raises:
            ConfigError: no matching line can come of it.
        """
        line = prompt.rpartition("\n")[2]
        state, num_read = self._read(line)
        if num_read < len(line):
            raise ConfigError(
                f"the prompt begins no line that fits --match {shown(self.pattern)}: not with {line[num_read]!r} as "
                f"character {num_read + 1} of its last line"
            )
        if state.distance == UNREACHABLE:
            raise ConfigError(
                f"no line {'that goes on from the prompt ' if line else ''}with the model's characters fits --match "
                f"{shown(self.pattern)}; {self._why_none()}"
            )
        if length is not None and state.distance > length:
            raise ConfigError(
                f"--length is {length}, and a line that fits --match {shown(self.pattern)} takes at least "
                f"{state.distance:,}{' more' if line else ''}"
            )
        return replace(self, state=state)

    def _why_none(self) -> str:
        """Why no line can match, as far as can be told, or what to look at."""
        if self.ends_by_cr_lf and ("\r" in self.pattern or r"\r" in self.pattern):
            return "the CR of a line's end is no part of the pattern"
        if found := re.search(r"\[:[a-z]+:\]", self.pattern):
            return f"{found[0]} is no class of Python's, but [A-Z], [a-z], \\d and \\w are"
        if re.fullmatch("(?s)/.*/", self.pattern) and "/" in self.automaton.lacking:
            return "slashes around a pattern are a part of it"
        where = "`charrnn inspect` lists them, and --allow and --forbid take from them"
        sources = [shown(re.sub(r"^\\([^0-9A-Za-z])$", r"\1", source)) for source in self.automaton.lacking]
        return f"none of them fits {' or '.join(sources[:MOST_LACKING])}; {where}" if sources else where

    @property
    def has_lines(self) -> bool:
        """Whether a matching line can be written from its first character on."""
        return self.automaton.start.distance < UNREACHABLE

    @property
    def is_endless(self) -> bool:
        """Whether a matching line may be of any length; see `Pattern.is_endless`."""
        return self.automaton.pattern.is_endless(self.automaton.drawn)

    def shortest(self, lines: int) -> int:
        """The fewest characters of so many lines with their ends; of the first line, those still missing."""
        end = 2 if self.ends_by_cr_lf else 1
        others = (lines - 1) * (self.automaton.start.distance + end) if self.has_lines else 0
        return self.state.distance + end + others

    def fits(self, line: str) -> bool:
        """Whether a line is a whole match, apart from a CR at its end where lines end with CR LF."""
        if self.ends_by_cr_lf:
            line = line.removesuffix("\r")
        state, num_read = self._read(line)
        return num_read == len(line) and state.complete

    def is_cut(self, line: str) -> bool:
        """Whether a matching line, cut by the length, could both have ended here and gone on."""
        state, _ = self._read(line)
        open_ = state.open(UNREACHABLE - 1)
        return bool(state.line_end) and bool(open_[state.line_end[0]] and open_.sum() > 1)

    def may_hold(self, text: str) -> bool:
        """Whether a text of drawable characters may occur in matching lines; see `Automaton.may_hold`."""
        return self.automaton.may_hold(self.encoder.encode_list(text))

    def _read(self, line: str) -> tuple[PatternState, int]:
        """Read the longest prefix of a line that can begin a match; return the state and the prefix's length."""
        state, automaton = self.automaton.start, self.automaton
        for number, (character, id_) in enumerate(zip(line, self.encoder.encode_list(line), strict=True)):
            has_own_id = id_ != self.encoder.unknown_id
            following = automaton.step(state, id_) if has_own_id else automaton.step_beyond(state, character)
            if following is None:
                return state, number
            state = following
        return state, len(line)

    def walk(self) -> MatchState:
        """Begin to follow one sample."""
        return MatchState(self.automaton, self.state)


class MatchState:
    """The state of one sample in the automaton of a pattern."""

    def __init__(self, automaton: Automaton, state: PatternState) -> None:
        self._automaton = automaton
        self._state = state

    def ended(self, left: int) -> bool:
        """Whether the sample is over: no character may follow if at most `left` can be drawn."""
        return self._state.nearest >= left

    def open(self, left: int) -> Mask:
        """The characters that may follow if at most `left` can be drawn, shape (V,); all False once it is over."""
        return self._state.open(left - 1)

    def advance(self, character: int) -> None:
        """Read a character, which must be an open one."""
        following = self._automaton.step(self._state, character)
        assert following is not None, "an open character was drawn"
        self._state = following
