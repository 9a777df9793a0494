"""How many epochs a model gets, from the flags that end a training and from the machine's speed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from charrnn.config import ModelConfig, TrainConfig
from charrnn.hyperparameters import wanted_epochs
from charrnn.recall import KEPT
from charrnn.shapes import training_cost

PATIENT_CHARS = 4_500_000
"""Characters to train on, over all epochs and members, where no flag ends the training of a million-character text.

The budget grows with the square root of the text's length: some three minutes for a million characters on two cores,
and an hour for a hundred million, whose model is larger.
"""

SETUP_SECONDS = 5.0
"""Least seconds of a time limit that pass before the first step and after the last."""

PROBE_LANES = {"cpu": 16, "cuda": 32}
"""Batch size with which a machine's speed is measured."""

PROBE_LAYER: dict[str, dict[str, Any]] = {
    "cpu": {"embedding_dim": 64, "hidden_size": 512, "num_layers": 1},
    "cuda": {"embedding_dim": 128, "hidden_size": 512, "num_layers": 1},
}
"""The layer with which a machine's speed is measured: of the size that most texts get."""

FASTEST = 150_000.0
"""Most characters per second of any model: for small models the fixed cost of a step dominates."""

LOOKUP_SPEED = 400_000.0
"""Characters per second that one core looks up for recall in a text longer than `KEPT`, in the shortest stretches. A
GPU waits for it; longer stretches are faster, which the plan takes into account once the training's speed is known."""

TYPICAL_FLOPS = 2e11
"""Training FLOP/s assumed where the speed was not measured: two cores of a recent laptop or server."""


@dataclass(frozen=True, kw_only=True)
class TrainingBudget:
    """The text, machine and flags that a model is chosen for.

    Attributes:
        given: options decided already, by field name of `ModelConfig` and `TrainConfig`.
        train_chars: characters to train on.
        step_chars: characters of a step.
        vocab_size: distinct characters.
        flops: training FLOP/s of this machine, of all processes together.
        processes: number of processes that train together.
        elapsed: seconds of the time limit that are already over.
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
        """Length of a text that leaves `train_chars` at the default `val_fraction`; rules on text length use this."""
        return max(1, round(self.train_chars / (1 - TrainConfig.val_fraction)))

    def planned_epochs(self, model: ModelConfig) -> float:
        """Passes over the training piece until the first of the given limits, or by default where there is none."""
        end = min(self.epochs_by_steps, self.epochs_by_clock(model))
        if end < math.inf:
            return end
        patient = PATIENT_CHARS / model.members * math.sqrt(self.train_chars / 1_000_000) / self.train_chars
        return min(wanted_epochs(self.usual_chars), patient)

    @property
    def epochs_by_steps(self) -> float:
        """Epochs that `--epochs` and `--max-steps` allow; infinity where neither is given."""
        steps = self.given.get("max_steps", math.inf)
        return float(min(self.given.get("epochs", math.inf), steps * self.step_chars / self.train_chars))

    def epochs_by_clock(self, model: ModelConfig) -> float:
        """Epochs that the time limit allows; infinity where there is none."""
        if "time_limit" not in self.given:
            return math.inf
        seconds = max(self.given["time_limit"] - max(SETUP_SECONDS, self.elapsed), 1.0)
        if self.given.get("device") == "cuda":
            fastest = _gpu_speed(model, self.flops)
            if model.recall and self.train_chars > KEPT:
                fastest = min(fastest, self.processes * LOOKUP_SPEED)
        else:
            fastest = self.processes * FASTEST / model.members
        return float(seconds * min(self.flops / training_cost(model), fastest) / self.train_chars)


def _gpu_speed(model: ModelConfig, flops: float) -> float:
    """Most characters per second that a GPU trains on.

    A layer smaller than `PROBE_LAYER` is no faster: a step of it takes as long.
    """
    return flops / (model.members * training_cost(replace(model.member, **PROBE_LAYER["cuda"])))
