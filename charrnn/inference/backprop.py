"""Backpropagation through time, written out from the equations, along a tape of `charrnn.inference.tape`.

It needs no torch, and serves to measure how far back a checkpoint's gradients reach, and to train while reading
(dynamic evaluation). It computes what torch's autograd computes, to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from charrnn.arrays import Floats, Ids
from charrnn.cell_types import CELLS
from charrnn.config import CONTEXTS, ModelConfig
from charrnn.inference.tape import LayerTape, Tape, Weights
from charrnn.recall import NO_FORECAST


@dataclass(frozen=True)
class Gradients:
    """Derivatives of a loss.

    Attributes:
        weights: with respect to each weight, by name, in the weight's shape.
        hidden: with respect to each layer's h at every character, including its effects on later characters, shape
            (T, N, H) each.
        cells: likewise with respect to each LSTM layer's c, including its effects through h at the same character;
            empty for other cells.
    """

    weights: dict[str, Floats]
    hidden: list[Floats]
    cells: list[Floats]


def backpropagate(config: ModelConfig, weights: Weights, tape: Tape, by_logits: Floats) -> Gradients:
    """Backpropagate through a window, truncated at its start: nothing before the window gets a gradient.

    Args:
        config: the model's shape.
        weights: the weights that the tape was recorded with.
        tape: the recorded forward pass over the window.
        by_logits: derivatives of the loss with respect to the logits, shape (T, N, V).
    """
    gradients = {
        "head.weight": _outer(by_logits, tape.outputs),
        "head.bias": by_logits.sum(axis=(0, 1)),
    }
    by_output: Floats = by_logits @ weights["head.weight"]  # (T, N, H)
    if config.recall:
        by_raised = _through_recall(tape, by_logits)
        gradients["recall.weight"] = _outer(by_raised, tape.outputs)
        gradients["recall.bias"] = by_raised.sum(axis=(0, 1))
        by_output += by_raised @ weights["recall.weight"]
    hidden: list[Floats] = []
    cells: list[Floats] = []
    for layer in reversed(range(config.num_layers)):
        layer_tape = tape.layers[layer]
        by_hidden = by_output
        if config.layer_norm:
            gradients[f"norms.{layer}.weight"] = (by_output * layer_tape.normalised).sum(axis=(0, 1))
            gradients[f"norms.{layer}.bias"] = by_output.sum(axis=(0, 1))
            by_hidden = _through_norm(by_output * weights[f"norms.{layer}.weight"], layer_tape)
        back = _through_layer(config, weights, layer, layer_tape, by_hidden)
        gradients |= back.weights
        hidden.insert(0, back.hidden)
        if CELLS[config.cell].states > 1:
            cells.insert(0, back.cells)
        below = back.inputs
        by_output = by_output + below if config.is_residual(layer) else below
    embedding = np.zeros_like(weights["embedding.weight"])
    np.add.at(embedding, tape.ids, by_output)
    gradients["embedding.weight"] = embedding
    return Gradients({name: gradients[name] for name in weights}, hidden, cells)


def cross_entropy_gradient(logits: Floats, targets: Ids) -> Floats:
    """Derivatives of -ln p(target), summed over all characters, with respect to the logits: p, minus 1 at the target.

    Args:
        logits: shape (T, N, V).
        targets: ids, shape (T, N).
    """
    gradient: Floats = np.exp(logits - logits.max(axis=-1, keepdims=True))
    gradient /= gradient.sum(axis=-1, keepdims=True)
    places = targets[..., None]
    np.put_along_axis(gradient, places, np.take_along_axis(gradient, places, axis=-1) - 1, axis=-1)
    return gradient


def _through_recall(tape: Tape, by_logits: Floats) -> Floats:
    """Derivatives with respect to what was added to the forecasts' logits, shape (T, N, C); 0 where nothing was."""
    if tape.recalled is None:
        return np.zeros((*by_logits.shape[:2], len(CONTEXTS)), dtype=by_logits.dtype)
    places = np.maximum(tape.recalled, 0).astype(np.intp)
    by_raised: Floats = np.take_along_axis(by_logits, places, axis=-1) * (tape.recalled != NO_FORECAST)
    return by_raised


@dataclass(frozen=True)
class _LayerGradients:
    weights: dict[str, Floats]
    inputs: Floats
    hidden: Floats
    cells: Floats


