"""Writing checkpoints atomically: the path always holds a complete one.

The contents of the file are described, read and checked in `charrnn.storage.archive`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch
from torch import Tensor

from charrnn.cell_types import CELLS
from charrnn.config import ModelConfig, TrainConfig
from charrnn.errors import OutputError
from charrnn.shapes import MOMENTS, count_parameters, parameter_shapes
from charrnn.storage.archive import describe_checkpoint
from charrnn.storage.header import Header
from charrnn.storage.outputs import put_in_place, replace_file
from charrnn.storage.tensorfile import map_leaves

RECORD_BYTES = 290
"""Bytes of a tensor in a file beside its values: its record's two headers, and its description."""

ROW_BYTES, CHARACTER_BYTES = 70, 13
"""Bytes of a row of the history, and at most of a character with its count."""

OTHER_BYTES = 8 << 10
"""Bytes of all else: options, figures, and the names of texts and the command, unless these are very long."""


def snapshot(header: Header, *, weights_stay: bool = False) -> dict[str, Any]:
    """Copy all that a checkpoint holds, so that training can go on while it is written.

    Args:
        header: with torch's tensors; its weights are the best so far, or the current ones where nothing was evaluated
            yet, and the "weights" of its training, if any, are the current ones.
        weights_stay: whether no step changes the header's weights any more, so that they need not be copied.
    """
    best = map_leaves(dict(header.weights), _bring if weights_stay else _copy)
    training = header.training
    last = {name: _copy_unless_kept(tensor, best[name]) for name, tensor in training.get("weights", {}).items()}
    return {
        **describe_checkpoint(header),
        "weights": best,
        "training": {**map_leaves({**training, "weights": {}}, _copy), "weights": last},
    }


def write(path: Path, contents: dict[str, Any], place: Callable[[Path, Path], object] = put_in_place) -> None:
    """Write a snapshot: at any instant the path holds the old file or the new one, whole.

    Args:
        path: of the file; its folder must exist.
        contents: from `snapshot`.
        place: see `replace_file`.

    Raises:
        OutputError: the file cannot be written; the old file, if any, is untouched.
    """
    try:
        replace_file(path, lambda file: _store(contents, file), place)
    except OSError as error:
        raise OutputError(
            f"{path}: the checkpoint cannot be written ({error.strerror}); an older one, if any, is untouched"
        ) from None


def estimate_size(model: ModelConfig, config: TrainConfig, *, rows: int) -> int:
    """Bytes of a checkpoint, as a rule a few kilobytes too many.

    Args:
        model: the model's shape.
        config: how it is trained.
        rows: number of rows of the history.
    """
    moments = MOMENTS[config.optimizer]
    copies = 2 + sum(name != "step" for name in moments)  # best and current weights, and moments of the same shapes
    states = model.num_layers * model.members * CELLS[model.cell].states
    tensors = len(parameter_shapes(model)) * (2 + len(moments)) + states
    values = count_parameters(model) * copies + states * config.batch_size * model.hidden_size
    described = RECORD_BYTES * tensors + ROW_BYTES * rows + CHARACTER_BYTES * model.vocab_size
    return 4 * values + described + OTHER_BYTES


def _store(contents: dict[str, Any], file: BinaryIO) -> None:
    """Write the tensors one by one straight from their memory: the file is never in memory as a whole.

    Raises:
        OSError: the file cannot be written.
    """
    stream = _Stream(file)
    torch.save(contents, cast(BinaryIO, stream))
    if stream.failure is not None:
        raise stream.failure


class _Stream:
    """A file for torch to write to; it keeps an OSError until the end, since torch would turn it into another error.

    Args:
        file: open for writing in binary.

    Attributes:
        failure: the first error, after which nothing more is written; None where there was none.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.failure: OSError | None = None

    def write(self, data: memoryview) -> int:
        """Write the data, or after a failure discard it; return the number of bytes taken."""
        if self.failure is None:
            try:
                self._file.write(data)
            except OSError as error:
                self.failure = error
        return len(data)

    def flush(self) -> None:
        """Do nothing: the file is flushed and synced at its end."""


def _bring(leaf: Any) -> Any:
    """Move a tensor to the CPU, in contiguous storage; another value is returned as it is."""
    return leaf.detach().cpu().contiguous() if isinstance(leaf, Tensor) else leaf


def _copy(leaf: Any) -> Any:
    """Copy a tensor to the CPU, in contiguous storage of its own size."""
    return _bring(leaf).clone() if isinstance(leaf, Tensor) else leaf


def _copy_unless_kept(tensor: Tensor, kept: Tensor) -> Tensor:
    """Copy a tensor; where `kept` has the same values, give a new storage in the memory of `kept` instead."""
    brought = _bring(tensor)
    return torch.from_numpy(kept.numpy()) if torch.equal(brought, kept) else brought.clone()
