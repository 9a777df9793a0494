"""Checking the training state of a checkpoint before a run goes on from it.

What needs neither the text nor a GPU is checked in `charrnn.storage.training_state`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from charrnn.storage import training_state
from charrnn.storage.tensorfile import map_leaves
from charrnn.storage.training_state import require
from charrnn.training.run import TrainingRun


def check_state(run: TrainingRun, state: Mapping[str, Any]) -> None:
    """Refuse a state that does not fit a run.

    Args:
        run: freshly started, with the model and the config that the state is for.
        state: as `TrainingRun.state_dict` gave it, or anything else.

    Raises:
        CheckpointError: a part is missing, of another shape, or not finite.
    """
    training_state.check_state(map_leaves(dict(state), _to_array), run.model.config, run.config)
    require(state["lanes"]["index"] <= run.lanes.windows_per_epoch, "the place in the text lies behind its end")
    for rank in (state, *state.get("other_ranks", [])):
        _check_gpu_random_state(run, rank["cuda_random_state"])


def _to_array(leaf: Any) -> Any:
    return leaf.cpu().numpy() if isinstance(leaf, Tensor) else leaf


def _check_gpu_random_state(run: TrainingRun, state: Any) -> None:
    """Philox's seed and offset, of eight bytes each; torch takes no offset that four does not divide."""
    if state is None or run.config.device != "cuda":
        return
    own = torch.cuda.get_rng_state()
    is_alike = isinstance(state, Tensor) and state.dtype == own.dtype and state.shape == own.shape
    require(is_alike and int(state[8:].clone().view(torch.int64)) % 4 == 0, "the GPU's random state is none of torch's")
