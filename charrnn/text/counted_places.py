"""Which characters of a held-out piece an evaluation counts: all, or a sample from all over a long piece.

The training measures its loss over them, and `inspect` that of the n-gram model it compares with: both choose here.
"""

from __future__ import annotations

import numpy as np

from charrnn.arrays import Ids, Places
from charrnn.text.cache import release_pages
from charrnn.text.places import find_lines, lane_starts

WARM_UP = 512
"""Characters that a lane reads before it counts, where a text is scored in lanes; tests show that the hidden state
forgets its start much earlier."""

MAX_LANES = 64
"""Most lanes in which a text is scored."""


def lanes_that_pay(num_chars: int, shortest: int = 4 * WARM_UP) -> int:
    """How many lanes to read a text in: each at least `shortest` characters, to make up for its warm-up."""
    return max(1, min(MAX_LANES, num_chars // shortest))


def spread(num_pieces: int, num_chars: int, most: int) -> Places:
    """Choose evenly spaced pieces of a text of `num_chars` that hold about `most` characters, or all.

    Returns:
        Indices of the pieces, ascending, shape (num_chosen,).
    """
    count = max(1, round(num_pieces * min(most, num_chars) / num_chars))
    return np.arange(count, dtype=np.int64) * num_pieces // count


def counted_lanes(num_chars: int, most: int | None, batch_size: int | None = None) -> tuple[Places, Places]:
    """Choose the lanes in which a text is evaluated as one stream.

    Args:
        num_chars: length of the text, at least two.
        most: about how many characters to count at most; None for all but the first.
        batch_size: lanes to read side by side; None for as many as pay.

    Returns:
        For each lane the place of the first character that it reads, and the place of the last that it predicts; it
        predicts all that follow the first. Both have shape (B,).
    """
    whole = num_chars - 1
    count = whole if most is None else min(most, whole)
    shortest = 4 * WARM_UP if count == whole else 2 * WARM_UP  # a sample is better with more lanes
    lanes = min(batch_size or lanes_that_pay(count, shortest), whole)
    starts = lane_starts(num_chars, lanes)
    return starts, np.minimum(np.append(starts[1:], whole), starts + -(-count // lanes))


def counted_places(ids: Ids, most: int, line_end_id: int | None = None) -> Places:
    """The places of the characters that are counted, ascending, shape (num_counted,).

    Args:
        ids: encoded text, shape (num_chars,), at least two characters.
        most: about how many characters to count at most.
        line_end_id: the id that ends a line, where each line is a text of its own.
    """
    if line_end_id is None:
        starts, ends = counted_lanes(len(ids), most)
        return _ranges(starts + 1, ends - starts)
    if len(ids) <= most:
        return np.arange(len(ids), dtype=np.int64)
    starts, lengths = find_lines(ids, line_end_id)
    chosen = spread(len(starts), len(ids), most)
    return _ranges(starts[chosen].astype(np.int64), lengths[chosen].astype(np.int64))


def take_lines(ids: Ids, line_end_id: int, most: int) -> Ids:
    """Take evenly spaced lines of a text that hold about `most` characters, or the whole text."""
    if len(ids) <= most:
        return ids
    taken = ids[counted_places(ids, most, line_end_id)]
    release_pages(ids)
    return taken


def _ranges(starts: Places, lengths: Places) -> Places:
    """Concatenate the ranges of places with these starts and lengths."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()), dtype=np.int64)
