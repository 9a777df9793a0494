"""A training in the process of a test: steps, gradients, reports and its end."""

import dataclasses
import itertools
import math

import pytest
import torch
from runs import IDS, TEXT, VOCAB_SIZE, finish, start

from charrnn.cell_types import CELLS
from charrnn.network.model import detach
from charrnn.training import loop, validation
from charrnn.training.evaluation import evaluate_cold
from charrnn.training.loop import take_step, train
from charrnn.training.optimizers import MOMENTUM, build_optimizer, scheduled_rate


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


def watch_states(run):
    """The state that each window is read from, and that of the run before it: a list, filled as windows are read."""
    seen = []
    forward = run.model.forward

    def watched(ids, state, recalled):
        seen.append((state, run.state))
        return forward(ids, state, recalled)

    run.model.forward = watched
    return seen


def test_state_is_carried_between_windows_and_detached():
    run = start(state_reset=0.0)
    take_step(run)
    carried = run.state
    assert carried[0][0].abs().sum() > 0
    assert not any(tensor.requires_grad for layer in carried for tensor in layer)
    seen = watch_states(run)
    take_step(run)
    given, _ = seen[0]
    assert given is carried, "the second window starts from the state after the first"


def test_some_lanes_reset_their_state_and_the_others_keep_it():
    run = start(batch_size=100, seq_len=5, num_layers=2, state_reset=0.3, max_steps=10_000)
    take_step(run)
    seen = watch_states(run)
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
    seen = watch_states(run)
    for _ in range(8):
        take_step(run)
    assert [given is carried for given, carried in seen].count(True) >= 4, "the others begin lines"


def test_state_is_zero_at_the_start_of_an_epoch():
    run = start(max_steps=10_000)
    for _ in range(run.lanes.windows_per_epoch):
        take_step(run)
    seen = watch_states(run)
    take_step(run)
    given, _ = seen[0]
    assert given[0][0].abs().sum() == 0


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


@pytest.mark.parametrize(("epochs", "steps"), [(0.33, 17), (1.1, 55), (2.2, 110), (1e-300, 1), (3, 150)])
def test_part_of_an_epoch_is_rounded_up_in_decimal(epochs, steps):
    run = start(max_steps=None, epochs=epochs)
    assert run.lanes.windows_per_epoch == 50
    assert run.total_steps == steps


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
