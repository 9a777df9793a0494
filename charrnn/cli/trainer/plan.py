"""What a training by the clock was set up for, and a second look at it under way.

How fast a machine is shows in a second or two before the start, and other programs may be at work in just these. How
often the text will be passed over follows from it, and from that how much is hidden from the model and how fast it
learns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from charrnn.config import ModelConfig
from charrnn.metrics import Report
from charrnn.network.ensemble import set_dropout
from charrnn.regimen import choose_dropout, choose_warm_up, peak_rate
from charrnn.training.run import TrainingRun
from charrnn.wording import format_epochs

REVIEWED_AT = 0.1
"""Share of a training after which it is looked at again."""

MEASURED_SECONDS = 1.0
"""Time by which the speed is judged then, at least."""

TOLERANCE = 1.2
"""Factor between the passes that were planned and those that there will be, up to which all stays as it is."""


class Plan:
    """How many passes over its text a run was set up for.

    Args:
        epochs: that number.
        options: what the user decided, by field name of `ModelConfig` and `TrainConfig`; None: not decided.
        rate_share: factor on the learning rate that is chosen.
    """

    def __init__(self, epochs: float, options: Mapping[str, Any], rate_share: float = 1.0) -> None:
        self._epochs, self._options, self._rate_share = epochs, options, rate_share
        ends = [name for name in ("time_limit", "epochs", "max_steps") if options.get(name) is not None]
        self._is_open = ends == ["time_limit"]
        self._first: Report | None = None

    def review(self, run: TrainingRun, report: Report) -> str:
        """Choose anew, once, what follows from the passes, where there will be more or fewer; tell of it, or nothing.

        Args:
            run: changed in place.
            report: the latest of it.
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
        shares: dict[str, Any] = {
            name: share
            for name, share in choose_dropout(expected, run.model.config).items()
            if self._options.get(name) is None
        }
        before = run.model.config, run.config.learning_rate
        set_dropout(run.model, **shares)
        if self._options.get("learning_rate") is None:
            rate = self._rate_share * peak_rate(run.config.optimizer, run.model.config, report.step + steps_left)
            run.config = replace(run.config, learning_rate=rate)
        if self._options.get("warmup_steps") is None:
            steps = min(run.config.warmup_steps, choose_warm_up(report.step + steps_left))
            run.config = replace(run.config, warmup_steps=steps)
        if (run.model.config, run.config.learning_rate) == before:
            return ""
        return _tell(expected, self._epochs, run.model.config, run.config.learning_rate)


def _tell(expected: float, planned: float, model: ModelConfig, rate: float) -> str:
    speed = "faster" if expected > planned else "slower"
    return (
        f"{speed} than it was at the start: about {format_epochs(expected)} epochs, not {format_epochs(planned)}; "
        f"going on with dropout {model.dropout:g}, input dropout {model.input_dropout:g}, learning rate {rate:g}"
    )
