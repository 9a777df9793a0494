"""The forecasts in a text (see `charrnn.recall`) for readers that do not read it in order."""

from __future__ import annotations

import numpy as np

from charrnn.arrays import Ids, Places
from charrnn.config import CONTEXTS
from charrnn.recall import KEPT, NO_FORECAST, Forecasts, recall_block, recall_text

BLOCK = 1 << 12
"""Characters that are looked up together, where the order in which they are read is not known."""


class RecalledText:
    """The forecasts in a text, looked up where it is read, and kept.

    Args:
        ids: encoded text, shape (num_chars,).
        reach: see `charrnn.recall.recall_text`.
    """

    def __init__(self, ids: Ids, reach: int) -> None:
        self._ids, self._reach = ids, reach
        self._blocks: dict[int, Forecasts] = {}

    def at(self, starts: Places, first: int, last: int) -> Forecasts:
        """Forecasts after the characters at `first` to `last` - 1 from each start; `NO_FORECAST` past the text's end.

        Args:
            starts: places in the text, shape (B,).
            first: counted from each start.
            last: likewise.

        Returns:
            An array of shape (last - first, B, C).
        """
        return np.stack([self._range(start + first, start + last) for start in starts.tolist()], axis=1)

    def _range(self, first: int, last: int) -> Forecasts:
        pieces = [
            self._block(block)[max(first - block * BLOCK, 0) : last - block * BLOCK]
            for block in range(first // BLOCK, (min(last, len(self._ids)) - 1) // BLOCK + 1)
        ]
        if not pieces:
            return np.full((last - first, len(CONTEXTS)), NO_FORECAST, dtype=np.int16)
        return _lengthen(pieces[0] if len(pieces) == 1 else np.concatenate(pieces), last - first)

    def _block(self, block: int) -> Forecasts:
        if block not in self._blocks:
            self._blocks[block] = recall_block(self._ids, block * BLOCK, (block + 1) * BLOCK, self._reach)
        return self._blocks[block]


class RecalledAhead:
    """The forecasts in a text, as in `RecalledText`, but not kept: they are looked up for one stretch at a time.

    Args:
        ids: encoded text, shape (num_chars,).
        reach: see `charrnn.recall.recall_text`.
        ahead: approximate number of characters that are read without a jump.
    """

    def __init__(self, ids: Ids, reach: int, ahead: int) -> None:
        self._ids = ids
        self._reach = reach
        self._ahead = ahead
        self._starts, self._first = np.zeros(0, dtype=np.int64), 0
        self._found: Forecasts = np.zeros((0, 0, len(CONTEXTS)), dtype=np.int16)  # from `_first` on, by start

    def at(self, starts: Places, first: int, last: int) -> Forecasts:
        """See `RecalledText.at`."""
        is_found = self._first <= first and last <= self._first + len(self._found)
        if not (is_found and np.array_equal(starts, self._starts)):
            self._starts, self._first = starts, first
            ahead = max(last - first, self._ahead)
            self._found = np.stack([self._range(start + first, ahead) for start in starts.tolist()], axis=1)
        return self._found[first - self._first : last - self._first]

    def _range(self, first: int, ahead: int) -> Forecasts:
        return _lengthen(recall_text(self._ids, self._reach, piece=slice(first, first + ahead)), ahead)


RecallSource = RecalledText | RecalledAhead
"""Gives the forecasts in a text, by its `at`."""


def recall_source(ids: Ids, reach: int, ahead: int = BLOCK) -> RecallSource:
    """Choose how to look up the forecasts in a text: `RecalledText`, or for a long text `RecalledAhead`.

    Args:
        ids: encoded text, shape (num_chars,).
        reach: see `charrnn.recall.recall_text`.
        ahead: approximate number of characters that are read without a jump; at most `BLOCK` are looked up at once.
    """
    return RecalledText(ids, reach) if len(ids) <= KEPT else RecalledAhead(ids, reach, min(ahead, BLOCK))


def _lengthen(found: Forecasts, length: int) -> Forecasts:
    """Pad forecasts with `NO_FORECAST` past the text's end."""
    missing = np.full((length - len(found), len(CONTEXTS)), NO_FORECAST, dtype=found.dtype)
    return np.concatenate([found, missing]) if len(missing) else found
