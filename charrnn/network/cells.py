"""Recurrent layers: one class per cell type, all called in the same way.

A layer maps inputs of shape (T, B, I) and a state to outputs of shape (T, B, H) and the state after the last step.
A state is a tuple of tensors of shape (B, H): (h,), or (h, c) for the LSTM. It is handed in and returned, never kept.

Each equation has one bias, as in the textbooks; PyTorch's kernels take two, so the second is zero. The GRU has a
bias of its own inside its reset gate's product, where it is not redundant.
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


class RecurrentLayer(nn.Module):
    """What all cells share: their weights, how these begin, and how to call PyTorch's kernels: on a GPU cuDNN computes.

    Args:
        input_size: I, width of the inputs.
        hidden_size: H, units.

    Attributes:
        mode: PyTorch's name of the cell; None where it has no kernel for it.
        num_blocks: blocks of H rows in each weight matrix.
        weight_ih: W_xh, shape (num_blocks * H, I); uniform within 1 / sqrt(H).
        weight_hh: W_hh, shape (num_blocks * H, H); each block orthogonal, so that a gradient neither vanishes nor
            explodes by it at first (Saxe, McClelland, Ganguli 2014, https://arxiv.org/abs/1312.6120).
        bias: b_h, shape (num_blocks * H,); zero.
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
            state: what a former call returned, or zeros: a tuple of tensors (B, H).

        Returns:
            Outputs, shape (T, B, H), and the state after the last step.
        """
        raise NotImplementedError

    def freeze(self) -> None:
        """Lay the weights out on a GPU as cuDNN reads them, which else copies them together at every call.

        From then on a GPU computes with these: for a model that is only read, character by character. Where PyTorch
        has no such cell, all stays as it is.
        """
        if self.mode is None:
            return
        frozen = nn.RNNBase(self.mode, self.weight_ih.shape[1], self.hidden_size, device=self.bias.device)
        self._frozen = [weight.detach() for weight in frozen.parameters()]
        for weight, own in zip(self._frozen, self._weights(), strict=True):
            weight.copy_(own.detach())

    def _keep(self, *last: Tensor) -> LayerState:
        """The state to hand on, in the weights' precision, from a kernel's results of shape (1, B, H)."""
        return tuple(tensor[0].to(self.bias.dtype) for tensor in last)

    def _run_on_gpu(self, kernel: Callable[..., Any], inputs: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
        """Call cuDNN's kernel in the precision that autocast asks for.

        Autocast's own wrapper of cuDNN's recurrent kernels knows float16 alone, whatever is asked for (PyTorch's
        aten/src/ATen/cudnn/AutocastRNN.cpp). They compute in bfloat16 too, from cuDNN 9.13 and compute capability 8.0
        on (https://github.com/pytorch/pytorch/pull/164411), if all that they are given is bfloat16.
        """
        dtype = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else inputs.dtype
        with torch.autocast("cuda", enabled=False):
            weights = [weight.to(dtype) for weight in self._frozen] or self._flat_weights(dtype)
            first = tuple(tensor[None].to(dtype) for tensor in state)
            outputs, *last = kernel(
                inputs.to(dtype), first if len(first) > 1 else first[0],
                weights, True, 1, 0.0, self.training, False, False,
            )  # fmt: skip
        return outputs, self._keep(*last)

    def _flat_weights(self, dtype: torch.dtype) -> list[Tensor]:
        """The weights as views of one tensor, one behind the other, as cuDNN reads those of a layer.

        Where they lie apart, PyTorch lays them so itself at each call, and asks cuDNN where, a hundred times over for
        each block of each: 1,600 questions for an LSTM (`get_parameters` in aten/src/ATen/native/cudnn/RNN.cpp).
        The views spare the way forward that and a copy; the way back asks all the same (`_cudnn_rnn_backward_weight`).
        """
        parts = self._weights()
        flat = torch.cat([part.flatten() for part in parts]).to(dtype)
        views = flat.split_with_sizes([part.numel() for part in parts])
        return [view.view_as(part) for view, part in zip(views, parts, strict=True)]

    def _weights(self) -> list[Tensor]:
        """Weights in the order of PyTorch's kernels: W_xh, W_hh, b_xh, b_hh."""
        return [self.weight_ih, self.weight_hh, self.bias, torch.zeros_like(self.bias)]


class PlainRNNLayer(RecurrentLayer):
    """h_t = f(W_xh x_t + W_hh h_{t-1} + b_h); its children say which f."""

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
    """r, z gates and a candidate n whose recurrent product is reset after it is taken.

        r = sigmoid(W_xr x + W_hr h + b_r)
        z = sigmoid(W_xz x + W_hz h + b_z)
        n = tanh(W_xn x + b_n + r * (W_hn h + b_hn))
        h' = (1 - z) * n + z * h

    Cho et al. 2014, https://arxiv.org/abs/1406.1078, first version, as in cuDNN. Rows of the weights: r, z, n.
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
    """Input, forget and output gates around a cell c that is only added to and scaled.

        i, f, o = sigmoid(W_x x + W_h h + b), each with rows of its own
        g = tanh(W_xg x + W_hg h + b_g)
        c' = f * c + i * g
        h' = o * tanh(c')

    Hochreiter and Schmidhuber 1997; forget gate by Gers et al. 2000, its bias 1 at first (Jozefowicz et al. 2015,
    https://proceedings.mlr.press/v37/jozefowicz15.html), so that a new cell remembers. Rows: i, f, g, o.
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
        outputs, h, c = torch.lstm(
            inputs, (h[None], c[None]), self._weights(), True, 1, 0.0, self.training, False, False
        )
        return outputs, self._keep(h, c)


CELL_LAYERS: dict[str, Callable[[int, int], RecurrentLayer]] = {
    "lstm": LSTMLayer,
    "gru": GRULayer,
    "rnn": TanhRNNLayer,
    "rnn-relu": ReLURNNLayer,
}
