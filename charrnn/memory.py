"""Recall character by character, as a text is read: see `charrnn.recall`, which gives the same for a whole text.

A model that writes reads its own words, and believes them. Once it has said a phrase twice, all contexts forecast it
again, a low temperature makes sure of it, and the text goes round in a circle. So of its own words a model recalls
short pieces alone, as long as a name: where the last `LONG` characters stood in them before, it recalls nothing, until
it says something else. Figures stand in `tests/benchmarks/RECIPES.md`.
"""

from __future__ import annotations

import copy
import itertools

import numpy as np
from numpy.typing import NDArray

from charrnn.arrays import Ids
from charrnn.config import CONTEXTS
from charrnn.recall import LONGEST, NEVER, NONE, Forecasts

LONG = 8
"""Characters of a piece of its own words that a model does not recall: one of `CONTEXTS`. The next longer still leads
in circles, and with the next shorter fewer of the names that it has made up come again."""

_LONG_CONTEXT = CONTEXTS.index(LONG)
_NOTHING = [NONE] * len(CONTEXTS)
_FAR = 1 << 60
"""More characters than any text has."""

FIRST_ROOM = 1 << 8
"""Characters of texts that are read side by side for which there is room at first."""

_LAGS = [longer - length for length, longer in itertools.pairwise(CONTEXTS)]
"""Characters between the ends of two contexts that together are one of the next length."""

_TURNS = max(_LAGS) + 1
"""Characters whose rows of bits are kept, in a ring."""

_NUMBERS = np.arange(len(CONTEXTS))[:, None]

_WORD = np.dtype("<u8")
"""What bits are combined and looked through by: the lowest is the first."""

_WORD_BITS = 8 * _WORD.itemsize


class Memory:
    """The characters of one text so far, as far back as its reach, and where each context last ended.

    Args:
        reach: see `charrnn.recall.recall_text`.
        vocab_size: V: ids are below.
        own_from: the place of the first character that the model wrote itself; None: it wrote none, or shall recall its
            own words as any others.
    """

    def __init__(self, reach: int, vocab_size: int, own_from: int | None = None) -> None:
        self._reach, self._bits = reach, vocab_size.bit_length()
        self._last_given = (_FAR if own_from is None else own_from) - 1
        self._recent = 0  # the last characters as one number, some bits for each: 0 before the text, else its id + 1
        self._history: list[int] = []
        self._forgotten = 0  # characters before those in the history
        self._tables: list[tuple[int, dict[int, int]]] = [((1 << self._bits * length) - 1, {}) for length in CONTEXTS]

    def read(self, character: int) -> list[int]:
        """Read one more character; give the forecasts of the next, one for each of `CONTEXTS`."""
        history = self._history
        if len(history) >= 2 * self._reach + LONGEST:
            history = self._forget()
        place = self._forgotten + len(history)
        nearest, forgotten = place - self._reach, self._forgotten
        history.append(character)
        self._recent = recent = (self._recent << self._bits | character + 1) & self._tables[-1][0]
        found = []
        for mask, ends in self._tables:
            context = recent & mask
            end = ends.get(context, NEVER)
            ends[context] = place
            found.append(end)
        if self._last_given <= found[_LONG_CONTEXT] >= nearest:
            return _NOTHING
        forecasts = []
        for end in found:
            forecasts.append(history[end + 1 - forgotten] if end >= nearest else NONE)
        return forecasts

    def copy(self) -> Memory:
        """Begin a text with what was read of this one, which stays as it is."""
        memory = copy.copy(self)
        memory._history = self._history.copy()
        memory._tables = [(mask, ends.copy()) for mask, ends in self._tables]
        return memory

    def _forget(self) -> list[int]:
        """Let go of what is beyond reach."""
        beyond = len(self._history) - self._reach
        self._forgotten += beyond
        self._history = self._history[beyond:]
        self._tables = [
            (mask, {context: end for context, end in ends.items() if end >= self._forgotten})
            for mask, ends in self._tables
        ]
        return self._history


