"""The surprisal of every character of a text, and the model's likeliest characters at each place.

Follows a figure in Karpathy 2015, "The unreasonable effectiveness of recurrent neural networks"
(https://karpathy.github.io/2015/05/21/rnn-effectiveness/), which shows the likeliest characters below a text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from charrnn.analysis.losses import require_finite, surprisals, window_length
from charrnn.arrays import Doubles
from charrnn.inference.engine import Engine
from charrnn.recall import recall_text
from charrnn.softmax import softmax
from charrnn.text.encoder import RARE, CharEncoder
from charrnn.text.unknowns import EncodedText

HIGHEST_BITS = 8
"""Surprisal at the end of the colour scale: a probability of 1 in 256."""


@dataclass(frozen=True)
class SeenCharacter:
    """A character of a text with the model's prediction of it.

    Attributes:
        character: the character itself.
        bits: its surprisal.
        guesses: the likeliest characters in its place with their probabilities, in descending order. A byte that is
            only part of a character is spelled like an invalid byte, see `charrnn.surrogates.name_byte`.
    """

    character: str
    bits: float
    guesses: tuple[tuple[str, float], ...]


def follow(
    model: Engine,
    encoder: CharEncoder,
    encoded: EncodedText,
    *,
    first_id: int,
    price: float,
    top_k: int = 0,
) -> list[SeenCharacter]:
    """Read a text and record the prediction of every character.

    Args:
        model: reads the text.
        encoder: the model's.
        encoded: the text.
        first_id: id to read before the text, such as that of a line feed.
        price: surprisal of a character that the model does not know, in nats.
        top_k: number of guesses to record.

    Raises:
        DivergenceError: a surprisal is not finite.
    """
    ids = np.concatenate([[first_id], encoded.ids]).astype(np.int64)
    recalled = recall_text(ids, model.config.recall)[:, None] if model.config.recall else None
    state = model.initial_state()
    spelled = _spelled(encoder)
    values: list[Doubles] = []
    guesses: list[tuple[tuple[str, float], ...]] = []
    step = window_length(model.config, 1)
    for start in range(0, len(ids) - 1, step):
        targets = ids[start + 1 : start + step + 1]
        place = slice(start, start + len(targets))
        logits, state = model.forward(ids[place, None], state, None if recalled is None else recalled[place])
        values.append(surprisals(logits[:, 0], targets))
        guesses += [_guesses(row, spelled, top_k) for row in logits[:, 0]]
    of_ids = np.concatenate([np.zeros(0), *values])
    require_finite(of_ids)
    widths = encoder.widths(encoded.read_text)
    expected = (guesses[start] for start in np.cumsum(widths) - widths)  # for several bytes, the guesses at the first
    bits = by_character(of_ids, encoder, encoded, price) / math.log(2)
    return [
        SeenCharacter(character, value, next(expected) if is_known or encoded.reads_all else ())
        for character, value, is_known in zip(encoded.text, bits.tolist(), encoded.known, strict=True)
    ]


def by_character(of_ids: Doubles, encoder: CharEncoder, encoded: EncodedText, price: float) -> Doubles:
    """Sum the surprisals of ids per character; a character that the model does not know gets `price`."""
    widths = encoder.widths(encoded.read_text)
    values = np.full(len(encoded.text), price)
    if len(widths):
        sums = np.add.reduceat(of_ids, np.cumsum(widths) - widths)
        values[encoded.known] = sums[encoded.known] if encoded.reads_all else sums
    return values


def mean_bits(seen: Sequence[SeenCharacter]) -> float:
    """Mean surprisal of a text, in bits per character."""
    return sum(one.bits for one in seen) / max(len(seen), 1)


def _guesses(logits: Any, spelled: Sequence[str], top_k: int) -> tuple[tuple[str, float], ...]:
    if not top_k:
        return ()
    shares = softmax(logits)
    likeliest = np.argsort(-shares, kind="stable")[:top_k]
    return tuple((spelled[i], float(shares[i])) for i in likeliest)


def _spelled(encoder: CharEncoder) -> list[str]:
    """How to spell each id, and `RARE` for the id of rare characters; a partial byte is spelled on its own."""
    known = encoder.alone[: len(encoder.characters)]
    return [*known, RARE] if encoder.has_unknown else [*known]
