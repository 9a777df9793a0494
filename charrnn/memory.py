"""Recall character by character, as a text is read: see `charrnn.recall`, which gives the same for a whole text.

A model that writes reads its own words, and believes them. Once it has said a phrase twice, all contexts forecast it
again, a low temperature makes sure of it, and the text goes round in a circle. So of its own words a model recalls
short pieces alone, as long as a name: where the last `LONG` characters stood in them before, it recalls nothing, until
it says something else. Figures stand in `tests/benchmarks/RECIPES.md`.
"""

from __future__ import annotations

import numpy as np

from charrnn.config import CONTEXTS
from charrnn.recall import LONGEST, NEVER, NONE, Forecasts, Ids

LONG = 8
"""Characters of a piece of its own words that a model does not recall: one of `CONTEXTS`. The next longer still leads
in circles, and with the next shorter fewer of the names that it has made up come again."""

_LONG_CONTEXT = CONTEXTS.index(LONG)
_NOTHING = [NONE] * len(CONTEXTS)
_FAR = 1 << 60
"""More characters than any text has."""

FIRST_ROOM = 1 << 8
"""Characters of texts that are read side by side for which there is room at first."""

NEAR = 1 << 9
"""Distances at which most contexts are found, which are searched first."""

RUNS_GROW = 128
"""Characters after which runs are shortened to `LONGEST` again, so that eight bits hold them."""


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
    """The same of N texts that are read side by side, in a few operations for all of them and in little memory.

    For every distance back it is known how many characters there are the same as here, `LONGEST` at most. Reading one
    more makes each such run longer by one or ends it; a run at least as long as a context is a place of that context.

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
        self._runs = np.zeros((num_texts, FIRST_ROOM), dtype=np.uint8)  # at distances of 1, 2, ...

    def read(self, characters: Ids) -> Forecasts:
        """Read the next character of each text, shape (N,); give the forecasts of those after them, shape (N, C)."""
        if self._newest == 0:
            self._make_room()
        known = min(self._length, self._reach)
        runs = self._runs[:, :known]
        if self._length % RUNS_GROW == 0:
            np.minimum(runs, LONGEST, out=runs)
        runs += 1
        characters = characters.astype(self._history.dtype)
        runs *= self._history[:, self._newest : self._newest + known] == characters[:, None]
        self._newest -= 1
        self._length += 1
        self._history[:, self._newest] = characters
        forecasts = np.full((len(characters), len(CONTEXTS)), NONE)
        if not known:
            return forecasts
        longest = runs.max(axis=1)
        repeats_itself = np.zeros(len(characters), dtype=bool)
        for number, length in enumerate(CONTEXTS):
            is_known = longest >= length
            if not is_known.any():
                break
            nearest = (runs[:, :NEAR] >= length).argmax(axis=1)
            if known > NEAR:
                far = (is_known & (runs[self._rows, nearest] < length)).nonzero()[0]
                nearest[far] = (runs[far] >= length).argmax(axis=1)
            followed = self._history[self._rows, self._newest + nearest]
            np.copyto(forecasts[:, number], followed, where=is_known, casting="unsafe")
            if length == LONG:
                repeats_itself = is_known & (nearest < self._length - self._own_from)
        forecasts[repeats_itself] = NONE
        return forecasts

    def _make_room(self) -> None:
        """Move to arrays twice as long as what can still be recalled, so that there is room for more."""
        kept = min(self._length, self._reach)
        history = np.zeros((len(self._rows), 2 * kept), dtype=self._history.dtype)
        history[:, kept:] = self._history[:, :kept]
        runs = np.zeros((len(self._rows), 2 * kept), dtype=np.uint8)
        runs[:, :kept] = self._runs[:, :kept]
        self._history, self._runs, self._newest = history, runs, kept
