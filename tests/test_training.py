import ctypes
import dataclasses
import itertools
import math
import os
import signal
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import make_text

from charrnn import hyperparameters
from charrnn.cell_types import CELLS
from charrnn.cli.trainer.signals import TrainingSignals
from charrnn.config import ModelConfig, TrainConfig
from charrnn.network.model import detach
from charrnn.text.encoder import CharEncoder
from charrnn.training import loop, validation
from charrnn.training.clock import LONGEST, Clock
from charrnn.training.evaluation import evaluate, evaluate_cold
from charrnn.training.health import REWIND_FACTOR
from charrnn.training.loop import REWIND_AFTER, take_step, train
from charrnn.training.optimizers import MOMENTUM, build_optimizer, scheduled_rate
from charrnn.training.run import FINISH_SECONDS, TrainingRun
from charrnn.training.timetable import evaluation_is_due, expected_seconds, seconds_left

TEXT = make_text(6000)
IDS = CharEncoder(TEXT).encode(TEXT)
VOCAB_SIZE = len(CharEncoder(TEXT))


def start(cell="lstm", *, dropout=0.0, num_layers=1, members=1, recall=0, ids=IDS, line_end_id=None, **options):
    model = ModelConfig(
        vocab_size=VOCAB_SIZE, cell=cell, hidden_size=32, num_layers=num_layers, embedding_dim=8, dropout=dropout,
        members=members, recall=recall, recall_dropout=options.pop("recall_dropout", 0.6),
    )  # fmt: skip
    defaults = {"batch_size": 4, "seq_len": 25, "max_steps": 12, "learning_rate": 3e-3, "warmup_steps": 3}
    config = TrainConfig(**{**defaults, **options})
    return TrainingRun.start(model, config, ids[:5000], ids[5000:], started_at=0.0, line_end_id=line_end_id)


