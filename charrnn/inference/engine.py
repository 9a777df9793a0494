"""A model in numpy: one network, or an ensemble of several that read the same text and average their probabilities.

It computes what `charrnn.network.model` and `charrnn.network.ensemble` compute, to rounding, a window at a time or
character by character, for one text or for many side by side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from charrnn.arrays import Ids, Singles
from charrnn.cell_types import CELLS
from charrnn.config import ModelConfig
from charrnn.inference.numpy_network import NumpyCharRNN, State
from charrnn.inference.stepper import Stepper
from charrnn.recall import Forecasts
from charrnn.recall_memory import FewMemories, RecallMemories, RecallMemory, begin_memories
from charrnn.shapes import each_member
from charrnn.softmax import log_softmax


class Engine:
    """A trained CharRNN, or an ensemble of them, that reads texts.

    Its state holds the states of all layers of the first member, then of the second, and so on. The logits of an
    ensemble are log-probabilities.

    Args:
        config: the shape of each member, and the number of members.
        weights: float32 arrays by name, as `charrnn.shapes.parameter_shapes` lists them.
        reset_id: see `charrnn.inference.numpy_network.NumpyCharRNN`.
        keeps_weights: see there too.
    """

    def __init__(
        self,
        config: ModelConfig,
        weights: Mapping[str, Singles],
        reset_id: int | None = None,
        *,
        keeps_weights: bool = True,
    ) -> None:
        self.config = config
        self._members = [
            NumpyCharRNN(member, own, reset_id, keeps_weights=keeps_weights)
            for _, member, own in each_member(config, weights)
        ]

    def initial_state(self, batch_size: int = 1) -> State:
        """The state before any character: arrays of zeros, each of shape (batch_size, H)."""
        config = self.config
        zeros = np.zeros((batch_size, config.hidden_size), dtype=np.float32)
        return ((zeros,) * CELLS[config.cell].states,) * (config.members * config.num_layers)

    def forward(self, ids: Ids, state: State, recalled: Forecasts | None = None) -> tuple[Singles, State]:
        """Read a window of each text, member after member.

        Args:
            ids: shape (T, N), values in [0, V).
            state: the state after the characters before; not modified.
            recalled: the forecasts after the characters, shape (T, N, C), for a model that recalls; None for logits
                without recall.

        Returns:
            Logits of the character after each, shape (T, N, V), and the new state.
        """
        layers = self.config.num_layers
        results = [
            member.forward(ids, state[number * layers : (number + 1) * layers], recalled)
            for number, member in enumerate(self._members)
        ]
        new_state = tuple(layer for _, own in results for layer in own)
        return average(logits for logits, _ in results), new_state

    def step(self, ids: Ids, state: State, recalled: Forecasts | None = None) -> tuple[Singles, State]:
        """Read one character of each text.

        Args:
            ids: shape (N,), values in [0, V).
            state: the state after the characters before; not modified.
            recalled: the forecasts after the characters, shape (N, C); see `forward`.

        Returns:
            Logits of the next character, shape (N, V), and the new state.
        """
        logits, state = self.forward(ids[None], state, None if recalled is None else recalled[None])
        return logits[0], state

    def reader(self, generated_from: int | None = None) -> EngineReader:
        """Begin one text, to be read character by character; for `generated_from` see `RecallMemory`."""
        config = self.config
        return self.begin_one(RecallMemory(config.recall, config.vocab_size, generated_from) if config.recall else None)

    def begin_one(self, memory: RecallMemory | None = None) -> EngineReader:
        """Begin one text, whose forecasts come from a memory or are passed to `EngineReader.read`."""
        return EngineReader([member.stepper() for member in self._members], memory)

    def batch_reader(self, num_texts: int, generated_from: int | None = None) -> EngineBatchReader:
        """Begin N texts, to be read side by side; for `generated_from` see `RecallMemory`."""
        config = self.config
        memories = (
            begin_memories(config.recall, config.vocab_size, num_texts, generated_from) if config.recall else None
        )
        return EngineBatchReader([member.stepper(num_texts) for member in self._members], memories)

    def window_reader(self, num_texts: int) -> Callable[[Ids, Forecasts | None], Singles]:
        """Begin N texts, to be read side by side in windows; see `Stepper.read_window`."""
        steppers = [member.stepper(num_texts) for member in self._members]
        return lambda windows, recalled: average(stepper.read_window(windows, recalled) for stepper in steppers)


class EngineReader:
    """One text that is read character by character.

    Args:
        steppers: one for each member of the ensemble.
        memory: computes the forecasts; None without recall, or if they are passed to `read`.

    Attributes:
        read: reads one more character, given the forecasts of the next; see `Stepper.read_one`.
    """

    def __init__(self, steppers: Sequence[Stepper], memory: RecallMemory | None) -> None:
        self._steppers = steppers
        self._memory = memory
        readers = [stepper.read_one for stepper in steppers]
        self.read: Callable[..., Singles] = readers[0]
        if len(readers) > 1:
            self.read = lambda character, recalled=(): average_one([read(character, recalled) for read in readers])

    def __call__(self, character: int) -> Singles:
        """Read one more character; return the logits of the next, shape (V,), valid until the next call."""
        return self.read(character, () if self._memory is None else self._memory.read(character))

    def copy(self) -> EngineReader:
        """Return an independent copy; see `charrnn.generation.sampling.Reader`."""
        memory = None if self._memory is None else self._memory.copy()
        return EngineReader([stepper.selected(None) for stepper in self._steppers], memory)


class EngineBatchReader:
    """N texts that are read side by side.

    Args:
        steppers: one for each member of the ensemble.
        memories: computes the forecasts of a model that recalls; else None.
    """

    def __init__(self, steppers: Sequence[Stepper], memories: RecallMemories | FewMemories | None) -> None:
        self._steppers = steppers
        self._memories = memories

    def __call__(self, ids: Ids) -> Singles:
        """Read the next character of each text.

        Args:
            ids: shape (N,).

        Returns:
            Logits of the characters after these, shape (N, V), valid until the next call.
        """
        recalled = None if self._memories is None else self._memories.read(ids)
        return average(stepper.read_many(ids, recalled) for stepper in self._steppers)

    def selected(self, rows: Ids) -> EngineBatchReader:
        """Return independent copies of some of the texts; see `charrnn.generation.batch_sampling.BatchReader`."""
        memories = None if self._memories is None else self._memories.selected(rows)
        return EngineBatchReader([stepper.selected(rows) for stepper in self._steppers], memories)


def average(predictions: Iterable[Singles]) -> Singles:
    """Combine the members' predictions: the logarithm of the mean of their probabilities.

    Args:
        predictions: logits of each member, shape (..., V).

    Returns:
        Log-probabilities, shape (..., V); the logits themselves if there is only one member.
    """
    each = iter(predictions)
    total, count = next(each), 1
    for logits in each:
        if count == 1:
            total = log_softmax(total)
        np.logaddexp(total, log_softmax(logits), out=total)
        count += 1
    if count > 1:
        total -= np.float32(math.log(count))
    return total


def average_one(predictions: Sequence[Singles]) -> Singles:
    """Average one text's predictions as `average` does, bit for bit, in half the time on arrays as short as these.

    Args:
        predictions: logits of at least two members, shape (V,) each.

    Returns:
        Log-probabilities, shape (V,).
    """
    exp, log, add_up = np.exp, np.log, np.add.reduce
    normalised: list[Singles] = []
    for logits in predictions:
        own = logits - logits[logits.argmax()]
        own -= log(add_up(exp(own)))
        normalised.append(own)
    total = normalised[0]
    for own in normalised[1:]:
        np.logaddexp(total, own, total)
    total -= np.float32(math.log(len(normalised)))
    return total
