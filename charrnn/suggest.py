"""Choosing the options of model and training that no flag decides, from the text, the machine and the time given.

Two rules decide most of it: a model should be trained for a certain number of epochs, more for a short text, and the
more epochs it gets, the more dropout it needs. The figures come from trials on two processor cores, on texts of 16,000
to 1.1 million characters: `tests/benchmarks/RECIPES.md`. A flag always wins.

With a time limit the choice depends on the machine's speed, as the training itself does. Without one it depends on the
text alone, so that the same seed gives the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from charrnn.budget import PROBE_LANES, TYPICAL_FLOPS, TrainingBudget
from charrnn.config import EVALUATED_SHARE, ModelConfig, TrainConfig, check_options
from charrnn.hyperparameters import (
    FEWEST_BY_TIME,
    MIN_WINDOWS,
    MOST_EVALUATIONS,
    choose_dropout,
    choose_evaluated,
    choose_evaluations,
    choose_layer_norm,
    choose_patience,
    choose_recall,
    choose_rewind_after,
    choose_stretch,
    choose_warm_up,
    choose_weight_decay,
    peak_rate,
    wanted_epochs,
)


@dataclass(frozen=True)
class Size:
    """The size of a model to choose from.

    Attributes:
        hidden_size: units of a layer.
        num_layers: layers.
        worth_chars: characters to train on, over all epochs, from which the model is worth its cost.
    """

    hidden_size: int
    num_layers: int
    worth_chars: int


SIZES = (
    Size(128, 1, worth_chars=0),
    Size(256, 1, worth_chars=500_000),
    Size(384, 1, worth_chars=1_500_000),
    Size(512, 1, worth_chars=2_200_000),
    Size(512, 2, worth_chars=15_000_000),
)
"""Models to choose from, the smallest first."""

GPU_SIZES = (*SIZES, Size(1024, 2, worth_chars=60_000_000))
"""Models to choose from on a GPU; their hidden and input sizes are multiples of 128.

