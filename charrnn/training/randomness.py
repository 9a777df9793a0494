"""What a seed decides: a model's first weights, and one process's dropout masks, by numpy on a CPU, torch on a GPU."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from charrnn.config import ModelConfig, TrainConfig
from charrnn.network.ensemble import Model, build_model, members_of
from charrnn.training.ranks import Ranks


def seeded_model(model_config: ModelConfig, config: TrainConfig, ranks: Ranks) -> Model:
    """Build a model on its device: the seed gives all processes the same weights, and each its own dropout masks."""
    torch.manual_seed(config.seed)
    model = build_model(model_config).to(config.device)
    for member in members_of(model):
        ranks.replicate(member)
    if ranks.is_first:
        seed_masks(model, config.seed)
    else:
        reseed_masks(model, config.seed, ranks.rank)
    return model


def seed_masks(model: Model, seed: int) -> None:
    """Seed the dropout masks on the model's device, differently for each member of an ensemble.

    Args:
        model: on its device already.
        seed: in [0, 2^64), different in each process, so that no two mask their lanes alike.
    """
    members = members_of(model)
    for number, member in enumerate(members):
        member.dropout.seed([seed, number] if len(members) > 1 else seed)
    if model.device.type == "cuda":
        torch.cuda.manual_seed(seed)


def reseed_masks(model: Model, *numbers: int) -> None:
    """Seed the dropout masks from some numbers; other numbers give another sequence."""
    seed_masks(model, int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]))


def get_random_states(model: Model) -> dict[str, Any]:
    """The random state of the masks, as a checkpoint holds it."""
    return {
        "random_state": _masks_of(model),
        "cuda_random_state": torch.cuda.get_rng_state() if model.device.type == "cuda" else None,
    }


def set_random_states(model: Model, states: Mapping[str, Any] | None, *numbers: int) -> None:
    """Restore the random state from `get_random_states`, or begin anew with numbers that were not used before.

    Args:
        model: on its device already.
        states: from a checkpoint, or None to begin anew. A GPU cannot go on from a CPU's states: it begins anew too,
            not from the run's seed, whose numbers may be used up.
        numbers: to begin anew with; see `reseed_masks`.
    """
    is_on_gpu = model.device.type == "cuda"
    if states is None or (is_on_gpu and states["cuda_random_state"] is None):
        reseed_masks(model, *numbers)
        return
    _set_masks(model, states["random_state"])
    if is_on_gpu:
        torch.cuda.set_rng_state(states["cuda_random_state"])


@contextlib.contextmanager
def kept_random_state(model: Model) -> Iterator[None]:
    """Context after which the random states of the masks and of torch are restored.

    For a model on a GPU that includes the GPU's, which `torch.manual_seed` seeds too.
    """
    masks = _masks_of(model)
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if model.device.type == "cuda" else []):
        try:
            yield
        finally:
            _set_masks(model, masks)


def _masks_of(model: Model) -> list[dict[str, Any]]:
    """The state of each member's dropout generator, as plain values."""
    return [member.dropout.random_state for member in members_of(model)]


def _set_masks(model: Model, states: Iterable[dict[str, Any]]) -> None:
    for member, state in zip(members_of(model), states, strict=True):
        member.dropout.random_state = state
