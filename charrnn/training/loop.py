"""Truncated BPTT over contiguous lanes: the training loop, as a generator of reports.

Nothing is printed or saved here: display, files, signals and time belong to the caller, who may stop between any two
reports and save what `TrainingRun.state_dict` gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from charrnn.metrics import DIVERGENCE, HistoryRow, Report
from charrnn.network.ensemble import join_states, map_members, members_of, split_state
from charrnn.network.model import State, detach, forecasts_on, ids_on, map_state
from charrnn.training.health import has_exploded, is_sound
from charrnn.training.heap import give_back_freed_memory
from charrnn.training.optimizers import scheduled_rate
from charrnn.training.pace import Pace, StepMetrics
from charrnn.training.passes import forward_and_backward
from charrnn.training.recovery import go_back, rewind, skip_step
from charrnn.training.run import TrainingRun
from charrnn.training.timetable import evaluation_is_due, seconds_left
from charrnn.training.validation import copy_weights, measure_cold, validate

REPORT_SECONDS = 0.2
"""Seconds between two reports, at least, where they go by the clock; see `train`."""

READ_EVERY = 8
"""Steps on a GPU after which their figures are read, if no evaluation or report is due before."""

SETTLING_STEPS = 3
"""First steps of a training, whose use of memory differs from that of later steps."""


def train(
    run: TrainingRun, report_every: int | None = None, is_wanted: Callable[[], bool] = lambda: False
) -> Iterator[Report]:
    """Train until the run is finished.

    Args:
        run: changed in place; consistent and ready to be saved at every report.
        report_every: steps between two reports; None for one every `REPORT_SECONDS`.
        is_wanted: with `report_every`, called every `REPORT_SECONDS`; if it returns true, there is an extra report, at
            which the caller may stop.

    Yields:
        A report at these intervals and after every evaluation, including that of the last step. A run that was
        resumed past its end evaluates the steps that are not evaluated yet. It takes more only if that is a gain, which
        renews its patience.

    Raises:
        DivergenceError: the numbers went wrong too often; see `charrnn.training.recovery`, and `give_up`.
    """
    run.model.train()
    _end_set_up(run)
    first_step = run.step
    is_over = run.is_finished
    clock_from = run.ranks.now()  # from here, `REPORT_SECONDS` are counted
    has_passed_end = run.progress >= 1 or run.is_out_of_patience
    if not is_over and has_passed_end and run.pace.steps:  # resumed with an end that it has passed already
        report = _evaluate(run)
        yield report
        is_over = report.is_last
        clock_from = run.ranks.now()
    while not is_over:
        is_sound_so_far = take_step(run)
        if run.step <= first_step + SETTLING_STEPS:
            give_back_freed_memory()
        if not is_sound_so_far:
            continue
        evaluates = evaluation_is_due(run)
        reports = report_every is not None and run.step % report_every == 0
        if run.unread and (evaluates or reports):
            read_figures(run)
            evaluates = evaluation_is_due(run)
        if run.unread or not run.pace.steps:  # a report by the clock waits until the figures are read
            continue
        if not (evaluates or reports) and run.ranks.now() - clock_from >= REPORT_SECONDS:
            clock_from = run.ranks.now()
            reports = report_every is None or is_wanted()
        if evaluates or reports:
            report = _evaluate(run) if evaluates else _report(run, run.seconds)
            yield report
            is_over = report.is_last
            clock_from = run.ranks.now()


def first_report(run: TrainingRun, seconds_left: float) -> Report:
    """The report of a run that was evaluated before its first step; see `charrnn.training.validation`.

    Args:
        run: its history holds that evaluation only.
        seconds_left: the caller's estimate.
    """
    (row,) = run.history
    return replace(
        _report(run, row.seconds, val_loss=row.val_loss, is_best=True),
        train_loss=row.train_loss,
        learning_rate=row.learning_rate,
        seconds_left=seconds_left,
    )


def give_up(run: TrainingRun, why: str) -> Report:
    """The last report of a run whose numbers went wrong too often.

    Its step may be that of the report before: a skipped step is not counted, and may have been one too many.

    Args:
        run: as the error left it.
        why: what went wrong, in words.
    """
    run.health.add_trouble(why)
    return replace(_report(run, run.seconds), seconds_left=0.0, is_last=True, ended_by=DIVERGENCE)


def take_step(run: TrainingRun) -> bool:
    """Read one window of every lane and update the weights once, if the window's figures are sound.

    A GPU judges by the gradient norm alone: it is the same on all ranks, and not finite where the loss is not sound.

    Returns:
        Whether they are, see `charrnn.training.health.is_sound`; on a GPU always true, since it is not known yet.
    """
    config, model = run.config, run.model
    window = next(run.lanes)
    inputs, targets = (ids_on(model.device, ids) for ids in (window.inputs, window.targets))  # (T, B)
    state = model.initial_state(run.num_lanes) if window.resets_state else _reset_some(run)
    found = forward_and_backward(
        model,
        inputs,
        targets,
        state,
        precision=config.precision,
        grad_clip=config.grad_clip or math.inf,
        recalled=forecasts_on(model.device, window.recalled),
        updates=run.updates,
        ranks=run.ranks,
        share=window.share,
    )
    figures = StepMetrics(torch.stack([found.losses.mean(), found.norms.amax()]), window.num_targets)
    if run.reads_late:
        sound = figures.values[1].isfinite()
        _update(run, map_state(lambda tensor: tensor.where(sound, 0.0), found.state), sound)
        run.unread.append(figures)
        if len(run.unread) == READ_EVERY:
            read_figures(run)
        return True
    loss, norm = figures.values.tolist()
    if not is_sound(loss, norm):
        run.state = model.initial_state(run.num_lanes)
        skip_step(run, loss, norm)
        return False
    _update(run, found.state)
    _count(run, loss, norm, figures.num_targets)
    return True


def read_figures(run: TrainingRun) -> None:
    """Wait for the GPU, and count the figures of its last steps; those that it skipped do not count."""
    unread, run.unread = run.unread, []
    if not unread:
        return
    run.ranks.barrier()  # notices a rank that is gone; the GPU, which is read next, would wait for it for ever
    values = run.ranks.all_reduce_mean(*torch.stack([figures.values for figures in unread]).flatten().tolist())
    recoveries = run.health.recoveries
    run.step -= len(unread)  # each sound one is counted again below
    for loss, norm, figures in zip(values[::2], values[1::2], unread, strict=True):
        if is_sound(loss, norm):
            run.step += 1
            _count(run, loss, norm, figures.num_targets)
        else:
            skip_step(run, loss, norm)
        if run.health.recoveries > recoveries:  # the remaining figures belong to weights that were discarded
            return


def _end_set_up(run: TrainingRun) -> None:
    """Count the set-up of this process, which ends here, and leave it out of the pace of the steps."""
    set_up = run.new_set_up_seconds
    run.set_up_seconds += set_up
    run.pace.seconds = run.pace.seconds + set_up if run.pace.steps else run.seconds
    run.set_up_began_at = None


def _update(run: TrainingRun, state: State, is_sound: Tensor | None = None) -> None:
    run.set_learning_rate(_rate(run))
    map_members(run.model, lambda update: update.step(is_sound), run.updates)
    run.state = detach(state)  # truncated BPTT: the next window starts here, and its gradient ends here
    run.step += 1


def _count(run: TrainingRun, loss: float, norm: float, num_targets: int) -> None:
    """Add up a step's figures, and go back if the training loss has exploded."""
    run.pace.loss += loss * num_targets
    run.pace.norm += norm
    run.highest_norm = max(run.highest_norm, norm)
    run.pace.clipped += norm > (run.config.grad_clip or math.inf)
    run.pace.steps += 1
    run.pace.chars += num_targets
    run.health.observe(loss)
    if has_exploded(run.health.loss, run.health.lowest, run.model.config.vocab_size):
        go_back(run, f"the training loss is {run.health.loss:.2f}, and was {run.health.lowest:.2f} at its lowest")


