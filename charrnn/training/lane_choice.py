"""Which lanes a training reads its text in."""

from __future__ import annotations

import torch

from charrnn.arrays import Ids
from charrnn.config import TrainConfig
from charrnn.training.gpu_lanes import ResidentLanes, fits_on_gpu
from charrnn.training.lanes import Lanes, WindowReader
from charrnn.training.line_lanes import LineLanes


def build_lanes(ids: Ids, config: TrainConfig, line_feed: int | None, own: slice, reach: int = 0) -> WindowReader:
    """Choose how a text is read: line by line, from the GPU where it fits there, or from the host.

    What is recalled is looked up on the host: it is six integers a character, and needs the text in its own order.

    Raises:
        ConfigError: too few characters, or lines, for the lanes.
    """
    batch_size, seq_len, stretch, seed = config.batch_size, config.seq_len, config.stretch, config.seed
    if line_feed is not None:
        return LineLanes(ids, line_feed, batch_size=batch_size, seq_len=seq_len, seed=seed, own=own)
    if config.device == "cuda" and fits_on_gpu(ids):
        return ResidentLanes(
            ids, torch.device("cuda"), batch_size=batch_size, seq_len=seq_len, stretch=stretch, seed=seed, own=own,
            reach=reach,
        )  # fmt: skip
    return Lanes(ids, batch_size=batch_size, seq_len=seq_len, stretch=stretch, seed=seed, own=own, reach=reach)
