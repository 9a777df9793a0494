"""The CharRNN: a vector for each character, a stack of recurrent layers, a score for each next character."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from charrnn.cell_types import CELLS
from charrnn.config import CONTEXTS, ModelConfig
from charrnn.network.cells import CELL_LAYERS, LayerState
from charrnn.network.dropout import Dropout
from charrnn.recall import NONE, Forecasts

State = tuple[LayerState, ...]
"""One layer's state after another; see `charrnn.network.cells`."""


class CharRNN(nn.Module):
    """Scores of the next character, given the characters so far.

    x begins as the characters' vectors, of which some are hidden whole while it trains. Layer l computes x <- x +
    norm(cell(dropout(x))), the first one without dropout; the x that is added to is never dropped. Without the
    residual, as in most first layers, whose widths differ, x <- norm(cell(dropout(x))). The logits are W dropout(x) +
    b; where the model recalls, W_r dropout(x) + b_r says for each forecast what is added to its logit.

    Args:
        config: the model's shape.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_dim)
        cell = CELL_LAYERS[config.cell]
        self.layers = nn.ModuleList(
            cell(config.input_size(layer), config.hidden_size) for layer in range(config.num_layers)
        )
        if config.layer_norm:
            self.norms = nn.ModuleList(nn.LayerNorm(config.hidden_size) for _ in range(config.num_layers))
        self.dropout = Dropout()
        self.head = nn.Linear(config.hidden_size, config.vocab_size)
        # Small first scores: a model that knows nothing should say so, with a loss near ln V.
        nn.init.normal_(self.head.weight, std=0.25 * config.hidden_size**-0.5)
        nn.init.zeros_(self.head.bias)
        if config.recall:
            self.recall = nn.Linear(config.hidden_size, len(CONTEXTS))
            nn.init.zeros_(self.recall.weight)
            nn.init.zeros_(self.recall.bias)

    def forward(self, ids: Tensor, state: State, recalled: Tensor | None = None) -> tuple[Tensor, State]:
        """Read a window of characters.

        Args:
            ids: shape (T, B), values in [0, V).
            state: of the characters before, from a former call or `initial_state`.
            recalled: the forecasts after the characters as `charrnn.recall` gives them, shape (T, B, C), int64, for a
                model that recalls; None for the logits without any.

        Returns:
            Logits of the character after each, shape (T, B, V), and the state after the last.
        """
        x = self.dropout.hide(self.embedding(ids), self.config.input_dropout)  # (T, B, E)
        new_state = []
        for index, layer in enumerate(self.layers):
            inputs = self.dropout(x, self.config.dropout) if index else x
            outputs, layer_state = layer(inputs, state[index])  # (T, B, H)
            if self.config.layer_norm:
                outputs = self.norms[index](outputs)
            x = x + outputs if self.config.is_residual(index) else outputs
            new_state.append(layer_state)
        x = self.dropout(x, self.config.dropout)
        logits = self.head(x) if recalled is None else self._recall(x, recalled)  # (T, B, V)
        return logits, tuple(new_state)

    def _recall(self, x: Tensor, recalled: Tensor) -> Tensor:
        """The head's logits with the forecasts' raised, by one product for both: two would cost more on the way back.

        Forecasts are hidden at times, or the layers would leave to them what they should learn, and be lost without.
        """
        weight = torch.cat([self.head.weight, self.recall.weight])
        bias = torch.cat([self.head.bias, self.recall.bias])
        logits, raised = torch.split(
            functional.linear(x, weight, bias), [self.config.vocab_size, len(CONTEXTS)], dim=-1
        )
        raised = self.dropout.hide(raised * (recalled != NONE), self.config.recall_dropout)  # (T, B, C)
        return logits.scatter_add(-1, recalled.clamp(min=0), raised.to(logits.dtype))

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.head.weight.device

    def initial_state(self, batch_size: int) -> State:
        """The state before any character: zeros."""
        zeros = self.head.weight.new_zeros(batch_size, self.config.hidden_size)
        return tuple((zeros,) * CELLS[self.config.cell].states for _ in range(self.config.num_layers))


def forecasts_on(device: torch.device, recalled: Forecasts | None) -> Tensor | None:
    """Bring what is recalled to where the model is."""
    return None if recalled is None else ids_on(device, recalled)


def ids_on(device: torch.device, ids: NDArray[np.integer[Any]] | Tensor) -> Tensor:
    """Bring ids, of any width, to where the model is, as int64; a tensor is there already."""
    if isinstance(ids, Tensor):
        return ids
    return to_device(device, torch.from_numpy(ids.astype(np.int64, copy=False)))


def to_device(device: torch.device, tensor: Tensor) -> Tensor:
    """Bring a tensor from the processor to a device; from pinned memory, for then no GPU need be waited for."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def map_state(function: Callable[..., Tensor], *states: Sequence[Sequence[Tensor]]) -> State:
    """Apply a function to each tensor of a state, or to those of several states that have the same place."""
    return tuple(
        tuple(function(*tensors) for tensors in zip(*layers, strict=True)) for layers in zip(*states, strict=True)
    )


def detach(state: State) -> State:
    """Cut a state off from the steps that made it, so that no gradient goes back further."""
    return map_state(Tensor.detach, state)


def join_lanes(parts: list[list[list[Tensor]]]) -> list[list[Tensor]]:
    """Put the states of neighbouring lanes together, as nested lists; the tensors' first dimension is the lanes'."""
    return [[torch.cat(tensors) for tensors in zip(*layers, strict=True)] for layers in zip(*parts, strict=True)]
