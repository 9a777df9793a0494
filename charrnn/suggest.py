"""Choosing what no flag decides: the model and its training, from the text, the machine and the time given.

The figures are starting points from trials on two processor cores, on texts of 20 kB to 1 MB. What was tried is in
`tests/benchmarks/RECIPES.md`. A flag always wins, and later choices take earlier ones, flags included, into account.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from charrnn.config import ModelConfig, TrainConfig, check_options

LEARNING_RATES = {"adamw": 4e-3, "adam": 4e-3, "rmsprop": 2e-3, "sgd": 0.5}
"""Peak rates for a hidden size of 512; see `_learning_rate`."""

MIN_WINDOWS = 4
"""Windows that a lane should at least hold, so that carrying the state on means something."""


@dataclass(frozen=True)
class Suggestion:
    """What was chosen, and why in one line."""

    model: ModelConfig
    training: TrainConfig
    reason: str


def suggest(flags: Mapping[str, Any], *, num_chars: int, vocab_size: int) -> Suggestion:
    """Choose a model and its training.

    Args:
        flags: what the user decided, by field name of `ModelConfig` and `TrainConfig`; None or absent: not decided.
        num_chars: characters of the whole text.
        vocab_size: distinct characters.

    Raises:
        ConfigError: a flag is out of its range.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    check_options(given)
    model = ModelConfig(**{**_model_defaults(num_chars, vocab_size, given), **_of(ModelConfig, given)})
    training = TrainConfig(**{**_training_defaults(num_chars, model, given), **_of(TrainConfig, given)})
    return Suggestion(model, training, _reason(num_chars, training))


def _of(config_type: type[ModelConfig] | type[TrainConfig], given: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(config_type)}
    return {name: value for name, value in given.items() if name in names}


def _model_defaults(num_chars: int, vocab_size: int, given: Mapping[str, Any]) -> dict[str, Any]:
    hidden_size, num_layers, dropout = _capacity(num_chars, given.get("time_limit"))
    return {
        "vocab_size": vocab_size,
        "cell": "lstm",
        "hidden_size": hidden_size,
        "num_layers": num_layers,
        "embedding_dim": 64 if vocab_size <= 512 else 128,
        "dropout": dropout,
    }


def _capacity(num_chars: int, seconds: float | None) -> tuple[int, int, float]:
    """Hidden size, layers and dropout: more for a longer text, less where there is no time to train them."""
    if seconds is not None and seconds < 45:
        return 256, 1, 0.1 if num_chars > 500_000 else 0.3
    if num_chars < 60_000:
        return 256, 1, 0.4
    if num_chars < 400_000:
        return 384, 1, 0.35
    if num_chars < 4_000_000 or (seconds is not None and seconds < 1200):
        return 512, 1, 0.2 if num_chars < 4_000_000 else 0.0
    return 512, 2, 0.1


def _training_defaults(num_chars: int, model: ModelConfig, given: Mapping[str, Any]) -> dict[str, Any]:
    seq_len = given.get("seq_len", 64)
    train_chars = num_chars * (1 - given.get("val_fraction", 0.1))
    choices: dict[str, Any] = {
        "batch_size": max(1, min(32, int(train_chars) // (MIN_WINDOWS * seq_len))),
        "seq_len": seq_len,
        "learning_rate": _learning_rate(given.get("optimizer", "adamw"), model),
        "threads": 1,
    }
    if not any(name in given for name in ("epochs", "max_steps", "time_limit")):
        choices["epochs"] = _epochs(num_chars)
        choices["patience"] = 8
        choices["evaluations"] = _evaluations(choices["epochs"], given.get("val_fraction", 0.1))
    elif "epochs" in given:
        choices["evaluations"] = _evaluations(given["epochs"], given.get("val_fraction", 0.1))
    return choices


def _epochs(num_chars: int) -> float:
    """Passes over the text: 9 for a million characters, and more of fewer."""
    epochs = 9 * math.sqrt(1_000_000 / num_chars)
    return min(60.0, float(round(epochs))) if epochs >= 2 else round(epochs, 1)


def _evaluations(epochs: float, val_fraction: float) -> int:
    """How often an evaluation, which costs a quarter of a training pass over its piece, stays below 4 %."""
    return int(max(4, min(40, 0.16 * epochs * (1 - val_fraction) / val_fraction)))


def _learning_rate(optimizer: str, model: ModelConfig) -> float:
    """The peak rate: lower for wider and deeper models, and for cells without gates."""
    rate = LEARNING_RATES[optimizer] * min(2.0, math.sqrt(512 / model.hidden_size)) / math.sqrt(model.num_layers)
    if model.cell in ("rnn", "rnn-relu"):
        rate /= 4
    return float(f"{rate:.2g}")


def _reason(num_chars: int, training: TrainConfig) -> str:
    if training.time_limit is not None:
        return f"for {num_chars:,} characters and {training.time_limit:g} s"
    if training.max_steps is not None:
        return f"for {num_chars:,} characters and {training.max_steps:,} steps"
    return f"for {num_chars:,} characters, {training.epochs:g} epochs"
