"""Positions in a text at which its lanes and its lines begin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charrnn.arrays import Ids
from charrnn.text.cache import PIECE, release_pages

Positions = NDArray[np.signedinteger[Any]]
"""Positions in a text, or lengths, in four bytes each where possible, since three are held for each line."""


class Lines(NamedTuple):
    """The lines of a text, or the pieces that they are cut into.

    Attributes:
        starts: position of the first character of each, shape (num_lines,).
        lengths: characters of each, its line feed included, shape (num_lines,).
    """

    starts: Positions
    lengths: Positions


def lane_starts(num_chars: int, batch_size: int) -> NDArray[np.int64]:
    """The first position of each lane, shape (B,); the lanes are evenly spaced and the last ends with the text."""
    return np.arange(batch_size, dtype=np.int64) * (num_chars - 1) // batch_size


def find_lines(ids: Ids, line_end_id: int) -> Lines:
    """Find where each line of a text begins and how long it is."""
    dtype = np.int32 if len(ids) <= np.iinfo(np.int32).max else np.int64
    starts = [np.zeros(min(1, len(ids)), dtype=dtype)]
    for place in range(0, len(ids) - 1, PIECE):  # a line feed at the very end begins no line
        found = np.flatnonzero(ids[: len(ids) - 1][place : place + PIECE] == line_end_id)
        starts.append((found + (place + 1)).astype(dtype))
        release_pages(ids)
    of_all = np.concatenate(starts)
    return Lines(of_all, np.diff(of_all, append=np.array([len(ids)], dtype=dtype)))


def cut_lines(lines: Lines, limit: int) -> Lines:
    """Cut each line into the fewest pieces of at most `limit` characters, whose lengths differ by one at most.

    Args:
        lines: of at least one character each.
        limit: at least 1.

    Returns:
        The pieces, in order.
    """
    starts, lengths = lines
    pieces = -(-lengths // limit)
    first = np.cumsum(pieces, dtype=np.int64) - pieces  # each line's first piece
    number = np.arange(int(pieces.sum()), dtype=np.int64) - np.repeat(first, pieces)
    of_line, in_line = np.repeat(lengths.astype(np.int64), pieces), np.repeat(pieces, pieces)
    begin, end = number * of_line // in_line, (number + 1) * of_line // in_line
    return Lines((np.repeat(starts, pieces) + begin).astype(starts.dtype), (end - begin).astype(lengths.dtype))


def next_line(ids: Ids, place: int, line_end_id: int) -> int:
    """The first position from `place` (at least 1) on at which a line begins; len(ids) if there is none."""
    for first in range(place - 1, len(ids) - 1, PIECE):
        found = np.flatnonzero(ids[first : min(first + PIECE, len(ids) - 1)] == line_end_id)
        if len(found):
            return first + int(found[0]) + 1
    return len(ids)


def previous_line(ids: Ids, place: int, line_end_id: int) -> int:
    """The last position up to `place` at which a line begins; 0, the text's beginning, if there is no other."""
    for end in range(place, 0, -PIECE):
        first = max(0, end - PIECE)
        found = np.flatnonzero(ids[first:end] == line_end_id)
        if len(found):
            return first + int(found[-1]) + 1
    return 0


def count_lines(ids: Ids, line_end_id: int) -> int:
    """How many lines a text has."""
    feeds = 0
    for place in range(0, len(ids), PIECE):
        feeds += int(np.count_nonzero(ids[place : place + PIECE] == line_end_id))
        release_pages(ids)
    return feeds + bool(len(ids) and ids[-1] != line_end_id)


def count_blank_lines(ids: Ids, line_end_id: int, white: Sequence[int]) -> int:
    """How many lines of a text hold nothing but the ids `white` of white space before their line feed."""
    blank, is_at_start = 0, True
    for place in range(0, len(ids), PIECE):
        piece = ids[place : place + PIECE]
        ends = np.concatenate([[is_at_start], piece[np.isin(piece, white, invert=True)] == line_end_id])
        blank += int(np.count_nonzero(ends[1:] & ends[:-1]))
        is_at_start = bool(ends[-1])
        release_pages(ids)
    return blank
