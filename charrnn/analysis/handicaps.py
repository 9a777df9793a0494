"""What likely holds a model back that an n-gram model clearly beats: as far as its settings tell."""

from __future__ import annotations

from charrnn.analysis.verdict import CLEAR, margin
from charrnn.config import ModelConfig, TrainConfig
from charrnn.regimen import peak_rate
from charrnn.suggest import SIZES
from charrnn.wording import number_of

FAR = 5
"""How many times the learning rate that would be chosen is far too high, and which fraction of the fewest units that
would be chosen is far too few."""


def handicaps(model: ModelConfig, config: TrainConfig, *, steps: int, loss: float, yardstick: float) -> list[str]:
    """Name settings that are far from what charrnn would choose, of a model that is clearly behind an n-gram model.

    Args:
        model: its shape.
        config: how it was trained.
        steps: that it made.
        loss: its best loss, in nats.
        yardstick: an n-gram model's on the same text.
    """
    if loss <= yardstick + margin(yardstick, CLEAR):
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
