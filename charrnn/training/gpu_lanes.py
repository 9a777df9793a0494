"""Lanes over a text that lies on the GPU, where each window is cut out: nothing but what is recalled is sent there."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from charrnn.arrays import Ids
from charrnn.training.lanes import Lanes

MEMORY_SHARE = 0.25
"""Share of the GPU's free memory that the text may take."""

CHUNK = 1 << 24
"""Ids that are brought there at once: the text may be mapped from a file larger than the memory."""


class ResidentLanes(Lanes):
    """Called as `charrnn.training.lanes.Lanes` is; its windows are tensors.

    Args:
        ids: encoded text, shape (num_chars,).
        device: where the text shall lie.
        options: the other arguments of `Lanes`.
    """

    def __init__(self, ids: Ids, device: torch.device, **options: Any) -> None:
        super().__init__(ids, **options)
        self._text = bring(ids, device)
        self._first = torch.from_numpy(self._starts).to(device)

    def _piece(self, first: int, last: int) -> Tensor:
        positions = torch.arange(first, last + 1, device=self._text.device)[:, None] + self._first
        return self._text[positions].long()


def bring(ids: Ids, device: torch.device) -> Tensor:
    """Copy ids to a device, as uint8 or int32: there, torch computes with few unsigned types."""
    text = torch.empty(len(ids), dtype=_dtype(ids), device=device)
    for begin in range(0, len(ids), CHUNK):
        piece = np.array(ids[begin : begin + CHUNK], dtype=np.uint8 if text.dtype == torch.uint8 else np.int32)
        text[begin : begin + CHUNK] = torch.from_numpy(piece).to(device)
    return text


def fits_on_gpu(ids: Ids) -> bool:
    """Whether the text takes little enough of the current GPU's memory."""
    free, _ = torch.cuda.mem_get_info()
    return len(ids) * _dtype(ids).itemsize <= MEMORY_SHARE * free


def _dtype(ids: Ids) -> torch.dtype:
    return torch.uint8 if ids.dtype == np.uint8 else torch.int32
