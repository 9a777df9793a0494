"""How well the numbers of a training do; what is done where they go wrong is in `charrnn.training.recovery`."""

from __future__ import annotations

import math
from dataclasses import dataclass

RECOVERY_SHARE = 0.5
"""Factor on the learning rate each time that training goes back since something went wrong."""

REWIND_SHARE = 0.4
"""Factor on it each time that training goes back for want of a gain."""

LARGEST_LOSS = 1e6
"""Nats per character from which on a loss is no better than one that is not a number."""

SMOOTHING_STEPS = 32
"""What a step's loss is divided by in the moving average that is judged, and reported."""


@dataclass
class Health:
    """How well the numbers of a training do.

    Attributes:
        skipped: steps left out in all, because their loss or gradient was beyond measure; not those of
            `charrnn.training.recovery.skip_step` in which all is well.
        skipped_in_row: steps left out, the last ones without a good step between.
        recoveries: times that training went back, in all; each halves the learning rate.
        tries: of them, those since the last evaluation that was the best.
        recovered_at: step of the last one, from which the learning rate rises anew.
        steps: good steps since then.
        loss: moving average of the training loss since then, in nats per character: the mean of the steps, and from
            `SMOOTHING_STEPS` of them on an exponential one. Before the first of them it is what it was when training
            went back; 0 before the first of all.
        lowest: the lowest value that this average had; infinity before there is one.
        trouble: what went wrong since the last report, in words, a line for each time; empty where nothing did.
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

    def add_trouble(self, trouble: str) -> None:
        """Add a line, of what has gone wrong, to those that are still to be told."""
        self.trouble = f"{self.trouble}\n{trouble}" if self.trouble else trouble

    def take_trouble(self) -> str:
        """What went wrong and is still to be told, a line for each time; it counts as told then."""
        trouble, self.trouble = self.trouble, ""
        return trouble

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
    """Whether a training loss that was better is so no longer.

    Far above its lowest value, and a nat worse than guessing all characters alike: a text that merely gets harder does
    not reach that. (A model that overfits may, on text that it does not learn from.)

    Args:
        loss: in nats per character.
        lowest: what it has been; infinity where it never was anything.
        vocab_size: V.
    """
    return loss > max(2 * lowest + 0.5, math.log(vocab_size) + 1)