def finish(run):
    return list(train(run))


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still, at the second zero of a run, unless it is told otherwise."""
    now = [0.0]
    monkeypatch.setattr("charrnn.training.clock.time.perf_counter", lambda: now[0])
    return now


def test_training_time_does_not_include_the_setup_of_a_resume(clock, monkeypatch):
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0.0)
    run, later, last = (start(evaluations=1) for _ in range(3))
    next(train(run))
    clock[0] = 10.0
    state = run.state_dict()
    assert state["pace"]["steps"] > 0, "in the midst of what is summed up"
    clock[0] = 60.0  # of the process that goes on, which trains from now on
    later.load_state_dict(state)
    last.load_state_dict(later.state_dict())  # saved before it trains
    for goes_on in (later, later, last):
        next(train(goes_on))
        assert goes_on.seconds - goes_on.pace.seconds == 10.0 - state["pace"]["seconds"]


@pytest.mark.parametrize("cell", CELLS)
def test_one_batch_can_be_overfitted(cell):
    run = start(cell, max_steps=200)
    run.lanes = itertools.repeat(next(run.lanes))
    losses, total = [], 0.0
    for _ in range(200):
        take_step(run)
        losses.append((run.pace.loss - total) / (run.pace.chars / run.pace.steps))
        total = run.pace.loss
    assert losses[0] == pytest.approx(math.log(VOCAB_SIZE), abs=0.5)
    assert losses[-1] < 0.3


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "rmsprop", "sgd"])
def test_every_optimizer_lowers_the_loss(optimizer):
    rate = 0.3 if optimizer == "sgd" else 3e-3
    reports = finish(start(optimizer=optimizer, learning_rate=rate, max_steps=80, evaluations=4))
    assert reports[-1].val_loss < math.log(VOCAB_SIZE) - 0.5


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "rmsprop", "sgd"])
def test_step_on_the_cpu_does_not_start_a_gpu(monkeypatch, optimizer):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "current_stream", lambda: pytest.fail("it would be started"))
    run = start(optimizer=optimizer)
    take_step(run)
    assert run.step == 1


def test_state_is_carried_between_windows_and_detached():
    run = start(state_reset=0.0)
    take_step(run)
    carried = run.state
    assert carried[0][0].abs().sum() > 0
    assert not any(tensor.requires_grad for layer in carried for tensor in layer)
    seen = []
    forward = run.model.forward
    run.model.forward = lambda ids, state, _: seen.append(state) or forward(ids, state)
    take_step(run)
    assert seen[0] is carried, "the second window starts from the state after the first"


def test_some_lanes_reset_their_state_and_the_others_keep_it():
    run = start(batch_size=100, seq_len=5, num_layers=2, state_reset=0.3, max_steps=10_000)
    take_step(run)
    seen = []
    forward = run.model.forward
    run.model.forward = lambda ids, state, _: seen.append((state, run.state)) or forward(ids, state)
    for _ in range(8):
        take_step(run)
    shares = []
    for given, carried in seen:
        kept = (given[0][0] != 0).any(dim=1)
        shares.append(1 - kept.float().mean().item())
        for layer, before in zip(given, carried, strict=True):
            for tensor, values in zip(layer, before, strict=True):
                assert torch.equal(tensor, values * kept[:, None]), "a lane loses all of its state or nothing"
    assert 0.2 < sum(shares) / len(shares) < 0.4


def test_separate_lines_keep_their_state_to_their_end():
    run = start(seq_len=5, line_end_id=int(IDS[TEXT.index("\n")]), state_reset=0.9, max_steps=10_000)
    seen = []
    forward = run.model.forward
    run.model.forward = lambda ids, state, _: seen.append((state, run.state)) or forward(ids, state)
    for _ in range(8):
        take_step(run)
    assert [given is carried for given, carried in seen].count(True) >= 4, "the others begin lines"


def test_state_is_zero_at_the_start_of_an_epoch():
    run = start(max_steps=10_000)
    for _ in range(run.lanes.windows_per_epoch):
        take_step(run)
    seen = []
    forward = run.model.forward
    run.model.forward = lambda ids, state, _: seen.append(state) or forward(ids, state)
    take_step(run)
    assert seen[0][0][0].abs().sum() == 0


def test_gradient_is_that_of_a_window_from_a_detached_state():
    """Checked against autograd; the gradient that goes back through the window before is another."""
    run = start()
    take_step(run)
    epoch, index, state = run.lanes.epoch, run.lanes.index, run.state
    before = {name: p.detach().clone() for name, p in run.model.named_parameters()}
    window = next(run.lanes)
    run.lanes.seek(epoch, index - 1)
    inputs, targets = torch.from_numpy(next(run.lanes).inputs), torch.from_numpy(window.targets).flatten()

    def gradient(state):
        logits, _ = run.model(torch.from_numpy(window.inputs), state)
        return torch.autograd.grad(
            torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets), list(run.model.parameters())
        )

    expected = gradient(detach(state))
    _, connected = run.model(inputs, run.model.initial_state(run.num_lanes))
    recurrent = [name for name, _ in run.model.named_parameters()].index("layers.0.weight_hh")
    whole = gradient(connected)[recurrent]
    assert not torch.allclose(whole, gradient(detach(connected))[recurrent], rtol=1e-3)
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in expected]))
    take_step(run)
    scale = min(1.0, run.config.grad_clip / (norm.item() + 1e-6))
    for (name, parameter), gradient in zip(run.model.named_parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient * scale, msg=name)
        assert not torch.equal(parameter, before[name]), name


def test_gradient_norm_is_clipped_unless_unlimited():
    def norm_with(grad_clip):
        run = start(grad_clip=grad_clip)
        take_step(run)
        return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(p.grad) for p in run.model.parameters()]))

    assert norm_with(0.01).item() == pytest.approx(0.01, rel=1e-3)
    assert norm_with(0.0) == norm_with(1e9) > 0.02


def test_reports_have_steps_losses_and_the_best():
    run = start(max_steps=40, evaluations=5)
    evaluated = [report for report in finish(run) if report.val_loss is not None]
    assert [report.step for report in evaluated] == [8, 16, 24, 32, 40]
    assert [report.is_last for report in evaluated] == [False] * 4 + [True]
    assert evaluated[-1].progress == 1
    assert [row.val_loss for row in run.history] == [report.val_loss for report in evaluated]
    assert run.best.val_loss == min(row.val_loss for row in run.history) == evaluated[-1].best_val_loss


def test_reports_have_gradient_norms_and_the_share_of_clipped_steps(monkeypatch):
    norms = iter([0.5, 3.0, 1.0, 1.5, 0.25, 0.75, 0.5, 0.5])
    forward_and_backward = loop.forward_and_backward

    def with_norms(*args, **kwargs):
        return dataclasses.replace(forward_and_backward(*args, **kwargs), norms=torch.tensor([0.1, next(norms)]))

    monkeypatch.setattr(loop, "forward_and_backward", with_norms)
    reports = list(train(start(max_steps=8, evaluations=2, grad_clip=1.0), report_every=2))
    evaluated = [report for report in reports if report.val_loss is not None]
    assert [(report.gradient_norm, report.clipped) for report in evaluated] == [(1.5, 0.5), (0.5, 0.0)]
    assert [(report.step, report.gradient_norm_max) for report in reports] == [(2, 3.0), (4, 1.5), (6, 0.75), (8, 0.5)]


def test_report_every_one_reports_every_step():
    run = start(max_steps=8, evaluations=2)
    assert [report.step for report in train(run, report_every=1)] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_wanted_report_comes_between_the_regular_ones(monkeypatch):
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0.0)
    run, asked = start(max_steps=8, evaluations=2), []

    def is_wanted():
        asked.append(run.step)
        return run.step in (1, 5)

    assert [report.step for report in train(run, 3, is_wanted)] == [1, 3, 4, 5, 6, 8]
    assert asked == [1, 2, 5, 7], "the others come in any case"


def test_unlimited_gradients_are_not_clipped():
    reports = finish(start(max_steps=8, grad_clip=0.0))
    assert reports[-1].clipped == 0
    assert reports[-1].gradient_norm > 0


def test_best_weights_are_those_of_the_best_evaluation(monkeypatch):
    losses = iter([3.0, 1.0, 2.0, 2.5])
    monkeypatch.setattr(validation, "evaluate", lambda *_, **__: next(losses))
    run = start(max_steps=40, evaluations=4)
    weights = {}
    for report in train(run):
        if report.val_loss is not None:
            weights[report.step] = {name: t.clone() for name, t in run.model.state_dict().items()}
    assert (run.best.step, run.best.val_loss) == (20, 1.0)
    torch.testing.assert_close(run.best_weights, weights[20], rtol=0, atol=0)
    assert not torch.equal(weights[20]["head.weight"], weights[40]["head.weight"])


def test_first_of_equal_evaluations_is_the_best(monkeypatch):
    """As in the history: the best step on the card must be that of the weights kept."""
    monkeypatch.setattr(validation, "evaluate", lambda *_, **__: 1.0)
    run = start(max_steps=20, evaluations=2)
    kept = [{name: t.clone() for name, t in run.best_weights.items()} for report in train(run) if report.val_loss]
    assert run.best.step == 10
    torch.testing.assert_close(run.best_weights, kept[0], rtol=0, atol=0)


def test_evaluation_cost_does_not_grow_with_the_history():
    class Read(list):
        def __iter__(self):
            raise AssertionError("all rows are gone through")

    run = start(max_steps=50, evaluate_every=1, learning_rate=0.01)
    run.history = Read()
    finish(run)
    rows = [run.history[index] for index in range(50)]
    assert run.best is min(rows, key=lambda row: row.val_loss)


def test_last_report_measures_the_best_weights_in_cold_windows_and_keeps_the_last(monkeypatch):
    losses = iter([3.0, 1.0, 2.0, 2.5])
    monkeypatch.setattr(validation, "evaluate", lambda *_, **__: next(losses))
    run = start(max_steps=40, evaluations=4)
    evaluated = [report for report in train(run) if report.val_loss is not None]
    last = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    assert [report.best_cold_loss for report in evaluated[:-1]] == [None] * 3
    run.model.load_state_dict(run.best_weights)
    assert evaluated[-1].best_cold_loss == run.cold_loss == evaluate_cold(run.model, run.val_ids)
    assert not torch.equal(last["head.weight"], run.best_weights["head.weight"])


def test_separate_lines_have_no_cold_loss():
    run = start(line_end_id=int(IDS[TEXT.index("\n")]), max_steps=2)
    assert finish(run)[-1].best_cold_loss is run.cold_loss is None


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
    rates = [next(reports).learning_rate for _ in range(REWIND_AFTER)]
    assert [report.learning_rate for report in itertools.islice(train(goes_on), REWIND_AFTER)] == rates
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


def test_rewind_repeats_while_there_is_no_gain():
    run = start(max_steps=50, evaluations=50)
    have_evaluated(run, 0.0)
    run.pace.lowest = 0.0
    for _ in itertools.islice(train(run), 2 * REWIND_AFTER):
        pass
    assert run.rewinds == 2


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


def test_same_seed_gives_the_same_weights_and_another_seed_others():
    runs = [start(seed=seed, dropout=0.2) for seed in (5, 5, 6)]
    for run in runs:
        finish(run)
    a, b, c = (run.model.head.weight for run in runs)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_another_seed_gives_other_dropout_masks():
    one, same, other = (start(seed=seed).model.dropout.random_state for seed in (5, 5, 6))
    assert one == same != other


def test_training_ended_by_steps_before_the_clock_is_evaluated_as_often(clock):
    run = start(max_steps=40, evaluations=8, time_limit=3600.0)
    finish(run)
    assert [row.step for row in run.history] == [5, 10, 15, 20, 25, 30, 35, 40]


def test_training_ended_by_steps_is_evaluated_four_times_at_any_cost(clock, monkeypatch):
    """Half a minute each, of which the clock alone would let one be in an eighth of an hour."""

    def evaluate(model, ids, **how):
        clock[0] += 30.0
        return 3.0

    monkeypatch.setattr(validation, "evaluate", evaluate)
    run = start(max_steps=40, evaluations=12, time_limit=3600.0)
    run.evaluation_seconds = 30.0
    finish(run)
    assert [row.step for row in run.history] == [10, 20, 30, 40]


@pytest.mark.parametrize(
    ("seconds", "since", "is_due"), [(15, 0, False), (30, 0, True), (75, 40, True), (94, 60, False)]
)
def test_evaluations_by_the_clock_keep_to_their_share_and_avoid_the_end(clock, seconds, since, is_due):
    """Ten in 100 seconds would be one in 10; one of a second may be made every 25."""
    run = start(max_steps=None, time_limit=100.0, evaluations=10)
    clock[0], run.pace.seconds, run.evaluation_seconds = seconds, since, 1.0
    assert evaluation_is_due(run) == is_due


@pytest.mark.parametrize(("seconds", "is_due"), [(20.0, True), (40.0, False)])
def test_expensive_evaluation_by_steps_is_due_only_at_the_end_of_training(clock, seconds, is_due):
    run = start(max_steps=40, time_limit=100.0, evaluations=10)
    clock[0], run.step, run.evaluation_seconds = seconds, 12, 10.0
    assert evaluation_is_due(run) == is_due


def test_speed_counts_steps_without_setup_and_evaluations(monkeypatch, clock):
    make_slow(monkeypatch, clock, (2.0, loop, "take_step"), (7.0, validation, "evaluate"))
    run = start(max_steps=3, evaluate_every=1)
    clock[0] = 100.0
    assert [report.chars_per_second for report in finish(run)] == pytest.approx([4 * 25 / 2] * 3)


def make_slow(monkeypatch, clock, *slowed):
    """Let calls of functions, each a module's, take seconds."""

    def takes(seconds, function):
        def slow(*arguments, **options):
            clock[0] += seconds
            return function(*arguments, **options)

        return slow

    for seconds, module, name in slowed:
        monkeypatch.setattr(module, name, takes(seconds, getattr(module, name)))


