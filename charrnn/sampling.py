"""Drawing text from a model, one character at a time: knows no file format and no terminal.

Any model with an `initial_state` and a `step` will do; ids go in and ids come out.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from charrnn.errors import ConfigError

Floats = NDArray[np.floating[Any]]
Ids = NDArray[np.integer[Any]]


_COLDEST = 1e-30
"""Temperatures below this are taken as this: as good as greedy, and nothing overflows."""


class StepModel(Protocol):
    """What sampling asks of a model, whatever computes it."""

    def initial_state(self, batch_size: int) -> Any:
        """The state before any character, for `batch_size` texts."""

    def step(self, ids: Ids, state: Any) -> tuple[Floats, Any]:
        """Read ids, shape (N,); give logits, shape (N, V), and the new state."""


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """How the next character is chosen from its scores.

    Attributes:
        temperature: the logits are divided by it; below 1 bolder choices get rarer, 0 takes the best (greedy).
        top_k: choose among the k best only; None for all.

    Raises:
        ConfigError: a value is out of its range.
    """

    temperature: float = 0.8
    top_k: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise ConfigError(f"--temperature is {self.temperature}; it must be at least 0 (greedy) and finite")
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError(f"--top-k is {self.top_k}; it must be at least 1")


def probabilities(logits: Floats, options: SamplingOptions) -> Floats:
    """Turn scores into the distribution that is drawn from.

    Args:
        logits: shape (N, V).
        options: applied in this order: top_k, then the temperature.

    Returns:
        Shape (N, V), rows summing to 1. Of equal scores at the edge of top_k, or at temperature 0, the lower ids
        are kept.
    """
    weights = _weights(logits, options)
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights


def generate(
    model: StepModel,
    prompt: Sequence[int],
    *,
    generators: Sequence[np.random.Generator],
    options: SamplingOptions,
    length: int | None,
) -> Iterator[Ids]:
    """Continue a prompt in N ways at once, in constant memory.

    Args:
        model: computes the scores.
        prompt: ids that every text begins with, at least one; they are read and not yielded.
        generators: one source of randomness for each of the N texts, so that a text depends on its own alone.
        options: how a character is chosen.
        length: characters to draw for each text; None for no end.

    Yields:
        The next character's id for each text, shape (N,).
    """
    logits, state = read_prompt(model, prompt, len(generators))
    for _ in itertools.count() if length is None else range(length):
        ids = _draw(_weights(logits, options), generators)
        yield ids
        logits, state = model.step(ids, state)


def read_prompt(model: StepModel, prompt: Sequence[int], num_texts: int) -> tuple[Floats, Any]:
    """Feed a prompt to N texts.

    Returns:
        The logits after its last character, shape (N, V), and the state.
    """
    state = model.initial_state(num_texts)
    for character in prompt:
        logits, state = model.step(np.full(num_texts, character, dtype=np.intp), state)
    return logits, state


@dataclass(frozen=True)
class Sampler:
    """Numbered samples of one model and prompt; a sample depends on the seed and its number alone, rounding apart.

    Attributes:
        model: computes the scores.
        prompt: ids that every sample begins with, at least one; not part of what is given out.
        options: how a character is chosen.
        seed: of all samples.
    """

    model: StepModel
    prompt: Sequence[int]
    options: SamplingOptions
    seed: int

    def stream(self, length: int | None, number: int = 0) -> Iterator[int]:
        """One sample, id by id; without end where `length` is None."""
        return (int(ids[0]) for ids in self._generate([number], length))

    def batch(self, numbers: Sequence[int], length: int) -> Ids:
        """Several samples computed side by side, shape (len(numbers), length)."""
        texts = np.empty((len(numbers), length), dtype=np.intp)
        for position, ids in enumerate(self._generate(numbers, length)):
            texts[:, position] = ids
        return texts

    def _generate(self, numbers: Sequence[int], length: int | None) -> Iterator[Ids]:
        generators = [np.random.default_rng([self.seed, number]) for number in numbers]
        return generate(self.model, self.prompt, generators=generators, options=self.options, length=length)


def _weights(logits: Floats, options: SamplingOptions) -> Floats:
    """The distribution up to a factor: the best of each row has weight 1."""
    top_k = 1 if options.temperature == 0 else options.top_k
    if top_k is not None and top_k < logits.shape[-1]:
        logits = _keep_best(logits, top_k)
    scaled = logits - logits.max(axis=-1, keepdims=True)
    weights: Floats = np.exp(scaled.astype(np.float64) / max(options.temperature, _COLDEST))
    return weights


def _draw(weights: Floats, generators: Sequence[np.random.Generator]) -> Ids:
    """Draw an id from each row by inverting its cumulative distribution, shape (N,)."""
    cumulative = weights.cumsum(axis=-1)
    if len(generators) == 1:  # one text at a time is what waits for an answer: a third of the time of the line below
        return np.array([cumulative[0].searchsorted(generators[0].random() * cumulative[0, -1], side="right")])
    thresholds = np.array([generator.random() for generator in generators])[:, None] * cumulative[:, -1:]
    return np.asarray((cumulative <= thresholds).sum(axis=-1))


def _keep_best(logits: Floats, top_k: int) -> Floats:
    """Set all but the top_k best of each row to minus infinity."""
    order = np.argsort(-logits, axis=-1, kind="stable")[..., :top_k]
    kept = np.full_like(logits, -np.inf)
    np.put_along_axis(kept, order, np.take_along_axis(logits, order, axis=-1), axis=-1)
    return kept
