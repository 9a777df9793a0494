"""The plan of a timed training is reviewed once its true speed is known."""

import dataclasses
import re
import signal

import pytest
import torch
from conftest import make_text
from processes import Training

from charrnn.cli.trainer import prepared_run
from charrnn.cli.trainer.plan import MEASURED_SECONDS, REVIEWED_AT, Plan
from charrnn.config import ModelConfig, TrainConfig
from charrnn.hyperparameters import choose_dropout, choose_warm_up, peak_rate
from charrnn.metrics import Report
from charrnn.network.ensemble import members_of
from charrnn.text.encoder import CharEncoder
from charrnn.training.loop import take_step
from charrnn.training.run import TrainingRun
from charrnn.wording import format_epochs

TEXT = make_text(6000)
BY_CLOCK = {"time_limit": 100.0}


def start(members=1, **options):
    encoder = CharEncoder(TEXT)
    model = ModelConfig(
        vocab_size=len(encoder), cell="lstm", hidden_size=128, num_layers=1, embedding_dim=8, members=members,
        dropout=0.05, input_dropout=0.01,
    )  # fmt: skip
    config = TrainConfig(batch_size=4, seq_len=25, learning_rate=3e-3, **{**BY_CLOCK, **options})
    ids = encoder.encode(TEXT)
    return TrainingRun.start(model, config, ids[:5000], ids[5000:], started_at=0.0)


def report(run, *, step, seconds, seconds_left=80.0, progress=REVIEWED_AT):
    blank = dict.fromkeys((field.name for field in dataclasses.fields(Report)), 0)
    given = {"step": step, "seconds": seconds, "seconds_left": seconds_left, "progress": progress}
    return Report(**{**blank, **given, "epoch": step / run.lanes.windows_per_epoch})


def review(plan, run, steps, *, seconds=10.0, progress=REVIEWED_AT):
    """After a first report at step 5, one so many steps and seconds later."""
    assert plan.review(run, report(run, step=5, seconds=10.0, progress=0.0)) == ""
    return plan.review(run, report(run, step=5 + steps, seconds=10.0 + seconds, progress=progress))


def expected_steps(steps, seconds=10.0):
    return 5 + steps + steps * 80.0 / seconds


@pytest.mark.parametrize("members", [1, 2])
def test_more_epochs_than_planned_raise_dropout_and_lower_the_rate(members):
    run = start(members)
    epochs = expected_steps(100) / run.lanes.windows_per_epoch
    told = review(Plan(2.0, BY_CLOCK), run, 100)
    passes = f"about {format_epochs(epochs)} epochs, not 2"
    assert told.startswith(f"faster than it was at the start: {passes}; going on with dropout ")
    shares = choose_dropout(epochs, run.model.config.hidden_size)
    assert shares["dropout"] > 0.1
    for part in (run.model, *members_of(run.model)):
        assert {name: getattr(part.config, name) for name in shares} == shares
    assert [member.config.members for member in members_of(run.model)] == [1] * members
    assert run.config.learning_rate == peak_rate("adamw", run.model.config, expected_steps(100))
    take_step(run)


@pytest.mark.parametrize(("planned", "stays"), [(1.15, True), (1 / 1.15, True), (1.3, False), (1 / 1.3, False)])
def test_about_as_many_epochs_as_planned_change_nothing(planned, stays):
    run = start()
    before = run.model.config, run.config
    epochs = expected_steps(100) / run.lanes.windows_per_epoch
    told = review(Plan(planned * epochs, BY_CLOCK), run, 100)
    assert (told == "", (run.model.config, run.config) == before) == (stays, stays)


def test_more_epochs_keep_the_rate_factor_of_fine_tuning_and_the_short_warmup():
    run = start(warmup_steps=3)
    assert review(Plan(2.0, BY_CLOCK, rate_factor=0.5), run, 50)
    assert run.config.learning_rate == 0.5 * peak_rate("adamw", run.model.config, expected_steps(50))
    assert peak_rate("adamw", run.model.config, expected_steps(50)) < peak_rate("adamw", run.model.config, 50)
    assert run.config.warmup_steps == 3 < choose_warm_up(expected_steps(50))


