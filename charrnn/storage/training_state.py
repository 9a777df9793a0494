"""Checks of a checkpoint's training state, from which a training resumes.

The state comes from an untrusted file. If it passes these checks, and those of the resumed run against its text and its
device, it neither fails later in mid-training nor corrupts the results. Tensors are numpy arrays here.
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from charrnn.cell_types import CELLS
from charrnn.config import ModelConfig
from charrnn.errors import CheckpointError
from charrnn.shapes import MOMENTS, optimized_shapes, parameter_shapes
from charrnn.storage.archive import Checkpoint
from charrnn.storage.header import LARGEST_NUMBER, is_count

FIGURES = ("step", "first_step", "evaluation_seconds", "rewinds", "cold_loss")
"""Attributes of a run that its state holds unchanged."""

_PARTS = (
    *FIGURES, "weights", "optimizer", "state", "seconds", "set_up_seconds", "learning_rate", "lanes", "pace", "health",
    "random_state", "cuda_random_state",
)  # fmt: skip
"""Keys of every state; some also have "other_ranks" or "beginning"."""

_LANES_COUNTS = ("epoch", "index")
_PACE_COUNTS = ("steps", "chars", "clipped", "step", "stale")
_HEALTH_COUNTS = ("skipped", "skipped_in_row", "recoveries", "tries", "recovered_at", "steps")

LARGEST_LOSS_SUM = 1e30
"""Limit that no sum of sound losses reaches; see `charrnn.training.health.LARGEST_LOSS`."""


@contextlib.contextmanager
def translate_state_errors(path: str) -> Iterator[None]:
    """Add the file's name and advice to the error where a training state is refused.

    Raises:
        CheckpointError: the state is refused.
    """
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(
            f"{path}: its training state is damaged, or of a later version ({error}); train again"
        ) from None


def check_state(stored: Checkpoint) -> None:
    """Refuse a checkpoint whose training state cannot come from a training of its model.

    Args:
        stored: read with its training state, which should be from `TrainingRun.state_dict`, with tensors as arrays.

    Raises:
        CheckpointError: a part is missing, has the wrong shape or is not finite, or counts contradict each other.
    """
    state, model, config = stored.training, stored.model, stored.train_config
    _check_figures(state)
    _check_pace(state["pace"], len(stored.history))
    _check_arrays("weights", state["weights"], parameter_shapes(model))
    if "beginning" in state:
        _check_arrays("beginning", state["beginning"], parameter_shapes(model))
    for moments in _of_members(model, state["optimizer"]):
        _check_moments(moments, model, config.optimizer)
    _check_hidden_state(state["state"], model, config.batch_size)
    others = state.get("other_ranks", [])
    require(isinstance(others, list), "other_ranks is not a list")
    for rank in (state, *others):
        require(
            isinstance(rank, dict) and {"random_state", "cuda_random_state"} <= set(rank), "a rank has no random_state"
        )
        for random_state in _of_members(model, rank["random_state"]):
            _check_random_state(random_state)


def require(condition: bool, what: str) -> None:
    """Refuse a state that fails a condition.

    Raises:
        CheckpointError: the condition does not hold.
    """
    if not condition:
        raise CheckpointError(what)


def _check_figures(state: Mapping[str, Any]) -> None:
    """Refuse a state that lacks a part, or whose counts and sums cannot be right for any run."""
    missing = [name for name in _PARTS if name not in state]
    require(not missing, f"it has no {', '.join(missing)}")
    lanes, pace, health = state["lanes"], state["pace"], state["health"]
    _check_names("lanes", lanes, _LANES_COUNTS)
    _check_names("pace", pace, (*_PACE_COUNTS, "loss", "norm", "seconds", "lowest"))
    _check_names("health", health, (*_HEALTH_COUNTS, "loss", "lowest", "trouble"))
    counts = [state["step"], state["rewinds"], *lanes.values()]
    counts += [pace[name] for name in _PACE_COUNTS] + [health[name] for name in _HEALTH_COUNTS]
    require(all(map(is_count, counts)), "a count is not an integer from 0 on")
    require(health["recovered_at"] <= state["step"], "health.recovered_at is a step that was not made yet")
    require(isinstance(health["trouble"], str), "health.trouble is not text")
    first = state["first_step"]  # negative where an epoch took fewer steps before a change of options
    require(type(first) is int and -LARGEST_NUMBER < first <= state["step"], "first_step is not an integer up to step")
    _check_sums(state)


def _check_pace(pace: Mapping[str, int], num_evaluations: int) -> None:
    """Refuse counts that contradict each other: a run relies on their consistency."""
    has_none = pace["chars"] < pace["steps"] or (pace["stale"] > 0 and num_evaluations == 0)
    require(not has_none, "pace counts characters or evaluations that there are none of")


def _check_sums(state: Mapping[str, Any]) -> None:
    pace, health = state["pace"], state["health"]
    sums = [state["seconds"], state["evaluation_seconds"], state["learning_rate"]]
    sums += [pace["loss"], pace["seconds"], health["loss"]]
    lowest = [part["lowest"] for part in (health, pace)]
    require(
        all(_is_within(LARGEST_LOSS_SUM, number) for number in sums)
        and all(_is_within(LARGEST_LOSS_SUM, loss) or _is_none_yet(loss) for loss in lowest)
        and _is_within(sys.float_info.max, pace["norm"]),  # without clipping, any finite number
        "a figure is not a finite number",
    )
    set_up = state["set_up_seconds"]
    require(type(set_up) is float and 0 <= set_up <= state["seconds"], "set_up_seconds is not a part of its seconds")


def _is_within(limit: float, value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= limit


def _is_none_yet(loss: Any) -> bool:
    return type(loss) is float and loss == math.inf


def _of_members(model: ModelConfig, stored: Any) -> list[Any]:
    """The list of what is stored for each member.

    Raises:
        CheckpointError: it is for another number of members.
    """
    require(_is_list(stored, model.members), "it has another number of members")
    return list(stored)


def _check_hidden_state(layers: Any, model: ModelConfig, batch_size: int) -> None:
    """Check the hidden state of the lanes of all ranks: the layers of each member, one member after the other."""
    require(_is_list(layers, model.members * model.num_layers), "the hidden state has another number of layers")
    for stored in layers:
        require(_is_list(stored, CELLS[model.cell].states), "the hidden state has another shape than the model's")
        for values in stored:
            _check_arrays("the hidden state", {"h": values}, {"h": (batch_size, model.hidden_size)})


def _check_moments(stored: Any, model: ModelConfig, optimizer: str) -> None:
    moments = stored.get("state") if isinstance(stored, dict) else None
    if not isinstance(moments, dict):
        raise CheckpointError("the optimizer has no state")
    shapes = optimized_shapes(model)
    require(set(moments) in (set(), set(range(len(shapes)))), "the optimizer's state is not the weights'")
    for index, moment in moments.items():
        expected = {name: () if name == "step" else shapes[index] for name in MOMENTS[optimizer]}
        _check_arrays("the optimizer's state", moment, expected)
        signed = {"momentum_buffer", "exp_avg"}
        require(all(name in signed or bool((m >= 0).all()) for name, m in moment.items()), "a square is negative")


def _check_arrays(what: str, stored: Any, expected: Mapping[str, tuple[int, ...]]) -> None:
    _check_names(what, stored, expected)
    for name, shape in expected.items():
        value = stored[name]
        require(isinstance(value, np.ndarray) and value.dtype == np.float32, f"{what}: no float32 tensor")
        require(value.shape == shape, f"{what}: another shape than the model's")
        require(bool(np.isfinite(value).all()), f"{what}: not finite")


def _check_names(what: str, stored: Any, expected: Iterable[str]) -> None:
    require(isinstance(stored, dict) and set(stored) == set(expected), f"{what}: missing or unknown names")


def _check_random_state(state: Any) -> None:
    """Check a PCG64 state as `charrnn.network.dropout` gives it; numpy itself checks too little."""
    inner = state.get("state") if isinstance(state, dict) else None
    right = (
        isinstance(inner, dict)
        and set(state) == {"bit_generator", "state", "has_uint32", "uinteger"}
        and state["bit_generator"] == "PCG64"
        and set(inner) == {"state", "inc"}
        and all(type(value) is int and 0 <= value < 2**128 for value in inner.values())
        and all(type(state[name]) is int and 0 <= state[name] < 2**32 for name in ("has_uint32", "uinteger"))
    )
    require(right, "the random state is not one of numpy's PCG64")


def _is_list(value: Any, length: int) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == length
