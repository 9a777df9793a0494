"""A text that is written in turns: a model that has read all that stands there, and goes on where it ends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from charrnn.generation.sampling import Reader, SamplingModel
from charrnn.generation.side_by_side import BatchReader

MOST_UNREAD = 1 << 10
"""Characters of a story to put by before they are read, at most, while its model writes on."""


class Story:
    """All that stands there so far, but for the last character, as a model for what comes next.

    What was typed is read once, and what was written once more than in drawing it; then it is forgotten as the model
    forgets it: neither memory nor the time of a turn grows with the story.

    Args:
        model: reads it.
        ids: how it begins, at least one.
        own_from: the place from which the characters are the model's, and what others add to them; see `SamplingModel`.
    """

    def __init__(self, model: SamplingModel, ids: Sequence[int], own_from: int | None) -> None:
        self._read = model.batch_reader(1, own_from)
        self._unread = [*ids]

    @property
    def last(self) -> int:
        """The last character, which is the prompt of all that goes on here."""
        return self._unread[-1]

    def take(self, ids: Sequence[int]) -> None:
        """Let more stand there."""
        self._unread += ids

    def keep_up(self) -> None:
        """Read what has been taken if it is much."""
        if len(self._unread) > MOST_UNREAD:
            self._read_on()

    def reader(self, own_from: int | None = None) -> Reader:
        """Go on in one way; what is the model's own is known from the beginning, whatever is given here."""
        read = self.batch_reader(1)
        return lambda character: read(np.array([character]))[0]

    def batch_reader(self, num_texts: int, own_from: int | None = None) -> BatchReader:
        """Go on in N ways side by side, as `reader` in one."""
        self._read_on()
        return self._read.selected(np.zeros(num_texts, dtype=np.intp))

    def _read_on(self) -> None:
        """Read all but the last character; where Ctrl-C ends that, everything is as before."""
        read = self._read.selected(np.zeros(1, dtype=np.intp))
        for character in self._unread[:-1]:
            read(np.array([character]))
        self._read, self._unread = read, self._unread[-1:]
