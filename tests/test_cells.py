"""Each cell against its equations: the worked case, the textbook's loop, and the parameter count."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from conftest import VARIANTS
from reference_cells import KERNELS, REFERENCE, naive_step

from charrnn.cell_types import CELLS
from charrnn.config import ModelConfig, TrainConfig
from charrnn.inference.numpy_network import CELL_STEPS, tanh_step
from charrnn.network.cells import CELL_LAYERS, LSTMLayer, TanhRNNLayer
from charrnn.network.model import CharRNN
from charrnn.shapes import count_parameters, optimized_shapes, parameter_shapes
from charrnn.training.optimizers import build_optimizer

W_XH = [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]
W_HH = [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9]]
W_HY = [[0.2, 0.4, 0.6]]
INPUTS = [(1, 0.5), (0.8, 0.3), (0.6, 0.9)]


def worked_case():
    """The states and the outputs in plain Python, with W_XH and so on: h = tanh(W_xh x + W_hh h), y = W_hy h."""
    h, states, outputs = [0.0] * 3, [], []
    for x in INPUTS:
        h = [
            math.tanh(sum(W_XH[i][j] * x[j] for j in range(2)) + sum(W_HH[i][j] * h[j] for j in range(3)))
            for i in range(3)
        ]
        states.append(h)
        outputs.append(sum(W_HY[0][j] * h[j] for j in range(3)))
    return states, outputs


(H_1, _, H_3), OUTPUTS = worked_case()


def test_tanh_layer_computes_the_worked_case():
    layer = TanhRNNLayer(2, 3)
    with torch.no_grad():
        layer.weight_ih.copy_(torch.tensor(W_XH))
        layer.weight_hh.copy_(torch.tensor(W_HH))
        outputs, (last,) = layer(torch.tensor(INPUTS)[:, None], (torch.zeros(1, 3),))
    assert outputs[0, 0].tolist() == pytest.approx(H_1, abs=1e-6)
    assert last[0].tolist() == pytest.approx(H_3, abs=1e-6)
    assert (outputs[:, 0] @ torch.tensor(W_HY[0])).tolist() == pytest.approx(OUTPUTS, abs=1e-6)


def test_tanh_engine_computes_the_worked_case():
    state = (np.zeros((1, 3)),)
    for x, y in zip(INPUTS, OUTPUTS, strict=True):
        state = tanh_step(np.array([x]) @ np.array(W_XH).T, state, np.array(W_HH), np.zeros(0))
        assert (state[0] @ np.array(W_HY).T).item() == pytest.approx(y, abs=1e-8)
    assert state[0][0].tolist() == pytest.approx(H_3, abs=1e-8)


def random_layer(cell, dtype=torch.float64):
    torch.manual_seed(3)
    layer = CELL_LAYERS[cell](4, 5).to(dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    state = tuple(torch.randn(2, 5, dtype=dtype) for _ in range(CELLS[cell].states))
    return layer, torch.randn(7, 2, 4, dtype=dtype), state


@pytest.mark.parametrize("cell", CELL_LAYERS)
def test_layer_equals_a_naive_loop(cell):
    layer, inputs, state = random_layer(cell)
    outputs, last = layer(inputs, state)
    weights = dict(layer.named_parameters())
    for x, h in zip(inputs, outputs, strict=True):
        state = naive_step(cell, weights, x, state)
        torch.testing.assert_close(h, state[0])
    torch.testing.assert_close(last, state)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("cell", KERNELS)
def test_gpu_kernel_gets_the_weights_in_one_contiguous_piece(cell, dtype):
    layer, inputs, state = random_layer(cell, torch.float32)
    given, weights = [], layer._weights()
    layer._run_on_gpu(lambda x, h, w, **how: given.extend(w) or (x, x[:1]), inputs.to(dtype), state)
    ends = np.cumsum([weight.numel() for weight in weights])
    assert [view.storage_offset() for view in given] == [0, *ends[:-1]]
    assert {view.untyped_storage().data_ptr() for view in given} == {given[0].data_ptr()}
    assert given[0].untyped_storage().nbytes() == ends[-1] * dtype.itemsize
    torch.testing.assert_close(given, [weight.to(dtype) for weight in weights], rtol=0, atol=0)


@pytest.mark.parametrize("cell", KERNELS)
def test_gpu_kernel_gets_the_current_or_frozen_weights(cell):
    """By PyTorch's own kernels, which take the same arguments on a processor."""
    layer, inputs, state = random_layer(cell, torch.float32)
    expected, names = layer(inputs, state), list(layer.state_dict())
    found = layer._run_on_gpu(KERNELS[cell], inputs, state)
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(outputs.square().sum(), [*layer.parameters()]) for outputs, _ in (found, expected)]
    torch.testing.assert_close(*gradients)
    layer.freeze()
    assert list(layer.state_dict()) == names
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    torch.testing.assert_close(layer._run_on_gpu(KERNELS[cell], inputs, state), expected)


