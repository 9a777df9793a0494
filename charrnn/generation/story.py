"""A text that is written in turns: what has drawn its last character draws the next, whoever wrote between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from charrnn.arrays import Floats
from charrnn.generation.sampling import SamplingModel

MOST_UNREAD = 1 << 9
"""Characters that are read again where something was taken back, at most, but for a line that was held. After as many a
copy is made of what has read them, which takes as long as reading some thirty."""

BROKEN_OFF = -1
"""Stands for a character amid whose reading Ctrl-C came."""


class Story:
    """All that stands there so far, but for the last character, as a model has read it.

    What is typed and what is written is read once, and forgotten as the model forgets it: neither memory nor the time
    of a turn grows with the story. Where something that was read in drawing is taken back, as a line with a stop is
    that fits no pattern, what stands there is read on from a copy, which is kept of a place a little before.

    Args:
        model: reads it.
        ids: how it begins, at least one.
        own_from: the place from which the characters are the model's, and what others add to them; see `SamplingModel`.
    """

    def __init__(self, model: SamplingModel, ids: Sequence[int], own_from: int | None) -> None:
        self._kept = self._drawing = model.reader(own_from)
        self._unread = [*ids]  # by the copy that is kept
        self._ahead = [BROKEN_OFF]  # what that which draws has read beyond it

    @property
    def last(self) -> int:
        """The last character, which is the prompt of all that goes on here."""
        return self._unread[-1]

    def take(self, ids: Sequence[int]) -> None:
        """Let more stand there."""
        self._unread += ids

    def keep_up(self) -> None:
        """Keep a copy of a later place where much has been taken, unless of what was read some is still held."""
        if len(self._unread) > MOST_UNREAD and self._is_whole():
            read = len(self._ahead)
            self._kept, self._unread, self._ahead = self._drawing.copy(), self._unread[read:], []

    def begin(self) -> Callable[[int], Floats]:
        """Go on in one way, behind what stands there; where Ctrl-C ends the reading of that, it goes on later."""
        if not self._is_whole():
            self._drawing, self._ahead = self._kept.copy(), []
        for character in self._unread[len(self._ahead) : -1]:
            self._read(character)
        self.keep_up()
        return self._read

    def _read(self, character: int) -> Floats:
        self._ahead.append(BROKEN_OFF)
        logits = self._drawing(character)
        self._ahead[-1] = character
        return logits

    def _is_whole(self) -> bool:
        """Whether what draws has read more than the copy, and all of that stands there, before the last character."""
        return 0 < len(self._ahead) < len(self._unread) and self._ahead == self._unread[: len(self._ahead)]
