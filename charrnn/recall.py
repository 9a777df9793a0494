"""Recall: a cache of which character followed when the last few characters occurred in the text before.

A recurrent state keeps the sense of what was read and loses the wording: a name that came up two pages ago has to be
guessed anew, letter by letter. So forecasts of the next character are looked up: for contexts of a few lengths, what
followed each of them when it last occurred. The model computes from its hidden state how far to trust each forecast:
see `charrnn.network.model.CharRNN`. Such caches are an old idea (Kuhn and De Mori 1990,
https://doi.org/10.1109/34.56193; as a pointer, Merity et al. 2016, https://arxiv.org/abs/1609.07843).

A forecast depends on the characters read only, not on weights or hidden state. This module looks forecasts up for a
whole text at once; `charrnn.recall_memory` looks the same forecasts up character by character.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.arrays import Ids, Places
from charrnn.config import CONTEXTS

Forecasts = NDArray[np.integer[Any]]
"""Forecast ids, shape (..., C), one for each of `CONTEXTS`: what followed its last occurrence, or `NO_FORECAST`."""

LONGEST = CONTEXTS[-1]

NO_FORECAST = -1
"""Stands for the forecast of a context that did not occur before."""

KEPT = 1 << 22
"""Characters of a training's text whose forecasts are all kept, at most: 12 bytes for each character, or 24 where ids
have more than eight bits. The pieces of a longer text, which are read only once or a few times, are looked up anew."""

SPAN = 1 << 14
"""Characters of a whole text that are looked up together. With the characters before that they may recall, at most
`config.FARTHEST`, they are fewer than 2 ** 16."""

FEW = 1 << 10
"""The most characters of a piece that are looked up without sorting all those before: 16 bits hold their names."""

WHOLE = slice(None)

NEVER = -(1 << 40)
"""Stands for a missing position; smaller than any position minus any reach."""


def recall_text(ids: Ids, reach: int, starts: Places | None = None, piece: slice = WHOLE) -> Forecasts:
    """Look up the forecasts after every character of a text, shape (num_chars, C).

    Args:
        ids: encoded text, shape (num_chars,).
        reach: how many characters back an earlier occurrence of a context may end.
        starts: for each character, where the text that it belongs to begins, shape (num_chars,); nothing before is
            looked at. None for a single text.
        piece: look up the forecasts for this part of the text only.
    """
    first, last, _ = piece.indices(len(ids))
    blocks = [recall_block(ids, at, min(at + SPAN, last), reach, starts) for at in range(first, last, SPAN)]
    return np.concatenate(blocks) if blocks else recall_block(ids, 0, 0, reach)


def recall_texts(texts: Sequence[Ids], reach: int) -> list[Forecasts]:
    """Look up the forecasts in several independent texts in one pass, which is faster for short texts."""
    lengths = np.array([len(text) for text in texts])
    ends = np.cumsum(lengths)
    return np.split(recall_text(np.concatenate(texts), reach, np.repeat(ends - lengths, lengths)), ends[:-1])


def recall_columns(windows: Ids, reach: int) -> Forecasts:
    """Look up the forecasts in N independent windows, shape (T, N); return them in shape (T, N, C)."""
    length, columns = windows.shape
    starts = np.repeat(np.arange(columns) * length, length)
    found = recall_text(np.ascontiguousarray(windows.T).ravel(), reach, starts)
    return found.reshape(columns, length, -1).swapaxes(0, 1)


def recall_block(ids: Ids, first: int, last: int, reach: int, starts: Places | None = None) -> Forecasts:
    """Look up the forecasts after the characters from `first` up to, but not including, `last`; see `recall_text`."""
    lead = max(0, first - reach - LONGEST)
    if starts is not None and first < len(ids):
        lead = max(lead, int(starts[first]))  # nothing before is looked at
    piece = np.asarray(ids[lead:last])
    own = slice(first - lead, None)
    places = np.arange(len(piece))[own]
    begins = 0 if starts is None else starts[first:last] - lead
    few_ids = piece if ids.dtype == np.uint8 else np.unique(piece, return_inverse=True)[1]  # 16 bits hold them
    look_up = _last_ends_of_few if len(places) <= FEW else _last_ends
    forecasts = np.full(
        (len(places), len(CONTEXTS)), NO_FORECAST, dtype=np.int16 if ids.dtype == np.uint8 else np.int32
    )
    for number, (length, ends) in enumerate(zip(CONTEXTS, look_up(few_ids, first - lead), strict=True)):
        is_known = (ends >= places - reach) & (ends >= begins + (length - 1))
        forecasts[is_known, number] = piece[ends[is_known] + 1]
    return forecasts


def _last_ends(ids: Ids, first: int) -> Iterator[Places]:
    """For each character from `first` on, find where the context that ends with it ended before; `NEVER` if it did not.

    A context of length K is identified by the names of its first and its last k characters, where k is the previous
    length and 2 k >= K (prefix doubling: Karp, Miller, Rosenberg 1972, https://doi.org/10.1145/800152.804905). Its own
    name is its rank in sorted order. The order by the last k characters is known from the previous length, so only the
    first k remain to be sorted by, stably. For 16-bit names that is a radix sort: a third of the time of sorting pairs
    of names with their positions.

    Args:
        ids: shape (num_chars,), with num_chars < 2 ** 16 - 1; each id below 256 or below num_chars.
        first: position of the first character to look up.

    Yields:
        For each of `CONTEXTS`, the end of the context's previous occurrence for each of these characters.
    """
    firsts = ids.astype(np.uint16)
    lasts = np.zeros_like(firsts)
    order = np.arange(len(ids))  # positions, sorted by context and then by position
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
        firsts = np.zeros_like(lasts)  # 0: reaches before the text, where no two contexts are the same
        firsts[longer - length :] = lasts[: max(0, len(ids) - (longer - length))]


def _last_ends_of_few(ids: Ids, first: int) -> Iterator[Places]:
    """Find what `_last_ends` finds, faster where few characters are looked up, since only those are sorted.

    Only the contexts at these characters, and the shorter contexts that those consist of, get a name of their own; all
    others are named 0. With so few names, pairs of names are looked up in a table.
    """
    begin = max(0, first - (LONGEST - 1))  # where the first context with a name ends
    numbers = np.arange(1, len(ids) - begin + 1)  # names for the contexts from there on
    count = len(numbers) + 1
    places = np.arange(len(ids))
    pairs = ids.astype(np.int64)
    for length, longer in zip(CONTEXTS, (*CONTEXTS[1:], LONGEST), strict=True):
        table = np.zeros(max(count * count, len(ids), 256), dtype=np.int16)
        table[pairs[begin:]] = numbers
        if length > CONTEXTS[0]:
            table[:count] = table[: count * count : count] = 0  # pairs that hold the name 0
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
