"""The hand-written loops over time beside PyTorch's own kernels and at the precision they are for."""

import pytest
import torch
from reference_cells import KERNELS

from charrnn.cell_types import CELLS
from charrnn.network.cells import CELL_LAYERS, GRULayer

T, B, E, H = 9, 3, 4, 5
OWN_LOOPS = [cell for cell in CELLS if cell != "lstm"]  # which PyTorch has a fast kernel for


def layer_and_inputs(cell, dtype):
    torch.manual_seed(5)
    layer = CELL_LAYERS[cell](E, H).to(dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    inputs = torch.randn(T, B, E, dtype=dtype, requires_grad=True)
    state = torch.randn(B, H, dtype=dtype, requires_grad=True)
    return layer, inputs, state


def gradients(outputs, leaves):
    weighted = (outputs.double() * torch.arange(outputs.numel()).view(outputs.shape).cos()).sum()
    return torch.autograd.grad(weighted, leaves)


@pytest.mark.parametrize("cell", [cell for cell in OWN_LOOPS if cell in KERNELS])
def test_outputs_and_gradients_equal_the_pytorch_kernel(cell):
    layer, inputs, state = layer_and_inputs(cell, torch.float64)
    leaves = (inputs, state, *layer.parameters())
    ours, _ = layer(inputs, (state,))
    theirs, _ = KERNELS[cell](inputs, state[None], layer._weights(), True, 1, 0.0, True, False, False)
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)
    torch.testing.assert_close(gradients(ours, leaves), gradients(theirs, leaves), atol=1e-12, rtol=0)


@pytest.mark.parametrize("cell", OWN_LOOPS)
def test_bfloat16_differs_from_float32_only_by_rounding(cell):
    layer, inputs, state = layer_and_inputs(cell, torch.float32)
    if cell == "rnn-relu":  # stay above the kink, across which rounding would change the slope
        with torch.no_grad():
            layer.bias.add_(3)
            layer.weight_hh.mul_(0.5)
    leaves = (inputs, state, *layer.parameters())
    exact, _ = layer(inputs, (state,))
    with torch.autocast("cpu", torch.bfloat16):
        rounded, (last,) = layer(inputs, (state,))
    assert last.dtype == torch.float32
    torch.testing.assert_close(rounded.float(), exact, atol=0.05, rtol=0.05)
    for ours, expected in zip(gradients(rounded, leaves), gradients(exact, leaves), strict=True):
        assert ours.dtype == torch.float32
        assert (ours - expected).norm() < 0.05 * expected.norm()


def test_gru_that_keeps_nearly_everything_loses_nothing_to_rounding():
    """z = 1 - 2^-10: each step moves h by a thousandth of its way, which bfloat16's eight bits would lose."""
    layer = GRULayer(1, 1)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.bias.copy_(torch.tensor([0.0, 6.9375, 10.0]))  # z = 0.99903, n = 1
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        _, (h,) = layer(torch.zeros(500, 1, 1), (torch.zeros(1, 1),))
    keep = torch.sigmoid(torch.tensor(6.9375)).item()
    assert h.item() == pytest.approx(1 - keep**500, abs=0.1)
    assert 0.2 < 1 - keep**500 < 0.6


def test_state_without_requires_grad_gets_no_gradient():
    layer, inputs, _ = layer_and_inputs("gru", torch.float32)
    layer(inputs, (torch.zeros(B, H),))[0].sum().backward()
    assert inputs.grad is not None
    assert all(parameter.grad is not None for parameter in layer.parameters())
