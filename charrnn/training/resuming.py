"""Checking the training state of a checkpoint before a run goes on from it.

The state comes from a file, and a file can come from anywhere: what passes here neither fails later, in mid-training,
nor makes the numbers go wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from charrnn.errors import CheckpointError
from charrnn.storage.header import LARGEST_NUMBER, is_count
from charrnn.training.health import Health
from charrnn.training.optimizers import MOMENTS
from charrnn.training.pace import Pace
from charrnn.training.run import FIGURES, TrainingRun

_PARTS = (
    *FIGURES, "weights", "optimizer", "state", "seconds", "set_up_seconds", "learning_rate", "lanes", "pace", "health",
    "random_state", "cuda_random_state",
)  # fmt: skip
"""Of every state; only some have "other_ranks" or a "beginning"."""

LARGEST_LOSS_SUM = 1e30
"""Beyond what so many losses that are sound add up to; see `charrnn.training.health.LARGEST_LOSS`."""


def check_state(run: TrainingRun, state: Mapping[str, Any]) -> None:
    """Refuse a state that does not fit a run.

    Args:
        run: freshly started, with the model and the config that the state is for.
        state: as `TrainingRun.state_dict` gave it, or anything else.

    Raises:
        CheckpointError: a part is missing, of another shape, or not finite.
    """
    check_figures(state)
    _check_tensors("weights", state["weights"], dict(run.model.state_dict()))
    if "beginning" in state:
        _check_tensors("beginning", state["beginning"], dict(run.model.state_dict()))
    for optimizer, moments in zip(run.optimizers, _of_members(run, state["optimizer"]), strict=True):
        _check_moments(run, optimizer, moments)
    _check_hidden_state(run, state["state"])
    _require(state["lanes"]["index"] <= run.lanes.windows_per_epoch, "the place in the text lies behind its end")
    others = state.get("other_ranks", [])
    _require(isinstance(others, list), "other_ranks is not a list")
    for rank in (state, *others):
        _require(
            isinstance(rank, dict) and {"random_state", "cuda_random_state"} <= set(rank), "a rank has no random_state"
        )
        for random_state in _of_members(run, rank["random_state"]):
            _check_random_state(random_state)
        _check_gpu_random_state(run, rank["cuda_random_state"])


def _of_members(run: TrainingRun, stored: Any) -> list[Any]:
    """What is stored for each member.

    Raises:
        CheckpointError: it is for another number of them.
    """
    _require(_is_list(stored, len(run.optimizers)), "it has another number of members")
    return list(stored)


def _check_hidden_state(run: TrainingRun, layers: Any) -> None:
    state = run.model.initial_state(run.config.batch_size)  # of the lanes of all ranks
    _require(_is_list(layers, len(state)), "the hidden state has another number of layers")
    for stored, expected in zip(layers, state, strict=True):
        _require(_is_list(stored, len(expected)), "the hidden state has another shape than the model's")
        for one, other in zip(stored, expected, strict=True):
            _check_tensors("the hidden state", {"h": one}, {"h": other})


def _check_moments(run: TrainingRun, optimizer: torch.optim.Optimizer, stored: Any) -> None:
    moments = stored.get("state") if isinstance(stored, dict) else None
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    _require(isinstance(moments, dict), "the optimizer has no state")
    assert isinstance(moments, dict)
    _require(set(moments) in (set(), set(range(len(parameters)))), "the optimizer's state is not the weights'")
    for index, moment in moments.items():
        expected = {
            name: torch.zeros(()) if name == "step" else parameters[index] for name in MOMENTS[run.config.optimizer]
        }
        _check_tensors("the optimizer's state", moment, expected)
        signed = {"momentum_buffer", "exp_avg"}
        _require(all(name in signed or bool((t >= 0).all()) for name, t in moment.items()), "a square is negative")


def _check_tensors(what: str, stored: Any, expected: Mapping[str, Tensor]) -> None:
    _check_names(what, stored, expected)
    for name, tensor in expected.items():
        value = stored[name]
        _require(isinstance(value, Tensor) and value.dtype == torch.float32, f"{what}: no float32 tensor")
        _require(value.shape == tensor.shape, f"{what}: another shape than the model's")
        _require(bool(torch.isfinite(value).all()), f"{what}: not finite")


def _check_names(what: str, stored: Any, expected: Iterable[str]) -> None:
    _require(isinstance(stored, dict) and set(stored) == set(expected), f"{what}: missing or unknown names")


def check_figures(state: Mapping[str, Any]) -> None:
    """Refuse a state that lacks a part, and counts and sums that cannot be right, whatever run they are for.

    Raises:
        CheckpointError: a part is missing, or is not a number of its kind.
    """
    missing = [name for name in _PARTS if name not in state]
    _require(not missing, f"it has no {', '.join(missing)}")
    lanes, pace, health = state["lanes"], state["pace"], state["health"]
    _check_names("lanes", lanes, ("epoch", "index"))
    _check_names("pace", pace, (field.name for field in fields(Pace)))
    _check_names("health", health, (field.name for field in fields(Health)))
    paced = [value for name, value in pace.items() if name not in ("loss", "norm", "seconds", "lowest")]
    healthy = [value for name, value in health.items() if name not in ("loss", "lowest", "trouble")]
    _check_counts([state["step"], state["rewinds"], *lanes.values(), *paced, *healthy])
    _require(health["recovered_at"] <= state["step"], "health.recovered_at is a step that was not made yet")
    _require(isinstance(health["trouble"], str), "health.trouble is not text")
    first = state["first_step"]  # less than 0 where the lanes were fewer before
    _require(type(first) is int and -LARGEST_NUMBER < first <= state["step"], "first_step is not an integer up to step")
    _check_sums(state)


def _check_sums(state: Mapping[str, Any]) -> None:
    pace, health = state["pace"], state["health"]
    numbers = [state["seconds"], state["evaluation_seconds"], state["learning_rate"]]
    numbers += [pace["loss"], pace["seconds"], health["loss"]]
    numbers += [lowest for part in (health, pace) if (lowest := part["lowest"]) != math.inf]
    norm = pace["norm"]  # unclipped, it may be as large as a number can be
    _require(
        all(type(number) in (int, float) and abs(number) < LARGEST_LOSS_SUM for number in numbers)
        and type(norm) in (int, float)
        and math.isfinite(norm),
        "a figure is not a finite number",
    )
    set_up = state["set_up_seconds"]
    _require(type(set_up) is float and 0 <= set_up <= state["seconds"], "set_up_seconds is not a part of its seconds")


def _check_counts(values: Iterable[Any]) -> None:
    _require(all(map(is_count, values)), "a count is not an integer from 0 on")


def _check_random_state(state: Any) -> None:
    """PCG64's, as `charrnn.network.dropout` gives it; numpy itself checks too little."""
    inner = state.get("state") if isinstance(state, dict) else None
    right = (
        isinstance(inner, dict)
        and set(state) == {"bit_generator", "state", "has_uint32", "uinteger"}
        and state["bit_generator"] == "PCG64"
        and set(inner) == {"state", "inc"}
        and all(type(value) is int and 0 <= value < 2**128 for value in inner.values())
        and all(type(state[name]) is int and 0 <= state[name] < 2**32 for name in ("has_uint32", "uinteger"))
    )
    _require(right, "the random state is not one of numpy's PCG64")


def _check_gpu_random_state(run: TrainingRun, state: Any) -> None:
    """Philox's seed and offset, of eight bytes each; torch takes no offset that four does not divide."""
    if state is None or run.config.device != "cuda":
        return
    own = torch.cuda.get_rng_state()
    is_alike = isinstance(state, Tensor) and state.dtype == own.dtype and state.shape == own.shape
    _require(
        is_alike and int(state[8:].clone().view(torch.int64)) % 4 == 0, "the GPU's random state is none of torch's"
    )


def _is_list(value: Any, length: int) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == length


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise CheckpointError(what)
