"""Contiguous lanes over a text, window after window: the order in which truncated BPTT reads it.

The text is cut into B lanes of equal length that are read side by side. Within a stretch, row b of window k + 1 begins
where row b of window k ended: the hidden state that is carried over is that of the text just before, except in the few
lanes where the training sets it to zeros.

Read from beginning to end, a lane would only ever show the model what is near to what it has just learned; and a text
too long to be read whole would be read at the lanes' beginnings alone. So each lane is cut into stretches, which are
read in a new order in each epoch. The state is carried into a stretch although it comes from elsewhere in the text, so
that the model learns to handle a state that does not fit the text, and one that is older than a stretch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from charrnn.arrays import Ids
from charrnn.errors import ConfigError
from charrnn.recall import Forecasts
from charrnn.text.cache import release_pages
from charrnn.text.places import lane_starts
from charrnn.training.recalled_text import recall_source

if TYPE_CHECKING:
    from torch import Tensor

IGNORED = -100
"""The target where nothing is to be predicted; the default `ignore_index` of torch's cross entropy."""

LET_GO_EVERY = 4
"""Windows after which the memory of the pages read is given back, where the text is mapped from a file."""

ALL_LANES = slice(None)
"""The slice of the lanes that a process without others reads."""


@dataclass(frozen=True)
class Window:
    """One piece of every lane.

    Attributes:
        inputs: ids, shape (T, B).
        targets: the ids one character later, shape (T, B); `IGNORED` past the end of a lane.
        resets_state: whether the lanes begin with a state of zeros, not with that after the window before.
        num_targets: number of targets that are not `IGNORED`, in the lanes of all ranks.
        share: share of these in this rank's lanes.
        recalled: the forecasts after the inputs, shape (T, B, C); None for a model that does not recall.
    """

    inputs: NDArray[np.int64] | Tensor
    targets: NDArray[np.int64] | Tensor
    resets_state: bool
    num_targets: int
    share: float = 1.0
    recalled: Forecasts | None = None


class WindowReader:
    """An endless reader of windows, which plans an order for each pass over a text.

    Attributes:
        windows_per_epoch: windows of a pass; the same in each.
        chars_per_window: characters of all lanes together, on average.
        epoch: passes begun before this one.
        index: windows of this pass already read.
    """

    windows_per_epoch: int
    chars_per_window: float

    def __init__(self) -> None:
        self.epoch = 0
        self.index = 0
        self._planned = -1  # the epoch that is planned

    def __iter__(self) -> WindowReader:
        return self

    def __next__(self) -> Window:
        if self.index == self.windows_per_epoch:
            self.epoch, self.index = self.epoch + 1, 0
        if self._planned != self.epoch:
            self._plan()
            self._planned = self.epoch
        self.index += 1
        return self._read(self.index - 1)

    def windows_in(self, epochs: float) -> int:
        """Windows of so many passes, rounded up where the last pass is partial.

        `epochs` is multiplied as a decimal number: in binary floating point, 1.1 times 50 is more than 55.
        """
        return math.ceil(Decimal(str(epochs)) * self.windows_per_epoch)

    def seek(self, epoch: int, index: int) -> None:
        """Go to the position at which `epoch` and `index` have these values."""
        self.epoch, self.index = epoch, index

    def _plan(self) -> None:
        """Decide on the order of this epoch."""
        raise NotImplementedError

    def _read(self, index: int) -> Window:
        """The window at an index of this epoch."""
        raise NotImplementedError


class Lanes(WindowReader):
    """An endless reader of windows over a text.

    The lengths of an epoch's windows differ by one at most, so that none is much shorter. A transition is a
    character with the next, which it predicts. Where B does not divide their number, some neighbouring lanes share one,
    so every transition is read at least once an epoch.

    Args:
        ids: encoded text, shape (num_chars,).
        batch_size: B, the number of lanes.
        seq_len: T, characters of a window, at most.
        stretch: about how many characters of a lane are read before it jumps elsewhere; 0 for the whole lane.
        seed: seed of the order of the stretches.
        shard: slice of the lanes that this rank reads; see `Ranks.shard`.
        reach: how many characters back forecasts are looked up; 0 for no forecasts.

    Raises:
        ConfigError: fewer than B + 1 characters.
    """

    def __init__(
        self,
        ids: Ids,
        *,
        batch_size: int,
        seq_len: int,
        stretch: int = 0,
        seed: int = 0,
        shard: slice = ALL_LANES,
        reach: int = 0,
    ) -> None:
        super().__init__()
        transitions = len(ids) - 1
        if transitions < batch_size:
            raise ConfigError(
                f"--batch-size {batch_size} asks for at least {batch_size + 1:,} characters to train on, "
                f"and there are {len(ids):,}; lower it to at most {transitions}"
            )
        self._ids = ids
        self._starts = lane_starts(len(ids), batch_size)[shard]
        self._batch_size = batch_size
        self.lane_length = math.ceil(transitions / batch_size)
        self.windows_per_epoch = math.ceil(self.lane_length / seq_len)
        self.chars_per_window = self.lane_length * batch_size / self.windows_per_epoch
        whole = self.windows_per_epoch
        self._stretch = min(max(1, stretch // seq_len), whole) if stretch else whole  # in windows
        self._seed = seed
        self._recall_source = recall_source(ids, reach, self._stretch * seq_len) if reach else None
        self._order = np.arange(0, dtype=np.uint32)  # this epoch's windows, by their number in the lane

    def _read(self, index: int) -> Window:
        number = int(self._order[index])
        first, last = self._boundary(number), self._boundary(number + 1)
        piece = self._piece(first, last)  # (T + 1, B)
        if (index + 1) % LET_GO_EVERY == 0:
            release_pages(self._ids)
        return Window(
            inputs=piece[:-1],
            targets=piece[1:],
            resets_state=index == 0,
            num_targets=(last - first) * self._batch_size,
            share=len(self._starts) / self._batch_size,
            recalled=None if self._recall_source is None else self._recall_source.at(self._starts, first, last),
        )

    def _plan(self) -> None:
        """Decide on this epoch's order of the stretches; the one at the lane's end may be shorter."""
        count = math.ceil(self.windows_per_epoch / self._stretch)
        stretches = np.arange(count * self._stretch, dtype=np.uint32).reshape(count, self._stretch)
        order = np.random.default_rng([self._seed, self.epoch]).permutation(stretches).ravel()
        self._order = order[order < self.windows_per_epoch]

    def _piece(self, first: int, last: int) -> NDArray[np.int64] | Tensor:
        """Characters `first` to `last` of each lane, shape (last - first + 1, B)."""
        piece: NDArray[np.int64] = self._ids[np.arange(first, last + 1)[:, None] + self._starts].astype(np.int64)
        return piece

    def _boundary(self, number: int) -> int:
        """Where a window begins, counted from the beginning of the lane."""
        return number * self.lane_length // self.windows_per_epoch
