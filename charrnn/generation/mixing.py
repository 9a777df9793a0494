"""Several models that write one text together: their predictions, mixed.

Each reads the characters that it knows and passes over the others; the text may hold any that one of them knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.generation.filters import Floats
from charrnn.generation.sampling import Ids, Reader, Readers
from charrnn.inference.numpy_ensemble import Engine
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

    def initial_state(self, batch_size: int) -> list[tuple[Any, Floats]]:
        """The state before any character: each model's, and its prediction, shape (N, its V)."""
        return [
            (part.model.initial_state(batch_size), np.full((batch_size, len(part.encoder)), 1 / len(part.encoder)))
            for part in self._parts
        ]

    def step(self, ids: Ids, state: list[tuple[Any, Floats]]) -> tuple[Floats, list[tuple[Any, Floats]]]:
        """Read ids, shape (N,); give logits, shape (N, V), and the new state."""
        new_state = []
        mixed = np.zeros((len(ids), len(self.encoder)))
        for part, own_ids, places, (before, prediction) in zip(
            self._parts, self._own_ids, self._places, state, strict=True
        ):
            own = own_ids[ids]
            knows = own != UNKNOWN
            logits, after = part.model.step(np.where(knows, own, 0), before)
            prediction = np.where(knows[:, None], _softmax(logits), prediction)
            after = tuple(
                tuple(np.where(knows[:, None], new, old) for new, old in zip(*layer, strict=True))
                for layer in zip(after, before, strict=True)
            )
            mixed[:, places] += part.share * prediction[:, : len(places)]  # the mark of unknown ones is last
            new_state.append((after, prediction))
        with np.errstate(divide="ignore"):
            return np.log(mixed), new_state

    def readers(self, num_texts: int) -> Readers:
        """Begin N texts, to be read side by side."""
        state = self.initial_state(num_texts)

        def read(ids: Ids) -> Floats:
            nonlocal state
            logits, state = self.step(ids, state)
            return logits

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


def _ids_in(encoder: CharEncoder, union: CharEncoder) -> NDArray[np.intp]:
    own = dict(zip(encoder.characters, range(len(encoder.characters)), strict=True))
    other = UNKNOWN if encoder.unknown_id is None else encoder.unknown_id
    return np.array([own.get(character, other) for character in union.characters], dtype=np.intp)


def _softmax(logits: Floats) -> Floats:
    weights: Floats = np.exp((logits - logits.max(axis=-1, keepdims=True)).astype(np.float64))
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights
