"""Numbers that go wrong: what is skipped, when training goes back, and when it gives up."""

import dataclasses
import json
import math
import os
import re

import numpy as np
import processes
import pytest
import torch
from runs import break_forward, finish, start, take_up, weights

from charrnn.cli.trainer.machine import set_up_torch
from charrnn.config import ModelConfig, TrainConfig
from charrnn.display.plain import report_fields
from charrnn.errors import CheckpointError, DivergenceError
from charrnn.training import loop, validation
from charrnn.training.evaluation import evaluate
from charrnn.training.health import LARGEST_LOSS, RECOVERY_FACTOR, SMOOTHING_STEPS, Health, has_exploded, is_sound
from charrnn.training.loop import give_up, take_step, train
from charrnn.training.pace import Pace
from charrnn.training.recovery import BAD_STEPS, RECOVERIES, ensure_finite, first_weights, go_back, restore_best
from charrnn.training.run import TrainingRun


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nonfinite_step_is_skipped_and_counted(value):
    run = start(dropout=0.2)
    take_step(run)
    before, moments = weights(run), [s["exp_avg"].clone() for s in run.optimizers[0].state.values()]
    break_forward(run, {0}, value)
    take_step(run)
    assert (run.step, run.health.skipped, run.lanes.index) == (1, 1, 2)
    torch.testing.assert_close(weights(run), before, rtol=0, atol=0)
    torch.testing.assert_close([s["exp_avg"] for s in run.optimizers[0].state.values()], moments, rtol=0, atol=0)
    assert all((tensor == 0).all() for layer in run.state for tensor in layer), "its state is forgotten"
    take_step(run)
    assert (run.step, run.health.skipped, run.health.skipped_in_row) == (2, 1, 0)
    assert not torch.equal(run.model.head.weight, before["head.weight"])


def test_huge_loss_is_as_unsound_as_nan():
    assert is_sound(0.9 * LARGEST_LOSS, gradient_norm=1e9)
    assert not any(is_sound(loss) for loss in (LARGEST_LOSS, -LARGEST_LOSS, math.inf, math.nan))
    assert not any(is_sound(1.0, norm) for norm in (math.inf, math.nan))


def test_huge_loss_is_reported_as_it_is():
    run = start()
    run.model.head.bias.data[0] = 1e13
    take_step(run)
    told = re.fullmatch(
        r"after step 0 one was skipped, with a loss of (.*) and a gradient of norm (.*)", run.health.trouble
    )
    assert float(told[1]) == pytest.approx(1e13, rel=0.1)
    assert 0 < float(told[2]) < 100


def test_nonfinite_gradient_is_skipped_though_the_loss_is_finite():
    run = start()
    take_step(run)
    before = weights(run)
    run.model.head.bias.register_hook(lambda gradient: gradient * math.inf)
    take_step(run)
    assert (run.step, run.health.skipped) == (1, 1)
    torch.testing.assert_close(weights(run), before, rtol=0, atol=0)


def test_few_bad_steps_are_reported_and_do_not_end_training():
    run = start(max_steps=40, evaluations=4)
    break_forward(run, {5, 20, 21})
    reports = finish(run)
    assert (run.step, reports[-1].skipped, reports[-1].recoveries) == (40, 3, 0)
    assert any(
        "after step 5 one was skipped, with a loss of nan and a gradient of norm nan" in r.trouble for r in reports
    )
    assert all(math.isfinite(row.train_loss) for row in run.history)


def test_several_bad_steps_in_a_row_restore_the_best_weights_at_half_the_rate():
    run = start(max_steps=40, evaluations=4, warmup_steps=2)
    break_forward(run, set(range(15, 15 + BAD_STEPS)))
    reports = iter(train(run))
    first = next(report for report in reports if report.val_loss is not None)
    rate, best = first.learning_rate, {name: tensor.clone() for name, tensor in run.best_weights.items()}
    while run.health.recoveries == 0:
        take_step(run)
    torch.testing.assert_close(weights(run), best, rtol=0, atol=0)
    assert not run.optimizers[0].state
    assert (run.step, run.health.skipped) == (15, BAD_STEPS), "steps and the place in the text go on"
    for _ in range(3):  # past the warm-up
        take_step(run)
    assert run.optimizers[0].param_groups[0]["lr"] == pytest.approx(rate * RECOVERY_FACTOR, rel=0.3)
    second = next(reports)
    assert "back to the best weights, of step 10, with half the learning rate (1 of 3 tries)" in second.trouble
    rest = list(reports)
    assert rest[-1].is_last
    assert run.best.step == run.step == 40


def test_learning_rate_warms_up_again_after_going_back():
    run = start(max_steps=1000, warmup_steps=9)
    for _ in range(20):
        take_step(run)
    go_back(run, "a test says so")
    rates = []
    for _ in range(10):
        take_step(run)
        rates.append(run.learning_rate)
    assert rates == sorted(rates)
    assert rates[0] == pytest.approx(rates[-1] / 10, rel=0.05)


def test_going_back_resets_the_state():
    """The state was computed with weights that have been replaced since."""
    run = start(max_steps=1000)
    take_step(run)
    assert any((tensor != 0).any() for layer in run.state for tensor in layer)
    go_back(run, "a test says so")
    assert all((tensor == 0).all() for layer in run.state for tensor in layer)


def test_number_of_recoveries_survives_restoring_the_best_weights():
    run = start(max_steps=1000)
    take_step(run)
    go_back(run, "a test says so")
    restore_best(run)
    assert (run.health.recoveries, run.health.recovered_at) == (1, 1)


def test_trouble_is_reported_once():
    run = start(max_steps=40, evaluations=4)
    take_step(run)
    go_back(run, "a test says so")
    told = [report.trouble for report in train(run)]
    assert [bool(trouble) for trouble in told] == [True] + [False] * (len(told) - 1)


def test_next_report_has_all_trouble_since_the_last():
    run = start(max_steps=40, evaluations=4)
    take_step(run)
    for reason in ("it is Monday", "it is Tuesday"):
        go_back(run, reason)
    told = next(train(run)).trouble.splitlines()
    back = "back to the first weights with half the learning rate"
    assert told == [
        f"after step 1 it is Monday: {back} (1 of 3 tries)",
        f"after step 1 it is Tuesday: {back} (2 of 3 tries)",
    ]


def test_first_weights_are_rebuilt_without_touching_the_random_state():
    run = start()
    torch.rand(1)
    expected, before = weights(run), torch.get_rng_state()
    take_step(run)
    torch.testing.assert_close(first_weights(run), expected, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_going_back_before_the_first_evaluation_restores_the_first_weights():
    run = start(max_steps=40, evaluations=1)
    first = weights(run)
    break_forward(run, {5, 6, 7})
    while run.health.recoveries == 0:
        take_step(run)
    torch.testing.assert_close(weights(run), first, rtol=0, atol=0)


def test_persistent_bad_numbers_end_with_one_clear_error():
    run = start(learning_rate=1.0, max_steps=100)
    break_forward(run, set(range(10**6)))
    with pytest.raises(DivergenceError) as caught:
        finish(run)
    assert str(caught.value) == (
        "after step 0 the next 3 were skipped, the last with a loss of nan and a gradient of norm nan, and going back "
        "3 times with half the learning rate has not helped; lower --learning-rate (1) or --grad-clip (1)"
    )
    assert run.health.skipped == BAD_STEPS * (RECOVERIES + 1)


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"grad_clip": 0.0}, "lower --learning-rate (0.003) or give --grad-clip 1"),
        (
            {"optimizer": "rmsprop", "beta2": 1 - 1e-8},
            "lower --learning-rate (0.003), --beta2 (0.99999999) or --grad-clip (1)",
        ),
    ],
)
def test_divergence_advice_fits_the_options(options, advice):
    run = start(max_steps=100, **options)
    break_forward(run, set(range(10**6)))
    with pytest.raises(DivergenceError) as caught:
        finish(run)
    assert str(caught.value).endswith("; " + advice)


@pytest.fixture(scope="module")
def diverged():
    """A run that diverges from its first steps on, to its end: the run, its reports, and the error."""
    run, reports = start(learning_rate=30.0, warmup_steps=0, max_steps=300), []
    with pytest.raises(DivergenceError, match=f"going back {RECOVERIES} times") as caught:
        reports.extend(train(run, report_every=1))
    return run, reports, str(caught.value)


def test_last_report_of_a_diverged_run_is_its_last_step(diverged):
    run, _, error = diverged
    last = give_up(run, error)
    assert last.step == run.step
    assert last.train_loss == run.health.loss > 2 * run.health.lowest
    assert (last.is_last, last.ended_by, last.seconds_left) == (True, "divergence", 0)
    assert last.trouble.splitlines()[-1] == error


def test_report_of_going_back_has_the_loss_that_caused_it(diverged):
    _, reports, _ = diverged
    reasons = re.compile(r"the training loss is ([\d.]+), and was .*: back to")
    told = [(found[1], f"{report.train_loss:.2f}") for report in reports for found in reasons.finditer(report.trouble)]
    assert len(told) == RECOVERIES
    assert all(reason == reported for reason, reported in told)


def test_run_that_diverges_at_once_reports_no_figures():
    run = start(max_steps=100)
    break_forward(run, set(range(10**6)))
    with pytest.raises(DivergenceError):
        finish(run)
    told = json.loads(json.dumps(report_fields(give_up(run, "it is over")), allow_nan=False))
    unknown = ("train_loss", "train_perplexity", "gradient_norm", "gradient_norm_max", "clipped", "chars_per_second")
    assert {told[name] for name in unknown} == {None}
    assert (told["step"], told["skipped"]) == (0, BAD_STEPS * (RECOVERIES + 1))
    assert told["trouble"].splitlines()[-2].endswith("(3 of 3 tries)"), "and what no report has told before"


def test_new_best_resets_the_recovery_count():
    run = start(max_steps=60, evaluations=6)
    bad = {call for begin in (12, 26, 40, 54) for call in range(begin, begin + BAD_STEPS)}
    break_forward(run, bad)
    finish(run)
    assert run.health.recoveries == 4 > RECOVERIES


def test_late_loss_explosion_restores_the_best_weights():
    run = start(max_steps=400, evaluations=8, learning_rate=0.01)
    reports, told = iter(train(run)), []
    for report in reports:
        told.append(report.trouble)
        if report.step == 200:
            good = run.best.val_loss
            run.model.head.weight.data.mul_(-100)
    assert run.health.recoveries == 1
    assert any(" at its lowest: back to the best weights" in trouble for trouble in told)
    assert run.best.val_loss < good
    assert run.best.step > 250


def test_nonfinite_evaluation_restores_the_best_weights(monkeypatch):
    run = start(max_steps=30, evaluations=3)
    evaluate, count = validation.evaluate, iter(range(100))
    monkeypatch.setattr(validation, "evaluate", lambda *a, **k: math.nan if next(count) == 1 else evaluate(*a, **k))
    finish(run)
    assert [row.step for row in run.history] == [10, 20, 30]
    assert run.history[1].val_loss == run.history[0].val_loss, "measured again, with the best weights"
    assert run.health.recoveries == 1


def test_divergence_just_before_an_evaluation_returns_to_the_best_weights(monkeypatch):
    run, told = start(max_steps=60, evaluate_every=20), {}

    def explode_and_evaluate(model, ids, **options):
        if run.step == 40:
            model.head.weight.data.mul_(-1000)
        return evaluate(model, ids, **options)

    monkeypatch.setattr(validation, "evaluate", explode_and_evaluate)
    for report in train(run, report_every=1):
        told[report.step] = report.trouble
    assert [row.val_loss > 10 for row in run.history] == [False, True, False]
    assert [step for step, trouble in told.items() if "back to the best weights, of step 20" in trouble] == [41]


def test_overfitting_is_no_explosion():
    ids = np.random.default_rng(0).integers(0, 2, 200)
    model = ModelConfig(vocab_size=2, cell="lstm", hidden_size=24, num_layers=1, embedding_dim=8)
    config = TrainConfig(
        batch_size=4, seq_len=25, max_steps=120, evaluate_every=30, rewind=False,
        learning_rate=0.05, final_learning_rate=1.0, warmup_steps=10,
    )  # fmt: skip
    run = TrainingRun.start(model, config, ids[:100], ids[100:], started_at=0.0)
    finish(run)
    assert run.history[-1].val_loss > 4, "far worse than a guess, ln 2 = 0.7"
    assert run.history[-1].train_loss < 0.1
    assert run.health.recoveries == 0


def test_lowest_loss_is_the_best_one_after_going_back():
    run = start(max_steps=3)
    finish(run)
    run.pace.lowest = math.inf  # as where a training goes on to a later end
    go_back(run, "the loss is odd")
    assert run.pace.lowest == run.best.val_loss


def test_smoothed_loss_is_a_mean_from_the_first_step():
    health = Health()
    for loss in (1.0, 2.0, 6.0):
        health.observe(loss)
    assert health.loss == pytest.approx(3.0)
    assert health.lowest == pytest.approx(1.0)
    for _ in range(4 * SMOOTHING_STEPS):
        health.observe(0.5)
    assert health.lowest == health.loss == pytest.approx(0.5, abs=0.05)


def test_harder_text_is_no_explosion():
    assert not has_exploded(4.6, 0.1, vocab_size=60), "little is worse than guessing, ln 60 = 4.1"
    assert not has_exploded(3.3, 1.3, vocab_size=60)
    assert not has_exploded(100.0, math.inf, vocab_size=60), "it was never good"
    assert has_exploded(5.2, 1.3, vocab_size=60)


def test_start_far_worse_than_guessing_is_no_explosion():
    """Such as fine-tuning on another text, for which the first weights are confidently wrong."""
    run = start(learning_rate=1e-3, max_steps=200)
    run.model.head.bias.data[:2] = 40.0
    run.fallback_weights = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    reports = finish(run)
    assert reports[0].train_loss > 10
    assert (run.health.recoveries, run.fallback_weights) == (0, {})


def test_fine_tuned_run_goes_back_to_its_initial_weights():
    run = start()
    run.fallback_weights = {name: tensor + 1 for name, tensor in run.model.state_dict().items()}
    state = run.state_dict()
    other = start()
    other.load_state_dict(state)
    go_back(other, "a test")
    torch.testing.assert_close(dict(other.model.state_dict()), run.fallback_weights)
    finish(other)
    assert "beginning" not in other.state_dict(), "the best weights are what it would go back to"


def test_nonfinite_weight_is_never_saved():
    run = start(max_steps=20, evaluations=2)
    take_step(run)
    with torch.no_grad():
        run.model.head.bias[0] = math.inf
    ensure_finite(run)
    assert all(torch.isfinite(tensor).all() for tensor in run.model.state_dict().values())
    assert run.health.recoveries == 1
    run.optimizers[0].state.clear()
    take_step(run)
    next(iter(run.optimizers[0].state.values()))["exp_avg_sq"].fill_(math.inf)
    ensure_finite(run)
    assert run.health.recoveries == 2
    ensure_finite(run)
    assert run.health.recoveries == 2, "what is finite stays"


@pytest.mark.parametrize("cut", [13, 16, 18, 30])
def test_troubled_and_resumed_run_equals_the_straight_one(cut):
    bad = {12, 15, 16, 17, 25}
    straight = start(max_steps=40, evaluations=4, dropout=0.2)
    break_forward(straight, bad)
    finish(straight)
    first = start(max_steps=40, evaluations=4, dropout=0.2)
    break_forward(first, bad)
    for _ in range(cut):
        take_step(first)
        if first.step % 10 == 0 and first.pace.steps:
            loop._evaluate(first)
    second = start(max_steps=40, evaluations=4, dropout=0.2)
    second.load_state_dict(first.state_dict())
    second.history, second.best, second.best_weights = list(first.history), first.best, first.best_weights
    break_forward(second, {call - cut for call in bad})
    finish(second)
    assert straight.health.skipped == second.health.skipped == 5
    assert straight.health.recoveries == second.health.recoveries == 1
    torch.testing.assert_close(weights(second), weights(straight), rtol=0, atol=0)


def test_denormal_numbers_are_flushed_in_every_thread():
    """Arithmetic with them is twenty times slower; in its own process, since the setting stays."""
    assert processes.call(count_denormals) == (0, 0)


def count_denormals():
    set_up_torch(2)
    values = torch.full((1 << 20,), 1e-20, requires_grad=True)  # long enough for both threads
    (values * values).backward(torch.full_like(values, 1e-20))
    products = torch.full((256, 256), 1e-30) @ torch.full((256, 256), 1e-12)
    return values.grad.count_nonzero().item(), products.count_nonzero().item()


def test_deterministic_mode_does_not_fill_uninitialized_memory():
    assert processes.call(set_up_to_repeat) == (True, False, ":4096:8")


def set_up_to_repeat():
    set_up_torch(1, repeatable=True)
    fills = torch.utils.deterministic.fill_uninitialized_memory
    return torch.are_deterministic_algorithms_enabled(), fills, os.environ["CUBLAS_WORKSPACE_CONFIG"]


