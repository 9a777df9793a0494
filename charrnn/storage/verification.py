"""Verifying a whole checkpoint, and reporting what was checked."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from charrnn.errors import CheckpointError
from charrnn.paths import name_of
from charrnn.storage.archive import Checkpoint, read_checkpoint
from charrnn.storage.tensorfile import map_leaves
from charrnn.storage.training_state import check_state, require, translate_state_errors
from charrnn.wording import number_of


def verify_checkpoint(path: str) -> list[tuple[str, str]]:
    """Read every record of a checkpoint and check all that can be checked without the training text.

    Args:
        path: of the file, or "-" for standard input.

    Returns:
        What was checked, and what was found, as (name, description).

    Raises:
        CheckpointError: a check fails.
    """
    contents = read_checkpoint(path, with_training=True)
    map_leaves(contents.training, lambda leaf: _check_finite(leaf, path))
    if contents.can_go_on:
        _check_state(contents, path)
    best, ids = contents.best, number_of(len(contents.encoder), contents.encoder.unit)
    return [
        ("checksums", "right, of every record of the file"),
        ("header", f"model, {ids}, corpus, {number_of(len(contents.history), 'evaluation')}"),
        ("weights", f"{_figures(contents.weights)}, of the shapes that the model asks for, all finite"),
        ("best", "none yet" if best is None else f"step {best.step:,}, {best.val_loss:.4f} nats"),
        ("training", _training(contents)),
    ]


def _check_finite(leaf: Any, path: str) -> None:
    is_nan = isinstance(leaf, float) and math.isnan(leaf)  # infinity stands for figures not measured yet
    if is_nan or (isinstance(leaf, np.ndarray) and not np.isfinite(leaf).all()):
        raise CheckpointError(f"{name_of(path)}: its training state holds NaN or infinity; it is damaged, train again")


def _check_state(contents: Checkpoint, path: str) -> None:
    with translate_state_errors(name_of(path)):
        check_state(contents)
        is_within = contents.training["lanes"]["index"] <= contents.corpus.characters  # a window has at least one
        require(is_within, "the place in the text lies behind its end")


def _training(contents: Checkpoint) -> str:
    if not contents.can_go_on:
        return f"step {contents.step:,}; its state was left out, as an export does: nothing goes on from here"
    return f"step {contents.step:,}, {_figures(contents.training)}, all finite"


def _figures(values: Any) -> str:
    sizes: list[int] = []
    map_leaves(values, lambda leaf: sizes.append(leaf.size) if isinstance(leaf, np.ndarray) else None)
    return f"{len(sizes):,} tensors with {sum(sizes):,} numbers"
