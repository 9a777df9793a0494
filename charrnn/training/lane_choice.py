"""The choice of the reader that gives a training its windows, and the one that cuts them out in GPU memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from charrnn.arrays import Ids
from charrnn.config import TrainConfig
from charrnn.training.lanes import Lanes, WindowReader
from charrnn.training.line_lanes import LineLanes

MEMORY_SHARE = 0.25
"""Share of the GPU's free memory that the text may take."""

CHUNK = 1 << 24
"""Ids that are copied to the GPU at once: the text may be mapped from a file larger than the host's memory."""


def build_lanes(ids: Ids, config: TrainConfig, line_end_id: int | None, shard: slice, reach: int = 0) -> WindowReader:
    """Choose how a text is read: line by line, from GPU memory where it fits there, or from host memory.

    Forecasts are looked up on the host: they are six integers a character, and need the text in its own order.

    Raises:
        ConfigError: too few characters, or lines, for the lanes.
    """
    options: dict[str, Any] = {
        "batch_size": config.batch_size,
        "seq_len": config.seq_len,
        "seed": config.seed,
        "shard": shard,
    }
    if line_end_id is not None:
        return LineLanes(ids, line_end_id, **options)
    options |= {"stretch": config.stretch, "reach": reach}
    if config.device == "cuda" and fits_on_gpu(ids):
        return ResidentLanes(ids, torch.device("cuda"), **options)
    return Lanes(ids, **options)


class ResidentLanes(Lanes):
    """`charrnn.training.lanes.Lanes` over a text on a device; its windows are tensors there.

    Only forecasts are copied there with each window.

    Args:
        ids: encoded text, shape (num_chars,).
        device: the device to copy the text to.
        options: the other arguments of `Lanes`.
    """

    def __init__(self, ids: Ids, device: torch.device, **options: Any) -> None:
        super().__init__(ids, **options)
        self._text = copy_to_device(ids, device)
        self._first = torch.from_numpy(self._starts).to(device)

    def _piece(self, first: int, last: int) -> Tensor:
        positions = torch.arange(first, last + 1, device=self._text.device)[:, None] + self._first
        return self._text[positions].long()


def copy_to_device(ids: Ids, device: torch.device) -> Tensor:
    """Copy ids to a device, as uint8 or int32, since torch supports other unsigned types little there."""
    text = torch.empty(len(ids), dtype=_dtype(ids), device=device)
    for begin in range(0, len(ids), CHUNK):
        piece = np.array(ids[begin : begin + CHUNK], dtype=np.uint8 if text.dtype == torch.uint8 else np.int32)
        text[begin : begin + CHUNK] = torch.from_numpy(piece).to(device)
    return text


def fits_on_gpu(ids: Ids) -> bool:
    """Whether the text takes at most `MEMORY_SHARE` of the current GPU's free memory."""
    free, _ = torch.cuda.mem_get_info()
    return len(ids) * _dtype(ids).itemsize <= MEMORY_SHARE * free


def _dtype(ids: Ids) -> torch.dtype:
    return torch.uint8 if ids.dtype == np.uint8 else torch.int32