def _reset_some(run: TrainingRun) -> State:
    """The state to go on from, with zeros for a few lanes: otherwise the model would see zeros only once an epoch."""
    share = run.config.state_reset
    if run.line_end_id is not None or not share:  # a line's beginning is seen often enough
        return run.state
    states = []
    for member, own in zip(members_of(run.model), split_state(run.model, run.state), strict=True):
        kept = member.dropout.hide(own[0][0].new_ones(run.num_lanes, 1), share)
        states.append(map_state(kept.mul, own))
    return join_states(states)


def _rate(run: TrainingRun) -> float:
    """The learning rate of the next step; after a recovery it warms up anew, to a lower value."""
    return scheduled_rate(run.config, run.step - run.health.recovered_at, run.progress) * run.rate_factor


def _evaluate(run: TrainingRun) -> Report:
    """Evaluate, add a row to the history, and keep the weights if they are the best, or rewind where that is due."""
    began = run.seconds
    val_loss = validate(run)
    is_best = run.best is None or val_loss < run.best.val_loss
    row = HistoryRow(
        step=run.step,
        epoch=run.epoch,
        train_loss=run.pace.loss / run.pace.chars,
        val_loss=val_loss,
        learning_rate=run.learning_rate,
        seconds=run.seconds,
    )
    run.history.append(row)
    if is_best:
        run.best = row
        run.best_weights = copy_weights(run.model)
        run.fallback_weights = {}
        run.cold_loss = None
        run.health.tries = 0
    report = _report(run, began, val_loss=val_loss, is_best=is_best)
    stale = 0 if val_loss < run.pace.lowest else run.pace.stale + 1
    run.pace = Pace(step=run.step, seconds=run.seconds, stale=stale, lowest=min(val_loss, run.pace.lowest))
    if run.config.rewind and stale and stale % run.config.rewind_after == 0:
        rewind(run)
        report = replace(report, rewinds=run.rewinds)
    if run.is_finished:
        run.cold_loss = measure_cold(run)
        report = replace(
            report, best_cold_loss=run.cold_loss, seconds_left=0.0, is_last=True, ended_by=run.ended_by,
            progress=run.progress,
        )  # fmt: skip
    return report


