"""An ensemble's forward pass in numpy: its members read the same text, and their probabilities are averaged.

It computes what `charrnn.network.ensemble` computes, to rounding, and is called as
`charrnn.inference.engine.NumpyCharRNN` is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from charrnn.arrays import Ids, Singles
from charrnn.config import ModelConfig
from charrnn.inference.engine import NumpyCharRNN
from charrnn.inference.readers import ReadingModel, State
from charrnn.inference.stepper import Stepper
from charrnn.recall import Forecasts
from charrnn.shapes import each_member
from charrnn.softmax import log_softmax


class NumpyEnsemble(ReadingModel):
    """Trained CharRNNs of one shape that read N texts side by side and predict together.

    A state is that of all layers of the first member, then of the second, and so on. What it gives as logits are
    log-probabilities.

    Args:
        config: the shape of each member, and how many there are.
        weights: float32 arrays by name, as `charrnn.shapes.parameter_shapes` lists them.
        resets_at: see `charrnn.inference.engine.NumpyCharRNN`.
    """

    def __init__(self, config: ModelConfig, weights: Mapping[str, Singles], resets_at: int | None = None) -> None:
        self.config = config
        self._members = [NumpyCharRNN(member, own, resets_at) for _, member, own in each_member(config, weights)]

    def initial_state(self, batch_size: int = 1) -> State:
        """The state before any character: zeros, each shape (batch_size, H)."""
        return tuple(layer for member in self._members for layer in member.initial_state(batch_size))

    def forward(self, ids: Ids, state: State, recalled: Forecasts | None = None) -> tuple[Singles, State]:
        """Read a window of each text, member after member; see `ReadingModel.forward`."""
        layers = self.config.num_layers
        results = [
            member.forward(ids, state[number * layers : (number + 1) * layers], recalled)
            for number, member in enumerate(self._members)
        ]
        new_state = tuple(layer for _, own in results for layer in own)
        return average(logits for logits, _ in results), new_state

    def steppers(self, num_texts: int | None = None) -> list[Stepper]:
        """Begin N texts, or one without that axis, in each member."""
        return [stepper for member in self._members for stepper in member.steppers(num_texts)]

    def combine(self, predictions: Iterator[Singles]) -> Singles:
        """Average the members' predictions; see `average`."""
        return average(predictions)

    def begin_one(self) -> Callable[..., Singles]:
        """Begin one text, to be read by one member after the other; see `Stepper.read_one`."""
        readers = [stepper.read_one for stepper in self.steppers()]
        return lambda character, recalled=(): average_one([read(character, recalled) for read in readers])


Engine = NumpyCharRNN | NumpyEnsemble


def build_engine(config: ModelConfig, weights: Mapping[str, Singles], resets_at: int | None = None) -> Engine:
    """Make the network, or the networks, that a config describes; see `NumpyCharRNN`."""
    kind = NumpyCharRNN if config.members == 1 else NumpyEnsemble
    return kind(config, weights, resets_at)


def average(predictions: Iterable[Singles]) -> Singles:
    """Give the logarithm of the mean of some predictions' probabilities.

    Args:
        predictions: logits of each, shape (..., V).

    Returns:
        Log-probabilities, shape (..., V).
    """
    total: Singles | None = None
    count = 0
    for logits in predictions:
        own = log_softmax(logits)
        total = own if total is None else np.logaddexp(total, own, out=total)
        count += 1
    assert total is not None, "an ensemble has members"
    total -= np.float32(math.log(count))
    return total


def average_one(predictions: Sequence[Singles]) -> Singles:
    """Average one text's predictions as `average` does, bit by bit, in half the time: by what is fastest when short.

    Args:
        predictions: logits of each member, shape (V,).

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
