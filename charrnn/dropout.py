"""Dropout with a source of randomness of its own.

On a CPU, torch draws one number per value from a Mersenne twister, which took an eighth of a training step; sixteen
bits from numpy's PCG64 take an eighth of that. The generator's state is plain numbers, which a checkpoint keeps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

_BITS = 16


class Dropout(nn.Module):
    """Set a share of the values to zero while training, and scale up the others so that the mean stays.

    Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html. On a GPU it is torch's own.

    Args:
        share: of the values, in [0, 1); on a CPU it is rounded to a 65,536th.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self._threshold = min(round(share * 2**_BITS), 2**_BITS - 1)
        self.seed(0)

    def seed(self, seed: int) -> None:
        """Begin a new sequence of masks."""
        self._generator = np.random.PCG64(seed)

    @property
    def random_state(self) -> dict[str, Any]:
        """Where the sequence of masks stands, as plain values."""
        return {**self._generator.state}

    @random_state.setter
    def random_state(self, state: dict[str, Any]) -> None:
        self._generator.state = state  # type: ignore[assignment]  # plain values, as numpy gave them

    def forward(self, x: Tensor) -> Tensor:
        """Drop values of a tensor of any shape; the same tensor where there is nothing to drop."""
        if not self.training or self._threshold == 0:
            return x
        if x.device.type != "cpu":
            return functional.dropout(x, self.share)
        keep = torch.from_numpy(self._random_bits(x.numel()) >= self._threshold).view(x.shape)
        return x * keep.to(x.dtype).mul_(2**_BITS / (2**_BITS - self._threshold))

    def _random_bits(self, count: int) -> np.ndarray[tuple[int], np.dtype[np.uint16]]:
        words = self._generator.random_raw(-(-count * _BITS // 64))
        return np.asarray(words).view(np.uint16)[:count]
