"""Forecasts added to the logits in numpy, as `charrnn.network.model.CharRNN` does it in torch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from charrnn.arrays import Floats
from charrnn.recall import NO_FORECAST, Forecasts


def boost_logits(weights: Mapping[str, Floats], outputs: Floats, logits: Floats, recalled: Forecasts) -> None:
    """Raise each forecast's logit, in place, by the trust that the model computes for it.

    Args:
        weights: weights of a model that recalls, by name.
        outputs: input of the head, shape (..., H).
        logits: shape (..., V).
        recalled: forecasts, shape (..., C).
    """
    add_raised(logits, outputs @ weights["recall.weight"].T + weights["recall.bias"], recalled)


def add_raised(logits: Floats, raised: Floats, recalled: Forecasts) -> None:
    """Add to each forecast's logit, in place, the amount for its context.

    Args:
        logits: shape (..., V).
        raised: amounts, shape (..., C).
        recalled: forecasts, shape (..., C).
    """
    raised = raised * (recalled != NO_FORECAST)
    places = np.maximum(recalled, 0).astype(np.intp)
    for number in range(raised.shape[-1]):  # one by one: several forecasts may name the same id
        own = places[..., number : number + 1]
        values = np.take_along_axis(logits, own, axis=-1) + raised[..., number : number + 1]
        np.put_along_axis(logits, own, values, axis=-1)
