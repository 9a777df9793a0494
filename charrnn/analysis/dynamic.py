"""Dynamic evaluation: a model that goes on learning from a text while it is scored on it.

After every segment the weights take a step down the gradient of that segment's loss, and a step back towards where they
began. No character is seen before it has been predicted, so the loss is as honest as the static one (Krause, Kahembwe,
Murray, Renals 2017, "Dynamic evaluation of neural sequence models", https://arxiv.org/abs/1709.07432). As there, each
weight's step is divided by the root of the mean square of its gradients; here that mean is taken over the segments so
far, since a checkpoint does not have its text with it, and the step back is the same share for all weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.analysis.losses import Watch, surprisals
from charrnn.config import ModelConfig
from charrnn.inference.backprop import backpropagate, cross_entropy_gradient
from charrnn.inference.tape import Weights, record, zero_state
from charrnn.recall import recall_text

SEGMENT = 32
"""Characters between two steps."""

RATE = 1e-4
"""How far a weight goes at a step, where its gradient is of its usual size."""

DECAY = 3e-3
"""The share of its way that a weight goes back at each step."""

SMOOTHING = 0.99
"""Share of the mean square of a weight's gradients that stays at each segment."""

EPSILON = 1e-8
"""Added to its root, so that a weight without a gradient stays where it is."""


def adapt(
    config: ModelConfig,
    weights: Weights,
    ids: NDArray[np.integer[Any]],
    *,
    rate: float = RATE,
    decay: float = DECAY,
    watch: Watch = lambda read: None,
) -> NDArray[np.float64]:
    """Read a text from a zero state and learn from each segment after it has been predicted.

    Args:
        config: the model's shape.
        weights: to begin with; left as they are.
        ids: encoded text, shape (num_chars,), at least two characters.
        rate: of a step, about what each weight moves.
        decay: towards the first weights at each step.
        watch: told, now and then, how many more characters were read.

    Returns:
        -ln p of each character but the first, in nats, shape (num_chars - 1,).
    """
    ids = np.asarray(ids, dtype=np.int64)
    moving = {name: weight.copy() for name, weight in weights.items()}
    squares = {name: np.zeros_like(weight) for name, weight in weights.items()}
    recalled = recall_text(ids, config.recall)[:, None] if config.recall else None
    state, losses = zero_state(config, weights), []
    for number, start in enumerate(range(0, len(ids) - 1, SEGMENT), 1):
        targets = ids[start + 1 : start + SEGMENT + 1, None]
        place = slice(start, start + len(targets))
        tape = record(config, moving, ids[place, None], state, None if recalled is None else recalled[place])
        losses.append(surprisals(tape.logits[:, 0], targets[:, 0]))
        watch(len(targets))
        gradients = backpropagate(config, moving, tape, cross_entropy_gradient(tape.logits, targets)).weights
        bias = 1 - SMOOTHING**number
        for name, gradient in gradients.items():
            squares[name] += (1 - SMOOTHING) * (gradient * gradient - squares[name])
            moving[name] += decay * (weights[name] - moving[name])
            moving[name] -= rate * gradient / (np.sqrt(squares[name] / bias) + EPSILON)
        state = tape.state
    return np.concatenate(losses)


def average_surprisals(of_members: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """-ln of the mean probability that the members of an ensemble give each character, in nats.

    Args:
        of_members: each member's own -ln p, shape (num_chars - 1,).
    """
    losses: NDArray[np.float64] = np.log(len(of_members)) - np.logaddexp.reduce(-np.stack(of_members), axis=0)
    return losses
