"""How far back a model learns and how much context it uses: gradients through time, and the loss by context length.

The effect of a character on the loss k characters later can be learned only if the gradient reaches that far, but the
gradient vanishes or explodes with k (Bengio, Simard, Frasconi 1994; Pascanu, Mikolov, Bengio 2013,
https://arxiv.org/abs/1211.5063).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.analysis.losses import surprisals
from charrnn.arrays import Doubles
from charrnn.cell_types import CELLS
from charrnn.config import ModelConfig
from charrnn.inference.backprop import backpropagate, cross_entropy_gradient
from charrnn.inference.engine import Engine
from charrnn.inference.tape import Weights, record, zero_state
from charrnn.recall import Forecasts, recall_columns
from charrnn.shapes import each_member

REACH = 100
"""The largest k."""

GRADIENT_PLACES = 128
"""Places of the text whose losses are backpropagated; many, as far back their gradients differ by powers of ten."""

_PLACES_AT_ONCE = 16
"""Most places per batch: a tape holds all activations of their windows."""

LEAD_IN = 64
"""Characters read before the first one that a gradient reaches."""

CONTEXT_LENGTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Upper bounds of the ranges of context length for which a loss is given. A row for every single length would take
thirty times as long."""

_CHARACTERS_AT_ONCE = 4096
"""Characters per batch of windows; a batch has at least 64 windows, unless `_LOGITS_AT_ONCE` limits it."""

_LOGITS_AT_ONCE = 1 << 23
"""Most logits per batch, which limits it for a large alphabet: those of one member take 32 MB."""


@dataclass(frozen=True)
class Flow:
    """Gradient norms by distance in one layer.

    Attributes:
        layer: from 0; the layers of an ensemble's members follow one another.
        part: "h", or "c" for an LSTM's cell state.
        norms: norm of the gradient of a character's loss with respect to that state k characters before, for k = 0, 1,
            ..., as the median over places in the text, shape (K + 1,). The few places from which a gradient reaches
            farthest would dominate a mean.
        places: number of places: `GRADIENT_PLACES`, or fewer in a short text.
        quartiles: lower and upper quartile over the places of the norms at the largest k.
    """

    layer: int
    part: str
    norms: Doubles
    places: int
    quartiles: tuple[float, float]

    def distance(self, share: float) -> int | None:
        """The first k at which the norm is at most a share of that at 0; None if there is none, or that at 0 is 0."""
        if not self.norms[0] > 0:
            return None
        below = np.flatnonzero(self.norms <= share * self.norms[0])
        return int(below[0]) if len(below) else None

    @property
    def remainder(self) -> float | None:
        """Norm at the largest k over that at 0, above 1 if it has grown; None if not finite."""
        return self._share(float(self.norms[-1]))

    @property
    def middle_half(self) -> tuple[float, float] | None:
        """Quartiles over the places of the norm at the largest k, as shares of that at 0.

        None if there is only one place, or if a share is not finite.
        """
        lower, upper = map(self._share, self.quartiles)
        return None if self.places == 1 or lower is None or upper is None else (lower, upper)

    def _share(self, norm: float) -> float | None:
        share = norm / float(self.norms[0]) if self.norms[0] > 0 else math.nan
        return share if math.isfinite(share) else None


@dataclass(frozen=True)
class ContextLoss:
    """The loss for one range of context lengths.

    Attributes:
        fewest: least characters of context.
        most: most characters of context; each length in the range is used for equally many characters.
        loss: mean in nats per character.
        error: standard error of that mean.
        characters: number of characters that the loss is over; the same for each range.
    """

    fewest: int
    most: int
    loss: float
    error: float
    characters: int


def shortest_text(reach: int = REACH) -> int:
    """Least length of a text, in characters or bytes, for gradients over this distance."""
    return LEAD_IN + reach + 2


