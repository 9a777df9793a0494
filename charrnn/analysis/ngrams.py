"""An n-gram model of characters: the baseline that an RNN has to beat to be worth its training.

Interpolated, modified Kneser-Ney smoothing: the counts of each context are discounted, and the discounted probability
mass is distributed by the context that is one character shorter, down to the uniform distribution (Chen, Goodman 1999,
"An empirical study of smoothing techniques for language modeling", section 2.8 and 3). One sort counts all contexts of
one length.

With --lines each line is a text of its own that starts after a line feed. N-grams that continue past a line feed are
not counted, so no context reaches back beyond the line feed before a line. An n-gram that begins with a line feed has
no left context and keeps its plain count, like sentence starts in word models.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from charrnn.arrays import Doubles, Ids, Places

ORDER = 6
"""Length of the longest n-gram: five characters of context and the one that follows."""

BASELINE_NAME = f"{ORDER}-gram"
"""Name of the model where its loss is shown."""

MAX_LEARNED = 2_000_000
"""Most characters to learn from, the last of the text: about ten arrays of this length are held in memory."""

PLACES_AT_ONCE = 1 << 17
"""Characters scored at once: several arrays of this length are held in memory, and one six times as long."""


@dataclass(frozen=True)
class Baseline:
    """Loss of an n-gram model over the held-out characters that an RNN's loss is over.

    Attributes:
        loss: in nats per character.
        learned: number of characters learned from, if these are only the end of the training text; else 0.
        counted: number of characters that both losses are over, if these are only a part of the held-out text; else 0.
    """

    loss: float
    learned: int = 0
    counted: int = 0


class NgramModel:
    """An interpolated character n-gram model.

    Args:
        ids: text to learn from, shape (num_chars,), values in [0, V).
        vocab_size: V.
        order: length of the longest n-gram, at least 1.
        line_end_id: id of the line feed if each line is a text of its own; a text to score must then begin with it.
    """

    def __init__(self, ids: Ids, vocab_size: int, order: int = ORDER, *, line_end_id: int | None = None) -> None:
        self._vocab_size = vocab_size
        self._order = order
        learned = np.asarray(ids[-MAX_LEARNED:], dtype=np.int64)
        if line_end_id is not None and len(learned) == len(ids):  # a cut text begins mid-line
            learned = np.insert(learned, 0, line_end_id)
        self._levels = _count_levels(learned, vocab_size, order, -1 if line_end_id is None else line_end_id)

    def surprisals_at(self, ids: Ids, places: Places) -> Doubles:
        """The surprisals in nats of some characters of a text, each given those before it, shape (num_places,).

        Args:
            ids: encoded text, shape (num_chars,), of any length: only the contexts needed are held in memory.
            places: of the characters, ascending, at least one, shape (num_places,).
        """
        back = np.arange(self._order)
        found = []
        for first in range(0, len(places), PLACES_AT_ONCE):
            chosen = places[first : first + PLACES_AT_ONCE]
            read = np.unique(np.maximum(chosen[:, None] - back, 0))  # the characters and their contexts
            found.append(self.surprisals(ids[read])[np.searchsorted(read, chosen)])
        return np.concatenate(found)

    def surprisals(self, ids: Ids) -> Doubles:
        """-ln p of each character given those before it, in nats, shape (num_chars,); the first has none before it."""
        ids = np.asarray(ids, dtype=np.int64)
        probability = np.full(len(ids), 1 / self._vocab_size)
        contexts = np.zeros(len(ids), dtype=np.int64)  # -1 where the training text has no such context
        for level in self._levels:
            places = _find(level.keys, np.where(contexts >= 0, contexts * self._vocab_size + ids, -1))
            seen = contexts >= 0
            seen[seen] = contexts[seen] < len(level.left)  # the last n-gram of the training text has no successor
            lower = np.where(seen, level.left[np.where(seen, contexts, 0)], 1.0)
            probability = lower * probability + np.where(places >= 0, level.share[places], 0.0)
            contexts = np.concatenate([[-1], places[:-1]])
        result: Doubles = -np.log(probability)
        return result


@dataclass(frozen=True)
class _Level:
    """All n-grams of one length n, sorted.

    Attributes:
        keys: context times V plus the id that follows, ascending; a context is an index into the previous level.
        share: discounted count of each n-gram over the total count of its context.
        left: for each context the discounted probability mass, which the shorter context distributes.
    """

    keys: Places
    share: Doubles
    left: Doubles


def _count_levels(ids: Places, vocab_size: int, order: int, line_end_id: int) -> list[_Level]:
    """Count the n-grams of every length; Kneser-Ney continuation counts for all but the longest.

    Args:
        ids: text to learn from, shape (num_chars,).
        vocab_size: V.
        order: length of the longest n-gram.
        line_end_id: id that an n-gram may begin or end with, but not contain inside; -1: there is no such id.
    """
    keys_by_level: list[Places] = []
    counts_by_level: list[Places] = []
    contexts_by_level: list[Places] = []
    # For each start in the text, the index of the n-gram of the previous length, if counted; shape (num_chars,).
    places = np.zeros(len(ids), dtype=np.int64)
    # For each start, whether the n-gram of this length does not continue past a line feed; shrinks by 1 per length.
    counted = np.ones(len(ids), dtype=bool)
    # For each n-gram of the previous length, whether it begins with a line feed and so has no left context.
    is_first = np.zeros(0, dtype=bool)
    for length in range(1, order + 1):
        if not counted.any():
            break
        keys, first, found, counts = np.unique(
            (places[: len(counted)] * vocab_size + ids[length - 1 :])[counted],
            return_index=True, return_inverse=True, return_counts=True,
        )  # fmt: skip
        first = np.flatnonzero(counted)[first]
        if length > 1:  # Kneser-Ney: a shorter n-gram counts the different characters it came after
            different = np.bincount(places[first + 1], minlength=len(is_first))
            counts_by_level[-1] = np.where(is_first, counts_by_level[-1], different)
        keys_by_level.append(keys)
        counts_by_level.append(counts)
        contexts_by_level.append(keys // vocab_size)
        places[: len(counted)][counted] = found
        del found  # as large as the text
        feed = line_end_id if length > 1 else -1  # a single line feed has the line that it ends as left context
        is_first = ids[first] == feed
        counted = counted[:-1] & (ids[length - 1 : -1] != feed)
    return [_smooth(*level) for level in zip(keys_by_level, counts_by_level, contexts_by_level, strict=True)]


def _smooth(keys: Places, counts: Places, contexts: Places) -> _Level:
    """Turn counts into shares; an n-gram that occurs only at the start of the text has a continuation count of 0."""
    discounts = _discounts(counts)[np.minimum(counts, 3)]
    totals = np.bincount(contexts, weights=counts)
    discounted = np.bincount(contexts, weights=discounts)
    left: Doubles = np.where(totals > 0, discounted / np.maximum(totals, 1), 1.0)
    return _Level(keys, (counts - discounts) / np.maximum(totals, 1)[contexts], left)


def _discounts(counts: Places) -> Doubles:
    """Discounts of counts of 0, 1, 2, and 3 or more (Chen, Goodman 1999, equation 17).

    0.5 for each of the last three if there are too few counts for an estimate.
    """
    one, two, three, four = (int((counts == k).sum()) for k in (1, 2, 3, 4))
    if not (one and two and three):
        return np.array([0.0, 0.5, 0.5, 0.5])
    y = one / (one + 2 * two)
    estimates = [0.0, 1 - 2 * y * two / one, 2 - 3 * y * three / two, 3 - 4 * y * four / three]
    return np.clip(estimates, [0, 0.05, 0.05, 0.05], [0, 0.95, 1.95, 2.95])


def _find(keys: Places, wanted: Places) -> Places:
    """Index of each wanted key in the sorted keys; -1 if absent."""
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, places, -1)
