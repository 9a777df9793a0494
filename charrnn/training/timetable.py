"""When a training is evaluated next, and how long it still takes."""

from __future__ import annotations

import math

from charrnn.config import EVALUATION_SHARE
from charrnn.hyperparameters import FEWEST_BY_STEPS, spacing
from charrnn.training.run import TrainingRun

PASSES_SHARE = 0.85
"""Share of a training's time that goes to forward and backward passes: the rest updates, evaluates and saves."""


def evaluation_is_due(run: TrainingRun) -> bool:
    """Whether the run is to be evaluated after its last step: at the end, and at intervals before it.

    The interval is given in `config`, or follows from the progress. Where steps alone end a training, evaluations come
    at the same steps in every run; where the clock does, those before the last take no more than `EVALUATION_SHARE` of
    the time.
    """
    made, limit = run.step - run.pace.step, run.config.time_limit
    if run.progress >= 1:
        return True
    if run.config.evaluate_every is not None:
        return made >= run.config.evaluate_every
    by_steps = run.planned_steps is not None and _is_due_by_steps(run, made, run.planned_steps)
    if limit is None:
        return by_steps
    return _is_overdue(run, made) or _is_due_by_clock(run, limit, by_steps=by_steps)


def _is_due_by_steps(run: TrainingRun, made: int, planned: int) -> bool:
    """Whether `made` steps since the last evaluation reach the spacing of evaluations."""
    trained, a_pass = run.step - run.first_step, run.lanes.windows_per_epoch
    return made >= math.ceil(spacing(trained, planned, run.config.evaluations, a_pass))


def _is_overdue(run: TrainingRun, made: int) -> bool:
    """Whether too many steps were made since the last evaluation, if at this pace steps, not the clock, end the run."""
    planned = run.planned_steps
    is_late = planned is not None and made >= math.ceil(planned / FEWEST_BY_STEPS)
    return is_late and run.progress_by_steps >= run.progress


def _is_due_by_clock(run: TrainingRun, limit: float, *, by_steps: bool) -> bool:
    """Whether the time since the last evaluation reaches their spacing, or is enough to pay for one due by steps."""
    affordable = run.evaluation_seconds / EVALUATION_SHARE
    trained, planned = run.seconds - run.set_up_seconds, limit - run.set_up_seconds
    wanted = max(spacing(trained, planned, run.config.evaluations, affordable), affordable)
    last_is_near = run.seconds + run.evaluation_seconds + wanted / 2 > limit
    return run.seconds - run.pace.seconds >= (affordable if by_steps else wanted) and not last_is_near


def expected_seconds(run: TrainingRun, chars_per_second: float) -> float:
    """How many seconds an unfinished run will still take, at a speed measured in a few trial steps."""
    at_the_end = run.seconds_at_the_end
    seconds = [at_the_end] if run.is_out_of_patience else []
    if run.config.time_limit is not None:
        seconds.append(run.config.time_limit - run.seconds)
    if run.total_steps is not None and run.planned_steps is not None:
        steps = run.total_steps - run.step
        training = steps * run.lanes.chars_per_window / chars_per_second / (PASSES_SHARE + EVALUATION_SHARE)
        apart = run.config.evaluate_every or math.ceil(run.planned_steps / run.config.evaluations)
        before_the_last = math.ceil(steps / apart) - 1
        seconds.append(training + before_the_last * run.evaluation_seconds + at_the_end)
    return max(min(seconds), at_the_end)


def seconds_left(run: TrainingRun, training_seconds: float) -> float:
    """Time to the end: by the clock, or by the steps left at the pace of the last ones, whichever is sooner.

    Args:
        run: a run that has made steps since the last evaluation.
        training_seconds: what the steps since the last evaluation took, without it.
    """
    left = []
    if run.config.time_limit is not None:
        left.append(run.config.time_limit - run.seconds)
    if run.total_steps is not None:
        left.append((run.total_steps - run.step) * training_seconds / run.pace.steps)
    return max(min(left), 0.0)