def _report(run: TrainingRun, trained_until: float, *, val_loss: float | None = None, is_best: bool = False) -> Report:
    """Report where a run stands, and clear what it counts from report to report.

    Args:
        run: its highest norm and its trouble are cleared.
        trained_until: `run.seconds` at the end of its last step.
        val_loss: of an evaluation since that step; None without one.
        is_best: whether that is the best so far.
    """
    pace = run.pace
    training_seconds = trained_until - pace.seconds
    return Report(
        step=run.step,
        epoch=run.epoch,
        progress=run.progress,
        train_loss=run.health.loss or pace.mean_loss,
        val_loss=val_loss,
        best_val_loss=run.best.val_loss if run.best else None,
        best_step=run.best.step if run.best else None,
        best_cold_loss=None,
        is_best=is_best,
        learning_rate=run.learning_rate,
        gradient_norm=pace.norm / pace.steps if pace.steps else None,
        gradient_norm_max=run.take_highest_norm() or None,  # 0 where there was no step
        clipped=pace.clipped / pace.steps if pace.steps else None,
        chars_per_second=pace.chars / max(training_seconds, 1e-9) if pace.steps else None,
        seconds=run.seconds,
        seconds_left=seconds_left(run, training_seconds) if pace.steps else 0.0,
        is_last=False,
        ended_by="",
        skipped=run.health.skipped,
        recoveries=run.health.recoveries,
        rewinds=run.rewinds,
        trouble=run.health.take_trouble(),
    )