def _through_layer(
    config: ModelConfig, weights: Weights, layer: int, tape: LayerTape, by_hidden: Floats
) -> _LayerGradients:
    """Backpropagate through a layer, from the last character to the first, given the derivatives from above."""
    weight_hh = weights[f"layers.{layer}.weight_hh"]
    previous = np.concatenate([tape.before[0][None], tape.hidden[:-1]])
    hidden, cells = np.empty_like(by_hidden), np.empty_like(by_hidden)
    by_gates = np.empty_like(tape.gates)  # with respect to W_xh x + b
    by_products = by_gates  # with respect to W_hh h; differs for a GRU only
    if CELLS[config.cell].resets:
        by_products = np.empty_like(by_gates)
        inner = previous @ weight_hh[-config.hidden_size :].T + weights[f"layers.{layer}.bias_hn"]
    from_later = cell_from_later = kept = np.zeros_like(by_hidden[0])
    for step in reversed(range(len(by_hidden))):
        hidden[step] = by_hidden[step] + from_later
        if config.cell == "lstm":
            before = tape.cells[step - 1] if step else tape.before[1]
            cells[step], cell_from_later = _lstm_step(tape, step, before, hidden[step], cell_from_later, by_gates[step])
        elif config.cell == "gru":
            gates = tape.gates[step]
            kept = _gru_step(gates, inner[step], previous[step], hidden[step], by_gates[step], by_products[step])
        else:
            h = tape.hidden[step]
            by_gates[step] = hidden[step] * (1 - h * h if config.cell == "rnn" else h > 0)
        from_later = by_products[step] @ weight_hh + kept
    gradients = {
        f"layers.{layer}.weight_ih": _outer(by_gates, tape.inputs),
        f"layers.{layer}.weight_hh": _outer(by_products, previous),
        f"layers.{layer}.bias": by_gates.sum(axis=(0, 1)),
    }
    if CELLS[config.cell].resets:
        gradients[f"layers.{layer}.bias_hn"] = by_products[..., -config.hidden_size :].sum(axis=(0, 1))
    return _LayerGradients(gradients, by_gates @ weights[f"layers.{layer}.weight_ih"], hidden, cells)


def _lstm_step(
    tape: LayerTape, step: int, cell_before: Floats, by_hidden: Floats, from_later: Floats, by_gates: Floats
) -> tuple[Floats, Floats]:
    """One step back through an LSTM: fills `by_gates`; returns the derivatives by this c and by the previous one."""
    i, f, g, o = np.split(tape.gates[step], 4, axis=-1)
    squashed = np.tanh(tape.cells[step])
    by_cell = from_later + by_hidden * o * (1 - squashed * squashed)
    parts = (
        by_cell * g * i * (1 - i),
        by_cell * cell_before * f * (1 - f),
        by_cell * i * (1 - g * g),
        by_hidden * squashed * o * (1 - o),
    )
    np.concatenate(parts, axis=-1, out=by_gates)
    return by_cell, by_cell * f


def _gru_step(
    gates: Floats, inner: Floats, before: Floats, by_hidden: Floats, by_gates: Floats, by_products: Floats
) -> Floats:
    """One step back through a GRU: fills `by_gates` and `by_products`.

    `inner` is W_hn h + b_hn, which the reset gate scales. Returns the part of the derivative with respect to the
    previous h that flows through z * h; the rest flows through W_hh.
    """
    r, z, n = np.split(gates, 3, axis=-1)
    by_candidate = by_hidden * (1 - z) * (1 - n * n)
    by_reset = by_candidate * inner * r * (1 - r)
    by_update = by_hidden * (before - n) * z * (1 - z)
    np.concatenate([by_reset, by_update, by_candidate], axis=-1, out=by_gates)
    np.concatenate([by_reset, by_update, by_candidate * r], axis=-1, out=by_products)
    kept: Floats = by_hidden * z
    return kept


def _through_norm(by_normalised: Floats, tape: LayerTape) -> Floats:
    """Backpropagate through (h - mean) / deviation, where mean and deviation depend on every unit."""
    mean = by_normalised.mean(axis=-1, keepdims=True)
    along = (by_normalised * tape.normalised).mean(axis=-1, keepdims=True)
    result: Floats = tape.scale * (by_normalised - mean - tape.normalised * along)
    return result


def _outer(left: Floats, right: Floats) -> Floats:
    """Sum of outer products over all characters of all texts: (T, N, A) and (T, N, B) to (A, B)."""
    product: Floats = left.reshape(-1, left.shape[-1]).T @ right.reshape(-1, right.shape[-1])
    return product
