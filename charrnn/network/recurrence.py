"""The time loops of the GRU and of the plain RNN on a CPU, forward and backward.

PyTorch has a fast CPU kernel only for the LSTM; its other two take a float32 product and a dozen small operations per
step. Here everything that does not depend on the step before is computed for the whole window at once: the product
with the inputs (by the caller), and in the backward pass the derivatives of all gates and the gradient of the weights.
Each step is left with one product, in the precision of the inputs, and a few operations in place.

The loops are bound by memory traffic as much as by arithmetic, so a value that a step can compute from data still in
the cache is not precomputed for the whole window.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

# A gradient times a function's derivative, from its output y: tanh' = 1 - y^2, sigmoid' = y (1 - y), relu' = y > 0.
_tanh_backward = torch.ops.aten.tanh_backward
_sigmoid_backward = torch.ops.aten.sigmoid_backward
_threshold_backward = torch.ops.aten.threshold_backward


class PlainRecurrence(Function):
    """h_t = f(a_t + W_hh h_{t-1}), where f is tanh or max(0, .)."""

    @staticmethod
    def forward(ctx: Any, projected: Tensor, weight_hh: Tensor, state: Tensor, relu: bool) -> Tensor:
        """Run through a window.

        Args:
            ctx: autograd's.
            projected: a_t = W_xh x_t + b_h for every step, shape (T, B, H).
            weight_hh: W_hh, shape (H, H).
            state: h before the first step, shape (B, H).
            relu: whether f is max(0, .).

        Returns:
            h_t for every step, shape (T, B, H), in the precision of `projected`, as all arguments must be.
        """
        outputs = torch.empty_like(projected)
        weight = weight_hh.T.contiguous()  # for few lanes, a product with the transposed view takes three times as long
        h = state
        for x, out in zip(projected, outputs, strict=True):
            torch.addmm(x, h, weight, out=out)
            h = out.relu_() if relu else out.tanh_()
        ctx.save_for_backward(outputs, weight_hh, state)
        ctx.relu = relu
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Give the gradients of `projected`, `weight_hh` and `state`."""
        outputs, weight_hh, state = ctx.saved_tensors
        d_projected = torch.empty_like(outputs)
        d_h = d_outputs[-1]
        for t in reversed(range(len(outputs))):
            if ctx.relu:
                _threshold_backward.grad_input(d_h, outputs[t], 0, grad_input=d_projected[t])
            else:
                _tanh_backward.grad_input(d_h, outputs[t], grad_input=d_projected[t])
            d_h = torch.addmm(d_outputs[t - 1], d_projected[t], weight_hh) if t else d_projected[t] @ weight_hh
        return d_projected, _weight_gradient(d_projected, state, outputs), d_h, None


class GRURecurrence(Function):
    """The GRU: see `charrnn.network.cells.GRULayer` for its equations and the order of the blocks.

    h is kept in the precision of the state, which under bfloat16 is float32: a step that keeps 99.9 % of h must not
    round the rest away.
    """

    @staticmethod
    def forward(ctx: Any, projected: Tensor, weight_hh: Tensor, bias_hn: Tensor, state: Tensor) -> Tensor:
        """Run through a window.

        Args:
            ctx: autograd's.
            projected: W_x x_t + b of the blocks r, z, n for every step, shape (T, B, 3 * H).
            weight_hh: W_hr, W_hz, W_hn, shape (3 * H, H), in the precision of `projected`.
            bias_hn: b_hn, shape (H,), in the precision of `projected`.
            state: h before the first step, shape (B, H), in that precision or a finer one.

        Returns:
            h_t for every step, shape (T, B, H), in the precision of `state`.
        """
        hidden = state.shape[1]
        is_rounded = state.dtype != projected.dtype
        sums = projected.clone()  # the arguments of the gates r and z; for n, the term that r multiplies
        sums[..., 2 * hidden :] = bias_hn
        gates = sums.to(state.dtype)  # the same tensor where nothing is rounded
        candidates = projected[..., 2 * hidden :].to(state.dtype, copy=True)
        outputs = torch.empty_like(candidates)
        rounded = projected.new_empty(outputs.shape) if is_rounded else outputs
        weight = weight_hh.T.contiguous()  # for few lanes, a product with the transposed view takes three times as long
        h, h_rounded = state, state.to(projected.dtype)
        for t, gate in enumerate(gates):
            total = sums[t].addmm_(h_rounded, weight)
            if is_rounded:
                gate.copy_(total)
            gate[:, : 2 * hidden].sigmoid_()
            reset, keep, inner = gate.chunk(3, dim=1)
            n = candidates[t].addcmul_(reset, inner).tanh_()
            h = torch.lerp(n, h, keep, out=outputs[t])
            h_rounded = rounded[t].copy_(h) if is_rounded else h
        ctx.save_for_backward(gates, candidates, outputs, rounded, weight_hh, state)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Give the gradients of `projected`, `weight_hh`, `bias_hn` and `state`."""
        gates, candidates, outputs, rounded, weight_hh, state = ctx.saved_tensors
        reset, keep, inner = gates.chunk(3, dim=2)
        hidden = state.shape[1]
        # The gradient of every sum is the gradient of h_t times a factor that can be computed in advance.
        of_candidate = _tanh_backward(1 - keep, candidates)
        factors = candidates.new_empty(*candidates.shape[:2], 3, hidden)
        _sigmoid_backward.grad_input(of_candidate * inner, reset, grad_input=factors[:, :, 0])
        _sigmoid_backward.grad_input(_before(state, outputs) - candidates, keep, grad_input=factors[:, :, 1])
        torch.mul(of_candidate, reset, out=factors[:, :, 2])
        factors, d_candidates = factors.to(rounded.dtype), of_candidate.to(rounded.dtype)
        d_h = d_outputs[-1]
        for t in reversed(range(len(gates))):
            d_rounded = d_h.to(rounded.dtype)
            d_candidates[t].mul_(d_rounded)  # the reset gate does not multiply the inputs' part of n
            d_sums = factors[t].mul_(d_rounded[:, None]).flatten(1)
            d_h = torch.addcmul(d_outputs[t - 1], d_h, keep[t]) if t else d_h * keep[t]
            d_h = d_h.add_(d_sums @ weight_hh) if d_h.dtype != d_sums.dtype else d_h.addmm_(d_sums, weight_hh)
        d_projected = factors.flatten(2)
        d_weight = _weight_gradient(d_projected, state.to(rounded.dtype), rounded)
        d_bias_hn = d_projected[..., 2 * hidden :].sum((0, 1))
        d_projected[..., 2 * hidden :] = d_candidates
        return d_projected, d_weight, d_bias_hn, d_h


def _before(state: Tensor, outputs: Tensor) -> Tensor:
    """The h before each step, shape (T, B, H)."""
    return torch.cat([state[None].to(outputs.dtype), outputs[:-1]])


def _weight_gradient(d_sums: Tensor, state: Tensor, outputs: Tensor) -> Tensor:
    """Gradient of W_hh, shape (G * H, H): that of each step's sums times h before the step, over steps and lanes.

    Args:
        d_sums: gradient of each step's sums, shape (T, B, G * H).
        state: h before the first step, shape (B, H).
        outputs: h_t for every step, shape (T, B, H).
    """
    of_first = d_sums[0].T @ state
    return of_first.addmm_(d_sums[1:].flatten(0, 1).T, outputs[:-1].flatten(0, 1))