def test_time_left_is_that_to_the_first_end(clock):
    run = start(max_steps=100, time_limit=1000.0)
    run.pace.steps, run.step = 10, 10
    for clock[0], left in ((20.0, 180.0), (990.0, 10.0), (1010.0, 0.0)):
        assert seconds_left(run, training_seconds=20.0) == pytest.approx(left)


def test_evaluations_come_as_often_as_requested_and_at_the_end():
    run = start(max_steps=12, evaluations=2, evaluate_every=5)
    assert [report.step for report in finish(run) if report.val_loss is not None] == [5, 10, 12]
    run = start(max_steps=10, evaluations=4)
    finish(run)
    assert [row.step for row in run.history] == [3, 6, 9, 10]


@pytest.mark.parametrize(
    ("options", "ended_by"),
    [
        ({"max_steps": 4}, "steps"),
        ({"max_steps": None, "epochs": 0.5}, "steps"),
        ({"patience": 1}, "patience"),
        ({"max_steps": 10**6, "time_limit": 1.0, "evaluate_every": None}, "time"),
    ],
)
def test_last_report_says_what_ended_the_training(options, ended_by):
    reports = finish(start(**{"max_steps": 400, "evaluate_every": 1, "learning_rate": 1.0, **options}))
    assert reports[-1].ended_by == ended_by
    assert not any(report.ended_by for report in reports[:-1])


