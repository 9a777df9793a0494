"""What is recalled, put to use in numpy, as `charrnn.network.model.CharRNN` does it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from charrnn.arrays import Floats
from charrnn.recall import NONE, Forecasts


def raise_logits(weights: Mapping[str, Floats], outputs: Floats, logits: Floats, recalled: Forecasts) -> None:
    """Add to each forecast's logit what the model trusts it, in place.

    Args:
        weights: of a model that recalls, by name.
        outputs: what the head read, shape (..., H).
        logits: shape (..., V).
        recalled: shape (..., C).
    """
    add_raised(logits, outputs @ weights["recall.weight"].T + weights["recall.bias"], recalled)


def add_raised(logits: Floats, raised: Floats, recalled: Forecasts) -> None:
    """Add to each forecast's logit what is given for its context, in place.

    Args:
        logits: shape (..., V).
        raised: shape (..., C).
        recalled: shape (..., C).
    """
    raised = raised * (recalled != NONE)
    places = np.maximum(recalled, 0).astype(np.intp)
    for number in range(raised.shape[-1]):  # forecasts may agree
        own = places[..., number : number + 1]
        values = np.take_along_axis(logits, own, axis=-1) + raised[..., number : number + 1]
        np.put_along_axis(logits, own, values, axis=-1)
