"""Patience: what counts as a gain, and how a run that gains nothing goes back or ends."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from runs import finish, start

from charrnn.config import TrainConfig
from charrnn.training import validation
from charrnn.training.health import REWIND_FACTOR
from charrnn.training.loop import take_step, train
from charrnn.training.timetable import expected_seconds


def test_patience_ends_the_training():
    run = start(max_steps=10_000, evaluations=5000, learning_rate=1e-12, patience=3)
    have_evaluated(run, 0.0)  # a best that cannot be beaten
    run.pace.lowest = 0.0
    reports = [report for report in train(run) if report.val_loss is not None]
    assert len(reports) == 3
    assert reports[-1].is_last


def test_gain_resets_patience(monkeypatch):
    losses = iter([3.0, 4.0, 4.0, 2.0, 4.0, 4.0, 4.0])
    monkeypatch.setattr(validation, "evaluate", lambda *_, **__: next(losses))
    run = start(max_steps=1000, evaluations=100, patience=3)
    finish(run)
    assert len(run.history) == 7


def have_evaluated(run, val_loss):
    """Let a run have an evaluation behind it."""
    other = start(max_steps=1)
    finish(other)
    run.best = dataclasses.replace(other.best, val_loss=val_loss)
    run.history.append(run.best)
    run.best_weights = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}


def test_rewind_restores_only_the_best_weights_and_lowers_the_rate():
    """The optimizer's moments, the state and the place in the text are those of a training that may not go back."""
    run, goes_on = (
        start(max_steps=50, evaluations=50, learning_rate=0.01, warmup_steps=0, rewind=rewind)
        for rewind in (True, False)
    )
    for each in (run, goes_on):
        have_evaluated(each, 0.0)
        each.pace.lowest = 0.0
        each.best_weights = {name: torch.zeros_like(tensor) for name, tensor in run.model.state_dict().items()}
    reports = iter(train(run))
    rates = [next(reports).learning_rate for _ in range(TrainConfig.rewind_after)]
    assert [report.learning_rate for report in itertools.islice(train(goes_on), TrainConfig.rewind_after)] == rates
    assert all((tensor == 0).all() for tensor in run.model.state_dict().values())
    assert run.rewinds == 1
    kept, expected = run.state_dict(), goes_on.state_dict()
    for name in ("optimizer", "state", "lanes"):
        torch.testing.assert_close(kept[name], expected[name], rtol=0, atol=0, msg=name)
    assert next(reports).learning_rate == pytest.approx(rates[-1] * REWIND_FACTOR, rel=0.05)


def test_no_rewind_lets_training_overfit():
    run = start(max_steps=50, evaluations=50, warmup_steps=0, rewind=False)
    have_evaluated(run, 0.0)
    run.pace.lowest = 0.0
    rates = [report.learning_rate for report in train(run)]
    assert run.rewinds == 0
    assert np.allclose(np.diff(rates), rates[1] - rates[0])


@pytest.mark.parametrize("rewind_after", [TrainConfig.rewind_after, 7])
def test_rewind_repeats_while_there_is_no_gain(rewind_after):
    run = start(max_steps=50, evaluations=50, rewind_after=rewind_after)
    have_evaluated(run, 0.0)
    run.pace.lowest = 0.0
    rewinds = [report.rewinds for report in itertools.islice(train(run), 2 * rewind_after)]
    assert rewinds == [0] * (rewind_after - 1) + [1] * rewind_after + [2]


def test_falling_loss_after_a_warmup_is_a_gain_though_above_the_best(monkeypatch):
    run = start(max_steps=11, evaluations=11)
    have_evaluated(run, 0.5)
    losses = iter([2.0, 1.9, 1.8, 1.7, 1.6, 1.6, 1.7, 1.6, 0.6, 0.7, 0.4, 0.4])  # the last in cold windows
    monkeypatch.setattr(validation, "evaluate", lambda *_, **__: next(losses))
    stale, rewinds = [], []
    for report in train(run):
        stale.append(run.pace.stale)
        rewinds.append(report.rewinds)
    assert rewinds == [0] * 7 + [1] * 4, "after three without a gain"
    assert stale == [0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 0], "and then it starts from the best, which alone a gain is below"


@pytest.mark.parametrize(
    ("lowest", "evaluated", "ended_by"), [(0.1, [6], "patience"), (math.inf, [6, 8], "steps")], ids=["lost", "gained"]
)
def test_patience_spent_before_a_resume_ends_training_unless_the_last_steps_gained(lowest, evaluated, ended_by):
    run = start(max_steps=8, evaluate_every=3)
    next(report for report in train(run) if report.val_loss is not None)
    for _ in range(3):
        take_step(run)
    run.pace.stale, run.pace.lowest = 2, lowest
    later = start(max_steps=8, evaluate_every=3, patience=2)
    later.load_state_dict(run.state_dict())
    later.history, later.best, later.best_weights = run.history, run.best, run.best_weights
    assert not later.is_finished
    assert expected_seconds(later, chars_per_second=1.0) == 2 * run.evaluation_seconds, (
        "it has no more to look forward to"
    )
    reports = [report for report in train(later) if report.val_loss is not None]
    assert [report.step for report in reports] == evaluated
    assert (reports[-1].is_last, reports[-1].ended_by) == (True, ended_by)
    assert (later.is_finished, reports[-1].best_cold_loss) == (True, later.cold_loss)
    assert later.cold_loss is not None