def pcg64(**changes):
    """The state of numpy's generator, changed."""
    state = np.random.PCG64(0).state
    return {**state, "state": {**state["state"], **changes}}


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("step", -1, "a count is not an integer"),
        ("seconds", "x", "a figure is not a finite number"),
        ("evaluation_seconds", math.nan, "a figure is not a finite number"),
        ("learning_rate", "high", "a figure is not a finite number"),
        ("lanes", {"epoch": 0, "index": 10**9}, "lies behind its end"),
        ("lanes", [0, 1], "lanes: missing or unknown names"),
        ("pace", {"loss": 1.0}, "pace: missing or unknown names"),
        ("state", [], "another number of layers"),
        ("state", [[torch.zeros(4, 31), torch.zeros(4, 31)]], "another shape"),
        ("state", [[torch.full((4, 32), math.nan), torch.zeros(4, 32)]], "not finite"),
        ("optimizer", [{"state": {0: {}}, "param_groups": []}], "is not the weights'"),
        ("optimizer", [None], "the optimizer has no state"),
        ("optimizer", None, "another number of members"),
        ("random_state", [{"bit_generator": "PCG64"}], "the random state is not one of numpy's PCG64"),
        ("health", {**vars(Health()), "skipped": 1.5}, "a count is not an integer"),
        ("health", {**vars(Health()), "lowest": "low"}, "a figure is not a finite number"),
        ("health", {**vars(Health()), "luck": 1}, "health: missing or unknown names"),
        ("health", {}, "health: missing or unknown names"),
        ("health", {**vars(Health()), "trouble": 1}, "health.trouble is not text"),
        ("health", {**vars(Health()), "recovered_at": 2}, "health.recovered_at is a step that was not made yet"),
        ("pace", {**vars(Pace()), "norm": math.inf}, "a figure is not a finite number"),
        ("pace", {**vars(Pace()), "lowest": -math.inf}, "a figure is not a finite number"),
        ("pace", {**vars(Pace()), "norm": 10**400}, "a figure is not a finite number"),
        ("pace", {**vars(Pace()), "lowest": torch.zeros(3)}, "a figure is not a finite number"),
        ("health", {**vars(Health()), "lowest": torch.zeros(3)}, "a figure is not a finite number"),
        ("pace", {**vars(Pace()), "clipped": 0.5}, "a count is not an integer"),
        ("weights", {}, "missing or unknown names"),
        ("beginning", {"embedding.weight": torch.zeros(3)}, "beginning: missing or unknown names"),
        ("set_up_seconds", 1e9, "set_up_seconds is not a part of its seconds"),
        ("set_up_seconds", -1.0, "set_up_seconds is not a part of its seconds"),
        ("first_step", 2, "first_step is not an integer up to step"),
        ("pace", {**vars(Pace()), "steps": 3}, "pace counts characters or evaluations that there are none of"),
        ("pace", {**vars(Pace()), "stale": 1}, "pace counts characters or evaluations that there are none of"),
        ("other_ranks", {}, "other_ranks is not a list"),
        ("other_ranks", [{}], "a rank has no random_state"),
        ("random_state", [pcg64(state=-1)], "the random state is not one of numpy's PCG64"),
        ("random_state", [pcg64(inc=2**128)], "the random state is not one of numpy's PCG64"),
        ("random_state", [{**pcg64(), "uinteger": 2**32}], "the random state is not one of numpy's PCG64"),
    ],
)
def test_invalid_training_state_is_refused_at_once(part, value, message):
    run = start()
    take_step(run)
    state = run.state_dict()
    take_up(start(), state)
    with pytest.raises(CheckpointError, match=message):
        take_up(start(), {**state, part: value})
    if part in state:
        del state[part]
        with pytest.raises(CheckpointError, match=f"it has no {part}"):
            take_up(start(), state)


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "rmsprop", "sgd"])
def test_optimizer_moments_are_checked_and_restored(optimizer):
    run = start(optimizer=optimizer)
    take_step(run)
    state = run.state_dict()
    other = start(optimizer=optimizer)
    take_up(other, state)
    stored, taken = run.optimizers[0].state_dict()["state"], other.optimizers[0].state_dict()["state"]
    torch.testing.assert_close(taken, stored, rtol=0, atol=0)
    moment = state["optimizer"][0]["state"][0]
    moment[next(name for name in moment if name != "step")] = torch.zeros(3)
    with pytest.raises(CheckpointError, match="another shape"):
        take_up(start(optimizer=optimizer), state)


def test_negative_mean_square_is_refused():
    run = start()
    take_step(run)
    state = run.state_dict()
    state["optimizer"][0]["state"][0]["exp_avg_sq"].fill_(-1.0)
    with pytest.raises(CheckpointError, match="a square is negative"):
        take_up(start(), state)


def gpu_random_state(offset, dtype=torch.uint8):
    return torch.tensor([3, offset], dtype=torch.int64).view(torch.uint8).to(dtype)


@pytest.mark.parametrize(
    "state",
    [gpu_random_state(6), gpu_random_state(-1), gpu_random_state(0)[:8], gpu_random_state(0, torch.int16), "state"],
)
def test_invalid_gpu_random_state_is_refused(monkeypatch, state):
    """A seed and an offset; a processor's training does not look at it."""
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda: gpu_random_state(0))
    run = start()
    stored = run.state_dict()
    take_up(run, {**stored, "cuda_random_state": state})
    run.config = dataclasses.replace(run.config, device="cuda")
    for right in (gpu_random_state(8), gpu_random_state(-4), None):
        take_up(run, {**stored, "cuda_random_state": right})
    with pytest.raises(CheckpointError, match="the GPU's random state is none of torch's"):
        take_up(run, {**stored, "cuda_random_state": state})
