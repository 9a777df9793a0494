"""Texts that are read character by character, one or many side by side, by a network or by several in agreement."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from charrnn.arrays import Ids, Singles
from charrnn.config import ModelConfig
from charrnn.inference.stepper import Stepper
from charrnn.memory import Memories, Memory
from charrnn.recall import Forecasts

State = tuple[tuple[Singles, ...], ...]
Recall = Callable[[int], Sequence[int]]
Combine = Callable[[Iterator[Singles]], Singles]
"""Make one prediction of those of all networks, each of shape (..., V)."""


class Texts:
    """N texts that are read side by side.

    Args:
        steppers: of each network that reads them.
        combine: makes one prediction of theirs.
        memories: of models that recall, what gives the forecasts; else None.
    """

    def __init__(self, steppers: Sequence[Stepper], combine: Combine, memories: Memories | None) -> None:
        self._steppers = steppers
        self._combine = combine
        self._memories = memories

    def __call__(self, characters: Ids) -> Singles:
        """Read the next character of each, shape (N,).

        Returns:
            Logits of those after them, shape (N, V), valid until the next call.
        """
        recalled = None if self._memories is None else self._memories.read(characters)
        return self._combine(stepper.read_many(characters, recalled) for stepper in self._steppers)

    def selected(self, rows: Ids) -> Texts:
        """Begin texts where some of these are; see `charrnn.generation.side_by_side.BatchReader`."""
        memories = None if self._memories is None else self._memories.selected(rows)
        return Texts([stepper.selected(rows) for stepper in self._steppers], self._combine, memories)


class ReadingModel(ABC):
    """What a network and an ensemble of them share: they read texts character by character.

    Attributes:
        config: the model's shape.
    """

    config: ModelConfig

    @abstractmethod
    def forward(self, ids: Ids, state: State, recalled: Forecasts | None = None) -> tuple[Singles, State]:
        """Read a window of each text.

        Args:
            ids: shape (T, N), values in [0, V).
            state: of the characters before; left as it is.
            recalled: the forecasts after the characters, shape (T, N, C), for a model that recalls; None for the logits
                without any.

        Returns:
            Logits of the character after each, shape (T, N, V), and the new state.
        """

    @abstractmethod
    def steppers(self, num_texts: int | None = None) -> list[Stepper]:
        """Begin N texts, or one without that axis, in each network."""

    @abstractmethod
    def combine(self, predictions: Iterator[Singles]) -> Singles:
        """Make one prediction of those of all networks, each of shape (..., V)."""

    @abstractmethod
    def begin_one(self) -> Callable[..., Singles]:
        """Begin one text, to be read character by character, each with its forecasts; see `Stepper.read_one`."""

    def step(self, ids: Ids, state: State, recalled: Forecasts | None = None) -> tuple[Singles, State]:
        """Read one character of each text.

        Args:
            ids: shape (N,), values in [0, V).
            state: of the characters before; left as it is.
            recalled: the forecasts after the characters, shape (N, C); see `forward`.

        Returns:
            Logits of the next character, shape (N, V), and the new state.
        """
        logits, state = self.forward(ids[None], state, None if recalled is None else recalled[None])
        return logits[0], state

    def reader(self, own_from: int | None = None, recall: Recall | None = None) -> Callable[[int], Singles]:
        """Begin one text, to be read character by character: logits of the next, valid until the next call.

        Args:
            own_from: the place from which the characters are the model's own; see `Memory`.
            recall: of a model that recalls, what gives the forecasts after a character; None for those of what is read.
        """
        read = self.begin_one()
        if not self.config.recall:
            return read
        remember = recall or Memory(self.config.recall, self.config.vocab_size, own_from).read
        return lambda character: read(character, remember(character))

    def batch_reader(self, num_texts: int, own_from: int | None = None) -> Texts:
        """Begin N texts, to be read side by side; for `own_from` see `Memory`."""
        config = self.config
        memories = Memories(config.recall, config.vocab_size, num_texts, own_from) if config.recall else None
        return Texts(self.steppers(num_texts), self.combine, memories)

    def window_reader(self, num_texts: int) -> Callable[[NDArray[np.integer], Forecasts | None], Singles]:
        """Begin N texts, to be read side by side in windows, by one network after the other.

        See `Stepper.read_window`.
        """
        steppers = self.steppers(num_texts)
        return lambda windows, recalled: self.combine(stepper.read_window(windows, recalled) for stepper in steppers)