def test_plan_is_reviewed_once_when_the_speed_is_known():
    run = start()
    before = run.model.config, run.config
    assert review(plan := Plan(2.0, BY_CLOCK), run, 100, progress=REVIEWED_AT / 2) == ""
    assert review(Plan(2.0, BY_CLOCK), run, 100, seconds=MEASURED_SECONDS / 2) == ""
    last = dataclasses.replace(report(run, step=105, seconds=20.0), is_last=True)
    assert plan.review(run, last) == "", "nothing is to come"
    assert (run.model.config, run.config) == before
    assert plan.review(run, report(run, step=105, seconds=20.0))
    assert plan.review(run, report(run, step=9999, seconds=21.0)) == ""


def test_slower_machine_lowers_dropout():
    run = start()
    told = review(Plan(3000.0, BY_CLOCK), run, 20)
    assert told.startswith("slower than it was at the start: about ")
    assert " epochs, not 3,000; going on with dropout " in told
    epochs = expected_steps(20) / run.lanes.windows_per_epoch
    assert run.model.config.dropout == choose_dropout(epochs, run.model.config.hidden_size)["dropout"]


def test_slower_machine_shortens_the_warmup():
    run = start()
    run.config = dataclasses.replace(run.config, warmup_steps=80)
    assert review(Plan(30.0, BY_CLOCK), run, 20)
    assert run.config.warmup_steps == choose_warm_up(expected_steps(20)) < 80
    run = start()
    run.config = dataclasses.replace(run.config, warmup_steps=80)
    assert review(Plan(30.0, {**BY_CLOCK, "warmup_steps": 80}), run, 20)
    assert run.config.warmup_steps == 80


def test_values_set_by_flags_are_kept():
    run = start()
    assert review(Plan(2.0, {**BY_CLOCK, "dropout": 0.05, "learning_rate": 3e-3}), run, 100)
    assert (run.model.config.dropout, run.config.learning_rate) == (0.05, 3e-3)
    assert run.model.config.input_dropout != 0.01


@pytest.mark.parametrize("plan", [
    Plan(2.0, {"time_limit": None}), Plan(2.0, {**BY_CLOCK, "epochs": 3.0}), Plan(2.0, {"max_steps": 9}),
])  # fmt: skip
def test_plan_changes_only_for_a_training_ended_by_the_clock(plan):
    run = start()
    before = run.model.config, run.config
    assert review(plan, run, 100) == ""
    assert (run.model.config, run.config) == before


def test_unchanged_plan_is_not_reported():
    run = start()
    decided = {"dropout": 0.05, "input_dropout": 0.01, "learning_rate": 3e-3}
    assert review(Plan(2.0, {**BY_CLOCK, **decided}), run, 100) == ""


def expect_a_slow_machine():
    """Let a training be set up for a machine a thousandth as fast as this."""
    chosen = prepared_run.suggest
    prepared_run.suggest = lambda options, *, flops, **more: chosen(options, flops=flops / 1000, **more)


@pytest.mark.slow
def test_training_with_a_changed_plan_resumes_unchanged(tmp_path, charrnn):
    """The command's own way: it is stopped as soon as it has looked at its plan again."""
    (tmp_path / "verse.txt").write_text(TEXT[:2000])  # which a machine that is busy, too, passes over several times
    flags = ["--hidden-size", 128, "--batch-size", 2, "--seq-len", 16]
    training = Training(tmp_path, *flags, "--time", "20s", prepare=expect_a_slow_machine)
    training.wait_for("faster than it was at the start")
    training.kill(signal.SIGTERM)
    assert training.wait() == 128 + signal.SIGTERM, training.stderr
    (told,) = re.findall(r"faster than it was at the start: .* dropout ([\d.]+), input .*, learning rate ([\d.e-]+)",
                         training.stderr)  # fmt: skip
    (first,) = re.findall(r"embedding \d+, dropout ([\d.]+)", training.stderr)
    stored = torch.load(tmp_path / "verse.pt", weights_only=True)
    assert float(first) < stored["model"]["dropout"] == float(told[0])
    assert stored["training"]["config"]["learning_rate"] == float(told[1])
    step = stored["training"]["step"]
    resumed = charrnn("train", "verse.txt", *flags, "--resume", "--max-steps", step + 1)
    assert resumed.code == 0, resumed.stderr
    assert f"dropout {told[0]}," in resumed.stderr
    assert f"\nstep {step + 1:,}, " in resumed.stderr
