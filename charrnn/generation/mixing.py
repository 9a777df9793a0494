"""A mixture of models: several models that write one text together.

The text may hold any character that one of them knows; a prompt may hold others too, if the first model has an unknown
id. Each model reads the characters that it does not know as its unknown id, or skips them if it has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from charrnn.arrays import Floats, Ids
from charrnn.inference.engine import Engine, EngineReader
from charrnn.inference.numpy_network import State
from charrnn.recall import NO_FORECAST, Forecasts
from charrnn.recall_memory import FewMemories, RecallMemories, RecallMemory, begin_memories
from charrnn.softmax import softmax
from charrnn.text.encoder import CharEncoder

UNKNOWN = NO_FORECAST
"""Stands for the id of a character that a model does not know; its forecast becomes `NO_FORECAST`."""


@dataclass(frozen=True)
class Part:
    """One model of a mixture.

    Attributes:
        model: computes the predictions.
        encoder: the model's encoder.
        share: its weight in the mixture; all shares sum to 1.
    """

    model: Engine
    encoder: CharEncoder
    share: float


class MixedModel:
    """A mixture of models over the union of their alphabets: p(c) is the sum of share * p_part(c).

    Forecasts are looked up in the whole text, in the union's ids; each model gets those whose characters it knows.

    A model that has read nothing yet, because it knows no character of the text so far, predicts a uniform distribution
    over its alphabet.

    Attributes:
        encoder: encoder of the union; has an unknown id, which is never written, if the first part's encoder has one.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        first = parts[0].encoder
        characters = "".join(part.encoder.characters for part in parts)
        self.encoder = CharEncoder(characters, first.unit, first.has_unknown)
        self._parts = parts
        # Shape (V + 1,): UNKNOWN for characters without an id, and at the end, which the index `NO_FORECAST` reads.
        self._own_ids = [_ids_in(part.encoder, self.encoder) for part in parts]
        self._reaches = {part.model.config.recall for part in parts} - {0}
        self._places = [self.encoder.look_up(part.encoder.points).astype(np.intp) for part in parts]

    def batch_reader(self, num_texts: int, generated_from: int | None = None) -> MixedBatchReader:
        """Begin N texts, to be read side by side; for `generated_from` see `RecallMemory`."""
        memories = {
            reach: begin_memories(reach, len(self.encoder), num_texts, generated_from) for reach in self._reaches
        }
        known = [
            _KnownTexts(
                part.model, part.share, own_ids, places, part.model.initial_state(num_texts),
                np.full((num_texts, len(part.encoder)), 1 / len(part.encoder)),
            )
            for part, own_ids, places in zip(self._parts, self._own_ids, self._places, strict=True)
        ]  # fmt: skip
        return MixedBatchReader(known, len(self.encoder), memories)

    def reader(self, generated_from: int | None = None) -> MixedReader:
        """Begin one text, to be read character by character."""
        memories = {reach: RecallMemory(reach, len(self.encoder), generated_from) for reach in self._reaches}
        known = [
            _KnownText(
                part.model.begin_one(), part.model.config.recall, part.share, own_ids.tolist(), places,
                np.full(len(part.encoder), 1 / len(part.encoder)),
            )
            for part, own_ids, places in zip(self._parts, self._own_ids, self._places, strict=True)
        ]  # fmt: skip
        return MixedReader(known, len(self.encoder), memories)


@dataclass(frozen=True)
class MixedReader:
    """One text that is read character by character.

    Attributes:
        known: for each model, the text as it reads it.
        vocab_size: V, the size of the union.
        memories: computes the forecasts, by reach.
    """

    known: Sequence[_KnownText]
    vocab_size: int
    memories: Mapping[int, RecallMemory]

    def __call__(self, character: int) -> Floats:
        """Read the next character; return the logits of the following one, shape (V,)."""
        mixed = np.zeros(self.vocab_size)
        recalled = {reach: memory.read(character) for reach, memory in self.memories.items()}
        for known in self.known:
            prediction = known.read(character, recalled.get(known.reach, ()))
            mixed[known.places] += known.share * prediction[: len(known.places)]
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(mixed))

    def copy(self) -> MixedReader:
        """Return an independent copy; see `charrnn.generation.sampling.Reader`."""
        memories = {reach: memory.copy() for reach, memory in self.memories.items()}
        return MixedReader([known.copy() for known in self.known], self.vocab_size, memories)