def gradient_flow(
    config: ModelConfig, weights: Weights, ids: NDArray[Any], *, reach: int = REACH, places: int = GRADIENT_PLACES
) -> list[Flow]:
    """Backpropagate the losses of single characters through the text.

    In double precision: in single precision, a saturated tanh is exactly 1 and its derivative exactly 0.

    Args:
        config: the model's shape.
        weights: by name.
        ids: encoded text, shape (num_chars,), at least `shortest_text(reach)` long.
        reach: the largest k.
        places: number of losses, spread over the text.
    """
    needed = shortest_text(reach)
    assert len(ids) >= needed, "refused before"
    starts = np.unique(np.linspace(0, len(ids) - needed, places).astype(int))
    windows = np.asarray(ids, dtype=np.int64)[starts + np.arange(needed)[:, None]]  # (needed, N)
    at_once = min(_PLACES_AT_ONCE, max(1, _LOGITS_AT_ONCE // (needed * config.vocab_size)))
    pieces = [windows[:, begin : begin + at_once] for begin in range(0, len(starts), at_once)]
    flows = []
    for first, member, own in each_member(config, weights):
        precise = {name: weight.astype(np.float64) for name, weight in own.items()}
        norms = np.concatenate([_norms(member, precise, piece) for piece in pieces], axis=-1)  # (parts, L, K + 1, N)
        lower, median, upper = np.quantile(norms, (0.25, 0.5, 0.75), axis=-1, method="inverted_cdf")
        flows += [
            Flow(
                first + layer,
                "hc"[part],
                median[part, layer],
                len(starts),
                (float(lower[part, layer, -1]), float(upper[part, layer, -1])),
            )
            for part, layer in np.ndindex(norms.shape[:2])
        ]
    return flows


def spectral_radii(config: ModelConfig, weights: Weights) -> list[tuple[int, str, float]]:
    """Spectral radius of the recurrent matrix of each layer and gate, as (layer, gate, radius)."""
    names = CELLS[config.cell].blocks
    return [
        (first + layer, name, float(np.abs(np.linalg.eigvals(block)).max()))
        for first, _, own in each_member(config, weights)
        for layer in range(config.num_layers)
        for name, block in zip(names, np.split(own[f"layers.{layer}.weight_hh"], len(names)), strict=True)
    ]


def loss_by_context(model: Engine, ids: NDArray[Any]) -> list[ContextLoss]:
    """Measure the loss with limited context: the state is zero before the context of each character.

    For each range of lengths the text is read in overlapping windows such that every character is predicted once. The
    first characters, which lack the longest context, are left out of all losses, so that all are over the same ones.

    Args:
        model: reads the text.
        ids: encoded text, shape (num_chars,).

    Returns:
        A loss for each of `CONTEXT_LENGTHS` that is at most half of the text: the mean over contexts of at most that
        length and more than the previous one.
    """
    lengths = [length for length in CONTEXT_LENGTHS if 2 * length <= len(ids)]
    rows = []
    for low, high in pairwise((0, *lengths)):
        values = _context_surprisals(model, ids, lengths[-1], low, high)
        error = float(values.std() / math.sqrt(len(values)))
        rows.append(ContextLoss(low + 1, high, float(values.mean()), error, len(values)))
    return rows


def _norms(config: ModelConfig, weights: Weights, windows: NDArray[Any]) -> Doubles:
    """Norms of the gradients of each window's last loss with respect to the states before, h and, in an LSTM, c.

    Args:
        config: of one member.
        weights: of that member, by name.
        windows: ids, shape (LEAD_IN + K + 2, N).

    Returns:
        Norms by distance k, shape (parts, L, K + 1, N).
    """
    recalled = _recall(config, windows[:-1])
    state = record(config, weights, windows[:LEAD_IN], zero_state(config, weights, windows.shape[1])).state
    tape = record(config, weights, windows[LEAD_IN:-1], state, None if recalled is None else recalled[LEAD_IN:])
    by_logits = cross_entropy_gradient(tape.logits, windows[LEAD_IN + 1 :])
    by_logits[:-1] = 0  # only the last character's loss counts
    found = backpropagate(config, weights, tape, by_logits)
    parts = (found.hidden, found.cells)[: CELLS[config.cell].states]
    return np.array([[np.linalg.norm(by_state, axis=-1)[::-1] for by_state in part] for part in parts])


def _context_surprisals(model: Engine, ids: NDArray[Any], first: int, low: int, high: int) -> Doubles:
    """The surprisal of every character from `first` on, given more than `low` and at most `high` characters before."""
    last = len(ids) - 1 - high  # start of the last window; what it predicts a second time is dropped below
    starts = np.append(np.arange(first - low - 1, last, high - low), last)
    num_doubled = int(starts[-2] + high - low - last) if len(starts) > 1 else high - low - (len(ids) - first)
    at_once = max(64, _CHARACTERS_AT_ONCE // high)
    at_once = max(1, min(at_once, _LOGITS_AT_ONCE // (high * model.config.vocab_size)))
    found = []
    for begin in range(0, len(starts), at_once):
        chosen = starts[begin : begin + at_once]
        windows = np.asarray(ids, dtype=np.int64)[chosen + np.arange(high + 1)[:, None]]  # (high + 1, N)
        recalled = _recall(model.config, windows[:-1])
        logits, _ = model.forward(windows[:-1], model.initial_state(len(chosen)), recalled)
        found.append(surprisals(logits[low:], windows[low + 1 :]))  # (high - low, N)
    values = np.concatenate(found, axis=1).T.ravel()  # in the order of the text
    end = len(values) - (high - low)
    return np.concatenate([values[:end], values[end + num_doubled :]])


def _recall(config: ModelConfig, windows: NDArray[Any]) -> Forecasts | None:
    """Recall forecasts for windows, shape (T, N); each window recalls only itself. None without recall."""
    return recall_columns(windows, config.recall) if config.recall else None
