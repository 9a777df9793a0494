"""The metrics of a model, and the records that hold them.

The loss is in nats per character: the mean of -ln p(next character). Perplexity and bits per character follow from it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

DIVERGENCE = "divergence"
"""The value of `Report.ended_by` where training ends because it diverged too often."""

COLD_WINDOW = 256
"""Characters of the windows on which models that carry no state, such as nanoGPT's, are usually evaluated."""


@dataclass(frozen=True, kw_only=True)
class HistoryRow:
    """One evaluation.

    Attributes:
        step: optimizer updates made.
        epoch: passes over the training piece, as a fraction.
        train_loss: mean over the steps since the previous evaluation, with dropout, in nats per character; at step 0
            over the first windows, without dropout.
        val_loss: over the held-out piece, or over parts of a long one, without dropout, in nats per character.
        learning_rate: of the last step.
        seconds: wall-clock time since the run began, without the pauses before it was resumed.
    """

    step: int
    epoch: float
    train_loss: float
    val_loss: float
    learning_rate: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Report:
    """The progress of a training.

    A field is None where its value is not known, for instance where no step was made since the last evaluation.

    Attributes:
        step: optimizer updates made.
        epoch: passes over the training piece, as a fraction.
        progress: share of the whole training that is done, from 0 to 1.
        train_loss: moving average over the steps, with dropout, in nats per character: see `charrnn.training.health`;
            at step 0 as in `HistoryRow`.
        val_loss: as in `HistoryRow`, if this report is of an evaluation.
        best_val_loss: the lowest so far, if there is one.
        best_step: the step of `best_val_loss`, if there is one.
        best_cold_loss: of the best weights, in windows that start from a zero state; measured when the training ends.
        is_best: whether this report's evaluation has the lowest loss so far.
        learning_rate: of the last step.
        gradient_norm: mean since the last evaluation, before clipping; of an ensemble, each step counts its largest.
        gradient_norm_max: the largest since the last report, likewise.
        clipped: share of the steps since the last evaluation whose gradient was clipped.
        chars_per_second: training speed since the last evaluation, without the time of evaluation.
        seconds: wall-clock time of the run.
        seconds_left: expected time to the end.
        is_last: whether the training ends here.
        ended_by: the limit that ends it: "patience", "steps" (`--epochs` too), "time" or `DIVERGENCE`; else empty.
        skipped: steps skipped so far because their loss or gradient was not finite or far too large.
        recoveries: how often training has returned to its best weights because it diverged.
        rewinds: how often training has returned to its best weights, with a lower rate, because they got no better.
        trouble: messages on what went wrong since the last report, one a line; empty where nothing did.
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
    """exp(loss): the number of equally likely characters among which a guess would be as hard."""
    return math.exp(loss) if loss < 700 else math.inf  # exp overflows from 710 on


def finite_or_none(value: float) -> float | None:
    """A number for JSON, which has no infinity or NaN: None stands for them."""
    return value if math.isfinite(value) else None


def bits_per_char(loss: float) -> float:
    """The loss in bits instead of nats."""
    return loss / math.log(2)


def loss_fields(loss: float) -> dict[str, float | None]:
    """A loss as nats, perplexity and bits per character."""
    return {"loss": loss, "perplexity": finite_or_none(perplexity(loss)), "bits_per_char": bits_per_char(loss)}


def best_row(history: Iterable[HistoryRow]) -> HistoryRow | None:
    """The evaluation with the lowest validation loss, the first of equal ones; None for an empty history."""
    return min(history, key=lambda row: row.val_loss, default=None)
