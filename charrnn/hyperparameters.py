"""Training hyperparameters that no flag decides, given the numbers of epochs and updates.

They are dropout, learning rate, weight decay, stretch length and the number of evaluations, and of the model layer
normalisation and recall. The figures come from trials: `tests/benchmarks/RECIPES.md`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from charrnn.config import EVALUATION_SHARE, MOST_EVALUATED, ModelConfig, TrainConfig
from charrnn.errors import ConfigError

DROPOUT, INPUT_DROPOUT = 0.36, 0.1
"""Dropout of values and of input characters for a model that is trained for `MANY_EPOCHS` epochs or more."""

MANY_EPOCHS = 16
"""Epochs beyond which more dropout costs more than it gains."""

LEARNING_RATES = {"adamw": 3.5e-3, "adam": 3.5e-3, "rmsprop": 2e-3, "sgd": 0.5}
"""Peak learning rates for a hidden size of 512 and many updates; see `peak_rate`."""

DECOUPLED_DECAY = 0.01
"""Weight decay for AdamW. The others add the decay to the gradient (L2), where this value would shrink the weights far
more; they get none."""

FEW_UPDATES = ((6000, 1.6), (600, 1.5))
"""(updates, largest factor): with fewer updates, the peak rate grows with the square root of the shortfall, up to the
factor. The factors multiply: few steps must be larger ones, and very few much larger ones."""

HEAD_START_RATE = 0.5
"""Factor on the peak rate where training starts from trained weights: with more they forget, with less they learn too
slowly."""

LONGEST_WARM_UP, WARM_UP_SHARE = 100, 0.1
"""Most warm-up steps, and their largest share of all steps: a short training loses more by a warm-up that does not end
than by too high an initial rate."""

STRETCHES = ((0.5, 256), (5.0, 512), (math.inf, 2048))
"""(epochs, characters): how many consecutive characters a lane reads where training takes fewer epochs than this.

The less of a text is read, the more it matters that the parts come from all over it. With many epochs, short stretches
cost a little.
"""

SHORT_TEXT, SHORT_STRETCH = 500_000, 512
"""Texts of fewer characters than this get this stretch length for any number of epochs, since their lanes are short."""

RECALL = 16384
"""Default of `ModelConfig.recall`, except where each line is a text of its own."""

MIN_WINDOWS = 4
"""Least number of windows in a lane, so that carrying the hidden state matters."""

FORWARD_SPEED = 3.5
"""Speed of evaluation relative to training, in characters per second."""

ONE_EVALUATION_SHARE = 0.02
"""Share of the training time that one evaluation may take. The last one, and that in cold windows, are not counted."""

LEAST_EVALUATED = 1 << 15
"""Least number of characters that an evaluation counts: fewer would tell too little."""

MOST_EVALUATIONS = 1000
"""Most evaluations of a training, if evenly spaced. Each is kept in the checkpoint."""

EARLY_SHARE = 0.02
"""Where `MOST_EVALUATIONS` are affordable, the next comes after this share of the training so far, if sooner than by
even spacing: a model overfits a short text early, and an evaluation must find the best weights before that."""

FEWEST_BY_STEPS = 4
"""Least number of evaluations where steps end a training, whatever they cost."""

FEWEST_BY_TIME = 12
"""Least number of evaluations where the clock ends a training: enough to see overfitting begin. Their cost is bounded
during training."""

PATIENCE = 8
"""Evaluations without a gain after which a training ends whose end is not given, at their default distance."""


def wanted_epochs(num_chars: int) -> float:
    """Epochs after which more stop helping: 8 for a million characters, up to 24 for a short text."""
    return min(24.0, 8 * math.pow(1_100_000 / num_chars, 1 / 3))


def choose_evaluations(trained: float, counted: float) -> int:
    """Number of evaluations that cost about `EVALUATION_SHARE` of a training: about one an epoch for a short text.

    Args:
        trained: characters that the training reads in all epochs.
        counted: characters of an evaluation.
    """
    return int(max(FEWEST_BY_STEPS, min(MOST_EVALUATIONS, EVALUATION_SHARE * FORWARD_SPEED * trained / counted)))


def choose_rewind_after(
    steps: float, evaluations: int, evaluate_every: int | None, steps_per_epoch: float, patience: int | None = None
) -> int:
    """Choose after how many evaluations without a gain training goes back to the best weights.

    That is 3 or, where the user has them closer together than by default, as many as come in the same time: where they
    are close together, chance alone decides on most. A given patience is not reached before.

    Args:
        steps: length of the training.
        evaluations: number that is chosen for it.
        evaluate_every: steps between two of them if the user sets it, else None.
        steps_per_epoch: steps of a pass over the text.
        patience: `TrainConfig.patience` if the user sets it, else None.
    """
    usual = TrainConfig.rewind_after
    if evaluate_every is None:
        return usual
    in_the_same_time = usual * spacing(0, steps, evaluations, steps_per_epoch) / evaluate_every
    most = math.inf if patience is None else usual * patience / PATIENCE
    return max(usual, round(min(in_the_same_time, most)))


def choose_patience(rewind_after: int) -> int:
    """Choose `TrainConfig.patience` for a training whose end is not given."""
    return round(PATIENCE * rewind_after / TrainConfig.rewind_after)


def spacing(trained: float, planned: float, evaluations: int, least: float) -> float:
    """Distance from one evaluation to the next, in steps or in seconds.

    Args:
        trained: length of the training so far.
        planned: length of the whole training.
        evaluations: number of evaluations in all.
        least: smallest distance between early evaluations, used only where there are `MOST_EVALUATIONS`.
    """
    evenly = planned / evaluations
    return evenly if evaluations < MOST_EVALUATIONS else min(evenly, max(EARLY_SHARE * trained, least))


def choose_evaluated(train_chars: float, epochs: float, held_out: float) -> int:
    """Choose `TrainConfig.evaluated`, the most characters that an evaluation counts.

    That is the default, `MOST_EVALUATED`, unless evaluations of half the held-out piece would take too much of the
    time. Then it is a power of two, so that runs of similar length count the same characters.

    Args:
        train_chars: characters to train on.
        epochs: passes over them.
        held_out: characters of the held-out piece.
    """
    affordable = max(ONE_EVALUATION_SHARE * FORWARD_SPEED * epochs * train_chars, LEAST_EVALUATED)
    rounded = 2 ** math.floor(math.log2(affordable))
    return MOST_EVALUATED if held_out <= 2 * rounded else min(rounded, MOST_EVALUATED)


def choose_layer_norm(given: Mapping[str, Any], hidden_size: int) -> bool:
    """Choose whether layers are normalised: a single unit would become a constant, and two would carry one bit.

    Args:
        given: options that the user set, by field name of `ModelConfig`.
        hidden_size: units of a layer.

    Raises:
        ConfigError: the user asks for the normalisation of a single unit.
    """
    if given.get("layer_norm") and hidden_size == 1:
        raise ConfigError(
            "--layer-norm makes a constant of a layer of one unit; leave it out, or give --hidden-size 3 or more"
        )
    return bool(given.get("layer_norm", hidden_size > 2))


def choose_recall(given: Mapping[str, Any], *, has_lines: bool) -> dict[str, Any]:
    """Choose how far back the model recalls; without recall, its dropout is 0.

    Args:
        given: options that the user set, by field name of `ModelConfig`.
        has_lines: whether each line is a text of its own.

    Returns:
        `ModelConfig.recall`, and where it is 0 also `ModelConfig.recall_dropout`.

    Raises:
        ConfigError: the flags ask for recall over separate lines, or for its dropout without recall.
    """
    if given.get("recall") and has_lines:
        raise ConfigError("--recall looks back over lines, and --lines keeps them apart; leave one of them out")
    reach = given.get("recall", 0 if has_lines else RECALL)
    if "recall_dropout" in given and not reach:
        raise ConfigError("--recall-dropout hides what is recalled, and nothing is; leave it out")
    return {"recall": reach} if reach else {"recall": 0, "recall_dropout": 0.0}


def choose_dropout(epochs: float, hidden_size: int) -> dict[str, float]:
    """Choose more dropout for more epochs, and less for a model of few units, which cannot overfit.

    Args:
        epochs: passes over the text.
        hidden_size: units of a layer.

    Returns:
        `ModelConfig.dropout` and `ModelConfig.input_dropout`.
    """
    share = math.log(min(max(epochs, 1.0), MANY_EPOCHS)) / math.log(MANY_EPOCHS)
    small = min(1.0, hidden_size / 128)
    return {
        "dropout": round(DROPOUT * share**2.3 * small, 3),
        "input_dropout": round(INPUT_DROPOUT * share**3.3 * small, 3),
    }


def choose_stretch(train_chars: float, epochs: float, seq_len: int) -> int:
    """Choose `TrainConfig.stretch`: at least `MIN_WINDOWS` windows, or the model would learn to ignore its state.

    Args:
        train_chars: of the piece to train on.
        epochs: passes over it.
        seq_len: characters of a window.
    """
    by_epochs = next(length for limit, length in STRETCHES if epochs < limit)
    return max(SHORT_STRETCH if train_chars < SHORT_TEXT else by_epochs, MIN_WINDOWS * seq_len)


def choose_warm_up(steps: float) -> int:
    """Choose the warm-up steps, given the planned steps of the training."""
    return min(LONGEST_WARM_UP, math.ceil(WARM_UP_SHARE * steps))


def choose_weight_decay(optimizer: str) -> float:
    """Choose the weight decay for an optimizer."""
    return DECOUPLED_DECAY if optimizer == "adamw" else 0.0


def peak_rate(optimizer: str, model: ModelConfig, steps: float) -> float:
    """The peak learning rate for any cell: lower for wider and deeper models, higher for few updates of Adam or AdamW.

    Args:
        optimizer: its name.
        model: its config.
        steps: planned updates of the training.
    """
    rate = LEARNING_RATES[optimizer] * min(2.0, math.sqrt(512 / model.hidden_size)) / math.sqrt(model.num_layers)
    if optimizer in ("adamw", "adam"):
        for unhurried, most in FEW_UPDATES:
            rate *= min(max(1.0, math.sqrt(unhurried / max(steps, 1.0))), most)
    return float(f"{rate:.2g}")
