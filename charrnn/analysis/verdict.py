"""How a training went, in words: what its two losses say, and what to do about it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from charrnn.metrics import HistoryRow, best_row
from charrnn.wording import number_of

FLAT = 0.004
"""A loss that falls by less than this share of itself in a third of a training, at its end, has levelled off."""

WORSE = 0.01
"""A validation loss above its best by more than this share has risen."""

CLEAR = 0.05
"""A loss that differs from the other by more than this share is clearly another: no text is so much easier."""

BLIND = 0.01
"""Losses that are both below that of a blind guess by no more than this share show that nothing was learned."""

FEWEST = 3
"""Evaluations that a verdict needs."""

FEWEST_STEPS = 10
"""Steps that it needs: in fewer every model improves."""

LONG_SHARE = 1 / 6
"""Share of the evaluations, and three at least, without a gain after which none is expected any more."""

RISEN = 1.5
"""A learning rate so many times that of the evaluation before is that of a training that went on to a later end."""

LEAST = 2e-3
"""Nats by which losses must differ to tell anything, and one must fall in a third of a training, however low it is."""

WIDE = 0.2
"""A loss that is above the other by more than this share shows that little of what is learned is of use elsewhere."""

LEAST_SHOWN = 5e-5
"""Nats that four decimals show: what is less has not fallen."""


def margin(loss: float, share: float) -> float:
    """Nats by which another loss must differ from this one: a share of it, and `LEAST`."""
    return max(loss * share, LEAST)


def verdict(history: Sequence[HistoryRow], *, vocab_size: int, losses_compare: bool = True) -> str:
    """Say whether a model improves, overfits, got worse, underfits, has levelled off or learned nothing, or all.

    Where a training went on to a later end, losses are at first above the best one before: what came since is judged.

    Args:
        history: evaluations in order.
        vocab_size: V, from which the loss of a blind guess follows.
        losses_compare: see `ModelConfig.losses_compare`; otherwise the training loss is that of a harder task, and says
            something beside the other only where it is the lower all the same.
    """
    kept = best_row(history)
    if kept is None:  # of a young training, or of one member of several
        return "no evaluation on record"
    first = _last_rise(history)
    risen = " since the learning rate rose again" if first else ""
    begun, history = history[first - 1].step if first else 0, history[first:]
    if len(history) < FEWEST or history[-1].step - begun < FEWEST_STEPS:
        return _too_early(history, begun, risen)
    best, last = best_row(history), history[-1]
    assert best is not None, "there are evaluations"
    own = [row for row in history if row.step]  # the first weights of another's were measured without dropout
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
    return _levelled_off(last, seen, training_fell=has_fallen, losses_compare=losses_compare)


def _improving(last: HistoryRow, seen: str) -> str:
    """What would help a model that still improves: time, or text where the training loss is far below the other."""
    gap = last.val_loss - last.train_loss
    if gap > margin(last.val_loss, WIDE):
        seen += f", and is {gap:.4f} nats above the training loss; more text would help more than time"
        return f"still improving: {seen}"
    return f"still improving: {seen}; more time would help"


def _worse(best: HistoryRow, last: HistoryRow, kept: HistoryRow, *, training_fell: bool) -> str:
    """What a validation loss says that has risen, beside a training loss that fell since or did not."""
    rise = f"since step {best.step:,}: the validation loss has risen by {last.val_loss - best.val_loss:.4f} nats"
    whose = "the best step" if kept == best else f"step {kept.step:,}"
    advice = f"more time would not (the weights kept are those of {whose})"
    if training_fell:
        return f"overfitting {rise} while the training loss fell; more text or more dropout would help, {advice}"
    return f"worse {rise} and the training loss has not fallen; a lower learning rate would help, {advice}"


def _levelled_off(last: HistoryRow, seen: str, *, training_fell: bool, losses_compare: bool) -> str:
    """What the two losses say of each other where the validation loss falls no more, which is told as it was seen."""
    levelled = f"levelled off: {seen}"
    gap = last.val_loss - last.train_loss
    if gap > margin(last.val_loss, CLEAR):
        though = "" if losses_compare else ", though it is that of a harder task"
        return (
            f"overfitting: the training loss is {gap:.4f} nats below the validation loss{though}, and {seen}; "
            "more text, a smaller model or more dropout would help, more time would not"
        )
    if not losses_compare:
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
    """What a loss as high as a blind guess's says."""
    rate = max(row.learning_rate for row in history)
    return (
        f"nothing learned: the best loss is {best:.4f} nats, and a blind guess's {blind:.4f}; the learning rate, "
        f"{rate:.2g} at most, may be far too low or too high, or there is nothing to learn in this text"
    )


def _too_early(history: Sequence[HistoryRow], begun: int, since: str) -> str:
    """What one or two evaluations say, or a few steps."""
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
    """The first evaluation after the learning rate, having fallen, rose the last time; 0 where it never did."""
    rates = [row.learning_rate for row in history]
    rises = (i for i in range(1, len(rates)) if rates[i] > RISEN * rates[i - 1] and rates[i - 1] < max(rates[:i]))
    return max(rises, default=0)


def _end_of(history: Sequence[HistoryRow], begun: int) -> tuple[HistoryRow, float]:
    """Where the end of a training begins by which it is judged, and how many thirds of its steps that end has.

    It begins at the last evaluation up to two thirds of the steps since `begun`, or the first there is: with few
    evaluations it is not one third.
    """
    last = history[-1].step
    until = begun + (last - begun) * 2 / 3
    before = max((row for row in history if row.step <= until), key=lambda row: row.step, default=history[0])
    return before, 3 * (last - before.step) / (last - begun)
