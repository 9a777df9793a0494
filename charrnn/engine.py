"""The CharRNN's forward pass in numpy, written out from its equations.

It needs no torch, so that sampling starts at once, and it is faster than torch where one character follows from the
last. It computes what `charrnn.model` computes, to rounding, and serves as its oracle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from charrnn.config import ModelConfig

Array = NDArray[np.float32]
LayerState = tuple[Array, ...]
State = tuple[LayerState, ...]
CellStep = Callable[[Array, LayerState, Array, Array], LayerState]

LAYER_NORM_EPSILON = 1e-5
"""Added to the variance; torch's default."""


def tanh_step(projected: Array, state: LayerState, weight_hh: Array, _: Array) -> LayerState:
    """H' = tanh(W_xh x + b + W_hh h)."""
    return (np.tanh(projected + state[0] @ weight_hh.T),)


def relu_step(projected: Array, state: LayerState, weight_hh: Array, _: Array) -> LayerState:
    """H' = max(0, W_xh x + b + W_hh h)."""
    return (np.maximum(projected + state[0] @ weight_hh.T, 0),)


def gru_step(projected: Array, state: LayerState, weight_hh: Array, bias_hn: Array) -> LayerState:
    """r, z = sigmoid(...); n = tanh(W_xn x + b_n + r * (W_hn h + b_hn)); h' = (1 - z) * n + z * h."""
    (h,) = state
    width = h.shape[-1]
    recurrent = h @ weight_hh.T  # (N, 3H)
    gates = _sigmoid(projected[..., : 2 * width] + recurrent[..., : 2 * width])
    r, z = gates[..., :width], gates[..., width:]
    n = np.tanh(projected[..., 2 * width :] + r * (recurrent[..., 2 * width :] + bias_hn))
    return (n + z * (h - n),)


def lstm_step(projected: Array, state: LayerState, weight_hh: Array, _: Array) -> LayerState:
    """i, f, o = sigmoid(...); g = tanh(...); c' = f * c + i * g; h' = o * tanh(c')."""
    h, c = state
    width = h.shape[-1]
    gates = h @ weight_hh.T  # (N, 4H)
    gates += projected
    i_f = _sigmoid(gates[..., : 2 * width])
    g = np.tanh(gates[..., 2 * width : 3 * width])
    g *= i_f[..., :width]
    c = c * i_f[..., width:]
    c += g
    o = _sigmoid(gates[..., 3 * width :])
    o *= np.tanh(c)
    return (o, c)


CELL_STEPS: dict[str, CellStep] = {"lstm": lstm_step, "gru": gru_step, "rnn": tanh_step, "rnn-relu": relu_step}
NUM_STATES = {"lstm": 2, "gru": 1, "rnn": 1, "rnn-relu": 1}


class NumpyCharRNN:
    """A trained CharRNN that reads N texts side by side.

    Args:
        config: the model's shape.
        weights: float32 arrays by name, as `charrnn.config.parameter_shapes` lists them.
    """

    def __init__(self, config: ModelConfig, weights: Mapping[str, Array]) -> None:
        self.config = config
        self._weights = weights
        self._cell = CELL_STEPS[config.cell]
        # The first layer's input is one of V vectors: its product with W_xh is looked up, not computed.
        self._projected_characters = self._project(0, weights["embedding.weight"])  # (V, G * H)

    def initial_state(self, batch_size: int = 1) -> State:
        """The state before any character: zeros, each shape (batch_size, H)."""
        zeros = np.zeros((batch_size, self.config.hidden_size), dtype=np.float32)
        return ((zeros,) * NUM_STATES[self.config.cell],) * self.config.num_layers

    def step(self, ids: NDArray[np.integer], state: State) -> tuple[Array, State]:
        """Read one character of each text.

        Args:
            ids: shape (N,), values in [0, V).
            state: of the characters before; left as it is.

        Returns:
            Logits of the next character, shape (N, V), and the new state.
        """
        logits, state = self.forward(ids[None], state)
        return logits[0], state

    def forward(self, ids: NDArray[np.integer], state: State) -> tuple[Array, State]:
        """Read a window of each text, layer after layer.

        Args:
            ids: shape (T, N), values in [0, V).
            state: of the characters before; left as it is.

        Returns:
            Logits of the character after each, shape (T, N, V), and the new state.
        """
        x: Array = self._weights["embedding.weight"][ids]  # (T, N, E)
        new_state = []
        for layer in range(self.config.num_layers):
            projected = self._project(layer, x) if layer else self._projected_characters[ids]  # (T, N, G * H)
            outputs, layer_state = self._run_layer(layer, projected, state[layer])  # (T, N, H)
            outputs = self._normalise(layer, outputs)
            x = x + outputs if self.config.is_residual(layer) else outputs
            new_state.append(layer_state)
        return x @ self._weights["head.weight"].T + self._weights["head.bias"], tuple(new_state)

    def _project(self, layer: int, x: Array) -> Array:
        """W_xh x + b for every step at once."""
        return x @ self._weights[f"layers.{layer}.weight_ih"].T + self._weights[f"layers.{layer}.bias"]

    def _run_layer(self, layer: int, projected: Array, state: LayerState) -> tuple[Array, LayerState]:
        """Take a layer through a window: outputs h, shape (T, N, H), and the last state."""
        weight_hh = self._weights[f"layers.{layer}.weight_hh"]
        bias_hn = self._weights.get(f"layers.{layer}.bias_hn", weight_hh[:0])
        outputs = np.empty((*projected.shape[:2], self.config.hidden_size), dtype=np.float32)
        for step, inputs in enumerate(projected):
            state = self._cell(inputs, state, weight_hh, bias_hn)
            outputs[step] = state[0]
        return outputs, state

    def _normalise(self, layer: int, x: Array) -> Array:
        """Layer normalisation, where the model has it."""
        if not self.config.layer_norm:
            return x
        width = np.float32(x.shape[-1])
        centred: Array = np.subtract(x, np.add.reduce(x, axis=-1, keepdims=True) / width)
        variance = np.add.reduce(centred * centred, axis=-1, keepdims=True) / width
        centred *= self._weights[f"norms.{layer}.weight"] / np.sqrt(variance + np.float32(LAYER_NORM_EPSILON))
        centred += self._weights[f"norms.{layer}.bias"]
        return centred


def _sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)) by way of tanh, which cannot overflow."""
    x = np.tanh(x * np.float32(0.5))
    x += np.float32(1)
    x *= np.float32(0.5)
    return x