def test_reported_training_loss_is_that_of_the_last_steps(monkeypatch):
    losses = iter([5.0] * 60 + [1.0] * 60)
    forward_and_backward = loop.forward_and_backward

    def with_losses(*args, **kwargs):
        return dataclasses.replace(forward_and_backward(*args, **kwargs), losses=torch.tensor([next(losses)]))

    monkeypatch.setattr(loop, "forward_and_backward", with_losses)
    run = start(max_steps=120, evaluate_every=120)
    last = finish(run)[-1]
    assert 1 < last.train_loss < 1.7
    assert run.history[0].train_loss == pytest.approx(3.0), "the history has the mean since the evaluation before"


def test_unevaluated_steps_leave_a_training_unfinished():
    """As where it is stopped by a signal just before its end and goes on."""
    run = start(max_steps=12, evaluations=1)
    finish(run)
    assert run.is_finished
    run.config = dataclasses.replace(run.config, max_steps=14)
    take_step(run)
    take_step(run)
    assert run.progress == 1
    assert not run.is_finished


def test_end_passed_before_a_resume_is_evaluated_without_a_step():
    run = start(max_steps=40, evaluations=1)
    for _ in range(6):
        take_step(run)
    later = start(max_steps=5, evaluations=1)
    later.load_state_dict(run.state_dict())
    (report,) = finish(later)
    (row,) = later.history
    assert (report.step, report.val_loss, report.ended_by) == (6, row.val_loss, "steps")
    assert row.learning_rate == report.learning_rate == run.learning_rate < 0.9 * run.config.learning_rate


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


