"""The CharRNN's forward pass in numpy, written out from its equations.

It needs no torch, so that sampling starts at once, and it is faster than torch character by character. It computes what
`charrnn.network.model` computes, to rounding, and is the oracle in that module's tests.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import numpy as np

from charrnn.arrays import Floats, Ids, Singles
from charrnn.config import LAYER_NORM_EPSILON, ModelConfig
from charrnn.inference.folding import FoldedWeights
from charrnn.inference.recall_logits import boost_logits
from charrnn.inference.stepper import Stepper
from charrnn.recall import Forecasts

LayerState = tuple[Floats, ...]
State = tuple[LayerState, ...]

CellStep = Callable[[Floats, LayerState, Floats, Floats], LayerState]
"""Takes W_xh x + b, shape (N, G * H), the previous state, W_hh, and b_hn (empty unless a GRU's); returns the new state.

It overwrites W_xh x + b with the blocks' activations (after sigmoid, tanh or ReLU), and computes in the weights' dtype.
"""

_HALF = np.float32(0.5)


def tanh_step(blocks: Floats, state: LayerState, weight_hh: Floats, _: Floats) -> LayerState:
    """Compute h' = tanh(W_xh x + b + W_hh h)."""
    blocks += state[0] @ weight_hh.T
    np.tanh(blocks, out=blocks)
    return (blocks.copy(),)


def relu_step(blocks: Floats, state: LayerState, weight_hh: Floats, _: Floats) -> LayerState:
    """Compute h' = max(0, W_xh x + b + W_hh h)."""
    blocks += state[0] @ weight_hh.T
    np.maximum(blocks, 0, out=blocks)
    return (blocks.copy(),)


def gru_step(blocks: Floats, state: LayerState, weight_hh: Floats, bias_hn: Floats) -> LayerState:
    """r, z = sigmoid(...); n = tanh(W_xn x + b_n + r * (W_hn h + b_hn)); h' = (1 - z) * n + z * h."""
    (h,) = state
    width = h.shape[-1]
    recurrent = h @ weight_hh.T  # (N, 3 * H)
    gates, n = blocks[..., : 2 * width], blocks[..., 2 * width :]
    gates[:] = sigmoid(gates + recurrent[..., : 2 * width])
    r, z = gates[..., :width], gates[..., width:]
    n += r * (recurrent[..., 2 * width :] + bias_hn)
    np.tanh(n, out=n)
    return (n + z * (h - n),)


def lstm_step(blocks: Floats, state: LayerState, weight_hh: Floats, _: Floats) -> LayerState:
    """i, f, o = sigmoid(...); g = tanh(...); c' = f * c + i * g; h' = o * tanh(c').

    All four share one tanh, since sigmoid(x) = (1 + tanh(x / 2)) / 2.
    """
    h, c = state
    width = h.shape[-1]
    halves, offsets = _lstm_halves(width)
    blocks += h @ weight_hh.T  # (N, 4 * H): i, f, g, o
    blocks *= halves
    np.tanh(blocks, out=blocks)
    blocks *= halves
    blocks += offsets
    c = c * blocks[..., width : 2 * width]
    c += blocks[..., :width] * blocks[..., 2 * width : 3 * width]
    h = np.tanh(c)
    h *= blocks[..., 3 * width :]
    return (h, c)


CELL_STEPS: dict[str, CellStep] = {"lstm": lstm_step, "gru": gru_step, "rnn": tanh_step, "rnn-relu": relu_step}


class NumpyCharRNN:
    """One network: a model, or a member of an ensemble; `charrnn.inference.engine` reads texts with it.

    Args:
        config: its shape.
        weights: float32 arrays by name, as `charrnn.shapes.parameter_shapes` lists them.
        reset_id: an id that is always read from a zero state: the line feed, where lines were learned one by one.
        keeps_weights: whether to keep the original weights besides the folded ones; `forward` needs them, reading
            character by character does not.
    """

    def __init__(
        self,
        config: ModelConfig,
        weights: Mapping[str, Singles],
        reset_id: int | None = None,
        *,
        keeps_weights: bool = True,
    ) -> None:
        self.config = config
        self._weights = dict(weights)
        self._keeps_weights = keeps_weights
        self._reset_id = reset_id
        self._cell = CELL_STEPS[config.cell]
        # A product with a vector of 1/H is numpy's fastest mean over units.
        self._averaging: Singles = np.full(config.hidden_size, 1 / config.hidden_size, dtype=np.float32)

    def stepper(self, num_texts: int | None = None) -> Stepper:
        """Begin N texts; None: one text, without a batch axis."""
        return Stepper(self.config, self._folded, num_texts, self._reset_id)

    @functools.cached_property
    def _projected_characters(self) -> Singles:
        """W_xh x + b of the first layer for each of V characters, shape (V, G * H): a lookup in place of a product."""
        return self._project(0, self._weights["embedding.weight"])

    @functools.cached_property
    def _folded(self) -> FoldedWeights:
        """The folded weights, shared by all texts that are read character by character."""
        return FoldedWeights(self.config, dict(self._weights) if self._keeps_weights else self._weights)

    def forward(self, ids: Ids, state: State, recalled: Forecasts | None = None) -> tuple[Singles, State]:
        """Read a window of each text, layer after layer; see `charrnn.inference.engine.Engine.forward`."""
        x: Singles = self._weights["embedding.weight"][ids]  # (T, N, E)
        keeps = None if self._reset_id is None else (ids != self._reset_id)[..., None].astype(np.float32)  # (T, N, 1)
        new_state = []
        for layer in range(self.config.num_layers):
            projected = self._project(layer, x) if layer else self._projected_characters[ids]  # (T, N, G * H)
            outputs, layer_state = self._run_layer(layer, projected, state[layer], keeps)  # (T, N, H)
            outputs = self._normalise(layer, outputs)
            x = x + outputs if self.config.is_residual(layer) else outputs
            new_state.append(layer_state)
        logits = x @ self._weights["head.weight"].T + self._weights["head.bias"]
        if recalled is not None:
            boost_logits(self._weights, x, logits, recalled)
        return logits, tuple(new_state)

    def _project(self, layer: int, x: Singles) -> Singles:
        """W_xh x + b for every step at once."""
        return x @ self._weights[f"layers.{layer}.weight_ih"].T + self._weights[f"layers.{layer}.bias"]

    def _run_layer(
        self, layer: int, projected: Singles, state: LayerState, keeps: Singles | None
    ) -> tuple[Singles, LayerState]:
        """Run a layer over a window; return its outputs h, shape (T, N, H), and the last state.

        `keeps`, shape (T, N, 1), is 0 where the state is reset before a step and 1 elsewhere.
        """
        weight_hh = self._weights[f"layers.{layer}.weight_hh"]
        bias_hn = self._weights.get(f"layers.{layer}.bias_hn", weight_hh[:0])
        outputs = np.empty((*projected.shape[:2], self.config.hidden_size), dtype=np.float32)
        for step, inputs in enumerate(projected):
            if keeps is not None:
                state = tuple(values * keeps[step] for values in state)
            state = self._cell(inputs, state, weight_hh, bias_hn)
            outputs[step] = state[0]
        return outputs, state

    def _normalise(self, layer: int, x: Singles) -> Singles:
        """Layer normalisation, where the model has it."""
        if not self.config.layer_norm:
            return x
        centred: Singles = x - (x @ self._averaging)[..., None]
        variance = (centred * centred) @ self._averaging
        centred *= (1 / np.sqrt(variance + LAYER_NORM_EPSILON))[..., None]
        centred *= self._weights[f"norms.{layer}.weight"]
        centred += self._weights[f"norms.{layer}.bias"]
        return centred


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + exp(-x)), computed with tanh, which cannot overflow."""
    x = np.tanh(x * _HALF)
    x *= _HALF
    x += _HALF
    return x


@functools.lru_cache
def _lstm_halves(width: int) -> tuple[Singles, Singles]:
    """Scales, 0.5 for the rows of i, f and o and 1 for those of g, and 1 - scales; shape (4 * H,) each."""
    halves = np.repeat(np.array([0.5, 0.5, 1, 0.5], dtype=np.float32), width)
    return halves, 1 - halves
