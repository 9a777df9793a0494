"""The CharRNN: a character embedding, a stack of recurrent layers, and a linear head for the logits."""

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
from charrnn.recall import NO_FORECAST, Forecasts

State = tuple[LayerState, ...]
"""The states of all layers, in order; see `charrnn.network.cells`."""


class CharRNN(nn.Module):
    """Predicts the logits of the next character from the characters so far.

    x begins as the character embeddings, some of which are zeroed as a whole in training. Each layer computes
    x <- x + norm(cell(dropout(x))), the first one without dropout; the residual x is never dropped. Without the
    residual, as in most first layers, whose widths differ, x <- norm(cell(dropout(x))). The logits are
    W dropout(x) + b; in a model that recalls, W_r dropout(x) + b_r is added to the logits of the forecast characters.

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
        # Small initial logits, so that the loss of an untrained model is near ln V.
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
            state: state after the characters before, from an earlier call or `initial_state`.
            recalled: for a model that recalls, the forecasts after each character (see `charrnn.recall`), int64, shape
                (T, B, C); None to compute the logits without them.

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
        """Compute the head's logits and raise those of the forecast characters.

        One matrix product serves both; two would cost more in the backward pass. In training, the forecasts after some
        characters are hidden: otherwise the layers would rely on them, and fail where there are none.
        """
        weight = torch.cat([self.head.weight, self.recall.weight])
        bias = torch.cat([self.head.bias, self.recall.bias])
        logits, raised = torch.split(
            functional.linear(x, weight, bias), [self.config.vocab_size, len(CONTEXTS)], dim=-1
        )
        raised = self.dropout.hide(raised * (recalled != NO_FORECAST), self.config.recall_dropout)  # (T, B, C)
        return logits.scatter_add(-1, recalled.clamp(min=0), raised.to(logits.dtype))

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.head.weight.device

    def initial_state(self, batch_size: int) -> State:
        """The state before any character: zeros, each tensor of shape (batch_size, H)."""
        zeros = self.head.weight.new_zeros(batch_size, self.config.hidden_size)
        return tuple((zeros,) * CELLS[self.config.cell].states for _ in range(self.config.num_layers))


def forecasts_on(device: torch.device, recalled: Forecasts | None) -> Tensor | None:
    """Copy forecasts, if there are any, to the model's device."""
    return None if recalled is None else ids_on(device, recalled)


def ids_on(device: torch.device, ids: NDArray[np.integer[Any]] | Tensor) -> Tensor:
    """Copy ids of any integer type to the model's device, as int64; a tensor is taken to be there already."""
    if isinstance(ids, Tensor):
        return ids
    return to_device(device, torch.from_numpy(ids.astype(np.int64, copy=False)))


def to_device(device: torch.device, tensor: Tensor) -> Tensor:
    """Copy a CPU tensor to a device; to a GPU from pinned memory, so that the host does not wait for it."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def map_state(function: Callable[..., Tensor], *states: Sequence[Sequence[Tensor]]) -> State:
    """Apply a function to each tensor of a state, or to the corresponding tensors of several states."""
    return tuple(
        tuple(function(*tensors) for tensors in zip(*layers, strict=True)) for layers in zip(*states, strict=True)
    )


def detach(state: State) -> State:
    """Detach a state from the steps that computed it, so that no gradient flows back into them."""
    return map_state(Tensor.detach, state)


def join_lanes(parts: list[list[list[Tensor]]]) -> list[list[Tensor]]:
    """Concatenate the states of consecutive lanes, as nested lists, along the tensors' first dimension, the lanes."""
    return [[torch.cat(tensors) for tensors in zip(*layers, strict=True)] for layers in zip(*parts, strict=True)]
