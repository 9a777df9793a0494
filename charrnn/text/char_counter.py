"""The result of one pass over a text: how often each character occurs and, if the text is not large, the text itself.

Characters are numbered in order of appearance, ASCII ones by their codes and all others from 128 on. When the whole
text is read and the alphabet known, the numbers become ids, so that the text need not be read and decoded again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.arrays import Ids
from charrnn.config import CODE_POINTS
from charrnn.text.encoder import CharEncoder, Points, translate

Counts = NDArray[np.int64]
Numbers = NDArray[np.unsignedinteger[Any]]
"""Numbers of characters, in order of first appearance, in the narrowest type; bytes if all are ASCII."""

NUM_ASCII = 128

COMMON = 0x20000
"""Code points below this, including emoji, are counted with `bincount`."""

LONG_PIECE = 1 << 15
"""Length of a piece from which on counting pairs is faster; below it 65,536 counters cost more than they save."""

BLOCK = 1 << 23
"""Numbers in one array: large arrays get large memory pages, which is several times faster."""

PIECE = 1 << 18
"""Numbers to convert to ids at once."""


class CharCounter:
    """Counts, and keeps, the characters of a text that comes in pieces.

    Args:
        kept_bytes: most bytes of numbers to keep; of a longer text only the counts are kept.
    """

    def __init__(self, kept_bytes: int) -> None:
        self._kept_bytes = kept_bytes
        self._points = np.arange(NUM_ASCII, dtype=np.uint32)  # by number
        self._times = np.zeros(NUM_ASCII, dtype=np.int64)
        self._numbers = self._number_points(np.dtype(np.uint8))
        self._counts = np.zeros(CODE_POINTS, dtype=np.int64)  # of characters after the text became too long to keep
        self._blocks: list[Numbers] | None = [] if kept_bytes else None
        self._filled = 0  # numbers in the last block
        self._size = 0  # in bytes

    def add(self, points: Points) -> None:
        """Add the next piece as code points, shape (num_chars,), bytes if all are ASCII."""
        if not len(points):
            return
        if self._blocks is None:
            _count_points(self._counts, points)
            return
        numbers = points if points.dtype == np.uint8 else self._number(points)
        found = _count(numbers)
        self._times[: len(found)] += found[: len(self._times)]
        if self._blocks:  # widen narrower pieces, since each change of type begins a block
            numbers = numbers.astype(np.promote_types(numbers.dtype, self._blocks[-1].dtype), copy=False)
        self._size += numbers.nbytes
        if self._size <= self._kept_bytes:
            self._keep(self._blocks, numbers)
        else:
            self._blocks = None

    @property
    def counts(self) -> Counts:
        """How often each code point occurs in the text, shape (CODE_POINTS,)."""
        counts = self._counts.copy()
        counts[self._points] += self._times
        return counts

    def ids(self, encoder: CharEncoder) -> Ids | None:
        """The whole text as ids, shape (num_chars,); None if it was too long to keep."""
        if self._blocks is None:
            return None
        table = encoder.look_up(self._points)
        ids = np.empty(int(self._times.sum()), dtype=table.dtype)
        position = 0
        for block in [*self._blocks[:-1], *(last[: self._filled] for last in self._blocks[-1:])]:
            for start in range(0, len(block), PIECE):
                piece = block[start : start + PIECE]
                ids[position : position + len(piece)] = translate(table, piece)
                position += len(piece)
        return ids

    def _keep(self, blocks: list[Numbers], numbers: Numbers) -> None:
        if not blocks or blocks[-1].dtype != numbers.dtype or self._filled + len(numbers) > len(blocks[-1]):
            if blocks:
                blocks[-1] = blocks[-1][: self._filled]
            blocks.append(np.empty(max(BLOCK, len(numbers)), dtype=numbers.dtype))
            self._filled = 0
        blocks[-1][self._filled : self._filled + len(numbers)] = numbers
        self._filled += len(numbers)

    def _number(self, points: Points) -> Numbers:
        numbers = self._numbers.take(points, mode="clip")
        mark = np.iinfo(self._numbers.dtype).max
        if numbers.max(initial=0) < mark:
            return numbers
        self._points = np.append(self._points, np.unique(points[numbers == mark]))
        self._times = np.append(self._times, np.zeros(len(self._points) - len(self._times), dtype=np.int64))
        self._numbers = self._number_points(np.min_scalar_type(len(self._points)))
        return self._numbers.take(points, mode="clip")

    def _number_points(self, dtype: np.dtype[Any]) -> Numbers:
        """The number of each code point; the type's largest value marks code points without a number."""
        numbers = np.full(CODE_POINTS, np.iinfo(dtype).max, dtype=dtype)
        numbers[self._points] = np.arange(len(self._points), dtype=dtype)
        return numbers


def _count_points(counts: Counts, points: Points) -> None:
    if points.dtype != np.uint8 and points.max(initial=0) >= COMMON:  # slow, but rare
        values, times = np.unique(points[points >= COMMON], return_counts=True)
        counts[values] += times
        points = points[points < COMMON]
    found = _count(points)
    counts[: len(found)] += found


def _count(numbers: Numbers) -> Counts:
    if numbers.dtype != np.uint8 or len(numbers) < LONG_PIECE:
        return np.bincount(numbers, minlength=1)
    even = len(numbers) & ~1  # counts pairs: half as many steps
    pairs = np.bincount(numbers[:even].view(np.uint16), minlength=0x10000).reshape(256, 256)
    counts: Counts = pairs.sum(0) + pairs.sum(1)
    counts[numbers[even:]] += 1
    return counts
