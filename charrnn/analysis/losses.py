"""What a model makes of a given text: the surprisal of every character, and how often its first guess is right.

Many texts are read side by side, which is several times faster than one after the other. One long text is cut into
lanes for the same reason: a lane that begins in the middle first reads the characters before it, which do not count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.arrays import Doubles, Ids, Singles
from charrnn.config import ModelConfig
from charrnn.errors import DivergenceError
from charrnn.inference.numpy_ensemble import Engine
from charrnn.recall import Forecasts, recall_text, recall_texts
from charrnn.text.counted import MAX_LANES, WARM_UP, lanes_that_pay

WINDOW = 256
"""Characters read at once, at most: the state is carried on, so that this changes the memory used and nothing else."""

PIECE = 1 << 20
"""Characters of a long text that are read at once: what is recalled in them, and what is found, is held."""

LEAST_SHARE = 0.5
"""Length of a text over that of the longest that is read beside it, at least: what it lacks is computed in vain."""

MOST_PADDED = 1 << 20
"""Characters, padding included, of the texts that are read side by side: what is found out of each is held."""

SCORES_AT_ONCE = 1 << 19
"""Scores of one window, at most: two megabytes, which a processor's cache holds."""

Watch = Callable[[float], object]


@dataclass(frozen=True)
class Reading:
    """What a model made of a text, character by character, all but the first.

    Attributes:
        surprisals: -ln p of each character given all before it, in nats, shape (num_chars - 1,).
        hits: whether it was the most probable one, shape (num_chars - 1,).
    """

    surprisals: Doubles
    hits: NDArray[np.bool_]


def read_pieces(
    model: Engine, ids: Ids | Sequence[int], *, lanes: int | None = None, watch: Watch = lambda read: None
) -> Iterator[Reading]:
    """Read one text from a zero state.

    Args:
        model: reads the text.
        ids: encoded text, shape (num_chars,).
        lanes: to cut each piece of it into; None for as many as pay.
        watch: told, now and then, how many more characters were read.

    Yields:
        What it made of one `PIECE` after another, so that of a long text not all is held.

    Raises:
        DivergenceError: a surprisal is not finite.
    """
    ids = np.asarray(ids)
    count = len(ids) - 1
    for first in range(0, max(count, 1), PIECE):
        yield _read_piece(model, ids, first, min(first + PIECE, count), lanes, watch)


def _read_piece(model: Engine, ids: Ids, first: int, last: int, lanes: int | None, watch: Watch) -> Reading:
    """Read the characters after the first to the last of a long text, in lanes that read a little before them."""
    lanes = lanes_that_pay(last + 1 - first) if lanes is None else lanes
    bounds = np.linspace(first, last, lanes + 1).astype(int)
    starts = np.maximum(bounds[:-1] - WARM_UP, 0)
    places = [slice(start, end + 1) for start, end in zip(starts, bounds[1:], strict=True)]
    recalled = None
    if model.config.recall:
        of_all = recall_text(ids, model.config.recall, piece=slice(starts[0], last + 1))
        recalled = [of_all[place.start - starts[0] : place.stop - starts[0]] for place in places]
    share = (last - first) / max(1, sum(place.stop - place.start - 1 for place in places))  # of what counts
    readings = read_side_by_side(model, [ids[place] for place in places], recalled, lambda read: watch(share * read))
    skipped = bounds[:-1] - starts
    pairs = [(r.surprisals[skip:], r.hits[skip:]) for r, skip in zip(readings, skipped, strict=True)]
    surprisals, hits = map(np.concatenate, zip(*pairs, strict=True))
    require_finite(surprisals)
    return Reading(surprisals, hits)


def uncounted(readings: Iterable[Reading], counts: NDArray[np.bool_]) -> Iterator[Reading]:
    """Let some of what was read cost nothing, and not be right.

    Args:
        readings: of a text in pieces.
        counts: which of its ids but the first do, shape (num_chars - 1,).
    """
    place = 0
    for reading in readings:
        own = counts[place : place + len(reading.hits)]
        yield Reading(np.where(own, reading.surprisals, 0.0), reading.hits & own)
        place += len(own)


