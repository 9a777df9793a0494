"""How a model is to be trained that passes over its text so many times, in so many updates.

What is hidden from it, how fast it learns, how long it reads on in one place, how often it is evaluated, and of the
model whether its layers are normalised and how far it recalls: whatever no flag decides. The figures come from trials:
`tests/benchmarks/RECIPES.md`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from charrnn.config import EVALUATION_SHARE, MOST_EVALUATED, ModelConfig
from charrnn.errors import ConfigError

DROPOUT, INPUT_DROPOUT = 0.36, 0.1
"""Shares of values and of characters that are hidden where a model passes over its text `MANY_EPOCHS` times or more."""

MANY_EPOCHS = 16
"""Beyond, hiding more takes more than it gives."""

LEARNING_RATES = {"adamw": 3.5e-3, "adam": 3.5e-3, "rmsprop": 2e-3, "sgd": 0.5}
"""Peak rates for a hidden size of 512 and updates without hurry; see `peak_rate`."""

DECOUPLED_DECAY = 0.01
"""Weight decay for AdamW. The others add decay to the gradient (L2), where this much would shrink the weights far more;
they get none."""

HASTE = ((6000, 1.6), (600, 1.5))
"""With fewer updates than these the rate grows with the square root of the shortfall, up to these factors, one upon the
other: few steps must be longer ones, and very few much longer."""

HEAD_START_RATE = 0.5
"""Factor on the peak rate where the weights are those of a trained model: more forgets, less learns too slowly."""

LONGEST_WARM_UP, WARM_UP_SHARE = 100, 0.1
"""Steps over which the rate rises, and their share of all where these are few: a rise that is never over costs a short
training more than too high a rate at its beginning."""

STRETCHES = ((0.5, 256), (5.0, 512), (math.inf, 2048))
"""Characters that a lane is read on end where a text is passed over less often than this.

The less of it is read, the more it matters that this comes from all over it; from a model that passes over it many
times, short stretches take a little.
"""

SHORT_TEXT, SHORT_STRETCH = 500_000, 512
"""Texts of fewer characters than this are read in stretches of this length, however often: lanes are short there."""

RECALL = 16384
"""Characters back in which a model looks up what followed the last few, but where each line is a text of its own."""

MIN_WINDOWS = 4
"""Windows that a lane should at least hold, so that carrying the state on means something."""

FORWARD_SPEED = 3.5
"""Characters that are evaluated in the time that it takes to train on one."""

ONE_EVALUATION_SHARE = 0.02
"""Share of a training's time that one evaluation may take: the last, and that in cold windows, come on top."""

LEAST_EVALUATED = 1 << 15
"""Characters that are evaluated in any case: fewer would tell too little."""

MOST_EVALUATIONS = 1000
"""Of a training, were they evenly spread. Each is kept in the checkpoint."""

EARLY_SHARE = 0.02
"""Where `MOST_EVALUATIONS` are affordable, the next one comes after this share of the time trained so far, if that is
sooner than even spacing: a short text is overfitted early, and the best weights must be found before that."""

FEWEST_BY_STEPS = 4
"""Evaluations, at least, where steps end a training, whatever they cost."""

FEWEST_BY_TIME = 12
"""Evaluations, at least, where the clock ends a training: often enough to see overfitting begin. What they cost is
bounded while it trains."""


def wanted_epochs(num_chars: int) -> float:
    """Passes over a text after which more stop helping: 8 for a million characters, up to 24 for a short one."""
    return min(24.0, 8 * math.pow(1_100_000 / num_chars, 1 / 3))


def choose_evaluations(trained: float, counted: float) -> int:
    """How often a training may be evaluated at a cost near `EVALUATION_SHARE` of it: of a short text about once a pass.

    Args:
        trained: characters that it reads in all.
        counted: characters of an evaluation.
    """
    return int(max(FEWEST_BY_STEPS, min(MOST_EVALUATIONS, EVALUATION_SHARE * FORWARD_SPEED * trained / counted)))


def spacing(trained: float, planned: float, evaluations: int, least: float) -> float:
    """How long a training goes on from one evaluation to the next, in steps or in seconds.

    Args:
        trained: for how long it has gone on.
        planned: how long it takes in all.
        evaluations: how often it is evaluated.
        least: the smallest gap between early ones, used only where there are `MOST_EVALUATIONS` of them.
    """
    evenly = planned / evaluations
    return evenly if evaluations < MOST_EVALUATIONS else min(evenly, max(EARLY_SHARE * trained, least))


