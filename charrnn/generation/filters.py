"""From logits to the distribution that a character is drawn from.

The filters act in llama.cpp's order: allowed ids, top_k, top_p, min_p, and the temperature last, so that top_p and
min_p judge the model's own probabilities, and a temperature only reweighs what they keep. Each filter keeps at least
the best of its input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from charrnn.arrays import Floats
from charrnn.errors import ConfigError
from charrnn.limits import Range, check_range

COLDEST = 1e-20
"""Temperatures below this count as this: as good as greedy, and nothing overflows."""

HOTTEST = 1e30
"""Temperatures above this count as this: already a uniform choice. The reciprocal of a much larger one would be 0 in
float32, and 0 times minus infinity is NaN."""


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """How the next character is drawn from its logits.

    Attributes:
        temperature: divides the logits; below 1, unlikely choices get rarer; 0 is greedy.
        final_temperature: the temperature at the end of the text, approached linearly; None: constant temperature.
        top_k: draw from the k best only; None, or 0 as in llama.cpp, for all.
        top_p: draw from the fewest that together have this probability (Holtzman et al. 2020,
            https://arxiv.org/abs/1904.09751); None for all.
        min_p: draw from those with at least this share of the best one's probability; None for all.
        allowed: ids to draw from; None for all.

    Raises:
        ConfigError: a value is out of its range.
    """

    temperature: float = 0.8
    final_temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    allowed: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for temperature in (self.temperature, self.final_temperature):
            if temperature is not None and not 0 <= temperature < math.inf:
                raise ConfigError(f"--temperature is {temperature}; it must be at least 0 (greedy) and finite")
        check_range("top_k", self.top_k, Range(0))
        check_range("top_p", self.top_p, Range(0, 1, open_low=True))
        check_range("min_p", self.min_p, Range(0, 1))
        if self.allowed is not None and not self.allowed:
            raise ConfigError("--allow and --forbid leave no character of the model to write with")

    @property
    def has_filters(self) -> bool:
        """Whether anything but the temperature acts."""
        return any(getattr(self, name) is not None for name in FILTERS)

    def temperature_at(self, share: float) -> float:
        """The temperature for the next character of a text.

        Args:
            share: the share of the text that is behind, from 0 to 1.
        """
        if self.final_temperature is None:
            return self.temperature
        return self.temperature + (self.final_temperature - self.temperature) * share


FILTERS = tuple(field.name for field in fields(SamplingOptions) if "temperature" not in field.name)
"""The options that leave characters out; None leaves out none."""


def weigh(logits: Floats, options: SamplingOptions, temperature: float | Floats) -> Floats:
    """The unnormalised distribution, shape (N, V): the best of each row has weight 1.

    Args:
        logits: shape (N, V); minus infinity for ids that cannot be drawn.
        options: applied in the order given in the module's docstring.
        temperature: one for all rows, or one for each, shape (N, 1).
    """
    if options.has_filters:
        logits = _filter(logits, options)
    is_greedy = np.equal(temperature, 0)
    if is_greedy.any():
        is_best = np.arange(logits.shape[-1]) == logits.argmax(axis=-1, keepdims=True)
        logits = np.where(is_best | ~is_greedy, logits, -np.inf)
    below_best = logits - logits.max(axis=-1, keepdims=True)
    weights: Floats = np.exp(below_best / np.clip(temperature, COLDEST, HOTTEST).astype(logits.dtype))
    return weights


@lru_cache
def closed_row(allowed: tuple[int, ...], vocab_size: int) -> Floats:
    """A row to add to logits, shape (V,): 0 for the allowed ids, minus infinity elsewhere."""
    row = np.full(vocab_size, -np.inf, dtype=np.float32)
    row[list(allowed)] = 0
    return row


def _filter(logits: Floats, options: SamplingOptions) -> Floats:
    """Set all ids that a filter leaves out to minus infinity, in logits shifted so that the best is 0."""
    if options.allowed is not None:
        logits = logits + closed_row(options.allowed, logits.shape[-1])
    logits = logits - logits.max(axis=-1, keepdims=True)  # as in `choosing`, so that both see the same ties
    if options.top_k and options.top_k < logits.shape[-1]:
        logits = _keep_first(logits, _best_first(logits)[..., : options.top_k])
    if options.top_p is not None and options.top_p < 1:
        logits = _keep_likeliest(logits, options.top_p)
    if options.min_p:
        logits = np.where(logits >= np.float64(math.log(options.min_p)), logits, -np.inf)
    return logits


def _best_first(logits: Floats) -> NDArray[np.intp]:
    """The ids of each row, best first, and equal logits by id."""
    return np.argsort(-logits, axis=-1, kind="stable")


def _keep_likeliest(logits: Floats, top_p: float) -> Floats:
    """Set all but the fewest ids of each row that together have probability top_p to minus infinity; the best is 0."""
    order = _best_first(logits)
    weights = np.exp(logits.astype(np.float64))
    sums = np.take_along_axis(weights, order, axis=-1).cumsum(axis=-1)
    needed = np.ones(sums.shape, dtype=np.bool_)
    needed[..., 1:] = sums[..., :-1] < top_p * sums[..., -1:]  # likelier ids alone are not enough
    return _keep_first(logits, order, needed)


def _keep_first(logits: Floats, order: NDArray[np.intp], needed: NDArray[np.bool_] | bool = True) -> Floats:
    """Set all ids to minus infinity but those in `order` that are needed."""
    kept = np.full_like(logits, -np.inf)
    np.put_along_axis(kept, order, np.where(needed, np.take_along_axis(logits, order, axis=-1), -np.inf), axis=-1)
    return kept
