"""What a model makes of a given text: the surprisal of every character, and how often its first guess is right.

Many texts are read side by side, which is several times faster than one after the other. One long text is cut into
lanes for the same reason: a lane that begins in the middle first reads the characters before it, which do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.config import GATES, ModelConfig
from charrnn.inference.numpy_ensemble import Engine
from charrnn.recall import Forecasts, recall_text, recall_texts

WARM_UP = 512
"""Characters that a lane reads before it counts: `charrnn.training.evaluation` does the same."""

MAX_LANES = 64
WINDOW = 256
"""Characters read at once, at most: the state is carried on, so that this changes the memory used and nothing else."""

MOST_PADDED = 1 << 20
"""Characters, padding included, of the texts that are read side by side: what is found out of each is held."""

VALUES_AT_ONCE = 1 << 20
"""Gate values of one window, at most: four megabytes, which a processor's cache holds."""

Ids = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Reading:
    """What a model made of a text, character by character, all but the first.

    Attributes:
        surprisals: -ln p of each character given all before it, in nats, shape (num_chars - 1,).
        hits: whether it was the most probable one, shape (num_chars - 1,).
    """

    surprisals: Floats
    hits: NDArray[np.bool_]


def read(model: Engine, ids: Ids | Sequence[int], *, lanes: int | None = None) -> Reading:
    """Read one text from a zero state.

    Args:
        model: reads the text.
        ids: encoded text, shape (num_chars,).
        lanes: to cut it into; None for as many as pay.
    """
    ids = np.asarray(ids)
    lanes = max(1, min(MAX_LANES, len(ids) // (4 * WARM_UP))) if lanes is None else lanes
    bounds = np.linspace(0, len(ids) - 1, lanes + 1).astype(int)
    starts = np.maximum(bounds[:-1] - WARM_UP, 0)
    places = [slice(start, end + 1) for start, end in zip(starts, bounds[1:], strict=True)]
    recalled = None
    if model.config.recall:
        of_all = recall_text(ids, model.config.recall)
        recalled = [of_all[place] for place in places]
    readings = read_side_by_side(model, [ids[place] for place in places], recalled)
    skipped = bounds[:-1] - starts
    return Reading(
        np.concatenate([piece.surprisals[skip:] for piece, skip in zip(readings, skipped, strict=True)]),
        np.concatenate([piece.hits[skip:] for piece, skip in zip(readings, skipped, strict=True)]),
    )


def read_side_by_side(
    model: Engine, texts: Sequence[Ids], recalled: Sequence[Forecasts] | None = None
) -> list[Reading]:
    """Read many texts, each from a zero state, with one product for all of them.

    Args:
        model: reads the texts.
        texts: encoded, each of shape (num_chars,) with at least one character.
        recalled: the forecasts after each of their characters; None where each of them recalls itself alone.
    """
    if recalled is None and model.config.recall and texts:
        recalled = recall_texts(texts, model.config.recall)
    order = sorted(range(len(texts)), key=lambda index: -len(texts[index]))
    readings: list[Reading] = [Reading(np.zeros(0), np.zeros(0, dtype=bool))] * len(texts)
    while order:
        columns = max(1, min(MAX_LANES, MOST_PADDED // len(texts[order[0]])))  # a long text is read with few beside it
        chosen, order = order[:columns], order[columns:]
        found = None if recalled is None else [recalled[index] for index in chosen]
        for index, reading in zip(chosen, _read_sorted(model, [texts[index] for index in chosen], found), strict=True):
            readings[index] = reading
    return readings


def surprisals(logits: NDArray[np.float32], targets: Ids) -> Floats:
    """-ln p(target) of each row, in nats.

    Args:
        logits: shape (..., V).
        targets: ids, shape (...).
    """
    shifted = logits - logits.max(axis=-1, keepdims=True)
    chosen = np.take_along_axis(shifted, targets[..., None].astype(np.intp), axis=-1)[..., 0]
    sums = np.exp(shifted).sum(axis=-1, dtype=np.float64)
    result: Floats = np.log(sums) - chosen
    return result


def window_length(config: ModelConfig, columns: int) -> int:
    """Characters of each of N texts to read at once, so that what is held of them stays in a processor's cache."""
    widest = max(GATES[config.cell] * config.hidden_size, config.vocab_size)
    return max(1, min(WINDOW, VALUES_AT_ONCE // (columns * widest)))


def _side_by_side(texts: Sequence[Ids]) -> Ids:
    """Texts as columns, the longest first, zeros below the others; or what belongs to their characters."""
    padded = np.zeros((len(texts[0]), len(texts), *texts[0].shape[1:]), dtype=np.result_type(*texts))
    for column, text in enumerate(texts):
        padded[: len(text), column] = text
    return padded


def _read_sorted(model: Engine, texts: Sequence[Ids], recalled: Sequence[Forecasts] | None) -> list[Reading]:
    """Read texts, the longest first, so that those still unread at any time are the first columns."""
    lengths = np.array([len(text) - 1 for text in texts])
    longest = int(lengths[0])
    padded = _side_by_side(texts)
    found = None if recalled is None else _side_by_side(recalled)
    values = np.zeros((longest, len(texts)))
    hits = np.zeros((longest, len(texts)), dtype=bool)
    state = model.initial_state(len(texts))
    start = 0
    while start < longest:
        columns = int((lengths > start).sum())
        end = min(longest, start + window_length(model.config, columns))
        state = tuple(tuple(part[:columns] for part in layer) for layer in state)
        place = (slice(start, end), slice(columns))
        logits, state = model.forward(padded[place], state, None if found is None else found[place])
        targets = padded[start + 1 : end + 1, :columns]
        values[start:end, :columns] = surprisals(logits, targets)
        hits[start:end, :columns] = logits.argmax(axis=-1) == targets
        start = end
    return [Reading(values[:length, c].copy(), hits[:length, c].copy()) for c, length in enumerate(lengths)]