def choose_evaluated(train_chars: float, epochs: float, held_out: float) -> int:
    """How many characters an evaluation counts; all, where they are up to twice as many as may be counted.

    Else a power of two, so that runs of one length count the same.
    """
    affordable = max(ONE_EVALUATION_SHARE * FORWARD_SPEED * epochs * train_chars, LEAST_EVALUATED)
    some = 2 ** math.floor(math.log2(affordable))
    return MOST_EVALUATED if held_out <= 2 * some else min(some, MOST_EVALUATED)


def choose_layer_norm(given: Mapping[str, Any], hidden_size: int) -> bool:
    """Choose whether layers are normalised: of a single unit nothing would be left but a constant, of two but one bit.

    Args:
        given: what the user decided, by field name of `ModelConfig`.
        hidden_size: units of a layer.

    Raises:
        ConfigError: the user wants it all the same.
    """
    if given.get("layer_norm") and hidden_size == 1:
        raise ConfigError(
            "--layer-norm makes a constant of a layer of one unit; leave it out, or give --hidden-size 3 or more"
        )
    return bool(given.get("layer_norm", hidden_size > 2))


def choose_recall(given: Mapping[str, Any], *, has_lines: bool) -> dict[str, Any]:
    """Choose how far back is recalled; where nothing is, nothing of it is hidden.

    Args:
        given: what the user decided, by field name of `ModelConfig`.
        has_lines: whether each line is a text of its own.

    Returns:
        `ModelConfig.recall`, and where it is 0 `ModelConfig.recall_dropout`.

    Raises:
        ConfigError: the flags ask for what is not there.
    """
    if given.get("recall") and has_lines:
        raise ConfigError("--recall looks back over lines, and --lines keeps them apart; leave one of them out")
    reach = given.get("recall", 0 if has_lines else RECALL)
    if "recall_dropout" in given and not reach:
        raise ConfigError("--recall-dropout hides what is recalled, and nothing is; leave it out")
    return {"recall": reach} if reach else {"recall": 0, "recall_dropout": 0.0}


def choose_dropout(epochs: float, model: ModelConfig) -> dict[str, float]:
    """Hide more from a model that passes over its text more often; less from one of few units, which cannot overfit.

    Args:
        epochs: passes over the text.
        model: of any shares.

    Returns:
        `ModelConfig.dropout` and `ModelConfig.input_dropout`.
    """
    share = math.log(min(max(epochs, 1.0), MANY_EPOCHS)) / math.log(MANY_EPOCHS)
    small = min(1.0, model.hidden_size / 128)
    return {
        "dropout": round(DROPOUT * share**2.3 * small, 3),
        "input_dropout": round(INPUT_DROPOUT * share**3.3 * small, 3),
    }


def choose_stretch(train_chars: float, epochs: float, seq_len: int) -> int:
    """Characters to read on end: at least some windows, or a model would learn to mind no state.

    Args:
        train_chars: of the piece to train on.
        epochs: passes over it.
        seq_len: characters of a window.
    """
    by_epochs = next(length for limit, length in STRETCHES if epochs < limit)
    return max(SHORT_STRETCH if train_chars < SHORT_TEXT else by_epochs, MIN_WINDOWS * seq_len)


def choose_warm_up(steps: float) -> int:
    """Steps over which the rate rises, of a training that is planned to make so many."""
    return min(LONGEST_WARM_UP, math.ceil(WARM_UP_SHARE * steps))


def choose_weight_decay(optimizer: str) -> float:
    """The decay of the matrices for an optimizer."""
    return DECOUPLED_DECAY if optimizer == "adamw" else 0.0


def peak_rate(optimizer: str, model: ModelConfig, steps: float) -> float:
    """The peak rate, whatever the cell: lower for wider and deeper models, higher for few updates of Adam.

    Args:
        optimizer: its name.
        model: of any shape.
        steps: updates that the training is planned to make.
    """
    rate = LEARNING_RATES[optimizer] * min(2.0, math.sqrt(512 / model.hidden_size)) / math.sqrt(model.num_layers)
    if optimizer in ("adamw", "adam"):
        for unhurried, most in HASTE:
            rate *= min(max(1.0, math.sqrt(unhurried / max(steps, 1.0))), most)
    return float(f"{rate:.2g}")
