"""The update of each cell, in place on preallocated arrays, for one text or many.

Each update works on W_hh h of the last step, shape (G * H,) or (G * H, N), with the gates ordered and scaled by
`charrnn.inference.folding`, and on h, shape (H,) or (H, N), divided by its `state_scale`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from charrnn.arrays import Singles

CellUpdate = Callable[[Singles], None]
"""Takes a layer's inputs, W_xh x + b, shape (G * H,) or (G * H, N), and updates its h in place."""

_HALF = np.float32(0.5)
_ONE = np.float32(1)


def state_scale(cell: str) -> float:
    """The factor from a cell update's `hidden` array to h: an LSTM's array holds 2 h."""
    return 0.5 if cell == "lstm" else 1.0


def make_update(
    cell: str, recurrent: Singles, hidden: Singles, half_bias_hn: Singles
) -> tuple[CellUpdate, list[Singles]]:
    """Make a cell's update for one layer.

    Args:
        cell: the cell's name.
        recurrent: W_hh h, shape (G * H,) or (G * H, N).
        hidden: h divided by its `state_scale`, shape (H,) or (H, N).
        half_bias_hn: half of a GRU's b_hn, shape (H,).

    Returns:
        The update, and the arrays that it keeps for the next character besides `hidden`: zeros, the initial state.
    """
    if cell == "lstm":
        values = np.zeros((5 * len(hidden), *hidden.shape[1:]), dtype=np.float32)  # i, f, o, g, and the cell
        return _lstm(recurrent, hidden, values), [values]
    if cell == "gru":
        return _gru(recurrent, hidden, half_bias_hn.reshape(-1, *(1 for _ in hidden.shape[1:]))), []
    return {"rnn": _tanh, "rnn-relu": _relu}[cell](recurrent, hidden), []


def _lstm(recurrent: Singles, hidden: Singles, values: Singles) -> CellUpdate:
    """See `numpy_network.lstm_step`; each sigmoid is computed as (1 + tanh) / 2, and `hidden` is 2 h."""
    width = len(hidden)
    gates, enter_forget, leave = values[: 4 * width], values[: 2 * width], values[2 * width : 3 * width]
    candidate_cell, cell = values[3 * width :], values[4 * width :]
    kept = np.empty_like(candidate_cell)
    entered, remembered = kept[:width], kept[width:]
    squashed = np.empty_like(hidden)
    add, multiply, tanh, half = np.add, np.multiply, np.tanh, _HALF

    def update(inputs: Singles) -> None:
        add(recurrent, inputs, gates)
        tanh(gates, gates)
        multiply(enter_forget, candidate_cell, kept)
        add(kept, candidate_cell, kept)
        add(entered, remembered, cell)
        multiply(cell, half, cell)
        tanh(cell, squashed)
        multiply(leave, squashed, hidden)
        add(hidden, squashed, hidden)

    return update


def _gru(recurrent: Singles, hidden: Singles, half_bias_hn: Singles) -> CellUpdate:
    """See `charrnn.inference.numpy_network.gru_step`; h' = h + (1 - tanh(.)) / 2 * (n - h)."""
    width = len(hidden)
    gates = np.empty_like(recurrent[: 2 * width])
    reset, keep = gates[:width], gates[width:]
    candidate = np.empty_like(hidden)
    add, subtract, multiply, tanh, half, one = np.add, np.subtract, np.multiply, np.tanh, _HALF, _ONE
    recurrent_gates, recurrent_candidate = recurrent[: 2 * width], recurrent[2 * width :]

    def update(inputs: Singles) -> None:
        add(recurrent_gates, inputs[: 2 * width], gates)
        tanh(gates, gates)
        add(reset, one, reset)
        add(recurrent_candidate, half_bias_hn, candidate)
        multiply(candidate, reset, candidate)
        add(candidate, inputs[2 * width :], candidate)
        tanh(candidate, candidate)
        subtract(candidate, hidden, candidate)
        subtract(one, keep, keep)
        multiply(keep, half, keep)
        multiply(candidate, keep, candidate)
        add(hidden, candidate, hidden)

    return update


def _tanh(recurrent: Singles, hidden: Singles) -> CellUpdate:
    """See `charrnn.inference.numpy_network.tanh_step`."""

    def update(inputs: Singles) -> None:
        np.add(recurrent, inputs, hidden)
        np.tanh(hidden, hidden)

    return update


def _relu(recurrent: Singles, hidden: Singles) -> CellUpdate:
    """See `charrnn.inference.numpy_network.relu_step`."""

    def update(inputs: Singles) -> None:
        np.add(recurrent, inputs, hidden)
        np.maximum(hidden, 0, out=hidden)

    return update
