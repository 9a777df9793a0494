"""Finds settings that likely hold a model back which an n-gram model clearly beats."""

from __future__ import annotations

from charrnn.analysis.verdict import CLEAR, margin
from charrnn.config import ModelConfig, TrainConfig
from charrnn.hyperparameters import peak_rate
from charrnn.suggest import SIZES
from charrnn.wording import number_of

FAR = 5
"""A learning rate this many times the default is far too high, and a layer this many times smaller than the smallest
default far too small."""


def handicaps(model: ModelConfig, config: TrainConfig, *, steps: int, loss: float, baseline_loss: float) -> list[str]:
    """Describe settings far from charrnn's defaults, if the model is clearly worse than an n-gram model; else none.

    Args:
        model: the model's shape.
        config: how it was trained.
        steps: number of training steps.
        loss: best loss, in nats.
        baseline_loss: loss of an n-gram model on the same text, in nats.
    """
    if loss <= baseline_loss + margin(baseline_loss, CLEAR):
        return []
    found = []
    usual = peak_rate(config.optimizer, model, steps)
    if config.learning_rate >= FAR * usual:
        found.append(
            f"its learning rate of {config.learning_rate:g} is {config.learning_rate / usual:,.0f} times the {usual:g} "
            "that would be chosen for it, which is likely far too high"
        )
    fewest = min(units for units, _, _ in SIZES)
    if FAR * model.hidden_size <= fewest:
        units = number_of(model.hidden_size, "unit")
        found.append(f"a layer of {units} is small, where {fewest} at least would be chosen")
    return found