@pytest.mark.parametrize(("epochs", "steps"), [(0.33, 17), (1.1, 55), (2.2, 110), (1e-300, 1), (3, 150)])
def test_part_of_an_epoch_is_rounded_up_in_decimal(epochs, steps):
    run = start(max_steps=None, epochs=epochs)
    assert run.lanes.windows_per_epoch == 50
    assert run.total_steps == steps


def test_earlier_training_time_counts_after_a_resume(clock):
    run = start()
    clock[0] = 500.0
    take_step(run)
    other = start()
    other.started_at = clock[0]
    run.evaluation_seconds = 3.0
    other.load_state_dict(run.state_dict())
    assert (other.seconds, other.evaluation_seconds) == (500.0, 3.0)


def test_progress_is_towards_the_nearest_end(clock):
    run = start(max_steps=100, epochs=1.0, time_limit=100 + FINISH_SECONDS)
    run.step, clock[0] = 10, 15.0
    assert run.progress == 0.2, "by epochs; by steps it is a tenth"
    clock[0] = 30.0
    assert run.progress == pytest.approx(0.3)
    clock[0] = 300.0
    assert run.progress == 1


def test_time_of_a_stopped_process_does_not_count(clock, monkeypatch):
    watch = Clock()
    monkeypatch.setattr("charrnn.training.ranks.CLOCK", watch)
    monkeypatch.setattr("charrnn.cli.trainer.signals.CLOCK", watch)
    run = start(max_steps=None, time_limit=100.0)
    with TrainingSignals():
        for seconds, counted in ((30.0, 0.0), (0.5, 0.5), (3000.0, 0.0)):
            before = run.seconds
            clock[0] += seconds
            os.kill(os.getpid(), signal.SIGCONT)
            assert run.seconds - before == counted, "what is short may be work"
    assert run.progress < 0.1
    clock[0] += 60.0
    assert run.seconds == 60.5


