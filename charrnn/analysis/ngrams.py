"""An n-gram model of characters: the yardstick that an RNN has to beat to be worth its training.

Interpolated, modified Kneser-Ney smoothing: a longer context tells what it has seen, less a discount, and what is
discounted goes to the context that is one character shorter, down to all characters being alike (Chen, Goodman 1999,
"An empirical study of smoothing techniques for language modeling", section 2.8 and 3). All contexts of one length are
counted by one sort.

Where each line is a text of its own, read after a line feed, no n-gram is counted that goes on behind one: so there is
no context that reaches back beyond the line feed before a line. What begins with that has nothing before it, and counts
how often it occurs, as what begins a sentence does in models of words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from charrnn.arrays import Doubles, Ids, Places

ORDER = 6
"""The longest n-gram: five characters of context and the one that follows."""

YARDSTICK = f"{ORDER}-gram"
"""What such a model is called where its loss is shown."""

MAX_LEARNED = 2_000_000
"""To learn from, the last of a text: some ten arrays of this length are held."""

PLACES_AT_ONCE = 1 << 17
"""Characters that are scored together: several arrays of this length are held, and one of six times as many."""


@dataclass(frozen=True)
class Baseline:
    """Such a model's loss over the same held-out characters as another's.

    Attributes:
        loss: in nats per character.
        learned: characters that it learned from, where these are but the end of the training text; else 0.
        counted: characters that both losses are over, where these are but a part of the held-out text; else 0.
    """

    loss: float
    learned: int = 0
    counted: int = 0


@dataclass(frozen=True)
class _Level:
    """All n-grams of one length n, in order.

    Attributes:
        keys: context times V plus the character that follows, ascending; a context is a place in the level before.
        share: what each is worth by itself: its count less the discount, over all of its context.
        left: for each context what is discounted, to be shared out by the shorter context.
    """

    keys: Places
    share: Doubles
    left: Doubles


class NgramModel:
    """An interpolated character model of n-grams up to an order.

    Args:
        ids: text to learn from, shape (num_chars,), values in [0, V).
        vocab_size: V.
        order: the longest n-gram, at least 1.
        line_feed: the id that ends a line, where each line is a text of its own; a text to score then begins with it.
    """

    def __init__(self, ids: Ids, vocab_size: int, order: int = ORDER, *, line_feed: int | None = None) -> None:
        self._vocab_size = vocab_size
        self._order = order
        learned = np.asarray(ids[-MAX_LEARNED:], dtype=np.int64)
        if line_feed is not None and len(learned) == len(ids):  # else the first line has lost its beginning
            learned = np.insert(learned, 0, line_feed)
        self._levels = _count_levels(learned, vocab_size, order, -1 if line_feed is None else line_feed)

    def surprisals_at(self, ids: Ids, places: Places) -> Doubles:
        """The surprisals of some characters of a text, each given those before it, shape (num_places,).

        Args:
            ids: encoded text, shape (num_chars,), of any length: no more of it is held than is looked at.
            places: of the characters, ascending, at least one, shape (num_places,).
        """
        back = np.arange(self._order)
        found = []
        for first in range(0, len(places), PLACES_AT_ONCE):
            chosen = places[first : first + PLACES_AT_ONCE]
            read = np.unique(np.maximum(chosen[:, None] - back, 0))  # with all that a character depends on before it
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
            seen[seen] = contexts[seen] < len(level.left)  # one that ends the training text has nothing after it
            lower = np.where(seen, level.left[np.where(seen, contexts, 0)], 1.0)
            probability = lower * probability + np.where(places >= 0, level.share[places], 0.0)
            contexts = np.concatenate([[-1], places[:-1]])
        result: Doubles = -np.log(probability)
        return result


def _count_levels(ids: Places, vocab_size: int, order: int, line_feed: int) -> list[_Level]:
    """Count the n-grams of every length; all but the longest count what they follow, not how often.

    Args:
        ids: text to learn from, shape (num_chars,).
        vocab_size: V.
        order: the longest.
        line_feed: the id behind which none goes on, though one may begin with it; -1: there is no such id.
    """
    keys_by_level: list[Places] = []
    counts_by_level: list[Places] = []
    contexts_by_level: list[Places] = []
    # By where an n-gram of the length before starts, which of them all it is, where it is counted; shape (num_chars,).
    places = np.zeros(len(ids), dtype=np.int64)
    # By the same, whether one of this length does not go on behind a line feed; one shorter for each length.
    counted = np.ones(len(ids), dtype=bool)
    # Which of all n-grams of the length before have nothing before them, by number.
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
        feed = line_feed if length > 1 else -1  # by itself it comes after the line that it ends, and goes on
        is_first = ids[first] == feed
        counted = counted[:-1] & (ids[length - 1 : -1] != feed)
    return [_smooth(*level) for level in zip(keys_by_level, counts_by_level, contexts_by_level, strict=True)]


def _smooth(keys: Places, counts: Places, contexts: Places) -> _Level:
    """Turn counts into shares; an n-gram that only opens the text follows nothing and counts as nothing."""
    discounts = _discounts(counts)[np.minimum(counts, 3)]
    totals = np.bincount(contexts, weights=counts)
    discounted = np.bincount(contexts, weights=discounts)
    left: Doubles = np.where(totals > 0, discounted / np.maximum(totals, 1), 1.0)
    return _Level(keys, (counts - discounts) / np.maximum(totals, 1)[contexts], left)


def _discounts(counts: Places) -> Doubles:
    """What is taken off a count of 0, 1, 2, and 3 or more (Chen, Goodman 1999, equation 17).

    Half of a count where there are too few to estimate it from.
    """
    one, two, three, four = (int((counts == k).sum()) for k in (1, 2, 3, 4))
    if not (one and two and three):
        return np.array([0.0, 0.5, 0.5, 0.5])
    y = one / (one + 2 * two)
    estimates = [0.0, 1 - 2 * y * two / one, 2 - 3 * y * three / two, 3 - 4 * y * four / three]
    return np.clip(estimates, [0, 0.05, 0.05, 0.05], [0, 0.95, 1.95, 2.95])


def _find(keys: Places, wanted: Places) -> Places:
    """Where each wanted key stands; -1 where it does not."""
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, places, -1)
