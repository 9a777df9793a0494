"""The random numbers of one process's masks: of numpy on a processor, of torch on a GPU."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from charrnn.network.ensemble import Model, members_of


def seed_masks(model: Model, seed: int) -> None:
    """Begin a new sequence of masks, where the model is, and another for each member of an ensemble.

    Args:
        model: on its device already.
        seed: of this process alone, in [0, 2^64): lanes of two processes are not to be masked alike.
    """
    members = members_of(model)
    for number, member in enumerate(members):
        member.dropout.seed([seed, number] if len(members) > 1 else seed)
    if model.device.type == "cuda":
        torch.cuda.manual_seed(seed)


def reseed_masks(model: Model, *numbers: int) -> None:
    """Begin another sequence of masks than any that begins with other numbers."""
    seed_masks(model, int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]))


def get_random_states(model: Model) -> dict[str, Any]:
    """Where the sequence stands, as a checkpoint holds it."""
    return {
        "random_state": _masks_of(model),
        "cuda_random_state": torch.cuda.get_rng_state() if model.device.type == "cuda" else None,
    }


def set_random_states(model: Model, states: Mapping[str, Any] | None, *numbers: int) -> None:
    """Go on from where `get_random_states` was asked, or begin anew with numbers that were not used before.

    Args:
        model: on its device already.
        states: of a checkpoint; those of a processor are none to a GPU, which may have used up what the seed gives.
            None where nobody's numbers go on.
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
    """Let random numbers be drawn, or torch's be seeded, and go on afterwards as if nothing had happened.

    `torch.manual_seed` seeds the GPUs too, whatever it is called for.
    """
    masks = _masks_of(model)
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if model.device.type == "cuda" else []):
        try:
            yield
        finally:
            _set_masks(model, masks)


def _masks_of(model: Model) -> list[dict[str, Any]]:
    """Where each member's sequence of masks stands, as plain values."""
    return [member.dropout.random_state for member in members_of(model)]


def _set_masks(model: Model, states: Iterable[dict[str, Any]]) -> None:
    for member, state in zip(members_of(model), states, strict=True):
        member.dropout.random_state = state