@pytest.mark.parametrize("platform", ["win32", "linux"])
def test_sleep_of_the_machine_does_not_count_if_its_clock_runs_on(clock, monkeypatch, platform):
    slept = 0.0

    def tell_time_awake(pointer):
        pointer._obj.value = int((1000.0 + clock[0] - slept) * 1e7)

    kernel = SimpleNamespace(QueryUnbiasedInterruptTime=tell_time_awake)
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=kernel), raising=False)
    monkeypatch.setattr("charrnn.training.clock.sys", SimpleNamespace(platform=platform))
    watch = Clock()
    for seconds, asleep in ((30.0, 0.0), (0.0, 600.0), (0.5, 0.1), (10.0, 3000.0)):
        before = watch.now()
        clock[0] += seconds + asleep
        slept += asleep
        counted = seconds if platform == "win32" and asleep > 1 else seconds + asleep
        assert watch.now() - before == pytest.approx(counted)


def test_clock_read_by_another_thread_hides_no_pause(clock):
    watch = Clock()
    clock[0] = 50.0
    thread = threading.Thread(target=watch.now)
    thread.start()
    thread.join()
    watch.leave_out_pause()
    assert watch.now() == 0.0


@pytest.mark.parametrize("moment", [2, 3, 4])
def test_evaluation_in_short_windows_is_no_pause(moment, clock, monkeypatch):
    """SIGCONT also comes to a process that was not stopped: systemd and Slurm send it beside SIGTERM."""
    watch, windows = Clock(), itertools.count(1)
    monkeypatch.setattr("charrnn.training.evaluation.CLOCK", watch)
    run = start()
    forward = run.model.forward

    def slow(*arguments):
        clock[0] += 0.75 * LONGEST
        if next(windows) == moment:
            watch.leave_out_pause()
        return forward(*arguments)

    run.model.forward = slow
    evaluate(run.model, run.val_ids, batch_size=2)  # the second lane is warmed up, in two windows
    assert next(windows) == 5
    assert watch.now() == clock[0]


def test_shifted_first_step_does_not_move_an_end_by_steps():
    run = start(max_steps=100)
    run.step, run.first_step = 5, -277
    assert (run.progress, run.total_steps, run.planned_steps) == (0.05, 100, 100)
    assert run.epoch == (5 + 277) / run.lanes.windows_per_epoch
    run.config = dataclasses.replace(run.config, max_steps=None, epochs=2.0)
    assert run.planned_steps == 2 * run.lanes.windows_per_epoch == run.total_steps - run.first_step


def test_time_limit_ends_a_training(monkeypatch, clock):
    """In time for its last evaluation, for the one in cold windows and for the last save."""
    slowed = (0.1, loop, "take_step"), (1.0, validation, "evaluate"), (1.0, validation, "evaluate_cold")
    make_slow(monkeypatch, clock, *slowed)
    run = start(max_steps=None, time_limit=20.0)
    last = finish(run)[-1]
    assert last.is_last
    assert last.val_loss is not None
    assert 19 < run.seconds <= 20 - run.finish_seconds + 0.1, "a step may begin just before the end"


