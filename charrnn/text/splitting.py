"""Splitting a text into a training piece and a held-out piece."""

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
"""The fractional parts of its multiples are evenly spread over [0, 1) and have no period that the text could share."""

MOST_LOOKED_AT = 1 << 22
"""Most characters of the training piece, and of the held-out piece, whose lines `count_known` compares."""


def split_end(ids: Ids, val_fraction: float, line_end_id: int | None, name: str) -> tuple[Ids, Ids]:
    """Hold out a text's end; where each line is a text of its own, from a line's beginning on.

    Args:
        ids: encoded text, shape (num_chars,).
        val_fraction: share of the characters to hold out.
        line_end_id: the id that ends a line, where each line is a text of its own.
        name: of the text, for messages.

    Returns:
        The training piece and the held-out piece.

    Raises:
        CorpusError: a piece would be too short to predict anything, or there is only one line.
    """
    held_out = max(MIN_PIECE, round(len(ids) * val_fraction))
    _require_enough(len(ids), held_out, name)
    cut = len(ids) - held_out
    if line_end_id is not None:
        cut = _line_end(ids, cut, line_end_id, name)
    return ids[:cut], ids[cut:]


def split_lines(
    ids: Ids, val_fraction: float, line_end_id: int, name: str, *, bounded: bool = False
) -> tuple[Ids, Ids]:
    """Hold out lines from all over a text: one of each group of consecutive lines, at a varying place in the group.

    Lists are usually sorted, and the end of a sorted list is unlike the rest. Both pieces are copies and keep the order
    of the lines.

    Args:
        ids: encoded text, shape (num_chars,).
        val_fraction: share of the lines to hold out.
        line_end_id: the id that ends a line.
        name: of the text, for messages.
        bounded: whether to keep lines longer than `val_fraction` of the text in the training piece, if most lines are
            shorter: holding out a line that makes up most of the text would leave next to nothing to learn from.

    Returns:
        The training piece and the held-out piece.

    Raises:
        CorpusError: a piece would be too short to predict anything, or there is only one line.
    """
    _require_enough(len(ids), MIN_PIECE, name)
    starts, lengths = find_lines(ids, line_end_id)
    if len(starts) < MIN_PIECE:
        raise _one_line(name)
    is_held_out = lengths <= val_fraction * len(ids)
    if not bounded or 2 * np.count_nonzero(is_held_out) <= len(lengths):
        is_held_out[:] = True
    is_held_out[is_held_out] = _choose_evenly(int(is_held_out.sum()), val_fraction)
    of_each = np.repeat(is_held_out, lengths)
    return ids[~of_each], ids[of_each]


def count_known(train: Ids, held_out: Ids, encoder: CharEncoder) -> tuple[int, int]:
    """Count the held-out lines, and those of them that are in the training piece too.

    Blank lines and lines with characters without an id of their own are not counted. Of long pieces only the same share
    of each is compared, from the beginning on, since that is where a sorted list may have equal lines; never more than
    `MOST_LOOKED_AT` characters of either.
    """
    share = min(1.0, MOST_LOOKED_AT / max(1, len(train)))
    pieces = (ids[: min(round(share * len(ids)), MOST_LOOKED_AT)] for ids in (train, held_out))
    learned, held = (encoder.decode(ids).split("\n") for ids in pieces)
    mark = encoder.decode([len(encoder) - 1]) if encoder.has_unknown else None
    lines = [line for line in held if line.strip() and (mark is None or mark not in line)]
    known = set(learned)
    return len(lines), sum(line in known for line in lines)


def _choose_evenly(num_lines: int, val_fraction: float) -> NDArray[np.bool_]:
    """Choose which of `num_lines` lines, at least two, to hold out: at least one, and not all."""
    count = min(max(1, round(num_lines * val_fraction)), num_lines - 1)
    holds_out_most = count * GOLDEN_RATIO > num_lines  # then choose the others: of closer places two may be in one line
    number = np.arange(num_lines - count if holds_out_most else count)
    places = (number + number * GOLDEN_RATIO % 1) * (num_lines / len(number))
    is_held_out = np.full(num_lines, holds_out_most)
    is_held_out[places.astype(np.int64)] = not holds_out_most
    return is_held_out


def _require_enough(num_chars: int, held_out: int, name: str) -> None:
    """Refuse a text of which too little is left to learn from if `held_out` characters are held out."""
    if num_chars < held_out + MIN_PIECE:
        mend = "give a longer text" if num_chars < 2 * MIN_PIECE else "lower --val-fraction"
        raise CorpusError(
            f"{name}: {number_of(num_chars, 'character')}, but at least {held_out + MIN_PIECE:,} are needed to train "
            f"and to validate; {mend}"
        )


def _line_end(ids: Ids, cut: int, line_end_id: int, name: str) -> int:
    """Move a cut to the beginning of the next line or, if there is none, of the last line before."""
    after = next_line(ids, cut, line_end_id)
    if after < len(ids):
        return after
    before = previous_line(ids, cut - 1, line_end_id)
    if not before:
        raise _one_line(name)
    return before


def _one_line(name: str) -> CorpusError:
    return CorpusError(f"{name}: one line, and --lines needs at least two; leave it out or give more")
