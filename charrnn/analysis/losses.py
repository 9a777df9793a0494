"""Evaluates a model on a text: the surprisal of every character, and whether the most probable one was right.

Many texts are read as a batch, which is several times faster than one after the other. For the same reason, one long
text is cut into lanes: a lane that starts mid-text first reads some characters before it as a warm-up, uncounted.
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
from charrnn.inference.engine import Engine
from charrnn.recall import Forecasts, recall_text, recall_texts
from charrnn.text.counted_places import MAX_LANES, WARM_UP, lanes_that_pay

WINDOW = 256
"""Most characters per forward call. The state is carried over, so this affects memory alone."""

PIECE = 1 << 20
"""Characters of a long text per piece; recall forecasts and results of one piece are held in memory."""

LEAST_SHARE = 0.5
"""Least length of a text relative to the longest in its batch, as the computation on padding is wasted."""

MOST_PADDED = 1 << 20
"""Most characters of a batch, padding included, since the results of all of them are held in memory."""

LOGITS_AT_ONCE = 1 << 19
"""Most logits of one window: two megabytes, which fit a CPU's cache."""

OnProgress = Callable[[float], object]


@dataclass(frozen=True)
class Predictions:
    """A model's predictions of every character of a text but the first.

    Attributes:
        surprisals: -ln p of each character given all before it, in nats, shape (num_chars - 1,).
        hits: whether the character was the most probable one, shape (num_chars - 1,).
    """

    surprisals: Doubles
    hits: NDArray[np.bool_]


def read_pieces(
    model: Engine, ids: Ids | Sequence[int], *, lanes: int | None = None, on_progress: OnProgress = lambda read: None
) -> Iterator[Predictions]:
    """Read one text from a zero state.

    Args:
        model: reads the text.
        ids: encoded text, shape (num_chars,).
        lanes: number of lanes to cut each piece into; None for as many as pay.
        on_progress: called with the number of characters read since the last call.

    Yields:
        The predictions of one `PIECE` after another, which bounds the memory for a long text.

    Raises:
        DivergenceError: a surprisal is not finite.
    """
    ids = np.asarray(ids)
    count = len(ids) - 1
    for first in range(0, max(count, 1), PIECE):
        yield _read_piece(model, ids, first, min(first + PIECE, count), lanes, on_progress)


def mask_uncounted(predictions: Iterable[Predictions], counted_mask: NDArray[np.bool_]) -> Iterator[Predictions]:
    """Mask predictions: set the surprisals of ids that do not count to 0, and their hits to False.

    Args:
        predictions: of a text in pieces.
        counted_mask: whether each id but the first counts, shape (num_chars - 1,).
    """
    place = 0
    for piece in predictions:
        own = counted_mask[place : place + len(piece.hits)]
        yield Predictions(np.where(own, piece.surprisals, 0.0), piece.hits & own)
        place += len(own)


def add_up(predictions: Iterable[Predictions], begins: NDArray[np.bool_], unread: int) -> tuple[float, int]:
    """Sum the predictions of a text over its pieces.

    Args:
        predictions: of all ids of the text but the first.
        begins: for each id after the `unread` ones, whether it is the first of its character, shape (num_counted,). A
            character of several bytes may begin in one piece and continue in the next.
        unread: number of ids at the start that do not count.

    Returns:
        The total surprisal in nats, and the number of characters of which every id was predicted right.
    """
    losses, right = list[float](), 0
    place, last = 0, np.zeros(0, dtype=np.bool_)  # hits of the piece's last character, which may continue
    for piece in predictions:
        losses.append(float(piece.surprisals[unread:].sum()))
        hits = np.concatenate([last, piece.hits[unread:]])
        starts = np.flatnonzero(begins[place : place + len(hits)])
        right += int(np.count_nonzero(np.logical_and.reduceat(hits, starts)[:-1]))
        place, last, unread = place + int(starts[-1]), hits[starts[-1] :], 0
    return math.fsum(losses), right + bool(last.all())