def test_training_ended_by_the_clock_during_a_report_is_complete_in_it(monkeypatch, clock):
    """It is the last, so that no more of it is left, though the end came a moment after its figures were taken."""
    make_slow(monkeypatch, clock, (0.1, loop, "take_step"), (1.0, validation, "evaluate"))
    report = loop._report

    def report_slowly(*arguments, **figures):
        told = report(*arguments, **figures)
        clock[0] += 20.0 * ("val_loss" in figures)
        return told

    monkeypatch.setattr(loop, "_report", report_slowly)
    last = finish(start(max_steps=None, time_limit=20.0, evaluations=4))[-1]
    assert (last.is_last, last.ended_by, last.progress) == (True, "time", 1)


def test_one_slow_evaluation_takes_little_of_the_remaining_time(monkeypatch, clock):
    """As when memory was swapped in; nor does it lower the learning rate."""
    make_slow(monkeypatch, clock, (1.0, loop, "take_step"), (1.0, validation, "evaluate_cold"))
    run = start(max_steps=None, time_limit=100.0, evaluations=4, warmup_steps=0)

    def evaluate(*_, **__):
        clock[0] += 25.0 if len(run.history) == 1 else 1.0
        return 2.0

    monkeypatch.setattr(validation, "evaluate", evaluate)
    last = finish(run)[-1]
    assert 95 < run.seconds <= 100 - run.finish_seconds + 1
    assert run.history[1].learning_rate > 0.4 * run.config.learning_rate > 0.4 * 10 * last.learning_rate


def test_evaluation_time_is_measured_by_the_first_evaluation(monkeypatch, clock):
    make_slow(monkeypatch, clock, (1.0, loop, "take_step"), (8.0, validation, "evaluate"))
    run = start(max_steps=None, time_limit=100.0, evaluations=4)
    run.evaluation_seconds = 1.0
    last = finish(run)[-1]
    assert last.val_loss is not None
    assert run.seconds <= 100 - run.finish_seconds


def test_evaluation_time_of_another_machine_is_ignored_after_a_resume(monkeypatch, clock):
    make_slow(monkeypatch, clock, (1.0, loop, "take_step"), (8.0, validation, "evaluate"))
    run = start(max_steps=None, time_limit=100.0, evaluations=4)
    validation.evaluate_before_first_step(run)
    run.load_state_dict({**run.state_dict(), "evaluation_seconds": 0.01})
    run.has_evaluated = False  # by this process
    finish(run)
    assert run.seconds <= 100 - run.finish_seconds


def test_slow_first_evaluation_on_a_gpu_does_not_delay_the_second(monkeypatch, clock):
    """Ten seconds the first time, and one from then on, of which one may be made every 25."""
    took = iter([10.0])
    make_slow(monkeypatch, clock, (1.0, loop, "take_step"))

    def evaluate(*_, **__):
        clock[0] += next(took, 1.0)
        return 2.0

    monkeypatch.setattr(validation, "evaluate", evaluate)
    run = start(max_steps=None, time_limit=100.0, evaluations=10)
    run.config, run.evaluation_seconds = dataclasses.replace(run.config, device="cuda"), 0.5
    finish(run)
    assert [row.seconds for row in run.history] == [24.0, 50.0, 76.0, 99.0]


