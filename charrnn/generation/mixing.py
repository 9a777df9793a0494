"""Several models that write one text together: their predictions, mixed.

Each reads the characters that it knows and passes over the others; the text may hold any that one of them knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charrnn.config import CONTEXTS
from charrnn.generation.filters import Floats
from charrnn.generation.sampling import Ids, Reader, Readers
from charrnn.inference.numpy_ensemble import Engine
from charrnn.recall import NONE, Memory
from charrnn.text.encoder import CharEncoder

UNKNOWN = -1


@dataclass(frozen=True)
class Part:
    """One model of a mixture.

    Attributes:
        model: computes its predictions.
        encoder: of its alphabet.
        share: its weight in the mixture; all shares sum to 1.
    """

    model: Engine
    encoder: CharEncoder
    share: float


class MixedModel:
    """A mixture of models over the union of their alphabets: p(c) is the sum of share * p_part(c).

    A model that has read nothing yet, since it knows no character of the text so far, finds all of its own equally
    likely.

    Attributes:
        encoder: of the union.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self.encoder = CharEncoder("".join(part.encoder.characters for part in parts), parts[0].encoder.unit)
        self._parts = parts
        self._own_ids = [_ids_in(part.encoder, self.encoder) for part in parts]  # (V,), UNKNOWN where it has none
        self._places = [self.encoder.look_up(part.encoder.points).astype(np.intp) for part in parts]

    def readers(self, num_texts: int) -> Readers:
        """Begin N texts, to be read side by side."""
        readers = [_readers_of_known(part, num_texts) for part in self._parts]

        def read(ids: Ids) -> Floats:
            mixed = np.zeros((len(ids), len(self.encoder)))
            for part, read_known, own_ids, places in zip(
                self._parts, readers, self._own_ids, self._places, strict=True
            ):
                prediction = read_known(own_ids[ids])
                mixed[:, places] += part.share * prediction[:, : len(places)]  # the mark of unknown ones is last
            with np.errstate(divide="ignore"):
                return np.asarray(np.log(mixed))

        return read

    def reader(self) -> Reader:
        """Begin one text, to be read character by character."""
        readers = [part.model.reader() for part in self._parts]
        predictions = [np.full(len(part.encoder), 1 / len(part.encoder)) for part in self._parts]

        def read(character: int) -> Floats:
            mixed = np.zeros(len(self.encoder))
            for index, part in enumerate(self._parts):
                own = int(self._own_ids[index][character])
                if own != UNKNOWN:
                    predictions[index] = _softmax(readers[index](own))
                places = self._places[index]
                mixed[places] += part.share * predictions[index][: len(places)]
            with np.errstate(divide="ignore"):
                return np.asarray(np.log(mixed))

        return read


def _readers_of_known(part: Part, num_texts: int) -> Readers:
    """Begin N texts of which one model reads what it knows: from its own ids or `UNKNOWN`, to its predictions."""
    model, config = part.model, part.model.config
    memories = [Memory(config.recall, config.vocab_size).read for _ in range(num_texts if config.recall else 0)]
    unread = [NONE] * len(CONTEXTS)
    state = model.initial_state(num_texts)
    prediction = np.full((num_texts, len(part.encoder)), 1 / len(part.encoder))

    def read(own: Ids) -> Floats:
        nonlocal state, prediction
        knows = (own != UNKNOWN)[:, None]
        recalled = None
        if config.recall:
            pairs = zip(memories, own.tolist(), strict=True)
            recalled = np.array([unread if i == UNKNOWN else remember(i) for remember, i in pairs])
        logits, after = model.step(np.where(knows[:, 0], own, 0), state, recalled)
        prediction = np.where(knows, _softmax(logits), prediction)
        state = tuple(
            tuple(np.where(knows, new, old) for new, old in zip(*layer, strict=True))
            for layer in zip(after, state, strict=True)
        )
        return prediction

    return read


def _ids_in(encoder: CharEncoder, union: CharEncoder) -> NDArray[np.intp]:
    own = dict(zip(encoder.characters, range(len(encoder.characters)), strict=True))
    other = UNKNOWN if encoder.unknown_id is None else encoder.unknown_id
    return np.array([own.get(character, other) for character in union.characters], dtype=np.intp)


def _softmax(logits: Floats) -> Floats:
    weights: Floats = np.exp((logits - logits.max(axis=-1, keepdims=True)).astype(np.float64))
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights
