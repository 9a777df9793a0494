"""What the steps of a training have found since its last evaluation."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass
class Pace:
    """Sums since the last evaluation, and where that was.

    Attributes:
        loss: sum over characters, in nats.
        steps: steps summed.
        chars: characters read in them.
        norm: sum over steps of the gradient's norm before it is clipped, of several members the largest.
        clipped: steps whose norm was over `TrainConfig.grad_clip`.
        step: of the last evaluation.
        seconds: of the run at the last evaluation.
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
class Figures:
    """What a step has found, where it was computed.

    Attributes:
        values: the mean loss in nats per character, and the largest norm of a member's gradient, shape (2,).
        num_targets: characters that the loss is the mean of.
    """

    values: Tensor
    num_targets: int
