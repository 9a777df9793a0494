"""Steps whose figures are read later, as on a GPU: here on a CPU, which can do the same."""

import itertools
import math
import re

import numpy as np
import pytest
import torch
from runs import IDS, break_forward, break_member, finish, start, weights

from charrnn.errors import DivergenceError
from charrnn.network.ensemble import members_of
from charrnn.training.lane_choice import ResidentLanes
from charrnn.training.lanes import Lanes
from charrnn.training.loop import READ_EVERY, read_figures, take_step, train
from charrnn.training.recovery import BAD_STEPS
from charrnn.training.updates import FLOAT16_SCALE, ScaledUpdate

CPU = torch.device("cpu")


def start_late(precision="float32", **options):
    """A run that works as on a GPU."""
    run = start(**options)
    run.updates = [ScaledUpdate(optimizer, "cpu", precision) for optimizer in run.optimizers]
    return run


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("optimizer", ["adamw", "adam", "rmsprop", "sgd"])
def test_reading_figures_late_changes_no_weight_and_no_figure(optimizer, members):
    options = {"max_steps": 40, "evaluations": 3, "dropout": 0.2, "optimizer": optimizer, "members": members}
    at_once, late = start(**options), start_late(**options)
    assert late.reads_late
    assert not at_once.reads_late
    for one, other in zip(finish(at_once)[-1:], finish(late)[-1:], strict=True):
        assert (one.step, one.train_loss, one.val_loss) == (other.step, other.train_loss, other.val_loss)
    assert [row.train_loss for row in at_once.history] == [row.train_loss for row in late.history]
    torch.testing.assert_close(weights(at_once), weights(late), rtol=0, atol=0)


def test_figures_are_read_together_and_completely_at_a_report(monkeypatch):
    run = start_late(max_steps=10_000)
    reads = []
    means = run.ranks.all_reduce_mean
    monkeypatch.setattr(run.ranks, "all_reduce_mean", lambda *values: reads.append(len(values)) or means(*values))
    for count in range(1, 2 * READ_EVERY + 1):
        take_step(run)
        assert len(run.unread) == count % READ_EVERY
    assert reads == [2 * READ_EVERY] * 2
    take_step(run)
    assert next(train(run)) is not None
    assert not run.unread
    run.state_dict()


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "rmsprop", "sgd"])
def test_first_step_may_be_skipped(optimizer):
    even = {"warmup_steps": 0, "final_learning_rate": 1.0, "state_reset": 0.0}
    run, twin = (start_late(max_steps=1000, optimizer=optimizer, **even) for _ in range(2))
    break_forward(run, {0})
    take_step(run)
    next(twin.lanes)
    for other in (run, twin):
        for _ in range(3):
            take_step(other)
        read_figures(other)
    assert (run.step, run.health.skipped, twin.health.skipped) == (3, 1, 0)
    torch.testing.assert_close(weights(run), weights(twin))


@pytest.mark.parametrize("grad_clip", [0.0, 1.0])
@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("what", ["norm", "loss", "gradient"])
def test_skipped_steps_are_the_same_read_at_once_or_late(what, members, grad_clip):
    """A norm that overflows though no number does, a loss beyond measure with a good gradient; of one member alone."""
    options = {"max_steps": 1000, "warmup_steps": 0, "final_learning_rate": 1.0}  # the rate is that of every step
    runs = [begin(**options, members=members, grad_clip=grad_clip) for begin in (start, start_late)]
    for run in runs:
        break_member(members_of(run.model)[-1], what, step=2)
        for _ in range(5):
            take_step(run)
        read_figures(run)
        assert (run.step, run.pace.steps, run.health.skipped) == (4, 4, 1)
    torch.testing.assert_close(weights(runs[1]), weights(runs[0]), rtol=0, atol=0)
    torch.testing.assert_close(runs[1].state, runs[0].state, rtol=0, atol=0)
    assert runs[1].pace.loss == runs[0].pace.loss


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_nonfinite_step_is_skipped_before_it_is_read(value):
    run, twin = start_late(max_steps=1000), start_late(max_steps=1000)
    for other in (run, twin):
        take_step(other)
    break_forward(run, {0}, value)
    take_step(run)
    torch.testing.assert_close(weights(run), weights(twin), rtol=0, atol=0)
    assert all((tensor == 0).all() for layer in run.state for tensor in layer), "its state is forgotten"
    take_step(run)
    read_figures(run)
    assert (run.step, run.pace.steps, run.health.skipped, run.health.skipped_in_row) == (2, 2, 1, 0)
    assert math.isfinite(run.pace.loss)


