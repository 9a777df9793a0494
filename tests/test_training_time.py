"""The clock of a training: what counts as its time, when it is evaluated, when it ends and what is left of it."""

import ctypes
import dataclasses
import itertools
import os
import signal
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from runs import finish, start

from charrnn import hyperparameters
from charrnn.cli.trainer.signals import TrainingSignals
from charrnn.training import loop, validation
from charrnn.training.clock import LONGEST, Clock
from charrnn.training.evaluation import evaluate
from charrnn.training.loop import take_step, train
from charrnn.training.run import FINISH_SECONDS
from charrnn.training.timetable import evaluation_is_due, seconds_left


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
