"""Recall character by character, while a text is read; `charrnn.recall` computes the same for a whole text at once.

A model that samples reads its own output. Once it has written a phrase twice, all contexts forecast the phrase again, a
low temperature makes the repetition certain, and the text loops. So a model recalls only short pieces of its own
output, about as long as a name: while the last `LONG` characters have occurred in its output before, it recalls
nothing. For figures see `tests/benchmarks/RECIPES.md`.
"""

from __future__ import annotations

import copy
import itertools
from collections import deque

import numpy as np
from numpy.typing import NDArray

from charrnn.arrays import Ids, Places
from charrnn.config import CONTEXTS
from charrnn.recall import LONGEST, NEVER, NO_FORECAST, Forecasts

LONG = 8
"""Length of the context, one of `CONTEXTS`, whose recurrence in the model's own output switches recall off. With the
next longer context texts still loop; with the next shorter, fewer of the names that the model has made up return."""

_LONG_CONTEXT = CONTEXTS.index(LONG)
_NOTHING = [NO_FORECAST] * len(CONTEXTS)
_FAR = 1 << 60
"""More characters than any text has."""

FIRST_ROOM = 1 << 8
"""Initial capacity of `RecallMemories`, in characters of each text."""

FEW_TEXTS = 4
"""Up to so many texts each have their own `RecallMemory`, which is faster, but takes up to 16 MB."""

_LAGS = [longer - length for length, longer in itertools.pairwise(CONTEXTS)]
"""For each context but the longest, the distance between the ends of two such contexts that together make up the next
longer one."""

_WORD = np.dtype("<u8")
"""The words in which bits are combined and searched; the lowest bit comes first."""

_WORD_BITS = 8 * _WORD.itemsize


class RecallMemory:
    """The last characters of one text, as far back as its reach, and where each context last ended.

    Args:
        reach: see `charrnn.recall.recall_text`.
        vocab_size: V; ids are below V.
        generated_from: position of the first character that the model wrote itself; None if it wrote none, or if its
            own output is to be recalled like any other text.
    """

    def __init__(self, reach: int, vocab_size: int, generated_from: int | None = None) -> None:
        self._reach = reach
        self._id_bits = vocab_size.bit_length()
        generated_from = _FAR if generated_from is None else generated_from
        self._last_given = generated_from - 1
        self._recent = 0  # the last characters packed into one number: id + 1 of each, 0 before the text
        self._history: list[int] = []
        self._forgotten = 0  # number of characters dropped before the history
        self._tables: list[tuple[int, dict[int, int]]] = [
            ((1 << self._id_bits * length) - 1, {}) for length in CONTEXTS[: _count_useful(generated_from)]
        ]
        self._never_known = _NOTHING[len(self._tables) :]

    def read(self, character: int) -> list[int]:
        """Read one more character; return the forecasts of the next, one for each of `CONTEXTS`."""
        history = self._history
        if len(history) >= 2 * self._reach + LONGEST:
            history = self._forget()
        place = self._forgotten + len(history)
        nearest, forgotten = place - self._reach, self._forgotten
        history.append(character)
        self._recent = recent = (self._recent << self._id_bits | character + 1) & self._tables[-1][0]
        found = []
        for mask, ends in self._tables:
            context = recent & mask
            end = ends.get(context, NEVER)
            ends[context] = place
            found.append(end)
        long_end = found[_LONG_CONTEXT]
        if long_end >= nearest and long_end >= self._last_given:
            return _NOTHING
        forecasts = []
        for end in found:
            forecasts.append(history[end + 1 - forgotten] if end >= nearest else NO_FORECAST)
        return forecasts + self._never_known

    def copy(self) -> RecallMemory:
        """Return an independent copy, from which another text can go on."""
        memory = copy.copy(self)
        memory._history = self._history.copy()
        memory._tables = [(mask, ends.copy()) for mask, ends in self._tables]
        return memory

    def _forget(self) -> list[int]:
        """Drop what is beyond reach; return the shortened history."""
        beyond = len(self._history) - self._reach
        self._forgotten += beyond
        self._history = self._history[beyond:]
        for number, (mask, ends) in enumerate(self._tables):  # one by one: only one is held twice
            self._tables[number] = mask, {context: end for context, end in ends.items() if end >= self._forgotten}
        return self._history


