"""Windows over a text in which every line is a text of its own.

B lines are read side by side, each from a state of zeros, after a line feed that marks its beginning. Lines of similar
length are read together, so that little is padded, in a new order in every epoch. A few lines that are much longer than
all others would take most of the updates, beside empty lanes, so they are cut into pieces.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from charrnn.arrays import Ids
from charrnn.errors import ConfigError
from charrnn.text.cache import release_pages
from charrnn.text.places import Lines, Positions, cut_lines, find_lines
from charrnn.training.lanes import ALL_LANES, IGNORED, LET_GO_EVERY, Window, WindowReader

LEAST_WINDOWS = 16
"""Windows up to which a line is never cut: the state is carried from one to the next."""

MAX_EMPTY = 0.25
"""Windows that empty lanes may cost, as a share of the fewest possible."""


class LineLanes(WindowReader):
    """An endless reader of windows over lines.

    Each epoch reads every line once. Which lines of one length share a batch, and the order of the batches, are new in
    each epoch; the number of windows is the same.

    Args:
        ids: encoded text, shape (num_chars,).
        line_end_id: the id that ends a line.
        batch_size: B, lines that are read side by side.
        seq_len: T, characters of a window, at most.
        seed: seed of the order.
        shard: slice of the lanes that this rank reads; see `Ranks.shard`.

    Raises:
        ConfigError: fewer lines than B.
    """

    def __init__(
        self, ids: Ids, line_end_id: int, *, batch_size: int, seq_len: int, seed: int, shard: slice = ALL_LANES
    ) -> None:
        super().__init__()
        self._ids = ids
        self._line_end_id = line_end_id
        self._seed = seed
        lines = find_lines(ids, line_end_id)
        if len(lines.starts) < batch_size:
            raise ConfigError(
                f"--batch-size {batch_size} asks for as many lines to train on, of which the text has "
                f"{len(lines.starts):,}; lower it to at most {len(lines.starts)}"
            )
        self._starts, self._lengths = _cut_longest(lines, batch_size, seq_len)
        self._num_batches = -(-len(self._starts) // batch_size)
        self._batch_size, self._shard = batch_size, shard
        self._windows = _windows(self._lengths, batch_size, seq_len)
        self.windows_per_epoch = int(self._windows.sum())
        self.chars_per_window = len(ids) / self.windows_per_epoch
        self._lines = self._order = self._ends = np.arange(0)

    def _read(self, index: int) -> Window:
        place = int(np.searchsorted(self._ends, index, side="right"))  # of the batch in this epoch's order
        batch = int(self._order[place])
        num_windows = int(self._windows[batch])
        window = index - (int(self._ends[place]) - num_windows)  # counted from the first of the batch
        lines = self._lines[batch * self._batch_size : (batch + 1) * self._batch_size]
        longest = int(self._lengths[lines].max())
        first, last = window * longest // num_windows, (window + 1) * longest // num_windows
        if (index + 1) % LET_GO_EVERY == 0:
            release_pages(self._ids)
        return self._window(lines, first, last, resets_state=window == 0)

    def _plan(self) -> None:
        """Decide on this epoch's order: lines from long to short, equal lengths shuffled; then the batches shuffled."""
        generator = np.random.default_rng([self._seed, self.epoch])
        mixed = generator.permutation(np.arange(len(self._starts), dtype=self._starts.dtype))
        self._lines = mixed[np.argsort(-self._lengths[mixed], kind="stable")]
        self._order = generator.permutation(self._num_batches)
        self._ends = np.cumsum(self._windows[self._order])

    def _window(self, lines: Positions, first: int, last: int, *, resets_state: bool) -> Window:
        """Characters `first` to `last` - 1 of some lines; a smaller last batch is filled up with empty lanes."""
        empty = self._batch_size - len(lines)
        starts = np.append(self._starts[lines], np.zeros(empty, dtype=np.int64))
        lengths = np.append(self._lengths[lines], np.zeros(empty, dtype=np.int64))
        within = np.arange(first, last)[:, None]  # (T, 1)
        counts = within < lengths  # (T, B)
        places = starts[self._shard] + within  # (T, lanes of this rank); arbitrary past a line's end
        end = len(self._ids) - 1
        before = self._ids[np.clip(places - 1, 0, end)]
        inputs = np.where(places == 0, self._line_end_id, before).astype(np.int64)  # a line begins after a line feed
        targets = self._ids[np.minimum(places, end)].astype(np.int64)
        own = counts[:, self._shard]
        num_targets = int(counts.sum())
        return Window(
            inputs=inputs,
            targets=np.where(own, targets, IGNORED),
            resets_state=resets_state,
            num_targets=num_targets,
            share=int(own.sum()) / num_targets,
        )


def _windows(lengths: Positions, batch_size: int, seq_len: int) -> NDArray[np.int64]:
    """The number of windows of each batch, from the batch of the longest lines to that of the shortest."""
    longest = np.sort(lengths)[::-1][::batch_size].astype(np.int64)
    return -(-longest // seq_len)


def _cut_longest(lines: Lines, batch_size: int, seq_len: int) -> Lines:
    """Cut lines so long that they would leave other lanes empty into nearly equal pieces, no shorter than necessary.

    Returns:
        All pieces and uncut lines.
    """
    lengths = lines.lengths
    longest = int(lengths.max())
    fewest = int((-(-lengths // seq_len)).sum(dtype=np.int64)) / batch_size  # with no lane ever empty
    if longest <= LEAST_WINDOWS * seq_len or _windows(lengths, batch_size, seq_len).sum() <= (1 + MAX_EMPTY) * fewest:
        return lines
    halvings = 1 + int(np.log2(longest / (LEAST_WINDOWS * seq_len)))
    limits = [-(-longest // 2**number) for number in range(halvings)]
    costs = [int(_windows(cut_lines(lines, limit).lengths, batch_size, seq_len).sum()) for limit in limits]
    chosen = next(limit for limit, cost in zip(limits, costs, strict=True) if cost <= (1 + MAX_EMPTY) * min(costs))
    return cut_lines(lines, chosen)
