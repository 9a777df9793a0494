"""What is recalled in a text that is read in another order than its own: see `charrnn.recall`."""

from __future__ import annotations

import numpy as np

from charrnn.config import CONTEXTS
from charrnn.recall import NONE, Forecasts, Ids, Places, recall_block

BLOCK = 1 << 12
"""The same of a text that is read in any order."""

KEPT, FEWEST_BLOCKS = 1 << 22, 64
"""Characters of a text of which a `RecalledText` keeps all that it has found out, at most: 12 bytes for each, or 24
where ids have more than eight bits. Of a longer one, whose pieces are read but once or a few times, it keeps so many
blocks, or two for each place that is read at."""


class RecalledText:
    """What is recalled in a text that is read in any order: looked up where it is read, and kept as far as it fits.

    Args:
        ids: encoded text, shape (num_chars,).
        reach: see `recall_text`.
    """

    def __init__(self, ids: Ids, reach: int) -> None:
        self._ids, self._reach = ids, reach
        self._blocks: dict[int, Forecasts] = {}
        self._is_kept, self._most = len(ids) <= KEPT, FEWEST_BLOCKS

    def at(self, starts: Places, first: int, last: int) -> Forecasts:
        """The forecasts after characters `first` to before `last` behind each start; behind the text's end, none.

        Args:
            starts: places in the text, shape (B,).
            first: counted from each of them.
            last: likewise.

        Returns:
            An array of shape (last - first, B, C).
        """
        self._most = max(self._most, 2 * len(starts))
        return np.stack([self._range(start + first, start + last) for start in starts.tolist()], axis=1)

    def _range(self, first: int, last: int) -> Forecasts:
        pieces = [
            self._block(block)[max(first - block * BLOCK, 0) : last - block * BLOCK]
            for block in range(first // BLOCK, (min(last, len(self._ids)) - 1) // BLOCK + 1)
        ]
        beyond = min(last - len(self._ids), last - first)
        if beyond > 0:
            pieces.append(np.full((beyond, len(CONTEXTS)), NONE, dtype=np.int16))
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _block(self, block: int) -> Forecasts:
        if block not in self._blocks:
            if not self._is_kept and len(self._blocks) >= self._most:
                del self._blocks[next(iter(self._blocks))]  # the one that was looked up first
            self._blocks[block] = recall_block(self._ids, block * BLOCK, (block + 1) * BLOCK, self._reach)
        return self._blocks[block]
