"""The verdict on a training run, in words: what its losses say, what to do, and which settings likely held it back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from charrnn.config import ModelConfig, TrainConfig
from charrnn.hyperparameters import peak_rate
from charrnn.metrics import HistoryRow, best_row
from charrnn.suggest import SIZES
from charrnn.wording import number_of

FLAT = 0.004
"""A loss that falls by less than this share over the last third of a training run has levelled off."""

WORSE = 0.01
"""A validation loss above its best by more than this share has risen."""

CLEAR = 0.05
"""Training and validation loss differ clearly beyond this share: no text is easier than another by that much."""

BLIND = 0.01
"""Nothing was learned if both losses are at most this share below that of a uniform guess."""

FEWEST = 3
"""Least number of evaluations for a verdict."""

FEWEST_STEPS = 10
"""Least number of steps for a verdict: in fewer every model improves."""

LONG_SHARE = 1 / 6
"""Training has stalled after this share of the evaluations, and at least `FEWEST`, without a gain."""

RISEN = 1.5
"""A learning rate this many times that of the previous evaluation means that training was resumed to a later end."""

LEAST = 2e-3
"""Least difference in nats between two losses that means anything, however low the losses are."""

WIDE = 0.2
"""A validation loss above the training loss by more than this share: what the model learns hardly generalises."""

LEAST_SHOWN = 5e-5
"""Least change in nats that four decimals show; less counts as no change."""

FAR = 5
"""A learning rate this many times the default is far too high, and a layer this many times smaller than the smallest
default far too small."""


def margin(loss: float, share: float) -> float:
    """Difference in nats from a loss that counts: a share of that loss, at least `LEAST`."""
    return max(loss * share, LEAST)


def verdict(history: Sequence[HistoryRow], *, vocab_size: int, train_loss_is_comparable: bool = True) -> str:
    """Say whether a model improves, overfits, got worse, underfits, has levelled off or learned nothing.

    After a resumption to a later end the loss is at first above the earlier best, so only what came since is judged.

    Args:
        history: evaluations in order.
        vocab_size: V, which gives the loss of a uniform guess.
        train_loss_is_comparable: see `ModelConfig`. If False, the training loss is that of a harder task, and means
            something only if it is nevertheless the lower one.
    """
    kept = best_row(history)
    if kept is None:  # no evaluation yet, or a single member of an ensemble
        return "no evaluation on record"
    judged = _judged_part(history)
    last = judged.rows[-1]
    if len(judged.rows) < FEWEST or last.step - judged.begun < FEWEST_STEPS:
        return _too_early(judged)
    if last.val_loss > judged.best.val_loss + margin(judged.best.val_loss, WORSE):
        return _worse(judged, kept)
    if kept.val_loss < LEAST:
        return f"nothing left to learn: the best loss is {kept.val_loss:.4f} nats"
    if judged.is_improving:
        return _improving(last, f"the validation loss fell by {judged.fall:.4f} nats over {judged.span}")
    blind = math.log(vocab_size)
    if min(kept.val_loss, last.train_loss) >= blind * (1 - BLIND):
        return _learned_nothing(judged, kept.val_loss, blind)
    return _levelled_off(judged, train_loss_is_comparable=train_loss_is_comparable)


def handicaps(model: ModelConfig, config: TrainConfig, *, steps: int, loss: float, baseline_loss: float) -> list[str]:
    """Describe settings far from charrnn's defaults, if the model is clearly worse than an n-gram model; else none.

    Args:
        model: the model's shape.
        config: how it was trained.
        steps: number of training steps.
        loss: best loss, in nats.
        baseline_loss: loss of an n-gram model on the same text, in nats.
    """
    if loss <= baseline_loss + margin(baseline_loss, CLEAR):
        return []
    found = []
    usual = peak_rate(config.optimizer, model, steps)
    if config.learning_rate >= FAR * usual:
        found.append(
            f"its learning rate of {config.learning_rate:g} is {config.learning_rate / usual:,.0f} times the {usual:g} "
            "that would be chosen for it, which is likely far too high"
        )
    fewest = min(size.hidden_size for size in SIZES)
    if FAR * model.hidden_size <= fewest:
        units = number_of(model.hidden_size, "unit")
        found.append(f"a layer of {units} is small, where {fewest} at least would be chosen")
    return found


@dataclass(frozen=True)
class _JudgedPart:
    """The evaluations that are judged: all, or those since the learning rate last rose again.

    Attributes:
        rows: in order.
        begun: the step after which they begin.
        since: a phrase to follow their number or that of their steps; empty where these are all.
    """

    rows: Sequence[HistoryRow]
    begun: int
    since: str

    @property
    def best(self) -> HistoryRow:
        """The first of those with the lowest validation loss."""
        best = best_row(self.rows)
        assert best is not None, "there are evaluations"
        return best

    @property
    def trained(self) -> list[HistoryRow]:
        """Those after a step: with --init-from, the training loss at step 0 is measured without dropout."""
        return [row for row in self.rows if row.step]

    @property
    def num_since_best(self) -> int:
        """Number of evaluations since the best."""
        return len(self.rows) - 1 - self.rows.index(self.best)

    @property
    def is_stalled(self) -> bool:
        """Whether many evaluations in a row brought no gain."""
        return self.num_since_best >= max(FEWEST, LONG_SHARE * len(self.rows))

    @property
    def fall(self) -> float:
        """How far the validation loss fell in the end of the run, in nats: the lowest before less the lowest in it."""
        before, _ = _end_of(self.rows, self.begun)
        lowest = min(row.val_loss for row in self.rows if row.step <= before.step)  # one evaluation may be a bump
        return lowest - min((row.val_loss for row in self.rows if row.step > before.step), default=lowest)

    @property
    def is_improving(self) -> bool:
        """Whether the validation loss still falls."""
        _, thirds = _end_of(self.rows, self.begun)
        return self.fall > margin(self.best.val_loss, FLAT) * thirds and not self.is_stalled

    @property
    def training_falls(self) -> bool:
        """Whether the training loss still falls."""
        before, thirds = _end_of(self.trained, self.begun)
        loss = self.rows[-1].train_loss
        return before.train_loss - loss > margin(loss, FLAT) * thirds

    @property
    def span(self) -> str:
        """The end of the run, in words."""
        before, _ = _end_of(self.rows, self.begun)
        last = self.rows[-1].step
        return f"the last {last - before.step:,} of {last - self.begun:,} steps{self.since}"


def _judged_part(history: Sequence[HistoryRow]) -> _JudgedPart:
    """The part of a history that is judged."""
    first = _last_rise(history)
    if not first:
        return _JudgedPart(history, begun=0, since="")
    return _JudgedPart(history[first:], begun=history[first - 1].step, since=" since the learning rate rose again")


def _improving(last: HistoryRow, seen: str) -> str:
    """Verdict on a model that still improves: it needs time, or text if the training loss is far below."""
    gap = last.val_loss - last.train_loss
    if gap > margin(last.val_loss, WIDE):
        seen += f", and is {gap:.4f} nats above the training loss; more text would help more than time"
        return f"still improving: {seen}"
    return f"still improving: {seen}; more time would help"


def _worse(judged: _JudgedPart, kept: HistoryRow) -> str:
    """Verdict on a validation loss that has risen: overfitting if the training loss fell since, else worse."""
    best, last = judged.best, judged.rows[-1]
    before = best if best.step else judged.trained[0]
    rise = f"since step {best.step:,}: the validation loss has risen by {last.val_loss - best.val_loss:.4f} nats"
    whose = "the best step" if kept == best else f"step {kept.step:,}"
    advice = f"more time would not (the weights kept are those of {whose})"
    if last.train_loss < before.train_loss:
        return f"overfitting {rise} while the training loss fell; more text or more dropout would help, {advice}"
    return f"worse {rise} and the training loss has not fallen; a lower learning rate would help, {advice}"


def _levelled_off(judged: _JudgedPart, *, train_loss_is_comparable: bool) -> str:
    """Verdict on a validation loss that no longer falls, by comparison with the training loss."""
    last = judged.rows[-1]
    fell = f"fell by {judged.fall:.4f} nats" if judged.fall > LEAST_SHOWN else "has not fallen"
    seen = f"the validation loss {fell} over {judged.span}"
    if judged.is_stalled:
        seen = f"no gain in {judged.num_since_best} evaluations, since step {judged.best.step:,}"
    levelled = f"levelled off: {seen}"
    gap = last.val_loss - last.train_loss
    if gap > margin(last.val_loss, CLEAR):
        though = "" if train_loss_is_comparable else ", though it is that of a harder task"
        return (
            f"overfitting: the training loss is {gap:.4f} nats below the validation loss{though}, and {seen}; "
            "more text, a smaller model or more dropout would help, more time would not"
        )
    if not train_loss_is_comparable:
        return f"{levelled}; more text, or a larger model, would help more than time"
    if gap >= -margin(last.val_loss, CLEAR):
        return (
            f"{levelled}, and both losses are alike, {last.train_loss:.4f} and {last.val_loss:.4f} nats; "
            "more text, or a larger model, would help more than time"
        )
    if judged.training_falls:
        return f"{levelled}, and the training loss still falls; more text would help most"
    return (
        f"underfitting: both losses have levelled off, and the training loss is the higher by {-gap:.4f} nats; "
        "a larger model, less dropout or a longer training would help"
    )


def _learned_nothing(judged: _JudgedPart, best: float, blind: float) -> str:
    """Verdict on a loss no better than that of a uniform guess."""
    rate = max(row.learning_rate for row in judged.rows)
    return (
        f"nothing learned: the best loss is {best:.4f} nats, and that of a blind guess {blind:.4f}; the learning rate, "
        f"{rate:.2g} at most, may be far too low or too high, or there is nothing to learn in this text"
    )


def _too_early(judged: _JudgedPart) -> str:
    """Verdict on too few evaluations or steps."""
    rows = judged.rows
    if len(rows) == 1:
        return f"too early to tell: 1 evaluation{judged.since}"
    seen, span = f"{len(rows)} evaluations", "between the two"
    if len(rows) >= FEWEST:
        seen, span = number_of(rows[-1].step - judged.begun, "step"), "between the first evaluation and the last"
    change = rows[-1].val_loss - rows[0].val_loss
    moved = "has not fallen"
    if abs(change) > LEAST_SHOWN:
        moved = f"{'rose' if change > 0 else 'fell'} by {abs(change):.4f} nats"
    return f"too early to tell: {seen}{judged.since}; the validation loss {moved} {span}"


def _last_rise(history: Sequence[HistoryRow]) -> int:
    """Index of the evaluation at which the learning rate last rose again after a fall; 0 if it never did."""
    rates = [row.learning_rate for row in history]
    rises = (i for i in range(1, len(rates)) if rates[i] > RISEN * rates[i - 1] and rates[i - 1] < max(rates[:i]))
    return max(rises, default=0)


def _end_of(history: Sequence[HistoryRow], begun: int) -> tuple[HistoryRow, float]:
    """The evaluation at which the judged end of a run starts, and the length of that end in thirds of the steps.

    The end starts at the last evaluation within the first two thirds of the steps since `begun`, or else at the first
    evaluation; with few evaluations it differs from one third.
    """
    last = history[-1].step
    until = begun + (last - begun) * 2 / 3
    before = max((row for row in history if row.step <= until), key=lambda row: row.step, default=history[0])
    return before, 3 * (last - before.step) / (last - begun)
