"""How much of a text stands in another, word for word: whether a model writes or recites."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LENGTHS = (10, 20, 40, 80)
"""A character counts as copied where it lies in a stretch of at least this many that stands in the other text."""

SHOWN = 5
"""Of its longest stretches, those that are kept."""


@dataclass(frozen=True)
class Novelty:
    """Where a text agrees with another.

    Attributes:
        characters: of the text.
        longest: its longest stretches that stand in the other, longest first; of those that overlap, one.
        median: length of the stretch that the median character begins.
        copied: for each of `LENGTHS`, the share of its characters that lie in a stretch at least so long.
    """

    characters: int
    longest: list[str]
    median: float
    copied: dict[int, float]


def novelty(text: str, source: str) -> Novelty:
    """Find the stretches of a text that stand in a source.

    Args:
        text: to be judged; the time grows with its length times that of the source.
        source: what it may be copied from.
    """
    lengths = matching_lengths(text, source)
    starts = [i for i, length in enumerate(lengths) if length and (i == 0 or lengths[i - 1] <= length)]
    starts.sort(key=lambda start: -lengths[start])
    longest = _apart(text, [(start, start + int(lengths[start])) for start in starts])
    copied = {minimum: _covered(lengths, minimum) for minimum in LENGTHS}
    return Novelty(len(text), longest, float(np.median(lengths)) if len(lengths) else 0.0, copied)


def _apart(text: str, spans: Sequence[tuple[int, int]]) -> list[str]:
    """The first of the spans, without those that overlap one of them or whose text stands in one."""
    chosen: list[tuple[int, int]] = []
    for start, end in spans:
        if len(chosen) == SHOWN:
            break
        overlaps = any(start < other_end and other < end for other, other_end in chosen)
        if not overlaps and not any(text[start:end] in text[slice(*other)] for other in chosen):
            chosen.append((start, end))
    return [text[slice(*span)] for span in chosen]


def matching_lengths(text: str, source: str) -> NDArray[np.int64]:
    """For each place in a text, how long the stretch is that begins there and stands in the source.

    One that begins a character later is shorter by one at most, so that every length is tried once.
    """
    lengths = np.zeros(len(text), dtype=np.int64)
    length = 0
    for start in range(len(text)):
        while start + length < len(text) and text[start : start + length + 1] in source:
            length += 1
        lengths[start] = length
        length = max(length - 1, 0)
    return lengths


def _covered(lengths: NDArray[np.int64], minimum: int) -> float:
    """The share of characters that lie in a stretch of at least that length."""
    if not len(lengths):
        return 0.0
    ends = np.where(lengths >= minimum, np.arange(len(lengths)) + lengths, 0)
    return float((np.maximum.accumulate(ends) > np.arange(len(lengths))).mean())
