"""A text that user and model write in turns, with one reader that goes on from turn to turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from charrnn.arrays import Floats
from charrnn.generation.sampling import SamplingModel

MOST_UNREAD = 1 << 9
"""The most characters to read again after something was taken back, apart from a line that was held. After as many new
characters, a copy of their reader is made, which takes as long as reading some thirty."""

BROKEN_OFF = -1
"""Stands for a character whose reading is not complete, as after Ctrl-C."""


class Story:
    """The text so far, read by a model up to, but not including, the last character.

    Each character is read only once, and the text itself is not stored: neither memory nor the time of a turn grows
    with the story. If characters that were read while drawing are taken back, such as a line that a stop has cut and
    that does not match the pattern, reading restarts from a copy of the reader at a slightly earlier position.

    Args:
        model: reads the text.
        ids: the beginning of the text, at least one id.
        generated_from: the position from which on the text is the model's output, with what others add to it; see
            `SamplingModel`.
    """

    def __init__(self, model: SamplingModel, ids: Sequence[int], generated_from: int | None) -> None:
        self._kept = self._drawing = model.reader(generated_from)
        self._unread = [*ids]  # characters after the position of the copy `_kept`
        self._ahead = [BROKEN_OFF]  # characters that `_drawing` has read after that position

    @property
    def last(self) -> int:
        """The last character, which is the prompt of what is drawn next."""
        return self._unread[-1]

    def take(self, ids: Sequence[int]) -> None:
        """Append characters to the text."""
        self._unread += ids

    def keep_up(self) -> None:
        """Renew the copy once much was appended, unless `_drawing` has read characters not appended (yet)."""
        if len(self._unread) > MOST_UNREAD and self._is_whole():
            read = len(self._ahead)
            self._kept, self._unread, self._ahead = self._drawing.copy(), self._unread[read:], []

    def begin(self) -> Callable[[int], Floats]:
        """Read the text up to its last character; return the reader. If Ctrl-C interrupts it, a later call resumes."""
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
        """Whether `_drawing` is ahead of the copy, by characters of the text before its last one only."""
        return 0 < len(self._ahead) < len(self._unread) and self._ahead == self._unread[: len(self._ahead)]