@pytest.mark.parametrize("cell", CELL_LAYERS)
def test_layer_gradients_equal_numeric_ones(cell):
    layer, inputs, state = random_layer(cell)
    parameters = tuple(layer.parameters())

    def run(inputs, *rest):
        return layer(inputs, rest[: len(state)])[0]

    leaves = (inputs, *state, *parameters)
    for leaf in leaves:
        leaf.requires_grad_()
    assert torch.autograd.gradcheck(run, leaves)


def test_forget_gate_bias_starts_at_one_and_the_others_at_zero():
    bias = LSTMLayer(4, 3).bias.detach()
    assert bias.tolist() == [0] * 3 + [1] * 3 + [0] * 6


@pytest.mark.parametrize("cell", CELLS)
def test_weights_start_within_the_root_of_the_width_and_orthogonal(cell):
    layer = CELL_LAYERS[cell](64, 100)
    spread = layer.weight_ih.detach()
    assert 0.099 < spread.max() <= 0.1
    assert -0.1 <= spread.min() < -0.099
    for block in layer.weight_hh.detach().chunk(len(CELLS[cell].blocks)):
        torch.testing.assert_close(block @ block.T, torch.eye(100), atol=1e-5, rtol=0)


@pytest.mark.parametrize("cell", CELLS)
def test_bounded_cells_have_bounded_outputs(cell):
    """Even for very large inputs."""
    layer, inputs, state = random_layer(cell)
    outputs, _ = layer(100 * inputs, tuple(torch.zeros_like(part) for part in state))
    assert (outputs.abs() <= 1).all() == CELLS[cell].is_bounded


@pytest.mark.parametrize("config", VARIANTS)
def test_parameter_count_equals_the_formula(config):
    v, e, h = config.vocab_size, config.embedding_dim, config.hidden_size
    layers = sum(REFERENCE[config.cell].num_parameters(e if layer == 0 else h, h) for layer in range(config.num_layers))
    norms = 2 * h * config.num_layers if config.layer_norm else 0
    expected = v * e + layers + norms + v * h + v
    assert count_parameters(config) == expected
    assert sum(parameter.numel() for parameter in CharRNN(config).parameters()) == expected


@pytest.mark.parametrize("config", VARIANTS)
def test_parameter_shapes_equal_those_of_the_model(config):
    assert {name: tuple(p.shape) for name, p in CharRNN(config).state_dict().items()} == parameter_shapes(config)


@pytest.mark.parametrize("recall", [0, 9])
@pytest.mark.parametrize("config", VARIANTS)
def test_weights_are_numbered_like_in_the_optimizer(config, recall):
    config = dataclasses.replace(config, recall=recall)
    training = TrainConfig(batch_size=1, seq_len=1, max_steps=1, learning_rate=0.1)
    groups = build_optimizer(CharRNN(config), training).param_groups
    assert [tuple(p.shape) for group in groups for p in group["params"]] == optimized_shapes(config)


def test_parameter_count_equals_one_summed_by_hand():
    """2 layers of 512, 65 characters, embedding 64: summed by hand."""
    config = ModelConfig(vocab_size=65, cell="lstm", hidden_size=512, num_layers=2, embedding_dim=64)
    by_hand = 65 * 64 + (4 * 512 * (64 + 512) + 4 * 512) + (4 * 512 * 1024 + 4 * 512) + 4 * 512 + 65 * 512 + 65
    assert count_parameters(config) == by_hand == 3_320_449


@pytest.mark.parametrize("table", [CELL_LAYERS, CELL_STEPS])
def test_every_cell_is_in_every_table(table):
    assert set(table) == set(CELLS)
