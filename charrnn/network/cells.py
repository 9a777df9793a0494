"""Recurrent layers: one class per cell type, all called in the same way.

A layer maps inputs of shape (T, B, I) and a state to outputs of shape (T, B, H) and the state after the last step.
A state is a tuple of tensors of shape (B, H): (h,), or (h, c) for the LSTM. Layers take and return it, and keep none.

Each equation has one bias, as in the textbooks; PyTorch's kernels take two, so the second is zero. Only the GRU has a
second one, b_hn, inside the product with its reset gate, where it is not redundant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from charrnn.cell_types import CELLS
from charrnn.network.recurrence import GRURecurrence, PlainRecurrence

LayerState = tuple[Tensor, ...]

_KERNEL_OPTIONS: dict[str, Any] = {
    "has_biases": True, "num_layers": 1, "dropout": 0.0, "bidirectional": False, "batch_first": False,
}  # fmt: skip
"""Arguments of PyTorch's recurrent kernels that are the same for all layers."""


class RecurrentLayer(nn.Module):
    """Base class of the layers: weights, their initialisation, and the call of cuDNN's kernels on a GPU.

    Args:
        input_size: I, width of the inputs.
        hidden_size: H, units.

    Attributes:
        mode: PyTorch's name for the cell; None where PyTorch has no kernel for it.
        num_blocks: G, blocks of H rows in each weight matrix.
        weight_ih: W_xh, shape (G * H, I); initially uniform within +-1 / sqrt(H).
        weight_hh: W_hh, shape (G * H, H); each block initially orthogonal, so that gradients neither vanish
            nor explode at first (Saxe, McClelland, Ganguli 2014, https://arxiv.org/abs/1312.6120).
        bias: b_h, shape (G * H,); initially zero.
    """

    mode: str | None = None
    num_blocks: int
    _frozen: Sequence[Tensor] = ()

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.weight_ih = nn.Parameter(torch.empty(self.num_blocks * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(self.num_blocks * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.zeros(self.num_blocks * hidden_size))
        nn.init.uniform_(self.weight_ih, -(hidden_size**-0.5), hidden_size**-0.5)
        for block in self.weight_hh.chunk(self.num_blocks):
            nn.init.orthogonal_(block)

    def forward(self, inputs: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
        """Read a window.

        Args:
            inputs: shape (T, B, I).
            state: the state that an earlier call returned, or zeros: a tuple of tensors (B, H).

        Returns:
            Outputs, shape (T, B, H), and the state after the last step.
        """
        raise NotImplementedError

    def freeze(self) -> None:
        """Copy the weights into the layout that cuDNN needs, which otherwise is built at every call.

        From then on a GPU computes with the copy, so this is for a model that only predicts, character by character.
        Does nothing where PyTorch has no kernel for the cell.
        """
        if self.mode is None:
            return
        frozen = nn.RNNBase(self.mode, self.weight_ih.shape[1], self.hidden_size, device=self.bias.device)
        self._frozen = [weight.detach() for weight in frozen.parameters()]
        for weight, own in zip(self._frozen, self._weights(), strict=True):
            weight.copy_(own.detach())

    def _keep(self, *last: Tensor) -> LayerState:
        """Make the next state, in the weights' precision, from final states of shape (1, B, H)."""
        return tuple(tensor[0].to(self.bias.dtype) for tensor in last)

    def _run_on_gpu(self, kernel: Callable[..., Any], inputs: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
        """Call cuDNN's kernel in the precision that autocast asks for.

        Autocast's own wrapper of cuDNN's recurrent kernels supports only float16, whatever is asked for (PyTorch's
        aten/src/ATen/cudnn/AutocastRNN.cpp). The kernels compute in bfloat16 too, from cuDNN 9.13 and compute
        capability 8.0 on (https://github.com/pytorch/pytorch/pull/164411), if all their arguments are bfloat16.
        """
        dtype = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else inputs.dtype
        with torch.autocast("cuda", enabled=False):
            weights = [weight.to(dtype) for weight in self._frozen] or self._flat_weights(dtype)
            first = tuple(tensor[None].to(dtype) for tensor in state)
            hx = first if len(first) > 1 else first[0]
            outputs, *last = kernel(inputs.to(dtype), hx, weights, train=self.training, **_KERNEL_OPTIONS)
        return outputs, self._keep(*last)

    def _flat_weights(self, dtype: torch.dtype) -> list[Tensor]:
        """The weights as views of one contiguous tensor, the layout that cuDNN needs for a layer.

        Given separate tensors, PyTorch builds this layout itself at each call, and queries cuDNN for the offsets, a
        hundred times for each block of each weight: 1,600 queries for an LSTM (`get_parameters` in
        aten/src/ATen/native/cudnn/RNN.cpp). The views save the forward pass these queries and a copy; the backward
        pass makes them all the same (`_cudnn_rnn_backward_weight`).
        """
        parts = self._weights()
        flat = torch.cat([part.flatten() for part in parts]).to(dtype)
        views = flat.split_with_sizes([part.numel() for part in parts])
        return [view.view_as(part) for view, part in zip(views, parts, strict=True)]

    def _weights(self) -> list[Tensor]:
        """Weights in the order of PyTorch's kernels: W_xh, W_hh, b_xh, b_hh."""
        return [self.weight_ih, self.weight_hh, self.bias, torch.zeros_like(self.bias)]


class PlainRNNLayer(RecurrentLayer):
    """h_t = f(W_xh x_t + W_hh h_{t-1} + b_h); subclasses choose f."""

    num_blocks = len(CELLS["rnn"].blocks)
    relu: bool

    def forward(self, inputs: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
        """See `RecurrentLayer.forward`."""
        if inputs.is_cuda:
            return self._run_on_gpu(torch.rnn_relu if self.relu else torch.rnn_tanh, inputs, state)
        projected = functional.linear(inputs, self.weight_ih, self.bias)
        weight, h = self.weight_hh.to(projected.dtype), state[0].to(projected.dtype)
        outputs = PlainRecurrence.apply(projected, weight, h, self.relu)  # type: ignore[no-untyped-call]
        return outputs, self._keep(outputs[-1:])


class TanhRNNLayer(PlainRNNLayer):
    """h_t = tanh(W_xh x_t + W_hh h_{t-1} + b_h) (Elman 1990)."""

    mode, relu = "RNN_TANH", False


class ReLURNNLayer(PlainRNNLayer):
    """h_t = max(0, W_xh x_t + W_hh h_{t-1} + b_h) (Le, Jaitly, Hinton 2015, https://arxiv.org/abs/1504.00941)."""

    mode, relu = "RNN_RELU", True


class GRULayer(RecurrentLayer):
    """Gates r and z, and a candidate n in which the reset gate r is applied after the recurrent product.

        r = sigmoid(W_xr x + W_hr h + b_r)
        z = sigmoid(W_xz x + W_hz h + b_z)
        n = tanh(W_xn x + b_n + r * (W_hn h + b_hn))
        h' = (1 - z) * n + z * h

    Cho et al. 2014, https://arxiv.org/abs/1406.1078v1 (the first version), as in cuDNN. Rows of the weights: r, z, n.
    """

    mode, num_blocks = "GRU", len(CELLS["gru"].blocks)

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.bias_hn = nn.Parameter(torch.zeros(hidden_size))

    def forward(self, inputs: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
        """See `RecurrentLayer.forward`."""
        if inputs.is_cuda:
            return self._run_on_gpu(torch.gru, inputs, state)
        projected = functional.linear(inputs, self.weight_ih, self.bias)
        weight, bias_hn = self.weight_hh.to(projected.dtype), self.bias_hn.to(projected.dtype)
        outputs = GRURecurrence.apply(projected, weight, bias_hn, state[0])  # type: ignore[no-untyped-call]
        return outputs, self._keep(outputs[-1:])

    def _weights(self) -> list[Tensor]:
        no_bias = torch.zeros_like(self.bias[: 2 * self.hidden_size])
        return [self.weight_ih, self.weight_hh, self.bias, torch.cat([no_bias, self.bias_hn])]


class LSTMLayer(RecurrentLayer):
    """Input, forget and output gates around a cell state c, which is only scaled and added to.

        i, f, o = sigmoid(W_x x + W_h h + b), each with rows of its own
        g = tanh(W_xg x + W_hg h + b_g)
        c' = f * c + i * g
        h' = o * tanh(c')

    Hochreiter and Schmidhuber 1997; forget gate by Gers et al. 2000, its bias initially 1 (Jozefowicz et al. 2015,
    https://proceedings.mlr.press/v37/jozefowicz15.html), so that a new cell remembers. Rows of the weights: i, f, g, o.
    """

    mode, num_blocks = "LSTM", len(CELLS["lstm"].blocks)

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        nn.init.ones_(self.bias[hidden_size : 2 * hidden_size])

    def forward(self, inputs: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
        """See `RecurrentLayer.forward`."""
        if inputs.is_cuda:
            return self._run_on_gpu(torch.lstm, inputs, state)
        h, c = state
        outputs, h, c = torch.lstm(inputs, (h[None], c[None]), self._weights(), train=self.training, **_KERNEL_OPTIONS)
        return outputs, self._keep(h, c)


CELL_LAYERS: dict[str, Callable[[int, int], RecurrentLayer]] = {
    "lstm": LSTMLayer,
    "gru": GRULayer,
    "rnn": TanhRNNLayer,
    "rnn-relu": ReLURNNLayer,
}