def test_consecutive_bad_steps_restore_the_weights():
    run = start_late(max_steps=1000)
    first = weights(run)
    take_step(run)
    break_forward(run, range(BAD_STEPS))
    for _ in range(BAD_STEPS + 2):
        take_step(run)
    read_figures(run)
    assert run.health.recoveries == 1
    assert run.health.steps == 0, "those that came after were taken with weights that are no more"
    assert "back to the first weights" in run.health.trouble
    torch.testing.assert_close(weights(run), first, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ({2}, "after step 2 one was skipped, with a loss of nan and a gradient of norm nan"),
        (
            {2, 3, 4},
            "after step 2 one was skipped, with a loss of nan and a gradient of norm nan\n"
            "after step 2 the next 3 were skipped, the last with a loss of nan and a gradient of norm nan: back to the "
            "first weights with half the learning rate (1 of 3 tries)",
        ),
    ],
)
def test_trouble_is_reported_with_its_step(broken, told):
    for run in (start(max_steps=1000), start_late(max_steps=1000)):
        break_forward(run, broken)
        for _ in range(READ_EVERY):
            take_step(run)
        assert run.health.trouble == told
        assert run.health.recovered_at == (2 if run.health.recoveries else 0)


def test_training_without_a_good_step_ends_alike_read_at_once_or_late():
    for run in (start(max_steps=60), start_late(max_steps=60)):
        break_forward(run, range(10**6))
        with pytest.raises(DivergenceError, match="lower --learning-rate"):
            finish(run)


def test_float16_scales_the_loss_and_not_the_gradient():
    run, twin = start_late("float16"), start()
    seen = []
    run.model.head.bias.register_hook(lambda gradient: seen.append(gradient.clone()))
    take_step(run)
    take_step(twin)
    clipped = [parameter.grad for parameter in run.model.parameters()]
    torch.testing.assert_close(clipped, [parameter.grad for parameter in twin.model.parameters()])
    ratio = seen[0].norm() / (run.model.head.bias.grad.norm() * max(1.0, run.unread[0].values[1].item()))
    assert ratio.item() == pytest.approx(FLOAT16_SCALE, rel=1e-3)


def test_overflow_caused_by_the_loss_scale_restores_nothing():
    run = start_late("float16", max_steps=1000)

    def overflow(gradient):  # as float16's would, with a scale that is too large by five halvings
        return gradient * (math.inf if run.updates[0]._scaler.get_scale() > FLOAT16_SCALE / 2**5 else 1.0)

    run.model.head.bias.register_hook(overflow)
    for _ in range(BAD_STEPS + 2):
        take_step(run)
    read_figures(run)
    assert (run.health.recoveries, run.step) == (0, BAD_STEPS), "two were left out"
    assert (run.health.skipped, run.health.trouble) == (0, ""), "as they are in any long training"


def test_float16_reports_nan_losses_and_overflows_at_any_scale():
    lost, overflowing = (start_late("float16", max_steps=1000) for _ in range(2))
    break_forward(lost, {1})
    overflowing.model.head.bias.register_hook(lambda gradient: gradient * math.inf)
    for run in (lost, overflowing):
        for _ in range(BAD_STEPS):
            take_step(run)
        read_figures(run)
    assert lost.health.trouble == "after step 1 one was skipped, with a loss of nan and a gradient of norm nan"
    assert (lost.health.skipped, overflowing.health.recoveries) == (1, 1)
    assert re.match(
        r"after step 0 the next 3 were skipped, the last with a loss of [\d.]+ and a gradient of norm (inf|nan): back",
        overflowing.health.trouble,
    )


def test_members_with_too_large_scales_in_turn_restore_nothing():
    run = start_late("float16", max_steps=1000, members=BAD_STEPS)
    for number, (member, update) in enumerate(zip(run.model.members, run.updates, strict=True)):
        member.head.bias.register_hook(overflow_at(number, update))
    for _ in range(BAD_STEPS + 1):
        take_step(run)
    read_figures(run)
    assert (run.health.skipped, run.health.recoveries, run.step) == (0, 0, BAD_STEPS), "one was left out"
    assert len({update._scaler.get_scale() for update in run.updates}) == 1


def overflow_at(step, update):
    """A gradient that overflows at one step unless the scale is less than at first."""
    steps = itertools.count()
    return lambda gradient: gradient * (math.inf if next(steps) == step and is_first_scale(update) else 1.0)


def is_first_scale(update):
    return update._scaler.get_scale() == FLOAT16_SCALE


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_lanes_on_the_device_equal_those_of_the_host(dtype, monkeypatch):
    monkeypatch.setattr("charrnn.training.lane_choice.CHUNK", 1000)
    ids = IDS[:3001].astype(dtype)
    sizes = {"batch_size": 7, "seq_len": 30, "shard": slice(2, 5)}
    host, device = Lanes(ids, **sizes), ResidentLanes(ids, CPU, **sizes)
    for _ in range(host.windows_per_epoch + 2):
        one, other = next(host), next(device)
        assert other.inputs.dtype == torch.int64
        np.testing.assert_array_equal(one.inputs, other.inputs.numpy())
        np.testing.assert_array_equal(one.targets, other.targets.numpy())
        assert (one.resets_state, one.num_targets, one.share) == (other.resets_state, other.num_targets, other.share)