@dataclass(frozen=True)
class MixedBatchReader:
    """N texts that are read side by side; for the attributes see `MixedReader`."""

    known: Sequence[_KnownTexts]
    vocab_size: int
    memories: Mapping[int, RecallMemories | FewMemories]

    def __call__(self, ids: Ids) -> Floats:
        """Read the next character of each text, shape (N,); return the logits of the following, shape (N, V)."""
        mixed = np.zeros((len(ids), self.vocab_size))
        recalled = {reach: memory.read(ids) for reach, memory in self.memories.items()}
        for known in self.known:
            prediction = known.read(ids, recalled.get(known.model.config.recall))
            mixed[:, known.places] += known.share * prediction[:, : len(known.places)]  # the unknown id is last
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(mixed))

    def selected(self, rows: Ids) -> MixedBatchReader:
        """Return independent copies of some of the texts; see `charrnn.generation.batch_sampling.BatchReader`."""
        memories = {reach: memory.selected(rows) for reach, memory in self.memories.items()}
        return MixedBatchReader([known.selected(rows) for known in self.known], self.vocab_size, memories)


@dataclass
class _KnownText:
    """A text of which one model reads the characters that it knows.

    Attributes:
        text: the text as the model reads it.
        reach: how far back the model recalls.
        share, own_ids, places: see `_KnownTexts`.
        prediction: the model's current probabilities, shape (V,) with the model's own V.
    """

    text: EngineReader
    reach: int
    share: float
    own_ids: Sequence[int]
    places: NDArray[np.intp]
    prediction: Floats

    def read(self, character: int, recalled: Sequence[int]) -> Floats:
        """Read the next character, with the forecasts of the following one; return the model's probabilities."""
        own = self.own_ids
        if own[character] != UNKNOWN:
            self.prediction = softmax(self.text.read(own[character], [own[forecast] for forecast in recalled]))
        return self.prediction

    def copy(self) -> _KnownText:
        """Return an independent copy."""
        return replace(self, text=self.text.copy())


@dataclass
class _KnownTexts:
    """N texts of which one model reads the characters that it knows.

    Attributes:
        model: reads the texts.
        share: the model's weight in the mixture.
        own_ids: the model's id for each id of the union, and `UNKNOWN` for `NO_FORECAST` at the end, shape (V + 1,).
        places: the ids in the union of the model's characters.
        state: the model's state after what it has read.
        prediction: the model's current probabilities, shape (N, V) with the model's own V.
    """

    model: Engine
    share: float
    own_ids: NDArray[np.intp]
    places: NDArray[np.intp]
    state: State
    prediction: Floats

    def read(self, ids: Ids, recalled: Forecasts | None) -> Floats:
        """Read the next character of each text, shape (N,), with the forecasts after it; return the probabilities."""
        own = self.own_ids[ids]
        knows = (own != UNKNOWN)[:, None]
        forecasts = None if recalled is None else self.own_ids[recalled]
        logits, after = self.model.step(np.where(knows[:, 0], own, 0), self.state, forecasts)
        self.prediction = np.where(knows, softmax(logits), self.prediction)
        self.state = tuple(
            tuple(np.where(knows, new, old) for new, old in zip(*layer, strict=True))
            for layer in zip(after, self.state, strict=True)
        )
        return self.prediction

    def selected(self, rows: Ids) -> _KnownTexts:
        """Return independent copies of some of the texts."""
        state = tuple(tuple(values[rows] for values in layer) for layer in self.state)
        return replace(self, state=state, prediction=self.prediction[rows])


def _ids_in(encoder: CharEncoder, union: CharEncoder) -> NDArray[np.intp]:
    own = dict(zip(encoder.characters, range(len(encoder.characters)), strict=True))
    other = UNKNOWN if encoder.unknown_id is None else encoder.unknown_id
    ids = [own.get(character, other) for character in union.characters]
    if union.has_unknown:
        ids.append(other)
    return np.array([*ids, UNKNOWN], dtype=np.intp)