def score_batch(
    model: Engine,
    texts: Sequence[Ids],
    recalled: Sequence[Forecasts] | None = None,
    on_progress: OnProgress = lambda read: None,
) -> list[Predictions]:
    """Read many texts in batches, each text from a zero state.

    Args:
        model: reads the texts.
        texts: encoded, each of shape (num_chars,) with at least one character.
        recalled: recall forecasts after each character; None: computed here, each text recalling only itself.
        on_progress: called with the number of characters read since the last call.
    """
    if recalled is None and model.config.recall and texts:
        recalled = recall_texts(texts, model.config.recall)
    order = sorted(range(len(texts)), key=lambda index: -len(texts[index]))
    predictions: list[Predictions] = [Predictions(np.zeros(0), np.zeros(0, dtype=bool))] * len(texts)
    while order:
        longest = len(texts[order[0]])
        columns = max(1, min(MAX_LANES, MOST_PADDED // longest))  # a long text is read with few beside it
        columns = sum(len(texts[index]) >= LEAST_SHARE * longest for index in order[:columns])
        chosen, order = order[:columns], order[columns:]
        found = None if recalled is None else [recalled[index] for index in chosen]
        together = _read_sorted(model, [texts[index] for index in chosen], found, on_progress)
        for index, each in zip(chosen, together, strict=True):
            predictions[index] = each
    return predictions


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
    """Refuse values that are not all finite.

    Raises:
        DivergenceError: a value is infinite or NaN.
    """
    if not np.isfinite(values).all():
        raise DivergenceError(
            "the model's values are not numbers any more: its weights let them grow without bound on this text; "
            "give a shorter one, or use another checkpoint"
        )


def window_length(config: ModelConfig, columns: int) -> int:
    """Characters per window for a batch of N texts, such that the logits fit a CPU's cache."""
    return max(1, min(WINDOW, LOGITS_AT_ONCE // (columns * config.vocab_size)))


def _read_piece(
    model: Engine, ids: Ids, first: int, last: int, lanes: int | None, on_progress: OnProgress
) -> Predictions:
    """Predict the characters at first + 1 to last, in lanes that each read a warm-up first."""
    lanes = lanes_that_pay(last + 1 - first) if lanes is None else lanes
    bounds = np.linspace(first, last, lanes + 1).astype(int)
    starts = np.maximum(bounds[:-1] - WARM_UP, 0)
    places = [slice(start, end + 1) for start, end in zip(starts, bounds[1:], strict=True)]
    recalled = None
    if model.config.recall:
        of_all = recall_text(ids, model.config.recall, piece=slice(starts[0], last + 1))
        recalled = [of_all[place.start - starts[0] : place.stop - starts[0]] for place in places]
    share = (last - first) / max(1, sum(place.stop - place.start - 1 for place in places))  # without warm-ups
    predictions = score_batch(model, [ids[place] for place in places], recalled, lambda read: on_progress(share * read))
    skipped = bounds[:-1] - starts
    pairs = [(r.surprisals[skip:], r.hits[skip:]) for r, skip in zip(predictions, skipped, strict=True)]
    surprisals, hits = map(np.concatenate, zip(*pairs, strict=True))
    require_finite(surprisals)
    return Predictions(surprisals, hits)


def _side_by_side(texts: Sequence[Ids]) -> Ids:
    """Stack texts, or arrays with one row per character, as zero-padded columns; the longest must come first."""
    padded = np.zeros((len(texts[0]), len(texts), *texts[0].shape[1:]), dtype=np.result_type(*texts))
    for column, text in enumerate(texts):
        padded[: len(text), column] = text
    return padded


def _read_sorted(
    model: Engine, texts: Sequence[Ids], recalled: Sequence[Forecasts] | None, on_progress: OnProgress
) -> list[Predictions]:
    """Read a batch of texts, sorted by length in descending order, window by window."""
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
        on_progress(targets.size)
    return [Predictions(values[:length, c].copy(), hits[:length, c].copy()) for c, length in enumerate(lengths)]