class RecallMemories:
    """The last characters of N texts side by side: `RecallMemory` for many texts, vectorised over them.

    For every distance back, one bit says whether the character there equals the current one. A longer context recurs at
    a distance where the shorter one recurs now and did so a few characters before, as in `charrnn.recall`. So whole
    rows of bits are combined at once, and the first bit set is the latest occurrence of the context.

    Args:
        reach: see `charrnn.recall.recall_text`.
        vocab_size: V; ids are below V.
        num_texts: N.
        generated_from: see `RecallMemory`.
    """

    def __init__(self, reach: int, vocab_size: int, num_texts: int, generated_from: int | None = None) -> None:
        self._reach, self._length = reach, 0
        self._generated_from = _FAR if generated_from is None else generated_from
        self._rows = np.arange(num_texts)
        # Latest character first, from `_newest` on, so that a range of distances is a slice.
        self._history = np.zeros((num_texts, FIRST_ROOM), dtype=np.min_scalar_type(vocab_size - 1))
        self._newest = FIRST_ROOM
        # For each context a ring of bits, shape (turns, N, words): after each of the latest characters, a bit for each
        # distance 1, 2, ... The oldest turn is the one that the next longer context needs.
        lengths = [*(lag + 1 for lag in _LAGS[: _count_useful(self._generated_from) - 1]), 1]
        self._rings = [np.zeros((length, num_texts, FIRST_ROOM // _WORD_BITS), dtype=_WORD) for length in lengths]

    def read(self, ids: Ids) -> Forecasts:
        """Read the next character of each text, shape (N,); return the forecasts of the following, shape (N, C)."""
        if self._newest == 0:
            self._make_room()
        known = min(self._length, self._reach)
        ids = ids.astype(self._history.dtype)
        same = self._history[:, self._newest : self._newest + known] == ids[:, None]
        self._newest -= 1
        self._length += 1
        self._history[:, self._newest] = ids
        if not known:
            return np.full((len(ids), len(CONTEXTS)), NO_FORECAST)
        nearest, is_known = self._find(np.packbits(same, axis=1, bitorder="little"))
        followed = self._history.reshape(-1).take(self._rows * self._history.shape[1] + self._newest + nearest)
        is_known &= ~(is_known[_LONG_CONTEXT] & (nearest[_LONG_CONTEXT] < self._length - self._generated_from))
        forecasts = np.full((len(CONTEXTS), len(ids)), NO_FORECAST)
        np.copyto(forecasts[: len(followed)], followed, where=is_known)
        return forecasts.T

    def _find(self, same: NDArray[np.uint8]) -> tuple[Places, NDArray[np.bool_]]:
        """Find the nearest distance, less one, at which each context recurs, and whether it does, shape (C, N) each.

        Args:
            same: a bit for each distance at which the latest character stands too, shape (N, bytes).
        """
        turns = [(ring[self._length % len(ring)], ring[(self._length + 1) % len(ring)]) for ring in self._rings]
        turns[0][0].view(np.uint8)[:, : same.shape[1]] = same
        for (shorter, oldest), (longer, _) in itertools.pairwise(turns):
            np.bitwise_and(shorter, oldest, out=longer)
        first_words = np.empty((len(turns), len(self._rows)), dtype=np.intp)
        words = np.empty(first_words.shape, dtype=_WORD)
        for number, (bits, _) in enumerate(turns):
            first_words[number] = (bits != 0).argmax(axis=-1)
            bits.reshape(-1).take(self._rows * bits.shape[1] + first_words[number], out=words[number], mode="clip")
        is_known = words != 0
        return np.where(is_known, _WORD_BITS * first_words + _zeros_below(words), 0), is_known

    def selected(self, rows: Ids) -> RecallMemories:
        """Return independent copies of the rows named, each as often as `rows` names it."""
        memories = copy.copy(self)
        memories._rows = np.arange(len(rows))
        memories._history = self._history.take(rows, axis=0)
        memories._rings = [ring.take(rows, axis=1) for ring in self._rings]
        return memories

    def _make_room(self) -> None:
        """Move to arrays twice as long as what can still be recalled."""
        kept = min(self._length, self._reach)
        history = np.zeros((len(self._rows), 2 * kept), dtype=self._history.dtype)
        history[:, kept:] = self._history[:, :kept]
        self._history, self._newest = history, kept
        lacking = -(-min(2 * kept, self._reach) // _WORD_BITS) - self._rings[0].shape[-1]
        if lacking > 0:
            self._rings = [np.pad(ring, [(0, 0), (0, 0), (0, lacking)]) for ring in self._rings]


class FewMemories:
    """`RecallMemories` for few texts: a `RecallMemory` for each, whose forecasts are the same.

    Args:
        reach, vocab_size, generated_from: see `RecallMemory`.
        num_texts: N.
    """

    def __init__(self, reach: int, vocab_size: int, num_texts: int, generated_from: int | None) -> None:
        self._reach, self._vocab_size, self._generated_from = reach, vocab_size, generated_from
        self._each = [RecallMemory(reach, vocab_size, generated_from) for _ in range(num_texts)]
        self._recent: deque[list[int]] = deque(maxlen=reach + LONGEST)  # what the forecasts depend on
        self._length = 0
        self._as_many: RecallMemories | None = None

    def read(self, ids: Ids) -> Forecasts:
        """Read the next character of each text, shape (N,); return the forecasts of the following, shape (N, C)."""
        characters = ids.tolist()
        self._recent.append(characters)
        self._length += 1
        self._as_many = None
        return np.array([memory.read(own) for memory, own in zip(self._each, characters, strict=True)])

    def selected(self, rows: Ids) -> FewMemories | RecallMemories:
        """Return independent copies of the rows named, each as often as `rows` names it."""
        if len(rows) > FEW_TEXTS:
            self._as_many = self._as_many or self._read_again()
            return self._as_many.selected(rows)
        memories, kept = copy.copy(self), rows.tolist()
        memories._as_many = None
        memories._each = [self._each[row].copy() for row in kept]
        memories._recent = deque(([read[row] for row in kept] for read in self._recent), self._recent.maxlen)
        return memories

    def _read_again(self) -> RecallMemories:
        """The same texts side by side."""
        forgotten = self._length - len(self._recent)
        generated_from = None if self._generated_from is None else self._generated_from - forgotten
        memories = RecallMemories(self._reach, self._vocab_size, len(self._each), generated_from)
        for characters in self._recent:
            memories.read(np.array(characters))
        return memories


def begin_memories(
    reach: int, vocab_size: int, num_texts: int, generated_from: int | None
) -> FewMemories | RecallMemories:
    """Begin the memory of N texts, in the way that is faster for as many; for the arguments see `RecallMemory`."""
    kind = FewMemories if num_texts <= FEW_TEXTS else RecallMemories
    return kind(reach, vocab_size, num_texts, generated_from)


def _count_useful(generated_from: int) -> int:
    """How many of `CONTEXTS` can forecast anything.

    The longest cannot if it does not fit into the text that was given: where it recurs in the model's own output,
    `LONG` does too, and nothing is recalled.
    """
    return len(CONTEXTS) if generated_from > LONGEST else _LONG_CONTEXT + 1


def _zeros_below(words: NDArray[np.uint64]) -> NDArray[np.intc]:
    """Count the trailing zero bits of each word; -1 for a word of 0."""
    lowest = words & -words
    return np.frexp(lowest.astype(np.float64))[1] - 1  # a power of two, which a float holds exactly
