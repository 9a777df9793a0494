"""The figures of a training's steps since its last evaluation."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass
class Pace:
    """Sums since the last evaluation, and the position of that evaluation.

    Attributes:
        loss: sum over characters, in nats.
        steps: steps summed.
        chars: characters read in them.
        norm: sum over steps of the gradient norm before clipping; of an ensemble, the largest norm of a member.
        clipped: steps whose norm was over `TrainConfig.grad_clip`.
        step: step of the last evaluation.
        seconds: `TrainingRun.seconds` at the last evaluation.
        stale: evaluations in a row without a gain.
        lowest: the loss that an evaluation must beat to count as a gain; reset when a training goes on to another end
            or goes back to the best weights, since the losses then start above the best.
    """

    loss: float = 0.0
    steps: int = 0
    chars: int = 0
    norm: float = 0.0
    clipped: int = 0
    step: int = 0
    seconds: float = 0.0
    stale: int = 0
    lowest: float = math.inf

    @property
    def mean_loss(self) -> float | None:
        """The mean loss of the steps summed, in nats per character; None where there are none."""
        return self.loss / self.chars if self.chars else None


@dataclass(frozen=True)
class StepMetrics:
    """Figures of one step, on the device that computed them.

    Attributes:
        values: the mean loss in nats per character, and the largest norm of a member's gradient, shape (2,).
        num_targets: characters that the loss is the mean of.
    """

    values: Tensor
    num_targets: int
