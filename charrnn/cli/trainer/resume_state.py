"""Restore a checkpoint's training state into a run, without the parts that forced changes have invalidated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from charrnn.cli.trainer.resume_policy import PLACES, RATES
from charrnn.config import TrainConfig, config_from_dict
from charrnn.storage.archive import Checkpoint
from charrnn.storage.tensorfile import map_leaves
from charrnn.storage.training_state import check_state, require, translate_state_errors
from charrnn.text.corpus import Corpus
from charrnn.training.lane_choice import build_lanes
from charrnn.training.pace import Pace
from charrnn.training.run import TrainingRun


def restore(run: TrainingRun, stored: Checkpoint, corpus: Corpus, changed: set[str], path: str) -> None:
    """Restore the stored training state and history, as far as they are still valid.

    Args:
        run: changed in place.
        stored: the checkpoint, with its training state.
        corpus: the texts, encoded.
        changed: names of the options changed by --force-resume.
        path: of the checkpoint, for errors.

    Raises:
        CheckpointError: the state is damaged.
    """
    with translate_state_errors(path):
        check_state(stored)
        state = map_leaves(_adapt(stored.training, run, corpus, changed), _to_tensor)
        require(state["lanes"]["index"] <= run.lanes.windows_per_epoch, "the place in the text lies behind its end")
        for rank in (state, *state.get("other_ranks", [])):
            _check_gpu_random_state(rank["cuda_random_state"], run.config.device)
    run.load_state_dict(state)
    if "val_fraction" not in changed:  # losses on another piece cannot be compared
        run.history, run.best = list(stored.history), stored.best
        best = stored.weights if stored.history else {}
        run.best_weights = {name: torch.from_numpy(array) for name, array in best.items()}


def _adapt(state: dict[str, Any], run: TrainingRun, corpus: Corpus, changed: set[str]) -> dict[str, Any]:
    """Reset the parts of a training state that forced changes have invalidated."""
    fresh = run.state_dict()
    if changed.intersection(PLACES):
        begun = state["lanes"]["epoch"] + bool(state["lanes"]["index"])
        state = {
            **state,
            "lanes": {"epoch": begun, "index": 0},
            "first_step": state["step"] - round(_passes(state, corpus) * run.lanes.windows_per_epoch),
            "state": fresh["state"],
        }
    if "val_fraction" in changed:
        pace = vars(Pace(step=state["step"]))
        state = {**state, "cold_loss": None, "pace": pace, "beginning": state["weights"]}
    if changed.intersection(RATES):  # the rate is as given, and past trouble no longer lowers it
        state = {**state, "rewinds": 0, "health": {**fresh["health"], "recovered_at": state["step"]}}
        state["pace"] = {**state["pace"], "stale": 0, "lowest": math.inf}
    if "optimizer" in changed:
        state = {**state, "optimizer": fresh["optimizer"]}
    if "seed" in changed:
        names = "random_state", "cuda_random_state", "other_ranks"
        state = {name: part for name, part in state.items() if name not in names}
        state |= {name: fresh[name] for name in names if name in fresh}
    return state


def _passes(state: Mapping[str, Any], corpus: Corpus) -> float:
    """The number of epochs trained so far, counted with the stored options for reading the text."""
    before = replace(config_from_dict(TrainConfig, state["config"]), device="cpu")
    train_ids, _ = corpus.split_for(before)
    lanes = build_lanes(train_ids, before, corpus.line_end_id, slice(None))
    return float((state["step"] - state["first_step"]) / lanes.windows_per_epoch)


def _to_tensor(leaf: Any) -> Any:
    return torch.from_numpy(leaf) if isinstance(leaf, np.ndarray) else leaf


def _check_gpu_random_state(state: Any, device: str) -> None:
    """Refuse a random state that is not Philox's seed and offset, 8 bytes each, the offset a multiple of 4."""
    if state is None or device != "cuda":
        return
    own = torch.cuda.get_rng_state()
    is_alike = isinstance(state, Tensor) and state.dtype == own.dtype and state.shape == own.shape
    require(is_alike and int(state[8:].clone().view(torch.int64)) % 4 == 0, "the GPU's random state is none of torch's")
