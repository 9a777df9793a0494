"""From logits to probabilities, and to their logarithms."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.arrays import Doubles


def softmax(logits: NDArray[Any]) -> Doubles:
    """Probabilities over the last axis, in double precision.

    Args:
        logits: shape (..., V).
    """
    weights: Doubles = np.exp((logits - logits.max(axis=-1, keepdims=True)).astype(np.float64))
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights


def log_softmax(logits: NDArray[Any]) -> NDArray[Any]:
    """Log-probabilities over the last axis, of the logits' type.

    Args:
        logits: shape (..., V).
    """
    shifted: NDArray[Any] = logits - logits.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted
