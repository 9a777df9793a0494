"""Dynamic evaluation: a model keeps learning from a text while it is scored on it.

After every segment the weights take a gradient step on the segment's loss, and decay towards their initial values. Each
character is predicted before the model learns from it, so the loss is as fair as the static one (Krause, Kahembwe,
Murray, Renals 2017, "Dynamic evaluation of neural sequence models", https://arxiv.org/abs/1709.07432). As in the paper,
each weight's step is divided by the root mean square of its gradients. Unlike there, the mean is over the segments of
this text so far, because a checkpoint does not contain its training text, and all weights decay at the same rate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from charrnn.analysis.losses import PIECE, OnProgress, require_finite, surprisals
from charrnn.arrays import Doubles, Ids
from charrnn.config import ModelConfig
from charrnn.inference.backprop import backpropagate, cross_entropy_gradient
from charrnn.inference.tape import Weights, record, zero_state
from charrnn.recall import Forecasts, recall_text
from charrnn.shapes import each_member

SEGMENT = 32
"""Characters between two steps."""

RATE = 1e-4
"""Learning rate: the size of a weight's step where its gradient has its usual size."""

DECAY = 3e-3
"""Share of a weight's distance from its initial value that each step takes back."""

SMOOTHING = 0.99
"""Decay rate of the moving mean square of the gradients, per segment."""

EPSILON = 1e-8
"""Added to the root mean square in the denominator; a weight without gradient takes no step."""


def adapt(
    config: ModelConfig,
    weights: Weights,
    ids: Ids,
    *,
    rate: float = RATE,
    decay: float = DECAY,
    on_progress: OnProgress = lambda read: None,
) -> Iterator[Doubles]:
    """Read a text from a zero state and learn from each segment after it has been predicted.

    Args:
        config: the model's shape.
        weights: initial weights, which are not modified.
        ids: encoded text, shape (num_chars,), at least two characters.
        rate: learning rate, about what each weight moves per step.
        decay: towards the initial weights, per step.
        on_progress: called with the number of characters read since the last call.

    Yields:
        -ln p of each character but the first, in nats, one `PIECE` after another, which bounds the memory.
    """
    learner = _Learner(config, weights, rate, decay)
    for first in range(0, len(ids) - 1, PIECE):
        read = np.asarray(ids[first : first + PIECE + 1], dtype=np.int64)[:, None]
        recalled = None
        if config.recall:
            recalled = recall_text(ids, config.recall, piece=slice(first, first + len(read) - 1))[:, None]
        losses = []
        for start in range(0, len(read) - 1, SEGMENT):
            place = slice(start, min(start + SEGMENT, len(read) - 1))
            targets = read[place.start + 1 : place.stop + 1]
            losses.append(learner.read(read[place], targets, None if recalled is None else recalled[place]))
            on_progress(len(targets))
        yield np.concatenate(losses)


def adapted_loss(
    config: ModelConfig,
    weights: Weights,
    ids: Ids,
    counted_mask: NDArray[np.bool_],
    *,
    on_progress: OnProgress = lambda read: None,
) -> float:
    """Total dynamic loss of a text in nats; the members of an ensemble adapt independently.

    Args:
        config: the model's shape.
        weights: by name.
        ids: encoded text, shape (num_chars,), at least two characters.
        counted_mask: whether each id but the first counts, shape (num_chars - 1,).
        on_progress: called with the number of characters that a member has read since the last call.

    Raises:
        DivergenceError: a surprisal is not finite.
    """
    losses, place = list[float](), 0
    members = [adapt(member, own, ids, on_progress=on_progress) for _, member, own in each_member(config, weights)]
    for of_members in zip(*members, strict=True):
        values = average_surprisals(of_members)
        require_finite(values)
        losses.append(float(values[counted_mask[place : place + len(values)]].sum()))
        place += len(values)
    return math.fsum(losses)


def average_surprisals(of_members: Sequence[Doubles]) -> Doubles:
    """-ln of the mean probability that the members of an ensemble give each character, in nats.

    Args:
        of_members: each member's own -ln p, shape (num_chars - 1,).
    """
    losses: Doubles = np.log(len(of_members)) - np.logaddexp.reduce(-np.stack(of_members), axis=0)
    return losses


class _Learner:
    """A model with weights that adapt; see `adapt`."""

    def __init__(self, config: ModelConfig, weights: Weights, rate: float, decay: float) -> None:
        self._config = config
        self._weights = weights
        self._rate = rate
        self._decay = decay
        self._moving = {name: weight.copy() for name, weight in weights.items()}
        self._squares = {name: np.zeros_like(weight) for name, weight in weights.items()}
        self._state, self._segments = zero_state(config, weights), 0

    def read(self, ids: Ids, targets: Ids, recalled: Forecasts | None) -> Doubles:
        """Predict a segment, shape (T, 1), then learn from it."""
        tape = record(self._config, self._moving, ids, self._state, recalled)
        losses = surprisals(tape.logits[:, 0], targets[:, 0])
        gradient = cross_entropy_gradient(tape.logits, targets)
        self._step(backpropagate(self._config, self._moving, tape, gradient).weights)
        self._state = tape.state
        return losses

    def _step(self, gradients: Weights) -> None:
        self._segments += 1
        bias = 1 - SMOOTHING**self._segments
        for name, gradient in gradients.items():
            square, weight = self._squares[name], self._moving[name]
            square += (1 - SMOOTHING) * (gradient * gradient - square)
            weight += self._decay * (self._weights[name] - weight)
            weight -= self._rate * gradient / (np.sqrt(square / bias) + EPSILON)
