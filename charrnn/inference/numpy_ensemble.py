"""An ensemble's forward pass in numpy: its members read the same text, and their probabilities are averaged.

It computes what `charrnn.network.ensemble` computes, to rounding, and is called as
`charrnn.inference.engine.NumpyCharRNN` is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from charrnn.config import ModelConfig
from charrnn.inference.engine import Array, NumpyCharRNN, Recall, State
from charrnn.memory import Memories, Memory
from charrnn.recall import Forecasts
from charrnn.shapes import member_weights


class NumpyEnsemble:
    """Trained CharRNNs of one shape that read N texts side by side and predict together.

    A state is that of all layers of the first member, then of the second, and so on. What it gives as logits are
    log-probabilities.

    Args:
        config: the shape of each member, and how many there are.
        weights: float32 arrays by name, as `charrnn.shapes.parameter_shapes` lists them.
        resets_at: see `charrnn.inference.engine.NumpyCharRNN`.
    """

    def __init__(self, config: ModelConfig, weights: Mapping[str, Array], resets_at: int | None = None) -> None:
        self.config = config
        self._members = [
            NumpyCharRNN(config.member, member_weights(config, weights, number), resets_at)
            for number in range(config.members)
        ]

    def initial_state(self, batch_size: int = 1) -> State:
        """The state before any character: zeros, each shape (batch_size, H)."""
        return tuple(layer for member in self._members for layer in member.initial_state(batch_size))

    def step(self, ids: NDArray[np.integer], state: State, recalled: Forecasts | None = None) -> tuple[Array, State]:
        """Read one character of each text; see `NumpyCharRNN.step`."""
        logits, state = self.forward(ids[None], state, None if recalled is None else recalled[None])
        return logits[0], state

    def forward(self, ids: NDArray[np.integer], state: State, recalled: Forecasts | None = None) -> tuple[Array, State]:
        """Read a window of each text; see `NumpyCharRNN.forward`."""
        layers = self.config.num_layers
        results = [
            member.forward(ids, state[number * layers : (number + 1) * layers], recalled)
            for number, member in enumerate(self._members)
        ]
        new_state = tuple(layer for _, own in results for layer in own)
        return average(logits for logits, _ in results), new_state

    def reader(self, own_from: int | None = None, recall: Recall | None = None) -> Callable[[int], Array]:
        """Begin one text, to be read character by character; see `NumpyCharRNN.reader`."""
        readers = [member.stepper().read_one for member in self._members]
        if not self.config.recall:
            return lambda character: average_one([read(character) for read in readers])
        remember = recall or Memory(self.config.recall, self.config.vocab_size, own_from).read

        def read_recalling(character: int) -> Array:
            recalled = remember(character)
            return average_one([read(character, recalled) for read in readers])

        return read_recalling

    def batch_reader(self, num_texts: int, own_from: int | None = None) -> Callable[[NDArray[np.integer]], Array]:
        """Begin N texts, to be read side by side; see `NumpyCharRNN.batch_reader`."""
        readers = [member.stepper(num_texts).read_many for member in self._members]
        if not self.config.recall:
            return lambda ids: average(read(ids) for read in readers)
        remember = Memories(self.config.recall, self.config.vocab_size, num_texts, own_from).read

        def read_recalling(ids: NDArray[np.integer]) -> Array:
            recalled = remember(ids)
            return average(read(ids, recalled) for read in readers)

        return read_recalling

    def window_reader(self, num_texts: int) -> Callable[[NDArray[np.integer], Forecasts | None], Array]:
        """Begin N texts, to be read side by side in windows, by one member after the other."""
        readers = [member.window_reader(num_texts) for member in self._members]
        return lambda windows, recalled: average(read(windows, recalled) for read in readers)


Engine = NumpyCharRNN | NumpyEnsemble


def build_engine(config: ModelConfig, weights: Mapping[str, Array], resets_at: int | None = None) -> Engine:
    """Make the network, or the networks, that a config describes; see `NumpyCharRNN`."""
    kind = NumpyCharRNN if config.members == 1 else NumpyEnsemble
    return kind(config, weights, resets_at)


def average(predictions: Iterable[Array]) -> Array:
    """Give the logarithm of the mean of some predictions' probabilities.

    Args:
        predictions: logits of each, shape (..., V).

    Returns:
        Log-probabilities, shape (..., V).
    """
    total: Array | None = None
    count = 0
    for logits in predictions:
        own = logits - logits.max(axis=-1, keepdims=True)
        own -= np.log(np.exp(own).sum(axis=-1, keepdims=True))
        total = own if total is None else np.logaddexp(total, own, out=total)
        count += 1
    assert total is not None, "an ensemble has members"
    total -= np.float32(math.log(count))
    return total


def average_one(predictions: Sequence[Array]) -> Array:
    """The same for one text alone, bit by bit, in half the time: with what costs numpy the least for short arrays.

    Args:
        predictions: logits of each member, shape (V,).

    Returns:
        Log-probabilities, shape (V,).
    """
    exp, log, add_up = np.exp, np.log, np.add.reduce
    normalised: list[Array] = []
    for logits in predictions:
        own = logits - logits[logits.argmax()]
        own -= log(add_up(exp(own)))
        normalised.append(own)
    total = normalised[0]
    for own in normalised[1:]:
        np.logaddexp(total, own, total)
    total -= np.float32(math.log(len(normalised)))
    return total
