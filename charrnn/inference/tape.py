"""A forward pass that keeps all its activations: every gate, cell and state of every layer, at every character.

The equations are those of `numpy_network`. The tape serves to show a neuron at work, and to backpropagate
through the text (`charrnn.inference.backprop`). The pass computes in the dtype of its weights, so that tests can run it
in double precision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.arrays import Floats
from charrnn.cell_types import CELLS
from charrnn.config import LAYER_NORM_EPSILON, ModelConfig
from charrnn.inference.numpy_network import CELL_STEPS, State
from charrnn.inference.recall_logits import boost_logits
from charrnn.recall import Forecasts

Weights = Mapping[str, Floats]


@dataclass(frozen=True)
class LayerTape:
    """The activations of one layer.

    Attributes:
        inputs: its input, shape (T, N, E or H).
        before: its state before the first character: h, or h and c.
        gates: the blocks after their sigmoid or tanh, side by side, shape (T, N, G * H); for a plain RNN, h again.
        hidden: h, shape (T, N, H).
        cells: c of an LSTM, shape (T, N, H); for other cells, h again.
        normalised: (h - mean) / deviation, shape (T, N, H); without layer normalisation, h again.
        scale: 1 / deviation, shape (T, N, 1); without layer normalisation, ones.
    """

    inputs: Floats
    before: tuple[Floats, ...]
    gates: Floats
    hidden: Floats
    cells: Floats
    normalised: Floats
    scale: Floats


@dataclass(frozen=True)
class Tape:
    """The activations of a model over a window.

    Attributes:
        ids: the characters read, shape (T, N).
        layers: the tape of each layer, first to last.
        outputs: the head's input, shape (T, N, H).
        logits: the logits after each character, shape (T, N, V).
        state: the state after the last character.
        recalled: the forecasts after the characters, shape (T, N, C), if they were added to the logits.
    """

    ids: NDArray[np.integer[Any]]
    layers: list[LayerTape]
    outputs: Floats
    logits: Floats
    state: State
    recalled: Forecasts | None = None


def zero_state(config: ModelConfig, weights: Weights, num_texts: int = 1) -> State:
    """The state before any character, each part of shape (N, H)."""
    zeros = np.zeros((num_texts, config.hidden_size), dtype=weights["head.weight"].dtype)
    return ((zeros,) * CELLS[config.cell].states,) * config.num_layers


def record(
    config: ModelConfig,
    weights: Weights,
    ids: NDArray[np.integer[Any]],
    state: State,
    recalled: Forecasts | None = None,
) -> Tape:
    """Read a window of each text and keep all activations.

    Args:
        config: the model's shape.
        weights: by name.
        ids: shape (T, N).
        state: the state after the characters before; not modified.
        recalled: the forecasts after the characters, shape (T, N, C), for a model that recalls; None for logits
            without recall.
    """
    x = weights["embedding.weight"][ids]  # (T, N, E)
    layers = []
    for layer in range(config.num_layers):
        tape = _record_layer(config, weights, layer, x, state[layer])
        outputs = tape.normalised
        if config.layer_norm:
            outputs = outputs * weights[f"norms.{layer}.weight"] + weights[f"norms.{layer}.bias"]
        x = x + outputs if config.is_residual(layer) else outputs
        layers.append(tape)
    logits = x @ weights["head.weight"].T + weights["head.bias"]
    if recalled is not None:
        boost_logits(weights, x, logits, recalled)
    lasts = tuple((tape.hidden[-1], tape.cells[-1])[: CELLS[config.cell].states] for tape in layers)
    return Tape(ids, layers, x, logits, lasts, recalled)


def gate_values(config: ModelConfig, tape: LayerTape) -> dict[str, Floats]:
    """The gates of a layer, with values between 0 and 1, by name, shape (T, N, H) each; a plain RNN has none."""
    cell = CELLS[config.cell]
    blocks = np.split(tape.gates, len(cell.blocks), axis=-1)
    return {name: block for name, block in zip(cell.blocks, blocks, strict=True) if name in cell.gates}


def _record_layer(
    config: ModelConfig, weights: Weights, layer: int, x: Floats, before: tuple[Floats, ...]
) -> LayerTape:
    take_step = CELL_STEPS[config.cell]
    weight_hh = weights[f"layers.{layer}.weight_hh"]
    bias_hn = weights.get(f"layers.{layer}.bias_hn", weight_hh[:0])
    gates = x @ weights[f"layers.{layer}.weight_ih"].T + weights[f"layers.{layer}.bias"]  # W_xh x + b, then the gates
    states = np.empty((len(before), *x.shape[:2], config.hidden_size), dtype=x.dtype)
    state = before
    for step, blocks in enumerate(gates):
        state = take_step(blocks, state, weight_hh, bias_hn)
        states[:, step] = state
    hidden, cells = states[0], states[-1]
    normalised, scale = _normalise(hidden) if config.layer_norm else (hidden, np.ones_like(hidden[..., :1]))
    return LayerTape(x, before, gates, hidden, cells, normalised, scale)


def _normalise(hidden: Floats) -> tuple[Floats, Floats]:
    centred = hidden - hidden.mean(axis=-1, keepdims=True)
    scale = 1 / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + LAYER_NORM_EPSILON)
    return centred * scale, scale