@pytest.mark.parametrize(("device", "evaluations", "made"), [("cpu", 2, 2), ("cuda", 2, 3), ("cuda", 1, 1)])
def test_evaluation_is_repeated_only_on_a_gpu_and_not_at_the_end(monkeypatch, device, evaluations, made):
    seen = []
    monkeypatch.setattr(validation, "evaluate", lambda *_, **__: seen.append(2.0) or 2.0)
    run = start(max_steps=40, evaluate_every=40 // evaluations)
    run.config = dataclasses.replace(run.config, device=device)
    finish(run)
    assert (len(run.history), len(seen)) == (evaluations, made)


def test_time_before_a_first_evaluation_is_not_counted_as_training(monkeypatch, clock):
    """As when the held-out text has changed, or a finished run continues after its cold evaluation."""
    make_slow(monkeypatch, clock, (2.0, loop, "take_step"))
    run = start(max_steps=3, evaluate_every=3)
    run.load_state_dict({**run.state_dict(), "seconds": 600.0})
    assert [report.chars_per_second for report in finish(run)] == pytest.approx([4 * 25 / 2] * 3)


def test_time_spent_on_a_slow_pipe_is_no_progress(monkeypatch, clock):
    """It begins at its full rate, is evaluated as often as in that time alone, and ends on time."""
    make_slow(monkeypatch, clock, (0.5, loop, "take_step"))
    run, rested = start(max_steps=None, time_limit=60.0, evaluations=3, warmup_steps=0), start(time_limit=60.0)
    clock[0] = 45.0
    reports = finish(run)
    assert reports[0].progress == pytest.approx(0.5 / (15 - run.finish_seconds))
    assert run.history[0].seconds == pytest.approx(50)
    assert run.history[0].learning_rate > 0.6 * run.config.learning_rate
    assert 59 < run.seconds <= 60 - run.finish_seconds + 0.5
    rested.load_state_dict({**run.state_dict(), "pace": vars(rested.pace)})
    assert rested.progress == run.progress == 1


def test_learning_rate_rises_then_falls_to_its_last_value():
    config = start(learning_rate=1.0, warmup_steps=9).config
    assert scheduled_rate(config, 0, 0.0) == pytest.approx(0.1)
    assert scheduled_rate(config, 9, 0.0) == pytest.approx(1.0)
    assert scheduled_rate(config, 500, 0.5) == pytest.approx(0.51)
    assert scheduled_rate(config, 1000, 1.0) == pytest.approx(0.02)


@pytest.mark.parametrize("beta2", [0.7, 0])
@pytest.mark.parametrize(
    ("optimizer", "kind", "figures"),
    [
        ("adamw", "AdamW", lambda beta2: {"betas": (MOMENTUM, beta2)}),
        ("adam", "Adam", lambda beta2: {"betas": (MOMENTUM, beta2)}),
        ("rmsprop", "RMSprop", lambda beta2: {"alpha": beta2}),
        ("sgd", "SGD", lambda _: {"momentum": MOMENTUM, "nesterov": True}),
    ],
)
def test_optimizer_has_the_requested_kind_and_settings(optimizer, kind, figures, beta2):
    run = start(optimizer=optimizer, beta2=beta2, weight_decay=0.25)
    take_step(run)
    built = build_optimizer(run.model, run.config)
    assert type(built).__name__ == kind
    for group in built.param_groups:
        assert figures(beta2).items() <= group.items()
    assert built.param_groups[0]["weight_decay"] == 0.25


def test_only_matrices_decay():
    run = start(num_layers=2)
    names = {id(p): name for name, p in run.model.named_parameters()}
    decays = {
        names[id(p)]: group["weight_decay"] > 0
        for group in build_optimizer(run.model, run.config).param_groups
        for p in group["params"]
    }
    assert {name for name, decay in decays.items() if decay} == {
        "layers.0.weight_ih", "layers.0.weight_hh", "layers.1.weight_ih", "layers.1.weight_hh", "head.weight",
    }  # fmt: skip
    assert set(decays) == set(names.values())


def test_long_training_is_evaluated_once_an_epoch_at_first(monkeypatch):
    monkeypatch.setattr(hyperparameters, "MOST_EVALUATIONS", 3)
    few, most = (start(batch_size=20, max_steps=1000 * n, evaluations=n) for n in (2, 3))
    a_pass = most.lanes.windows_per_epoch
    for run in (few, most):
        any(report.step >= 1100 for report in train(run))
    assert [row.step for row in few.history] == [1000]
    steps = [row.step for row in most.history]
    apart = np.diff([0, *steps])
    assert min(apart) == a_pass
    assert (apart == np.maximum(np.ceil(0.02 * np.array(steps)), a_pass)).all()
    assert max(apart) > a_pass
