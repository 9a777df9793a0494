"""Numbers that go wrong while training, and the way back from them.

A step whose loss or gradient is not finite is skipped. After several in a row, or when a loss that was good explodes,
training goes back to its best weights, with an empty optimizer and half the learning rate. The place in the text and
the count of steps go on, so that it does not run into the same again, and so that no step stands twice in a log.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from charrnn.errors import DivergenceError
from charrnn.network.ensemble import build_model
from charrnn.training.randomness import kept_random_state

if TYPE_CHECKING:
    from charrnn.training.run import TrainingRun

BAD_STEPS = 3
"""Steps skipped in a row after which training goes back."""

RECOVERIES = 3
"""Times that training goes back, without a new best between them, before it gives up."""

RECOVERY_RATE = 0.5
"""Factor on the learning rate at each of them."""

LARGEST_LOSS = 1e6
"""Nats per character from which on a loss is no better than one that is not a number."""

SMOOTHING_STEPS = 32
"""Steps over which the training loss is averaged before it is judged."""


@dataclass
class Health:
    """How well the numbers of a training do.

    Attributes:
        skipped: steps left out in all, because their loss or gradient was not finite; not those of `skip_step` in which
            all is well.
        skipped_in_row: steps left out, the last ones without a good step between.
        recoveries: times that training went back, in all; each halves the learning rate.
        tries: of them, those since the last evaluation that was the best.
        recovered_at: step of the last one, from which the learning rate rises anew.
        steps: good steps since then.
        loss: moving average over `SMOOTHING_STEPS` of the training loss since then, in nats per character.
        lowest: the lowest value that this average had; infinity before there is one.
        trouble: what went wrong since the last report, in words; empty where nothing did.
    """

    skipped: int = 0
    skipped_in_row: int = 0
    recoveries: int = 0
    tries: int = 0
    recovered_at: int = 0
    steps: int = 0
    loss: float = 0.0
    lowest: float = math.inf
    trouble: str = ""

    @property
    def rate(self) -> float:
        """Factor on the learning rate."""
        return RECOVERY_RATE**self.recoveries

    def observe(self, loss: float) -> None:
        """Take in the loss of a good step."""
        self.skipped_in_row = 0
        self.steps += 1
        self.loss += (loss - self.loss) / min(self.steps, SMOOTHING_STEPS)
        self.lowest = min(self.lowest, self.loss)


def is_sound(loss: float, gradient_norm: float = 0.0) -> bool:
    """Whether a step or an evaluation with these figures may count."""
    return math.isfinite(gradient_norm) and abs(loss) < LARGEST_LOSS


def has_exploded(loss: float, lowest: float, vocab_size: int) -> bool:
    """Whether a loss that was better is so no longer.

    Far above its lowest value, and a nat worse than guessing all characters alike: a text that merely gets harder, or
    a model that overfits, does not reach that.

    Args:
        loss: in nats per character.
        lowest: what it has been; infinity where it never was anything.
        vocab_size: V.
    """
    return loss > max(2 * lowest + 0.5, math.log(vocab_size) + 1)


def skip_step(run: TrainingRun, loss: float) -> None:
    """Count a step that was left out, since its loss or gradient is not finite.

    Under float16 the scale of a sound loss rises until a gradient overflows: unless several do in a row, all is well.
    """
    health = run.health
    health.skipped_in_row += 1
    if not (run.updates[0].seeks_scale and is_sound(loss)):
        health.skipped += 1
        if health.skipped == 1:
            health.trouble = f"after step {run.step:,} one was skipped: its loss or gradient is not a number"
    if health.skipped_in_row >= BAD_STEPS:
        go_back(run, f"the loss or its gradient is not a number, {BAD_STEPS} times in a row")


def go_back(run: TrainingRun, reason: str) -> None:
    """Go back to the best weights, or the first ones, with half the learning rate.

    Args:
        run: changed in place.
        reason: what went wrong, in words.

    Raises:
        DivergenceError: it has been done too often.
    """
    health, config = run.health, run.config
    where = f"after step {run.step:,} {reason}"
    if health.tries >= RECOVERIES:
        raise DivergenceError(
            f"{where}, and going back {RECOVERIES} times with half the learning rate has not helped; "
            f"lower --learning-rate ({config.learning_rate:g}) or {_clip_advice(config.grad_clip)}"
        )
    best = run.best
    restore_best(run)
    weights = f"the best weights, of step {best.step:,}," if best and run.best_weights else "the first weights"
    run.health.recoveries = health.recoveries + 1
    run.health.tries = health.tries + 1
    run.health.trouble = (
        f"{where}: back to {weights} with half the learning rate ({run.health.tries} of {RECOVERIES} tries)"
    )


def _clip_advice(grad_clip: float) -> str:
    return f"--grad-clip ({grad_clip:g})" if grad_clip else "give --grad-clip 1"


def restore_best(run: TrainingRun) -> None:
    """Take the best weights, or the first ones, with an empty optimizer, a state of zeros and no bad steps in a row."""
    run.model.load_state_dict(run.best_weights or first_weights(run))
    if run.best is not None:
        run.pace.lowest = run.best.val_loss
    for optimizer in run.optimizers:
        optimizer.state.clear()
    run.state = run.model.initial_state(run.num_lanes)
    run.health = Health(skipped=run.health.skipped, recoveries=run.health.recoveries, recovered_at=run.step)


def first_weights(run: TrainingRun) -> dict[str, Tensor]:
    """The weights that a run began with; torch's own random numbers go on as if nothing had happened."""
    with kept_random_state(run.model):
        torch.manual_seed(run.config.seed)
        return run.beginning or dict(build_model(run.model.config).state_dict())


def ensure_finite(run: TrainingRun) -> None:
    """Go back where a weight, or the optimizer's memory, is not finite: nothing of the kind is ever saved.

    Raises:
        DivergenceError: training has gone back too often.
    """
    moments = (value for optimizer in run.optimizers for state in optimizer.state.values() for value in state.values())
    tensors = [*run.model.state_dict().values(), *(value for value in moments if isinstance(value, Tensor))]
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors):
        go_back(run, "a weight is not finite")
