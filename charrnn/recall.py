"""Recall: what followed when the last few characters stood in the text before.

A recurrent state keeps the sense of what was read and loses the wording: a name that came up two pages ago has to be
guessed anew, letter by letter. So forecasts of the next character are looked up: for contexts of a few lengths, what
followed each of them when it last occurred. The model says, from its state, how far to trust each: see
`charrnn.network.model.CharRNN`. Weighing a memory of what was just read is an old idea (Kuhn and De Mori 1990,
https://doi.org/10.1109/34.56193; as a pointer, Merity et al. 2016, https://arxiv.org/abs/1609.07843).

A forecast follows from the characters read and from nothing else: no weight, no state. Here forecasts are looked up for
a whole text at once, by sorting, or character by character, in tables or by runs; all give the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.config import CONTEXTS

Ids = NDArray[np.integer[Any]]
Forecasts = NDArray[np.integer[Any]]
"""Ids that followed the contexts after some characters, or `NONE`, shape (..., C): one for each of `CONTEXTS`."""

Places = NDArray[np.int64]

LONGEST = CONTEXTS[-1]

NONE = -1
"""In the place of a forecast, where its context did not occur before."""

SPAN = 1 << 14
"""Characters of a whole text that are looked up together. With those before that they may recall, `config.FARTHEST` at
most, they are fewer than 2 to the power of 16."""

BLOCK = 1 << 12
"""The same of a text that is read in any order."""

FIRST_ROOM = 1 << 8
"""Characters of texts that are read side by side for which there is room at first."""

NEAR = 1 << 9
"""Distances at which most contexts are found, which are searched first."""

RUNS_GROW = 128
"""Characters after which runs are shortened to `LONGEST` again, so that eight bits hold them."""

KEPT, FEWEST_BLOCKS = 1 << 22, 64
"""Characters of a text of which a `RecalledText` keeps all that it has found out, at most: 12 bytes for each, or 24
where ids have more than eight bits. Of a longer one, whose pieces are read but once or a few times, it keeps so many
blocks, or two for each place that is read at."""

NEVER = -(1 << 40)
"""In the place of a place, far before any."""


def recall_text(ids: Ids, reach: int, starts: Places | None = None) -> Forecasts:
    """Look up the forecasts after every character of a text, shape (num_chars, C).

    Args:
        ids: encoded text, shape (num_chars,).
        reach: characters back in which contexts are looked for: from the end of one to that of the other.
        starts: for each character, where the text begins that it belongs to, shape (num_chars,): what is before is not
            looked at; None for one text.
    """
    blocks = [recall_block(ids, first, first + SPAN, reach, starts) for first in range(0, len(ids), SPAN)]
    return np.concatenate(blocks) if blocks else recall_block(ids, 0, 0, reach)


def recall_texts(texts: Sequence[Ids], reach: int) -> list[Forecasts]:
    """Look up the forecasts in several texts, each by itself, at once: that is faster where they are short."""
    lengths = np.array([len(text) for text in texts])
    ends = np.cumsum(lengths)
    return np.split(recall_text(np.concatenate(texts), reach, np.repeat(ends - lengths, lengths)), ends[:-1])


def recall_columns(windows: Ids, reach: int) -> Forecasts:
    """Look up the forecasts in windows of texts, shape (T, N), each by itself; the result's is (T, N, C)."""
    length, columns = windows.shape
    starts = np.repeat(np.arange(columns) * length, length)
    found = recall_text(np.ascontiguousarray(windows.T).ravel(), reach, starts)
    return found.reshape(columns, length, -1).swapaxes(0, 1)


def recall_block(ids: Ids, first: int, last: int, reach: int, starts: Places | None = None) -> Forecasts:
    """Look up the forecasts after the characters from `first` to before `last`; see `recall_text`."""
    lead = max(0, first - reach - LONGEST)
    if starts is not None and first < len(ids):
        lead = max(lead, int(starts[first]))  # nothing before is looked at
    piece = np.asarray(ids[lead:last])
    own = slice(first - lead, None)
    places = np.arange(len(piece))[own]
    begins = 0 if starts is None else starts[first:last] - lead
    forecasts = np.full((len(places), len(CONTEXTS)), NONE, dtype=np.int16 if ids.dtype == np.uint8 else np.int32)
    for number, (length, all_ends) in enumerate(zip(CONTEXTS, _last_ends(piece), strict=True)):
        ends = all_ends[own]
        is_known = (ends >= places - reach) & (ends >= begins + (length - 1))
        forecasts[is_known, number] = piece[ends[is_known] + 1]
    return forecasts


def _last_ends(ids: Ids) -> Iterator[Places]:
    """For each of `CONTEXTS`, where the context at each character last ended before; `NEVER` where it did not.

    A context of length K is named by the names of its first and its last k characters, where k is the length before
    and 2 k is at least K (Karp, Miller, Rosenberg 1972, https://doi.org/10.1145/800152.804905). Its own name is its
    number in their order. The order by the last k is known, so that only that by the first has to be found, and names
    of sixteen bits are sorted by counting: a third of the time of sorting both with their places.

    Args:
        ids: fewer than 2 to the power of 16 minus 1.
    """
    firsts = (ids if ids.dtype == np.uint8 else np.unique(ids, return_inverse=True)[1]).astype(np.uint16)
    lasts = np.zeros_like(firsts)
    order = np.arange(len(ids))  # places, by context, and of one context by place
    for length, longer in zip(CONTEXTS, (*CONTEXTS[1:], LONGEST), strict=True):
        order = order[np.argsort(firsts[order], kind="stable")]
        is_new = np.ones(len(ids), dtype=bool)
        is_new[1:] = np.diff(firsts[order]) != 0
        is_new[1:] |= np.diff(lasts[order]) != 0
        before = np.full(len(ids), NEVER)
        np.copyto(before[1:], order[:-1], where=~is_new[1:])
        ends = np.empty(len(ids), dtype=np.int64)
        ends[order] = before
        yield ends
        lasts = np.empty_like(firsts)
        lasts[order] = is_new.cumsum().astype(np.uint16)  # from 1 on
        firsts = np.zeros_like(lasts)  # 0: before the text, where no two contexts are the same
        firsts[longer - length :] = lasts[: max(0, len(ids) - (longer - length))]


class Memory:
    """The characters of one text so far, as far back as its reach, and where each context last ended.

    Args:
        reach: see `recall_text`.
        vocab_size: V: ids are below.
    """

    def __init__(self, reach: int, vocab_size: int) -> None:
        self._reach, self._bits = reach, vocab_size.bit_length()
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
        forecasts = []
        for mask, ends in self._tables:
            context = recent & mask
            end = ends.get(context, NEVER)
            ends[context] = place
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
        reach: see `recall_text`.
        vocab_size: V: ids are below.
        num_texts: N.
    """

    def __init__(self, reach: int, vocab_size: int, num_texts: int) -> None:
        self._reach, self._length = reach, 0
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
        return forecasts

    def _make_room(self) -> None:
        """Go on in arrays that are twice as large, or where no more can be recalled in such as leave room enough."""
        kept = min(self._length, self._reach)
        history = np.zeros((len(self._rows), 2 * kept), dtype=self._history.dtype)
        history[:, kept:] = self._history[:, :kept]
        runs = np.zeros((len(self._rows), 2 * kept), dtype=np.uint8)
        runs[:, :kept] = self._runs[:, :kept]
        self._history, self._runs, self._newest = history, runs, kept


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