class Memories:
    """The characters of N texts side by side, as `Memory` has one text's, in a few operations for all of them.

    For every distance back one bit says whether the character there is the one here. A longer context is found at a
    distance where a shorter one is, and was a few characters before, as in `charrnn.recall`: whole rows of bits are
    combined at once, and the first that is set is the last place of that context.

    Args:
        reach: see `charrnn.recall.recall_text`.
        vocab_size: V: ids are below.
        num_texts: N.
        own_from: see `Memory`.
    """

    def __init__(self, reach: int, vocab_size: int, num_texts: int, own_from: int | None = None) -> None:
        self._reach, self._length = reach, 0
        self._own_from = _FAR if own_from is None else own_from
        self._rows = np.arange(num_texts)
        # The last character first, so that what stands at some distances is a slice; the first of all is at the end.
        self._history = np.zeros((num_texts, FIRST_ROOM), dtype=np.min_scalar_type(vocab_size - 1))
        self._newest = FIRST_ROOM
        # By turn, context and text, a bit for each distance of 1, 2, ...
        self._bits = np.zeros((_TURNS, len(CONTEXTS), num_texts, FIRST_ROOM // _WORD_BITS), dtype=_WORD)

    def read(self, characters: Ids) -> Forecasts:
        """Read the next character of each text, shape (N,); give the forecasts of those after them, shape (N, C)."""
        if self._newest == 0:
            self._make_room()
        known = min(self._length, self._reach)
        characters = characters.astype(self._history.dtype)
        same = self._history[:, self._newest : self._newest + known] == characters[:, None]
        self._newest -= 1
        self._length += 1
        self._history[:, self._newest] = characters
        if not known:
            return np.full((len(characters), len(CONTEXTS)), NONE)
        bits = self._bits[..., : -(-known // _WORD_BITS)]
        now = bits[self._length % _TURNS]
        now[0].view(np.uint8)[:, : -(-known // 8)] = np.packbits(same, axis=1, bitorder="little")
        for number, lag in enumerate(_LAGS):
            np.bitwise_and(now[number], bits[(self._length - lag) % _TURNS, number], out=now[number + 1])
        nearest = (now != 0).argmax(axis=-1)  # first the word, then the bit
        word = now[_NUMBERS, self._rows, nearest]
        is_known = word != 0
        nearest = np.where(is_known, _WORD_BITS * nearest + _zeros_below(word), 0)
        followed = self._history[self._rows, self._newest + nearest].astype(np.intp)
        is_known &= ~(is_known[_LONG_CONTEXT] & (nearest[_LONG_CONTEXT] < self._length - self._own_from))
        return np.where(is_known, followed, NONE).T

    def selected(self, rows: Ids) -> Memories:
        """Begin texts with what was read of some of these, each as often as it is named; these stay as they are."""
        memories = copy.copy(self)
        memories._rows = np.arange(len(rows))
        memories._history = self._history.take(rows, axis=0)
        memories._bits = self._bits.take(rows, axis=2)
        return memories

    def _make_room(self) -> None:
        """Move to arrays twice as long as what can still be recalled, so that there is room for more."""
        kept = min(self._length, self._reach)
        history = np.zeros((len(self._rows), 2 * kept), dtype=self._history.dtype)
        history[:, kept:] = self._history[:, :kept]
        self._history, self._newest = history, kept
        lacking = -(-min(2 * kept, self._reach) // _WORD_BITS) - self._bits.shape[-1]
        if lacking > 0:
            self._bits = np.pad(self._bits, [(0, 0)] * (self._bits.ndim - 1) + [(0, lacking)])


def _zeros_below(words: NDArray[np.uint64]) -> NDArray[np.intc]:
    """How many bits of each word are 0 below its lowest that is 1; of a word that is 0 it is -1."""
    lowest = words & -words
    return np.frexp(lowest.astype(np.float64))[1] - 1  # a power of two, which a float holds exactly
