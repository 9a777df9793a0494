"""Each cell once more, as the textbooks and PyTorch have it: the tests compare charrnn's cells with these."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from charrnn.cell_types import CELLS

State = tuple[Tensor, ...]
Blocks = Sequence[Tensor]


@dataclass(frozen=True)
class ReferenceCell:
    """What the tests know of a cell.

    Attributes:
        step: gives the state after a step, from the blocks of W_xh x + b and of W_hh h, the state before, and a GRU's
            b_hn.
        num_parameters: of a layer, by the width of its inputs and its units.
        gates: their names in the order of the weights' blocks, and their letters.
    """

    step: Callable[[Blocks, Blocks, State, Tensor | None], State]
    num_parameters: Callable[[int, int], int]
    gates: Mapping[str, str] = field(default_factory=dict)


def _lstm(a: Blocks, r: Blocks, state: State, _: Tensor | None) -> State:
    i, f, o = (torch.sigmoid(a[k] + r[k]) for k in (0, 1, 3))
    c = f * state[1] + i * torch.tanh(a[2] + r[2])
    return (o * torch.tanh(c), c)


def _gru(a: Blocks, r: Blocks, state: State, bias_hn: Tensor | None) -> State:
    reset, update = torch.sigmoid(a[0] + r[0]), torch.sigmoid(a[1] + r[1])
    candidate = torch.tanh(a[2] + reset * (r[2] + bias_hn))
    return ((1 - update) * candidate + update * state[0],)


def _tanh(a: Blocks, r: Blocks, _: State, __: Tensor | None) -> State:
    return (torch.tanh(a[0] + r[0]),)


def _relu(a: Blocks, r: Blocks, _: State, __: Tensor | None) -> State:
    return (torch.clamp(a[0] + r[0], min=0),)


REFERENCE = {
    "lstm": ReferenceCell(_lstm, lambda i, h: 4 * h * (i + h + 1), {"input": "i", "forget": "f", "output": "o"}),
    "gru": ReferenceCell(_gru, lambda i, h: 3 * h * (i + h + 1) + h, {"reset": "r", "update": "z"}),
    "rnn": ReferenceCell(_tanh, lambda i, h: h * (i + h + 1)),
    "rnn-relu": ReferenceCell(_relu, lambda i, h: h * (i + h + 1)),
}
assert set(REFERENCE) == set(CELLS), "a cell has no reference, or none any more"

KERNELS = {"lstm": torch.lstm, "gru": torch.gru, "rnn": torch.rnn_tanh, "rnn-relu": torch.rnn_relu}
"""PyTorch's kernels of the cells for which it has one; they run on a CPU too."""


def naive_step(cell: str, weights: Mapping[str, Tensor], x: Tensor, state: State) -> State:
    """One step of one layer, gate by gate.

    Args:
        cell: its name.
        weights: a layer's, by its own names for them.
        x: what it reads, shape (..., I).
        state: before the step, each part of shape (..., H).
    """
    from_input, from_state = x @ weights["weight_ih"].T + weights["bias"], state[0] @ weights["weight_hh"].T
    a, r = (blocks.split(state[0].shape[-1], dim=-1) for blocks in (from_input, from_state))
    return REFERENCE[cell].step(a, r, state, weights.get("bias_hn"))
