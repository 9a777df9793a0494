"""Samples held to a pattern, line by line: what may be drawn next, so that every line can still be whole.

A character is open to be drawn if a match can be completed after it within the length; a line feed if the line is
complete, or the CR before it if both have room. The model's choice is among these, in the proportions that it gives
them. A sample is over where nothing is open, which is behind a whole line only: no room is left for another, or there
is no line feed to end the line with.
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
"""Parts of a pattern which no character fits that a message names, at most."""


@dataclass(frozen=True)
class LineMatch:
    """A pattern for the lines of samples, and where in it they begin.

    Attributes:
        pattern: for each line.
        encoder: of the model's alphabet.
        automaton: of both.
        state: before the first character that is drawn.
        ends_by_cr_lf: whether a CR, which the pattern does not name, stands before each line feed.
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
        """For samples that begin with a line.

        Args:
            pattern: for each line; see `charrnn.generation.patterns`.
            encoder: of the model's alphabet.
            allowed: ids that can be drawn; None for all.
            ends_by_cr_lf: whether each line is to end by CR LF, as the model's do; the pattern is for what stands
                before.

        Raises:
            ConfigError: the pattern cannot be followed.
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
        """For samples that continue a prompt, the last line of which is a part of their first.

        Args:
            prompt: of the model's characters, or, where it has one id for rare ones, of any.
            length: characters to draw at most; None for no limit.

        Raises:
            ConfigError: no line that fits can come of it.
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
        """Why no line fits, as far as can be told, or what to look at."""
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
        """Whether a line can be written that fits, from its first character on."""
        return self.automaton.start.distance < UNREACHABLE

    @property
    def is_endless(self) -> bool:
        """Whether a line that fits may be of any length; see `Pattern.is_endless`."""
        return self.automaton.pattern.is_endless(self.automaton.drawn)

    def shortest(self, lines: int) -> int:
        """Characters of so many lines with their ends, at least; of the first what is to come."""
        end = 2 if self.ends_by_cr_lf else 1
        others = (lines - 1) * (self.automaton.start.distance + end) if self.has_lines else 0
        return self.state.distance + end + others

    def fits(self, line: str) -> bool:
        """Whether what was drawn of a line is a whole match, but for a CR at its end."""
        if self.ends_by_cr_lf:
            line = line.removesuffix("\r")
        state, num_read = self._read(line)
        return num_read == len(line) and state.complete

    def is_cut(self, line: str) -> bool:
        """Whether a line that fits might have ended, and gone on, where it has done neither and lines can end."""
        state, _ = self._read(line)
        open_ = state.open(UNREACHABLE - 1)
        return bool(state.line_end) and bool(open_[state.line_end[0]] and open_.sum() > 1)

    def may_hold(self, text: str) -> bool:
        """Whether a text of characters that can be drawn may stand in lines that fit; see `Automaton.may_hold`."""
        return self.automaton.may_hold(self.encoder.encode_list(text))

    def _read(self, line: str) -> tuple[PatternState, int]:
        """The state after as many of a line's characters as can begin a match, and how many they are."""
        state, automaton = self.automaton.start, self.automaton
        for number, (character, id_) in enumerate(zip(line, self.encoder.encode_list(line), strict=True)):
            has_own_id = id_ != self.encoder.unknown_id
            following = automaton.step(state, id_) if has_own_id else automaton.step_beyond(state, character)
            if following is None:
                return state, number
            state = following
        return state, len(line)

    def walk(self) -> Walk:
        """Follow one sample."""
        return Walk(self.automaton, self.state)


class Walk:
    """One sample on its way through a pattern."""

    def __init__(self, automaton: Automaton, state: PatternState) -> None:
        self._automaton = automaton
        self._state = state

    def ended(self, left: int) -> bool:
        """Whether it is over: no character may follow where only so many are left."""
        return self._state.nearest >= left

    def open(self, left: int) -> Mask:
        """The characters that may follow where so many are left, shape (V,); all False once it is over."""
        return self._state.open(left - 1)

    def advance(self, character: int) -> None:
        """Go on by a character that may follow."""
        following = self._automaton.step(self._state, character)
        assert following is not None, "an open character was drawn"
        self._state = following
