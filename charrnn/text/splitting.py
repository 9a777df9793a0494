"""Taking a text apart: a piece to learn from, and one that is held out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from charrnn.arrays import Ids
from charrnn.errors import CorpusError
from charrnn.text.encoder import CharEncoder
from charrnn.text.places import find_lines, next_line, previous_line
from charrnn.wording import number_of

MIN_PIECE = 2
"""Characters that either piece must have: one to read and one to predict."""

GOLDEN_RATIO = (1 + 5**0.5) / 2
"""Its multiples, less their whole parts, lie evenly between 0 and 1, and never fall into step with what recurs."""

MOST_LOOKED_AT = 1 << 22
"""Characters to learn from in which lines are looked for that are held out too, and of these that are looked for."""


def split_end(ids: Ids, val_fraction: float, line_feed: int | None, name: str) -> tuple[Ids, Ids]:
    """Hold out a text's end; where each line is a text of its own, from a line's beginning on.

    Args:
        ids: encoded text, shape (num_chars,).
        val_fraction: share of the characters that are held out.
        line_feed: the id that ends a line, if that is so.
        name: of the text, for the message.

    Returns:
        The piece to learn from, and the one that is held out.

    Raises:
        CorpusError: a piece would be too short to predict anything, or there is one line.
    """
    held_out = max(MIN_PIECE, round(len(ids) * val_fraction))
    _require_enough(len(ids), held_out, name)
    cut = len(ids) - held_out
    if line_feed is not None:
        cut = _line_end(ids, cut, line_feed, name)
    return ids[:cut], ids[cut:]


def split_lines(ids: Ids, val_fraction: float, line_feed: int, name: str, *, bounded: bool = False) -> tuple[Ids, Ids]:
    """Hold out lines from all over a text: one of each so many, now here and now there among them.

    A list is sorted, as a rule, and the end of one is like nothing before it. The lines of both pieces stand in their
    order, and both are copies.

    Args:
        ids: encoded text, shape (num_chars,).
        val_fraction: share of the lines that are held out.
        line_feed: the id that ends a line.
        name: of the text, for the message.
        bounded: whether no line is held out that is longer than that share of the text, where most are shorter: one
            that holds most of a text would leave next to nothing to learn from.

    Returns:
        The piece to learn from, and the one that is held out.

    Raises:
        CorpusError: a piece would be too short to predict anything, or there is one line.
    """
    _require_enough(len(ids), MIN_PIECE, name)
    starts, lengths = find_lines(ids, line_feed)
    if len(starts) < MIN_PIECE:
        raise _one_line(name)
    is_held_out = lengths <= val_fraction * len(ids)
    if not bounded or 2 * np.count_nonzero(is_held_out) <= len(lengths):
        is_held_out[:] = True
    is_held_out[is_held_out] = _choose_evenly(int(is_held_out.sum()), val_fraction)
    of_each = np.repeat(is_held_out, lengths)
    return ids[~of_each], ids[of_each]


def count_known(train: Ids, held_out: Ids, encoder: CharEncoder) -> tuple[int, int]:
    """Count the lines that are held out, and those of them that are learned from too.

    Lines that are blank, or have characters without an id of their own, are left aside. Of long pieces the same share
    is looked at, from the beginning on: in a sorted list that is what may be the same. Of neither is it more than
    `MOST_LOOKED_AT`.
    """
    share = min(1.0, MOST_LOOKED_AT / max(1, len(train)))
    pieces = (ids[: min(round(share * len(ids)), MOST_LOOKED_AT)] for ids in (train, held_out))
    learned, held = (encoder.decode(ids).split("\n") for ids in pieces)
    mark = encoder.decode([len(encoder) - 1]) if encoder.has_unknown else None
    lines = [line for line in held if line.strip() and (mark is None or mark not in line)]
    known = set(learned)
    return len(lines), sum(line in known for line in lines)


def _choose_evenly(num_lines: int, val_fraction: float) -> NDArray[np.bool_]:
    """Which of so many lines, two at least, are held out: not all of them, and at least one."""
    count = min(max(1, round(num_lines * val_fraction)), num_lines - 1)
    holds_out_most = count * GOLDEN_RATIO > num_lines  # of places so near one another two may be in one line
    number = np.arange(num_lines - count if holds_out_most else count)
    places = (number + number * GOLDEN_RATIO % 1) * (num_lines / len(number))
    is_held_out = np.full(num_lines, holds_out_most)
    is_held_out[places.astype(np.int64)] = not holds_out_most
    return is_held_out


def _require_enough(num_chars: int, held_out: int, name: str) -> None:
    """Refuse a text of which too little is left to learn from where so many characters are held out."""
    if num_chars < held_out + MIN_PIECE:
        mend = "give a longer text" if num_chars < 2 * MIN_PIECE else "lower --val-fraction"
        raise CorpusError(
            f"{name}: {number_of(num_chars, 'character')}, but at least {held_out + MIN_PIECE:,} are needed to train "
            f"and to validate; {mend}"
        )


def _line_end(ids: Ids, cut: int, line_feed: int, name: str) -> int:
    """Where to cut so that no line is split: the next line's beginning or, if none is left, the last one before."""
    after = next_line(ids, cut, line_feed)
    if after < len(ids):
        return after
    before = previous_line(ids, cut - 1, line_feed)
    if not before:
        raise _one_line(name)
    return before


def _one_line(name: str) -> CorpusError:
    return CorpusError(f"{name}: one line, and --lines needs at least two; leave it out or give more")