def add_up(readings: Iterable[Reading], begins: NDArray[np.bool_], unread: int) -> tuple[float, int]:
    """Add up what was made of a text in pieces.

    Args:
        readings: of its ids but the first.
        begins: which of those that count are the first of a character, shape (num_counted,); one of several bytes may
            begin in one piece and go on in the next.
        unread: ids that do not count, before them.

    Returns:
        What it costs, in nats, and how many of its characters are right in all of their ids.
    """
    losses, right = list[float](), 0
    place, last = 0, np.zeros(0, dtype=np.bool_)  # of a character of which more may follow
    for reading in readings:
        losses.append(float(reading.surprisals[unread:].sum()))
        hits = np.concatenate([last, reading.hits[unread:]])
        starts = np.flatnonzero(begins[place : place + len(hits)])
        right += int(np.count_nonzero(np.logical_and.reduceat(hits, starts)[:-1]))
        place, last, unread = place + int(starts[-1]), hits[starts[-1] :], 0
    return math.fsum(losses), right + bool(last.all())


def read_side_by_side(
    model: Engine,
    texts: Sequence[Ids],
    recalled: Sequence[Forecasts] | None = None,
    watch: Watch = lambda read: None,
) -> list[Reading]:
    """Read many texts, each from a zero state, with one product for all of them.

    Args:
        model: reads the texts.
        texts: encoded, each of shape (num_chars,) with at least one character.
        recalled: the forecasts after each of their characters; None where each of them recalls itself alone.
        watch: told, now and then, how many more characters were read.
    """
    if recalled is None and model.config.recall and texts:
        recalled = recall_texts(texts, model.config.recall)
    order = sorted(range(len(texts)), key=lambda index: -len(texts[index]))
    readings: list[Reading] = [Reading(np.zeros(0), np.zeros(0, dtype=bool))] * len(texts)
    while order:
        longest = len(texts[order[0]])
        columns = max(1, min(MAX_LANES, MOST_PADDED // longest))  # a long text is read with few beside it
        columns = sum(len(texts[index]) >= LEAST_SHARE * longest for index in order[:columns])
        chosen, order = order[:columns], order[columns:]
        found = None if recalled is None else [recalled[index] for index in chosen]
        together = _read_sorted(model, [texts[index] for index in chosen], found, watch)
        for index, reading in zip(chosen, together, strict=True):
            readings[index] = reading
    return readings


def surprisals(logits: Singles, targets: Ids) -> Doubles:
    """-ln p(target) of each row, in nats.

    Args:
        logits: shape (..., V).
        targets: ids, shape (...).
    """
    shifted = logits - logits.max(axis=-1, keepdims=True)
    chosen = np.take_along_axis(shifted, targets[..., None].astype(np.intp), axis=-1)[..., 0]
    sums = np.exp(shifted).sum(axis=-1, dtype=np.float64)
    result: Doubles = np.log(sums) - chosen
    return result


def require_finite(values: NDArray[Any]) -> None:
    """Refuse what was found out about a text, where it is no number any more.

    Raises:
        DivergenceError: some of it is not.
    """
    if not np.isfinite(values).all():
        raise DivergenceError(
            "the model's values are not numbers any more: its weights let them grow without bound on this text; "
            "give a shorter one, or use another checkpoint"
        )


def window_length(config: ModelConfig, columns: int) -> int:
    """Characters of each of N texts to read at once, so that their scores stay in a processor's cache."""
    return max(1, min(WINDOW, SCORES_AT_ONCE // (columns * config.vocab_size)))


def _side_by_side(texts: Sequence[Ids]) -> Ids:
    """Pad texts, or arrays with one row per character, with zeros into columns; the longest comes first."""
    padded = np.zeros((len(texts[0]), len(texts), *texts[0].shape[1:]), dtype=np.result_type(*texts))
    for column, text in enumerate(texts):
        padded[: len(text), column] = text
    return padded


def _read_sorted(
    model: Engine, texts: Sequence[Ids], recalled: Sequence[Forecasts] | None, watch: Watch
) -> list[Reading]:
    """Read texts, the longest first, window after window of all of them."""
    lengths = [len(text) - 1 for text in texts]
    padded = _side_by_side(texts)
    found = None if recalled is None else _side_by_side(recalled)
    values = np.zeros((lengths[0], len(texts)))
    hits = np.zeros((lengths[0], len(texts)), dtype=bool)
    read_window = model.window_reader(len(texts))
    step = window_length(model.config, len(texts))
    for start in range(0, lengths[0], step):
        place = slice(start, min(start + step, lengths[0]))
        logits = read_window(padded[place], None if found is None else found[place])
        targets = padded[start + 1 : place.stop + 1]
        values[place] = surprisals(logits, targets)
        hits[place] = logits.argmax(axis=-1) == targets
        watch(targets.size)
    return [Reading(values[:length, c].copy(), hits[:length, c].copy()) for c, length in enumerate(lengths)]
