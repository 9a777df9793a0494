"""The choice of the reader that gives a training its windows."""

from __future__ import annotations

from typing import Any

import torch

from charrnn.arrays import Ids
from charrnn.config import TrainConfig
from charrnn.training.gpu_lanes import ResidentLanes, fits_on_gpu
from charrnn.training.lanes import Lanes, WindowReader
from charrnn.training.line_lanes import LineLanes


def build_lanes(ids: Ids, config: TrainConfig, line_feed: int | None, own: slice, reach: int = 0) -> WindowReader:
    """Choose how a text is read: line by line, from GPU memory where it fits there, or from host memory.

    Forecasts are looked up on the host: they are six integers a character, and need the text in its own order.

    Raises:
        ConfigError: too few characters, or lines, for the lanes.
    """
    options: dict[str, Any] = {
        "batch_size": config.batch_size,
        "seq_len": config.seq_len,
        "seed": config.seed,
        "own": own,
    }
    if line_feed is not None:
        return LineLanes(ids, line_feed, **options)
    options |= {"stretch": config.stretch, "reach": reach}
    if config.device == "cuda" and fits_on_gpu(ids):
        return ResidentLanes(ids, torch.device("cuda"), **options)
    return Lanes(ids, **options)
