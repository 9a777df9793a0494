"""How much of a text is copied verbatim from another: whether a model writes or recites."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

LENGTHS = (10, 20, 40, 80)
"""A character counts as copied if it lies in a substring of at least this length that occurs in the other text."""

SHOWN = 5
"""Number of longest copied substrings that are kept."""


@dataclass(frozen=True)
class Novelty:
    """Overlap of a text with a source.

    Attributes:
        characters: length of the text.
        longest: the longest substrings that occur in the source, longest first, without overlaps.
        median: median over the characters of the length of the longest copied substring that begins there.
        copied: for each of `LENGTHS`, the share of characters that lie in a copied substring of at least that length.
        lines: number of whole, non-empty lines; None if the text is judged as one stream.
        copied_lines: share of these that occur in the source as whole lines; None if there are none.
    """

    characters: int
    longest: list[str]
    median: float
    copied: dict[int, float]
    lines: int | None = None
    copied_lines: float | None = None


def novelty(texts: Sequence[str], source: Iterable[str]) -> list[Novelty]:
    """Find the substrings of texts that occur in a source.

    Args:
        texts: to be judged.
        source: text that they may be copied from, in pieces; it is read once.
    """
    found = zip(texts, matching_lengths(texts, source), strict=True)
    return [_judge(text, lengths, np.ones(len(lengths), dtype=bool)) for text, lengths in found]


def novelty_of_lines(texts: Sequence[str], source: Iterable[str], *, are_cut: Sequence[bool]) -> list[Novelty]:
    """Find the substrings of texts that occur in a source, where each line is a text of its own.

    No copied substring extends beyond a line, and line feeds are not judged.

    Args:
        texts: to be judged.
        source: text that they may be copied from, in pieces; it is read once.
        are_cut: for each text, whether its last line is cut off.
    """
    whole = [_whole_lines(*pair) for pair in zip(texts, are_cut, strict=True)]
    known = set[str]()
    matching = matching_lengths(texts, _noting_lines(source, {*itertools.chain(*whole)}, known))
    return [
        _judge_lines(text, lengths, lines, known) for text, lengths, lines in zip(texts, matching, whole, strict=True)
    ]


def matching_lengths(texts: Sequence[str], source: Iterable[str]) -> list[NDArray[np.int64]]:
    """For each place in each text, the length of the longest substring that begins there and occurs in the source.

    The source is read once, in pieces, by a suffix automaton of each text.
    """
    searches = [_Search(text) for text in texts]
    for piece in source:
        for search in searches:
            search.read(piece)
    return [search.lengths() for search in searches]


def _whole_lines(text: str, is_cut: bool) -> list[str]:
    lines = _lines(text)
    return [line for line in lines[: len(lines) - is_cut] if line]


def _lines(text: str) -> list[str]:
    """The lines of a text, without LF or CR LF."""
    return [line.removesuffix("\r") for line in text.split("\n")]


def _noting_lines(source: Iterable[str], wanted: set[str], known: set[str]) -> Iterator[str]:
    """Pass the pieces of a source through, and add those of the wanted lines that occur in it to `known`."""
    rest = ""
    for piece in source:
        yield piece
        *lines, rest = (rest + piece).split("\n")
        known |= wanted.intersection(line.removesuffix("\r") for line in lines)
    known |= wanted.intersection(_lines(rest))


def _judge_lines(text: str, lengths: NDArray[np.int64], whole: Sequence[str], known: set[str]) -> Novelty:
    left = np.concatenate([np.arange(len(line), -1, -1) for line in text.split("\n")])[:-1]  # to the line's end
    is_judged = np.array([character != "\n" for character in text], dtype=bool)
    copied = sum(line in known for line in whole) / len(whole) if whole else None
    return replace(_judge(text, np.minimum(lengths, left), is_judged), lines=len(whole), copied_lines=copied)


def _judge(text: str, lengths: NDArray[np.int64], is_judged: NDArray[np.bool_]) -> Novelty:
    """Summarise the lengths of the copied substrings at each place, over the judged characters."""
    starts = [i for i, length in enumerate(lengths) if length and (i == 0 or lengths[i - 1] <= length)]
    starts.sort(key=lambda start: -lengths[start])
    longest = _apart(text, [(start, start + int(lengths[start])) for start in starts])
    copied = {minimum: _covered(lengths, minimum, is_judged) for minimum in LENGTHS}
    median = float(np.median(lengths[is_judged])) if is_judged.any() else 0.0
    return Novelty(len(text), longest, median, copied)


def _apart(text: str, spans: Sequence[tuple[int, int]]) -> list[str]:
    """The texts of the first `SHOWN` spans that neither overlap an earlier one nor repeat a part of it."""
    chosen: list[tuple[int, int]] = []
    for start, end in spans:
        if len(chosen) == SHOWN:
            break
        overlaps = any(start < other_end and other < end for other, other_end in chosen)
        if not overlaps and not any(text[start:end] in text[slice(*other)] for other in chosen):
            chosen.append((start, end))
    return [text[slice(*span)] for span in chosen]


class _Search:
    """Finds the substrings of a text that occur in a source.

    Args:
        text: any text.
    """

    def __init__(self, text: str) -> None:
        self._automaton = _SuffixAutomaton(text)
        self._found = [0] * len(self._automaton.longest)
        self._state = self._length = 0

    def read(self, piece: str) -> None:
        """Read the next piece of the source."""
        following, shorter, longest = self._automaton.following, self._automaton.shorter, self._automaton.longest
        found, state, length = self._found, self._state, self._length
        for character in piece:
            if (after := following[state].get(character)) is None:
                while after is None and state:
                    state = shorter[state]
                    after = following[state].get(character)
                length = longest[state]
            if after is not None:
                state, length = after, length + 1
                if length > found[state]:
                    found[state] = length
        self._state, self._length = state, length

    def lengths(self) -> NDArray[np.int64]:
        """Length of the longest match that begins at each place of the text, in the source as read so far.

        From one place to the next the length falls by at most one, so the scan takes linear time.
        """
        behind = self._lengths_behind()
        lengths = np.zeros(len(behind), dtype=np.int64)
        length = 0
        for start in range(len(behind)):
            while start + length < len(behind) and behind[start + length] > length:
                length += 1
            lengths[start] = length
            length = max(length - 1, 0)
        return lengths

    def _lengths_behind(self) -> list[int]:
        """Length of the longest match that ends at each place of the text."""
        shorter, longest, found = self._automaton.shorter, self._automaton.longest, [*self._found]
        by_length = sorted(range(1, len(longest)), key=longest.__getitem__)
        for state in reversed(by_length):  # the suffixes of a match occur in the source too
            if found[state]:
                found[shorter[state]] = longest[shorter[state]]
        for state in by_length:
            found[state] = found[state] or found[shorter[state]]
        return [found[state] for state in self._automaton.prefixes]


class _SuffixAutomaton:
    """Suffix automaton of a text: Blumer et al. 1985, "The smallest automaton recognizing the subwords of a text".

    A state stands for all substrings that end at the same set of places; there are at most two per character.

    Args:
        text: any text.

    Attributes:
        following: for each state, its transitions by character.
        longest: for each state, the length of its longest substring.
        shorter: for each state, its suffix link: the state of the longest suffix that belongs to another state.
        prefixes: the state of each prefix of the text.
    """

    def __init__(self, text: str) -> None:
        self.following: list[dict[str, int]] = [{}]
        self.longest = [0]
        self.shorter = [-1]
        self.prefixes: list[int] = []
        last = 0
        for character in text:
            last = self._append(character, last)
            self.prefixes.append(last)

    def _append(self, character: str, last: int) -> int:
        new = self._add({}, self.longest[last] + 1, 0)
        while last >= 0 and character not in self.following[last]:
            self.following[last][character] = new
            last = self.shorter[last]
        if last >= 0:
            self.shorter[new] = self._split(character, last)
        return new

    def _split(self, character: str, before: int) -> int:
        """The state of `before`'s longest substring plus `character`, split off another state if necessary."""
        state = self.following[before][character]
        if self.longest[state] == self.longest[before] + 1:
            return state
        part = self._add(dict(self.following[state]), self.longest[before] + 1, self.shorter[state])
        self.shorter[state] = part
        while before >= 0 and self.following[before].get(character) == state:
            self.following[before][character] = part
            before = self.shorter[before]
        return part

    def _add(self, following: dict[str, int], longest: int, shorter: int) -> int:
        self.following.append(following)
        self.longest.append(longest)
        self.shorter.append(shorter)
        return len(self.longest) - 1


def _covered(lengths: NDArray[np.int64], minimum: int, is_judged: NDArray[np.bool_]) -> float:
    """The share of the judged characters that lie in a copied substring of at least `minimum` characters."""
    if not is_judged.any():
        return 0.0
    ends = np.where(lengths >= minimum, np.arange(len(lengths)) + lengths, 0)
    return float((np.maximum.accumulate(ends) > np.arange(len(lengths)))[is_judged].mean())
