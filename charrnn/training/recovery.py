"""Recovery from numbers that go wrong while training.

A step whose loss or gradient is not sound is skipped. After several in a row, or when the training loss explodes,
training goes back to its best weights, with an empty optimizer state and half the learning rate. The position in the
text and the step count go on, so that training does not run into the same text again, and steps in a log never
decrease. Where only the gain stays away, `rewind` goes back and keeps the optimizer state.
"""

from __future__ import annotations

import torch
from torch import Tensor

from charrnn.errors import DivergenceError
from charrnn.network.ensemble import build_model
from charrnn.training.health import Health, is_sound
from charrnn.training.randomness import kept_random_state
from charrnn.training.run import TrainingRun

BAD_STEPS = 3
"""Steps skipped in a row after which training goes back."""

RECOVERIES = 3
"""Times that training goes back, without a new best between them, before it gives up."""


def skip_step(run: TrainingRun, loss: float, norm: float) -> None:
    """Count a step that was skipped because its loss or gradient norm is not sound; see `is_sound`.

    Under float16 the loss scale rises until a gradient overflows: that is normal, unless several do in a row.
    """
    health = run.health
    health.skipped_in_row += 1
    figures = f"with a loss of {loss:.4g} and a gradient of norm {norm:.4g}"
    if not (run.updates[0].seeks_scale and is_sound(loss)):
        health.skipped += 1
        if health.skipped == 1:
            health.add_trouble(f"after step {run.step:,} one was skipped, {figures}")
    if health.skipped_in_row >= BAD_STEPS:
        go_back(run, f"the next {BAD_STEPS} were skipped, the last {figures}")


def go_back(run: TrainingRun, reason: str) -> None:
    """Go back to the best weights, or the first ones, with half the learning rate.

    Args:
        run: changed in place.
        reason: what went wrong, in words.

    Raises:
        DivergenceError: training has gone back too often.
    """
    tries, where = run.health.tries, f"after step {run.step:,} {reason}"
    if tries >= RECOVERIES:
        raise DivergenceError(
            f"{where}, and going back {RECOVERIES} times with half the learning rate has not helped; {_advice(run)}"
        )
    best = run.best
    restore_best(run)
    weights = f"the best weights, of step {best.step:,}," if best else "the first weights"
    run.health.recoveries += 1
    run.health.tries = tries + 1
    run.health.add_trouble(
        f"{where}: back to {weights} with half the learning rate ({run.health.tries} of {RECOVERIES} tries)"
    )


def rewind(run: TrainingRun) -> None:
    """Go back to the best weights with a lower rate: a text too short for the time given is overfitted otherwise.

    The optimizer's moments and the place in the text stay what they are.
    """
    run.model.load_state_dict(run.best_weights)
    run.rewinds += 1
    assert run.best is not None, "without a gain since the first evaluation"
    run.pace.lowest = run.best.val_loss


def restore_best(run: TrainingRun) -> None:
    """Load the best weights, or the first ones; reset the optimizer, the hidden state and skipped_in_row."""
    run.model.load_state_dict(run.best_weights or first_weights(run))
    if run.best is not None:
        run.pace.lowest = run.best.val_loss
    for optimizer in run.optimizers:
        optimizer.state.clear()
    run.state = run.model.initial_state(run.num_lanes)
    before = run.health
    run.health = Health(
        before.skipped, recoveries=before.recoveries, recovered_at=run.step, loss=before.loss, trouble=before.trouble
    )


def first_weights(run: TrainingRun) -> dict[str, Tensor]:
    """The weights that a run began with; torch's random state is left as it is."""
    with kept_random_state(run.model):
        torch.manual_seed(run.config.seed)
        return run.fallback_weights or dict(build_model(run.model.config).state_dict())


def ensure_finite(run: TrainingRun) -> None:
    """Go back if a weight or an optimizer moment is not finite, so that none is ever saved.

    Raises:
        DivergenceError: training has gone back too often.
    """
    moments = (value for optimizer in run.optimizers for state in optimizer.state.values() for value in state.values())
    tensors = [*run.model.state_dict().values(), *(value for value in moments if isinstance(value, Tensor))]
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors):
        go_back(run, "a weight is not finite")


def _advice(run: TrainingRun) -> str:
    """Flags that may help; --beta2, since RMSprop's mean square begins at 0: first steps are rate / sqrt(1 - beta2)."""
    config = run.config
    beta2 = f", --beta2 ({config.beta2})" if config.optimizer == "rmsprop" else ""
    clip = f"--grad-clip ({config.grad_clip:g})" if config.grad_clip else "give --grad-clip 1"
    return f"lower --learning-rate ({config.learning_rate:g}){beta2} or {clip}"
