"""The verdict on a training run, in words: what its losses say, what to do, and which settings likely held it back."""

from __future__ import annotations

import math
from collections.abc import Sequence

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
    first = _last_rise(history)
    risen = " since the learning rate rose again" if first else ""
    begun, history = history[first - 1].step if first else 0, history[first:]
    if len(history) < FEWEST or history[-1].step - begun < FEWEST_STEPS:
        return _too_early(history, begun, risen)
    best, last = best_row(history), history[-1]
    assert best is not None, "there are evaluations"
    own = [row for row in history if row.step]  # with --init-from, step 0 is measured without dropout
    if last.val_loss > best.val_loss + margin(best.val_loss, WORSE):
        return _worse(best, last, kept, training_fell=last.train_loss < (best if best.step else own[0]).train_loss)
    if kept.val_loss < LEAST:
        return f"nothing left to learn: the best loss is {kept.val_loss:.4f} nats"
    before, thirds = _end_of(history, begun)
    span = f"the last {last.step - before.step:,} of {last.step - begun:,} steps{risen}"
    lowest = min(row.val_loss for row in history if row.step <= before.step)  # one evaluation may be a bump
    fall = lowest - min((row.val_loss for row in history if row.step > before.step), default=lowest)
    since = len(history) - 1 - history.index(best)
    is_stalled = since >= max(FEWEST, LONG_SHARE * len(history))
    if fall > margin(best.val_loss, FLAT) * thirds and not is_stalled:
        return _improving(last, f"the validation loss fell by {fall:.4f} nats over {span}")
    blind = math.log(vocab_size)
    if min(kept.val_loss, last.train_loss) >= blind * (1 - BLIND):
        return _learned_nothing(history, kept.val_loss, blind)
    fell = f"fell by {fall:.4f} nats" if fall > LEAST_SHOWN else "has not fallen"
    seen = f"the validation loss {fell} over {span}"
    if is_stalled:
        seen = f"no gain in {since} evaluations, since step {best.step:,}"
    before, thirds = _end_of(own, begun)
    has_fallen = before.train_loss - last.train_loss > margin(last.train_loss, FLAT) * thirds
    return _levelled_off(last, seen, training_fell=has_fallen, train_loss_is_comparable=train_loss_is_comparable)


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


def _improving(last: HistoryRow, seen: str) -> str:
    """Verdict on a model that still improves: it needs time, or text if the training loss is far below."""
    gap = last.val_loss - last.train_loss
    if gap > margin(last.val_loss, WIDE):
        seen += f", and is {gap:.4f} nats above the training loss; more text would help more than time"
        return f"still improving: {seen}"
    return f"still improving: {seen}; more time would help"


def _worse(best: HistoryRow, last: HistoryRow, kept: HistoryRow, *, training_fell: bool) -> str:
    """Verdict on a validation loss that has risen: overfitting if the training loss fell since, else worse."""
    rise = f"since step {best.step:,}: the validation loss has risen by {last.val_loss - best.val_loss:.4f} nats"
    whose = "the best step" if kept == best else f"step {kept.step:,}"
    advice = f"more time would not (the weights kept are those of {whose})"
    if training_fell:
        return f"overfitting {rise} while the training loss fell; more text or more dropout would help, {advice}"
    return f"worse {rise} and the training loss has not fallen; a lower learning rate would help, {advice}"


def _levelled_off(last: HistoryRow, seen: str, *, training_fell: bool, train_loss_is_comparable: bool) -> str:
    """Verdict on a validation loss that no longer falls, by comparison with the training loss; `seen` describes it."""
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
    if training_fell:
        return f"{levelled}, and the training loss still falls; more text would help most"
    return (
        f"underfitting: both losses have levelled off, and the training loss is the higher by {-gap:.4f} nats; "
        "a larger model, less dropout or a longer training would help"
    )


def _learned_nothing(history: Sequence[HistoryRow], best: float, blind: float) -> str:
    """Verdict on a loss no better than that of a uniform guess."""
    rate = max(row.learning_rate for row in history)
    return (
        f"nothing learned: the best loss is {best:.4f} nats, and that of a blind guess {blind:.4f}; the learning rate, "
        f"{rate:.2g} at most, may be far too low or too high, or there is nothing to learn in this text"
    )


def _too_early(history: Sequence[HistoryRow], begun: int, since: str) -> str:
    """Verdict on too few evaluations or steps."""
    if len(history) == 1:
        return f"too early to tell: 1 evaluation{since}"
    seen, span = f"{len(history)} evaluations", "between the two"
    if len(history) >= FEWEST:
        seen, span = number_of(history[-1].step - begun, "step"), "between the first evaluation and the last"
    change = history[-1].val_loss - history[0].val_loss
    moved = "has not fallen"
    if abs(change) > LEAST_SHOWN:
        moved = f"{'rose' if change > 0 else 'fell'} by {abs(change):.4f} nats"
    return f"too early to tell: {seen}{since}; the validation loss {moved} {span}"


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
