"""How many passes over its text a model gets, by the flags that end a training and by the machine's speed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from charrnn.config import ModelConfig, TrainConfig
from charrnn.regimen import wanted_epochs
from charrnn.shapes import training_cost

PATIENT_CHARS = 4_500_000
"""Characters to train on, over all epochs and members, where no flag ends the training and the text has a million.

It grows with the square root of the text's length: some three minutes for a million characters on two cores, and an
hour for a hundred million, whose model is larger.
"""

SETUP_SECONDS = 5.0
"""What a time limit loses before the first step and after the last, at least."""

PROBE_LANES = {"cpu": 16, "cuda": 32}
"""Lanes with which a machine's speed is measured."""

PROBE_LAYER: dict[str, dict[str, Any]] = {
    "cpu": {"embedding_dim": 64, "hidden_size": 512, "num_layers": 1},
    "cuda": {"embedding_dim": 128, "hidden_size": 512, "num_layers": 1},
}
"""The layer with which it is measured: of the size that most texts get."""

FASTEST = 150_000.0
"""Characters per second that no model trains faster than: below some size, what a step costs in any case decides."""

TYPICAL_FLOPS = 2e11
"""Training arithmetic per second where it was not measured: two cores of a recent laptop or server."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a model is chosen for.

    Attributes:
        given: what is decided already, by field name of `ModelConfig` and `TrainConfig`.
        train_chars: characters to train on.
        step_chars: of a step.
        vocab_size: distinct characters.
        flops: training arithmetic per second here.
        processes: that do it together.
        elapsed: seconds of a time limit that are over.
    """

    given: Mapping[str, Any]
    train_chars: float
    step_chars: float
    vocab_size: int
    flops: float
    processes: int
    elapsed: float

    @property
    def usual_chars(self) -> int:
        """Length of a text whose default share would leave `train_chars`: what rules on a text's length go by."""
        return max(1, round(self.train_chars / (1 - TrainConfig.val_fraction)))

    def planned_epochs(self, model: ModelConfig) -> float:
        """Passes over the training piece until the first of the ends that are given."""
        end = min(self.epochs_by_steps, self.epochs_by_clock(model))
        if end < math.inf:
            return end
        patient = PATIENT_CHARS / model.members * math.sqrt(self.train_chars / 1_000_000) / self.train_chars
        return min(wanted_epochs(self.usual_chars), patient)

    @property
    def epochs_by_steps(self) -> float:
        """Passes that `--epochs` and `--max-steps` allow; infinity where neither is given."""
        steps = self.given.get("max_steps", math.inf)
        return float(min(self.given.get("epochs", math.inf), steps * self.step_chars / self.train_chars))

    def epochs_by_clock(self, model: ModelConfig) -> float:
        """Passes that there is time for; infinity where no time is given."""
        if "time_limit" not in self.given:
            return math.inf
        seconds = max(self.given["time_limit"] - max(SETUP_SECONDS, self.elapsed), 1.0)
        fastest = self.processes * FASTEST / model.members
        if self.given.get("device") == "cuda":
            fastest = _gpu_speed(model, self.flops)
        return float(seconds * min(self.flops / training_cost(model), fastest) / self.train_chars)


def _gpu_speed(model: ModelConfig, flops: float) -> float:
    """Characters per second that a GPU trains on at most.

    A smaller layer takes it as many steps as the one that was measured, and each takes as long.
    """
    return flops / (model.members * training_cost(replace(model.member, **PROBE_LAYER["cuda"])))
