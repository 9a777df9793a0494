"""Whether the numbers of a training are sound; what is done where they are not is in `charrnn.training.recovery`."""

from __future__ import annotations

import math
from dataclasses import dataclass

RECOVERY_FACTOR = 0.5
"""Factor on the learning rate each time that training goes back because its numbers went wrong."""

REWIND_FACTOR = 0.4
"""Factor on the learning rate each time that training goes back because evaluations brought no gain."""

LARGEST_LOSS = 1e6
"""Nats per character at and above which a loss is treated like NaN."""

SMOOTHING_STEPS = 32
"""Time constant, in steps, of the moving average of the training loss that is checked and reported."""


@dataclass
class Health:
    """What went wrong with the numbers of a training, and the training loss by which that is judged.

    Attributes:
        skipped: all steps skipped because of an unsound loss or gradient; without those that
            `charrnn.training.recovery.skip_step` takes as normal under float16.
        skipped_in_row: steps skipped since the last good one.
        recoveries: how often training went back, in all; each time halves the learning rate.
        tries: recoveries since the last evaluation that was the best.
        recovered_at: step of the last recovery, from which the learning rate warms up anew.
        steps: good steps since the last recovery.
        loss: moving average of the training loss since the last recovery, in nats per character: the mean of the first
            `SMOOTHING_STEPS` steps, then exponential. Right after a recovery it is still the value from before; 0
            before the first step of all.
        lowest: the lowest value of this average since the last recovery; infinity before there is one.
        trouble: what went wrong since the last report, in words, one line for each event; empty where nothing did.
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
        """Add a line about what went wrong to those that are still to be reported."""
        self.trouble = f"{self.trouble}\n{trouble}" if self.trouble else trouble

    def take_trouble(self) -> str:
        """Return the lines that are still to be reported, and clear them."""
        trouble, self.trouble = self.trouble, ""
        return trouble

    def observe(self, loss: float) -> None:
        """Count a good step, and add its loss to the moving average."""
        self.skipped_in_row = 0
        self.steps += 1
        self.loss += (loss - self.loss) / min(self.steps, SMOOTHING_STEPS)
        self.lowest = min(self.lowest, self.loss)


def is_sound(loss: float, gradient_norm: float = 0.0) -> bool:
    """Whether a step or an evaluation counts: its gradient is finite, and its loss is below `LARGEST_LOSS`."""
    return math.isfinite(gradient_norm) and abs(loss) < LARGEST_LOSS


def has_exploded(loss: float, lowest: float, vocab_size: int) -> bool:
    """Whether the training loss is far above its lowest value, and a nat above that of a uniform guess.

    A text that merely gets harder does not reach that. (An overfitted model may, on text that it does not learn from.)

    Args:
        loss: in nats per character.
        lowest: its lowest value so far; infinity where there is none.
        vocab_size: V.
    """
    return loss > max(2 * lowest + 0.5, math.log(vocab_size) + 1)
