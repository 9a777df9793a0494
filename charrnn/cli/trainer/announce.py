"""What `charrnn train` says before and after the training; `remarks` has what it says about the text."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from charrnn.cli.trainer.prepared_run import PreparedRun
from charrnn.cli.trainer.remarks import describe_corpus
from charrnn.config import TrainConfig
from charrnn.escape import shell_quoted
from charrnn.metrics import COLD_WINDOW
from charrnn.shapes import count_parameters
from charrnn.training.run import TrainingRun
from charrnn.training.timetable import expected_seconds
from charrnn.wording import describe_loss, describe_model, format_seconds, number_of


def announcement(prepared: PreparedRun) -> list[str]:
    """Describe the text, the model and the training, one line each."""
    model = prepared.run.model.config
    lines = [
        *describe_corpus(prepared),
        f"model: {describe_model(model)}; {count_parameters(model):,} parameters, {prepared.reason}",
        describe_training(prepared),
        _told_of_short_lanes(prepared.run, prepared.corpus.options.unit),
    ]
    return list(filter(None, lines))


def describe_training(prepared: PreparedRun) -> str:
    """Describe how the model is trained, when it ends, and on what hardware."""
    run, config = prepared.run, prepared.run.config
    window = f"at most {config.seq_len:,} of a line"
    if run.line_end_id is None:
        window = f"{min(config.seq_len, _lane_length(run)):,}"
    several = "" if run.ranks.world_size == 1 else f"{run.ranks.world_size} processes of "
    return (
        f"training: {_end(config)}, {number_of(config.batch_size, 'lane')}, "
        f"windows of {window}, {config.optimizer} at {_rate(run)}; {config.device}, {config.precision}, "
        f"{several}{_threads(prepared.keeper.at_work, config.threads)}; "
        f"{_duration(run, prepared.chars_per_second)}"
    )


def settings(prepared: PreparedRun) -> dict[str, Any]:
    """The corpus, the model and the training as values for --json, under the names that `inspect --json` has."""
    run, corpus = prepared.run, prepared.corpus
    return {
        "step": run.step,
        **asdict(run.model.config),
        "num_parameters": count_parameters(run.model.config),
        "text": asdict(corpus.options),
        "corpus": {
            "name": corpus.name,
            "characters": len(corpus.ids),
            "bytes": corpus.num_bytes,
            "sha256": corpus.sha256,
            "distinct": corpus.num_distinct,
            "files": corpus.num_documents,
            "left_out": [left.name for left in corpus.skipped],
            "left_out_causes": {left.name: left.cause.why for left in corpus.skipped},
        },
        "training": {"step": run.step, "seconds": run.seconds, "config": asdict(run.config)},
    }


def doubt(run: TrainingRun) -> str:
    """Say why a run that is about to begin will make no step, or only one; empty if it will make more."""
    limit = run.config.time_limit
    if run.is_out_of_patience and (run.is_finished or run.progress < 1):
        later = ": the steps since the last one are evaluated, and no more are made unless they have gained"
        return (
            f"already at its end, {number_of(run.pace.stale, 'evaluation')} without a gain"
            f"{'' if run.is_finished else later}; give a larger --patience, or a larger --epochs, --max-steps or "
            "--time, to train on"
        )
    if run.is_finished:
        over = f": {format_seconds(run.seconds)} are over, and --time counts from the very start"
        used = over if run.ended_by == "time" else ""
        return f"already at its end{used}; give a larger --epochs, --max-steps or --time to train on"
    if run.progress < 1 or (run.pace.steps and run.step == run.total_steps):
        return ""
    if run.step:
        told = "the steps since its last evaluation are evaluated, and no more are made"
        if not run.pace.steps:
            told = "none of its evaluations is of what is held out now, so one step is made and evaluated"
        return f"already at its end: {told}; give a larger --epochs, --max-steps or --time to train on"
    assert limit is not None, "else there are steps to be made"
    given, at_the_end = f"--time {format_seconds(limit)}", run.seconds_at_the_end
    if at_the_end > run.seconds:  # so it is not the text that took the time
        return (
            f"{given} is too short: evaluating this model at the end takes about {format_seconds(at_the_end)}; one "
            "step is made, and no more; give a longer --time or a smaller model"
        )
    return f"{given} is over before a step is made; one is, and no more; give a longer --time"


def farewell(run: TrainingRun, unit: str) -> str:
    """Summarise a finished run: its best loss and its time.

    Args:
        run: that has been evaluated.
        unit: of its losses, character or byte.
    """
    best = run.best
    assert best is not None, "a finished run has been evaluated"
    cold = "" if run.cold_loss is None else f"; {run.cold_loss:.4f} in cold windows of {COLD_WINDOW}"
    skipped = f"; {number_of(run.health.skipped, 'step')} skipped" if run.health.skipped else ""
    early = f"; ended early, {number_of(run.pace.stale, 'evaluation')} without a gain" if run.is_out_of_patience else ""
    idle = "" if best.step else ", that of the weights that it began with: nothing was gained"
    told = f"{idle}{cold}{skipped}{early}; {format_seconds(run.seconds)}"
    which = "best validation loss" if run.config.holds_out else "best loss on what was learned from"
    return f"{which} {describe_loss(best.val_loss, unit)}, step {best.step:,}{told}"


def next_steps(path: str) -> str:
    """Suggest commands to use a checkpoint; `path` must be fit to stand as an argument."""
    typed = shell_quoted(path)
    return f"`charrnn sample {typed}` writes text with it; `charrnn inspect {typed}` shows how good it is"


def _told_of_short_lanes(run: TrainingRun, unit: str) -> str:
    """Warn that lanes are shorter than a window, so that an epoch is one update; empty if they are not."""
    lanes, length = run.config.batch_size, _lane_length(run)
    if run.step or lanes == 1 or run.line_end_id is not None or length >= run.config.seq_len:
        return ""
    in_all = "" if run.total_steps is None else f", {run.total_steps:,} in all"
    return (
        f"each of {lanes:,} lanes has {number_of(length, unit)}, fewer than a window of {run.config.seq_len:,}: "
        f"one update an epoch{in_all}; a smaller --batch-size makes more"
    )


def _end(config: TrainConfig) -> str:
    ends = [number_of(config.epochs, "epoch")] if config.epochs is not None else []
    ends += [number_of(config.max_steps, "step")] if config.max_steps is not None else []
    ends += [format_seconds(config.time_limit)] if config.time_limit is not None else []
    return " or ".join(ends)


def _lane_length(run: TrainingRun) -> int:
    """Characters in a lane, for a text that is not read with --lines."""
    return round(run.lanes.chars_per_window * run.lanes.windows_per_epoch / run.config.batch_size)


def _rate(run: TrainingRun) -> str:
    """The peak learning rate; if it was cut, the current peak and the original one."""
    peak, factor = f"{run.config.learning_rate:g}", run.rate_factor
    return peak if factor == 1 else f"{run.config.learning_rate * factor:.2g}, at first {peak}"


def _threads(now: int, most: int) -> str:
    return f"{now} of {number_of(most, 'thread')}" if now < most else number_of(most, "thread")


def _duration(run: TrainingRun, chars_per_second: float) -> str:
    if run.is_finished:
        return "nothing is left to do"
    return f"takes about {format_seconds(expected_seconds(run, chars_per_second))}"
