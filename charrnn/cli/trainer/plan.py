"""The expected number of epochs of a training with a time limit, reviewed once under way.

The speed measured in a second or two before the start may be wrong, as other programs may be running just then. It
gives the expected number of epochs, from which dropout and learning rate are chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from charrnn.config import ModelConfig
from charrnn.hyperparameters import choose_dropout, choose_warm_up, peak_rate
from charrnn.metrics import Report
from charrnn.network.ensemble import set_dropout
from charrnn.training.run import TrainingRun
from charrnn.wording import format_epochs

REVIEWED_AT = 0.1
"""Share of a training after which the plan is reviewed."""

MEASURED_SECONDS = 1.0
"""Least seconds of training that the review measures the speed over."""

TOLERANCE = 1.2
"""Factor between planned and expected epochs up to which nothing is changed."""


class Plan:
    """The number of epochs that a run's hyperparameters were chosen for.

    Args:
        epochs: that number.
        options: by field name of `ModelConfig` and `TrainConfig`; None for one that the user did not decide.
        rate_factor: factor on a learning rate that is chosen.
    """

    def __init__(self, epochs: float, options: Mapping[str, Any], rate_factor: float = 1.0) -> None:
        self._epochs = epochs
        self._options = options
        self._rate_factor = rate_factor
        ends = [name for name in ("time_limit", "epochs", "max_steps") if options.get(name) is not None]
        self._is_open = ends == ["time_limit"]
        self._first: Report | None = None

    def review(self, run: TrainingRun, report: Report) -> str:
        """Once, choose dropout, learning rate and warm-up anew if more or fewer epochs are expected than planned.

        Args:
            run: changed in place.
            report: its latest report.

        Returns:
            What has changed, in words; empty for nothing.
        """
        first = self._first = self._first or report
        measured = report.seconds - first.seconds
        if not self._is_open or report.is_last or report.progress < REVIEWED_AT or measured < MEASURED_SECONDS:
            return ""
        self._is_open = False
        steps_left = (report.step - first.step) * report.seconds_left / measured
        expected = report.epoch + steps_left / run.lanes.windows_per_epoch
        if 1 / TOLERANCE < expected / self._epochs < TOLERANCE:
            return ""
        before = run.model.config, run.config.learning_rate
        self._choose_anew(run, expected, report.step + steps_left)
        if (run.model.config, run.config.learning_rate) == before:
            return ""
        return _tell(expected, self._epochs, run.model.config, run.config.learning_rate)

    def _choose_anew(self, run: TrainingRun, epochs: float, steps: float) -> None:
        """Choose what the user did not decide, for so many epochs and steps in all."""
        chosen = choose_dropout(epochs, run.model.config.hidden_size)
        set_dropout(run.model, **{name: share for name, share in chosen.items() if self._options.get(name) is None})
        if self._options.get("learning_rate") is None:
            rate = self._rate_factor * peak_rate(run.config.optimizer, run.model.config, steps)
            run.config = replace(run.config, learning_rate=rate)
        if self._options.get("warmup_steps") is None:
            run.config = replace(run.config, warmup_steps=min(run.config.warmup_steps, choose_warm_up(steps)))


def _tell(expected: float, planned: float, model: ModelConfig, rate: float) -> str:
    speed = "faster" if expected > planned else "slower"
    return (
        f"{speed} than it was at the start: about {format_epochs(expected)} epochs, not {format_epochs(planned)}; "
        f"going on with dropout {model.dropout:g}, input dropout {model.input_dropout:g}, learning rate {rate:g}"
    )
