"""The figures by which a model is judged, and the records that hold them.

Loss is nats per character: the mean of -ln p(next character). The other two are functions of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

DIVERGENCE = "divergence"
"""What ends a training whose numbers went wrong too often."""

COLD_WINDOW = 256
"""Characters of the windows that models without a carried state are usually judged on, such as nanoGPT's."""


@dataclass(frozen=True, kw_only=True)
class HistoryRow:
    """One evaluation.

    Attributes:
        step: optimizer updates made.
        epoch: passes over the training piece, as a fraction.
        train_loss: mean over the steps since the evaluation before, with dropout, in nats per character; at step 0 over
            the first windows, without dropout.
        val_loss: over the held-out piece, or of a long one some of it, without dropout, in nats per character.
        learning_rate: of the last step.
        seconds: wall-clock time since the run began, pauses between resumed parts left out.
    """

    step: int
    epoch: float
    train_loss: float
    val_loss: float
    learning_rate: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Report:
    """Where a training stands.

    None stands for what is not known, as where no step has been made since the last evaluation.

    Attributes:
        step: optimizer updates made.
        epoch: passes over the training piece, as a fraction.
        progress: share of the whole training that is done, from 0 to 1.
        train_loss: moving average of the steps, with dropout, in nats per character: see `charrnn.training.health`; at
            step 0 as in `HistoryRow`.
        val_loss: as in `HistoryRow`, if this report is an evaluation's.
        best_val_loss: the lowest so far, if there is one.
        best_step: the step that it was reached at, if there is one.
        best_cold_loss: of the best weights in windows that start cold, measured when the training ends.
        is_best: whether this report's evaluation is it.
        learning_rate: of the last step.
        gradient_norm: mean since the last evaluation, before clipping; of several members, the largest of each step.
        gradient_norm_max: the largest since the last report, likewise.
        clipped: share of the steps since the last evaluation whose gradient was scaled down.
        chars_per_second: training speed since the last evaluation, evaluation left out.
        seconds: wall-clock time of the run.
        seconds_left: expected.
        is_last: whether the training ends here.
        ended_by: what ends it, "patience", "steps" (of `--epochs` too), "time" or `DIVERGENCE`; empty where it goes on.
        skipped: steps left out so far, because their loss or gradient was beyond measure.
        recoveries: how often training went back to its best weights so far, because the numbers went wrong.
        rewinds: how often it went back to them so far, with a lower rate, because they got no better.
        trouble: what went wrong since the last report, in words, a line for each time; empty where nothing did.
    """

    step: int
    epoch: float
    progress: float
    train_loss: float | None
    val_loss: float | None
    best_val_loss: float | None
    best_step: int | None
    best_cold_loss: float | None
    is_best: bool
    learning_rate: float
    gradient_norm: float | None
    gradient_norm_max: float | None
    clipped: float | None
    chars_per_second: float | None
    seconds: float
    seconds_left: float
    is_last: bool
    ended_by: str
    skipped: int
    recoveries: int
    rewinds: int
    trouble: str


def perplexity(loss: float) -> float:
    """exp(loss): the number of equally likely characters that would be as hard to guess between."""
    return math.exp(loss) if loss < 700 else math.inf  # from 710 on, more than a float can hold


def finite_or_none(value: float) -> float | None:
    """A number as JSON can say it: there is no infinity in it."""
    return value if math.isfinite(value) else None


def bits_per_char(loss: float) -> float:
    """The loss in bits instead of nats."""
    return loss / math.log(2)


def loss_fields(loss: float) -> dict[str, float | None]:
    """A loss in its three forms."""
    return {"loss": loss, "perplexity": finite_or_none(perplexity(loss)), "bits_per_char": bits_per_char(loss)}


def best_row(history: Iterable[HistoryRow]) -> HistoryRow | None:
    """The evaluation with the lowest validation loss, the first of equals; None where there is none."""
    return min(history, key=lambda row: row.val_loss, default=None)
