"""Recall: what followed when the last few characters stood in the text before.

A recurrent state keeps the sense of what was read and loses the wording: a name that came up two pages ago has to be
guessed anew, letter by letter. So forecasts of the next character are looked up: for contexts of a few lengths, what
followed each of them when it last occurred. The model says, from its state, how far to trust each: see
`charrnn.network.model.CharRNN`. Weighing a memory of what was just read is an old idea (Kuhn and De Mori 1990,
https://doi.org/10.1109/34.56193; as a pointer, Merity et al. 2016, https://arxiv.org/abs/1609.07843).

A forecast follows from the characters read and from nothing else: no weight, no state. Here forecasts are looked up for
a whole text at once; `charrnn.memory` looks them up character by character and gives the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.arrays import Ids, Places
from charrnn.config import CONTEXTS

Forecasts = NDArray[np.integer[Any]]
"""Ids that followed the contexts after some characters, or `NONE`, shape (..., C): one for each of `CONTEXTS`."""

LONGEST = CONTEXTS[-1]

NONE = -1
"""In the place of a forecast, where its context did not occur before."""

SPAN = 1 << 14
"""Characters of a whole text that are looked up together. With those before that they may recall, `config.FARTHEST` at
most, they are fewer than 2 to the power of 16."""

FEW = 1 << 10
"""Characters of a piece that are looked up without sorting all those before, at most: sixteen bits hold their names."""

WHOLE = slice(None)

NEVER = -(1 << 40)
"""Stands for a position where there is none; smaller than any position less any reach."""


def recall_text(ids: Ids, reach: int, starts: Places | None = None, piece: slice = WHOLE) -> Forecasts:
    """Look up the forecasts after every character of a text, shape (num_chars, C).

    Args:
        ids: encoded text, shape (num_chars,).
        reach: characters back in which contexts are looked for: from the end of one to that of the other.
        starts: for each character, where the text begins that it belongs to, shape (num_chars,): what is before is not
            looked at; None for one text.
        piece: of the text, for whose characters alone they are looked up.
    """
    first, last, _ = piece.indices(len(ids))
    blocks = [recall_block(ids, at, min(at + SPAN, last), reach, starts) for at in range(first, last, SPAN)]
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
    numbers = piece if ids.dtype == np.uint8 else np.unique(piece, return_inverse=True)[1]
    look_up = _last_ends_of_few if len(places) <= FEW else _last_ends
    forecasts = np.full((len(places), len(CONTEXTS)), NONE, dtype=np.int16 if ids.dtype == np.uint8 else np.int32)
    for number, (length, ends) in enumerate(zip(CONTEXTS, look_up(numbers, first - lead), strict=True)):
        is_known = (ends >= places - reach) & (ends >= begins + (length - 1))
        forecasts[is_known, number] = piece[ends[is_known] + 1]
    return forecasts


def _last_ends(ids: Ids, first: int) -> Iterator[Places]:
    """For each of `CONTEXTS`, where the context at each character from `first` on last ended before; else `NEVER`.

    A context of length K is named by the names of its first and its last k characters, where k is the length before
    and 2 k is at least K (Karp, Miller, Rosenberg 1972, https://doi.org/10.1145/800152.804905). Its own name is its
    number in their order. The order by the last k is known, so that only that by the first has to be found, and names
    of sixteen bits are sorted by counting: a third of the time of sorting both with their places.

    Args:
        ids: shape (num_chars,), fewer than 2 to the power of 16 minus 1; each below 256, or below their number.
        first: place of a character.
    """
    firsts = ids.astype(np.uint16)
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
        yield ends[first:]
        lasts = np.empty_like(firsts)
        lasts[order] = is_new.cumsum().astype(np.uint16)  # from 1 on
        firsts = np.zeros_like(lasts)  # 0: before the text, where no two contexts are the same
        firsts[longer - length :] = lasts[: max(0, len(ids) - (longer - length))]


def _last_ends_of_few(ids: Ids, first: int) -> Iterator[Places]:
    """Find what `_last_ends` finds, faster where few characters are looked up: nothing is sorted but those.

    Names are given to the contexts at these characters alone, and to the parts that these are named by; all others are
    called 0. So few names have a table of all pairs of them.
    """
    begin = max(0, first - (LONGEST - 1))  # of the parts
    numbers = np.arange(1, len(ids) - begin + 1)  # of the characters from there on
    count = len(numbers) + 1
    places = np.arange(len(ids))
    pairs = ids.astype(np.int64)
    for length, longer in zip(CONTEXTS, (*CONTEXTS[1:], LONGEST), strict=True):
        table = np.zeros(max(count * count, len(ids), 256), dtype=np.int16)
        table[pairs[begin:]] = numbers
        if length > CONTEXTS[0]:
            table[:count] = table[: count * count : count] = 0  # one of the pair is called 0
        names = table.take(pairs).astype(np.int64)
        before = np.full(count, NEVER)
        before[names[:first]] = places[:first]
        own = names[first:]
        ends = before.take(own)
        order = own.astype(np.int16).argsort(kind="stable")
        again = (np.diff(own[order]) == 0).nonzero()[0]
        ends[order[again + 1]] = order[again] + first
        ends[own == 0] = NEVER
        yield ends
        pairs = names.copy()
        pairs[longer - length :] += count * names[: max(0, len(ids) - (longer - length))]