PyTorch requires these sizes for cuDNN's persistent kernels unless the layer is small, and also float16 and a batch size
that is a multiple of 8 and at most 128 (`get_algo` in its aten/src/ATen/native/cudnn/RNN.cpp). The last one was chosen
without a trial, and the others without a trial on a GPU.
"""

NUM_SIZES = ((60_000, 2), (400_000, 3), (8_000_000, 4), (math.inf, 6))
"""(characters, count): for a shorter text only the first `count` sizes are considered: larger ones would overfit."""

MEMBERS = ((4, 0.7), (2, 0.35))
"""Numbers of members to choose from, and the share of the wanted epochs that each member must get: two members that are
trained a little less are better than one, and four better than two."""

ENOUGH_EPOCHS = 0.5
"""Share of the wanted epochs from which a model is worth its cost even where the text is short."""

SEQ_LEN = 64
"""Characters of a window of truncated BPTT."""

LANES = {
    "cpu": ((60_000, 8), (math.inf, 16)),
    "cuda": ((60_000, 16), (4_000_000, 32), (math.inf, 128)),
}
"""(characters, batch size) for shorter texts. Batches are small, since more updates pay more than larger ones. On a GPU
a step of up to 128 lanes takes as long as one of 16, so a large text, which gets an epoch or two, has 128."""

LANES_OF_A_PROCESS = {"cpu": 8, "cuda": 16}
"""Least number of lanes of each of several processes: with fewer, a process waits more than it computes."""

MOST_LANES = 512


@dataclass(frozen=True)
class Suggestion:
    """The chosen configs, and the planned number of epochs."""

    model: ModelConfig
    training: TrainConfig
    epochs: float


def suggest(
    flags: Mapping[str, Any],
    *,
    num_chars: int,
    vocab_size: int,
    train_chars: float | None = None,
    flops: float = TYPICAL_FLOPS,
    mean_line: float | None = None,
    num_lines: int | None = None,
    processes: int = 1,
    elapsed: float = 0.0,
) -> Suggestion:
    """Choose the configs of a model and its training.

    Args:
        flags: options that the user set, by field name of `ModelConfig` and `TrainConfig`; None or absent: not set.
        num_chars: characters of the whole text.
        vocab_size: distinct characters.
        train_chars: characters to train on; None: the share that `val_fraction` leaves. The share differs where lines
            of very different lengths are held out.
        flops: training FLOP/s of this machine, as `training_cost` counts them, for planning with a time limit.
        mean_line: mean length of a line in characters, where each line is a text of its own; else None.
        num_lines: lines to train on, where each is a text of its own; else None.
        processes: number of processes that share the lanes.
        elapsed: seconds of the time limit that are already over, as reading from a slow pipe takes time.

    Raises:
        ConfigError: a flag is out of its range.
    """
    given = _complete(flags, has_lines=mean_line is not None)
    train_chars = num_chars * (1 - given["val_fraction"]) if train_chars is None else train_chars
    device = given.get("device", TrainConfig.device)
    lanes = _batch_size(train_chars, given["seq_len"], mean_line, num_lines, device, processes)
    given = {"batch_size": lanes, **given}
    step_chars = _step_chars(given["batch_size"], given["seq_len"], train_chars, mean_line)
    if device == "cuda":  # where a step takes as long with more lanes a process, up to a limit
        flops *= min(given["batch_size"] / processes, LANES["cuda"][-1][1]) / PROBE_LANES["cuda"]
    budget = TrainingBudget(
        given=given, train_chars=train_chars, step_chars=step_chars, vocab_size=vocab_size, flops=flops,
        processes=processes, elapsed=elapsed,
    )  # fmt: skip
    model, epochs = _choose_model(budget)
    held_out = num_chars - train_chars or EVALUATED_SHARE * num_chars
    training = TrainConfig(**{**_training_defaults(budget, model, epochs, held_out), **_fields_of(TrainConfig, given)})
    return Suggestion(model, training, epochs)


def may_be_ensemble(flags: Mapping[str, Any]) -> bool:
    """Whether an ensemble may be chosen: not where the user set the shape of a network but no number of members."""
    members = flags.get("members")
    if members is not None:
        return bool(members > 1)
    return flags.get("hidden_size") is None and flags.get("num_layers") is None


def _complete(flags: Mapping[str, Any], *, has_lines: bool) -> dict[str, Any]:
    """The options that the user set, checked, with those on which the choice of the others depends."""
    given = {name: value for name, value in flags.items() if value is not None}
    check_options(given)
    given |= choose_recall(given, has_lines=has_lines)
    return {"seq_len": SEQ_LEN, "val_fraction": TrainConfig.val_fraction, **given}


def _choose_model(budget: TrainingBudget) -> tuple[ModelConfig, float]:
    """Choose the largest model that is worth its cost, and the number of its epochs."""
    given = budget.given
    count = next(count for limit, count in NUM_SIZES if budget.usual_chars < limit)
    sizes = GPU_SIZES if given.get("device") == "cuda" else SIZES
    for size in reversed(sizes[:count]):
        model = _model_of(size, budget)
        if _is_worth_its_cost(size, model, budget):
            break  # else the smallest is taken, which comes last
    model = replace(model, members=_choose_members(budget, model))
    epochs = budget.planned_epochs(model)
    shares = {**choose_dropout(epochs, model.hidden_size), **given}
    return replace(model, dropout=shares["dropout"], input_dropout=shares["input_dropout"]), epochs


def _model_of(size: Size, budget: TrainingBudget) -> ModelConfig:
    """The model of a size, but for what flags decide otherwise; with one member, and without dropout."""
    given, vocab_size = budget.given, budget.vocab_size
    options = {
        "cell": "lstm",
        "hidden_size": size.hidden_size,
        "num_layers": size.num_layers,
        "embedding_dim": 128 if vocab_size > 512 or given.get("device") == "cuda" else 64,
        **_fields_of(ModelConfig, given),
    }
    model = ModelConfig(vocab_size=vocab_size, **options)
    return replace(model, layer_norm=choose_layer_norm(given, model.hidden_size))


def _is_worth_its_cost(size: Size, model: ModelConfig, budget: TrainingBudget) -> bool:
    """Whether there is time for enough epochs of a model, or for all that the flags ask for."""
    enough = min(ENOUGH_EPOCHS * wanted_epochs(budget.usual_chars), size.worth_chars / budget.train_chars)
    return budget.epochs_by_clock(model) >= min(enough, budget.epochs_by_steps)


def _choose_members(budget: TrainingBudget, model: ModelConfig) -> int:
    """Choose as many members as there is time for; one where `may_be_ensemble` is false."""
    given = budget.given
    if "members" in given:
        return int(given["members"])
    if not may_be_ensemble(given):
        return 1
    for count, share in MEMBERS if "time_limit" in given else MEMBERS[1:]:
        if budget.planned_epochs(replace(model, members=count)) >= share * wanted_epochs(budget.usual_chars):
            return count
    return 1


def _training_defaults(budget: TrainingBudget, model: ModelConfig, epochs: float, held_out: float) -> dict[str, Any]:
    """Choose the options of the training that follow from its length, which flags may override."""
    given, train_chars = budget.given, budget.train_chars
    optimizer, steps = given.get("optimizer", TrainConfig.optimizer), epochs * train_chars / budget.step_chars
    choices: dict[str, Any] = {
        "learning_rate": peak_rate(optimizer, model, steps),
        "weight_decay": choose_weight_decay(optimizer),
        "warmup_steps": choose_warm_up(steps),
        "stretch": choose_stretch(train_chars, epochs, given["seq_len"]),
        "evaluated": choose_evaluated(train_chars, epochs, held_out),
    }
    if "time_limit" in given:
        usual = FEWEST_BY_TIME * epochs / wanted_epochs(budget.usual_chars)  # for a short text, one every two epochs
        choices["evaluations"] = round(min(MOST_EVALUATIONS, max(FEWEST_BY_TIME, usual)))
    else:
        choices["evaluations"] = choose_evaluations(epochs * train_chars, min(held_out, choices["evaluated"]))
    choices["rewind_after"] = choose_rewind_after(
        steps, choices["evaluations"], given.get("evaluate_every"), steps / epochs, given.get("patience")
    )
    if not any(name in given for name in ("epochs", "max_steps", "time_limit")):
        choices["epochs"] = float(f"{epochs:.2g}")
        choices["patience"] = choose_patience(choices["rewind_after"])
    return choices


def _batch_size(
    train_chars: float, seq_len: int, mean_line: float | None, num_lines: int | None, device: str, processes: int
) -> int:
    """Choose the batch size: as in `LANES`, larger for many processes, smaller where lanes would be too short.

    Lines that are texts of their own are shorter than windows, so there are more lanes then, but with half as many
    characters in a step: lines of all lengths have to be seen often.
    """
    most = next(lanes for limit, lanes in LANES[device] if train_chars < limit)
    longest = train_chars / (MIN_WINDOWS * seq_len)
    if mean_line is not None:
        line = min(mean_line, seq_len)
        most, longest = round(most * SEQ_LEN / line / 2), train_chars / (MIN_WINDOWS * line)
    if processes > 1:
        most = max(most, LANES_OF_A_PROCESS[device] * processes)
    lanes = int(max(1, min(most, MOST_LANES, longest, num_lines or MOST_LANES)))
    return _suited_to_gpus(lanes, processes) if device == "cuda" else lanes


def _suited_to_gpus(lanes: int, processes: int) -> int:
    """Lower a batch size so that each process has as many lanes as cuDNN's persistent kernels take; see `GPU_SIZES`."""
    each = min(lanes // processes, LANES["cuda"][-1][1])
    return each // 8 * 8 * processes if each >= 8 else lanes


def _step_chars(lanes: int, seq_len: int, train_chars: float, mean_line: float | None) -> float:
    """Mean number of characters of a step: the last window of a line or a lane is shorter than `seq_len`."""
    length = mean_line or math.ceil(train_chars / lanes)
    return lanes * length / math.ceil(length / seq_len)


def _fields_of(config_type: type[ModelConfig] | type[TrainConfig], given: Mapping[str, Any]) -> dict[str, Any]:
    """The options in `given` that are fields of a config."""
    names = {field.name for field in fields(config_type)}
    return {name: value for name, value in given.items() if name in names}
