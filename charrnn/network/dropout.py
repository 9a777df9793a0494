"""Dropout with its own random number generator.

On a CPU, torch draws one number per value from a Mersenne Twister, which took an eighth of a training step; drawing
sixteen bits per value from numpy's PCG64 takes an eighth of that. The generator's state is plain numbers, which a
checkpoint stores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

_BITS = 16


class Dropout(nn.Module):
    """Dropout of values or of whole vectors in training mode; the identity otherwise.

    One random sequence serves every place in a model that uses dropout. On a CPU, shares are rounded to a multiple of
    1 / 65,536; on a GPU, torch draws the masks.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seed(0)

    def seed(self, seed: int | Sequence[int]) -> None:
        """Begin a new sequence of masks, a different one for each seed or sequence of seeds."""
        self._generator = np.random.PCG64(seed)

    @property
    def random_state(self) -> dict[str, Any]:
        """The generator's state, as plain values."""
        return {**self._generator.state}

    @random_state.setter
    def random_state(self, state: dict[str, Any]) -> None:
        self._generator.state = state  # type: ignore[assignment]  # plain values, as numpy gave them

    def forward(self, x: Tensor, share: float) -> Tensor:
        """Set a share of the values to zero and scale up the others, so that the mean stays the same.

        Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html.

        Args:
            x: tensor of any shape.
            share: share of values to drop, in [0, 1).
        """
        if not self.training or _threshold(share) == 0:
            return x
        if x.device.type != "cpu":
            return functional.dropout(x, share)
        return x * self._mask(x.shape, share).to(x.dtype).mul_(2**_BITS / (2**_BITS - _threshold(share)))

    def hide(self, vectors: Tensor, share: float) -> Tensor:
        """Set a share of the vectors to zero, each as a whole, without scaling up the others.

        Applied to embeddings, this is blank noising: Xie et al. 2017, https://arxiv.org/abs/1703.02573.

        Args:
            vectors: shape (..., E).
            share: share of vectors to drop, in [0, 1).
        """
        if not self.training or _threshold(share) == 0:
            return vectors
        shape, device = vectors.shape[:-1], vectors.device
        keep = self._mask(shape, share) if device.type == "cpu" else torch.rand(shape, device=device) >= share
        return vectors * keep[..., None].to(vectors.dtype)

    def _mask(self, shape: torch.Size, share: float) -> Tensor:
        words = self._generator.random_raw(-(-shape.numel() * _BITS // 64))
        bits = np.asarray(words).view(np.uint16)[: shape.numel()]
        return torch.from_numpy(bits >= _threshold(share)).view(shape)


def _threshold(share: float) -> int:
    return int(min(round(share * 2**_BITS), 2**_BITS - 1))
