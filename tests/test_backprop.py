"""The tape is the engine's forward pass, and the way back along it is autograd's."""

import dataclasses

import numpy as np
import pytest
import torch
from conftest import VARIANTS, numpy_twin, numpy_weights, random_model
from reference_cells import REFERENCE
from torch.nn import functional

from charrnn.cell_types import CELLS
from charrnn.config import ModelConfig
from charrnn.inference.backprop import backpropagate, cross_entropy_gradient
from charrnn.inference.tape import gate_values, record, zero_state

T, N, V = 7, 3, 11


def example(config):
    model = random_model(config)
    generator = np.random.default_rng(3)
    ids, targets = generator.integers(0, V, (2, T, N))
    state = tuple(
        tuple(generator.normal(0, 0.3, part.shape).astype(np.float32) for part in layer)
        for layer in numpy_twin(model).initial_state(N)
    )
    weights = numpy_weights(model)
    return model, weights, ids, targets, state


@pytest.mark.parametrize("config", VARIANTS)
def test_tape_equals_the_forward_pass_of_the_engine(config):
    model, weights, ids, _, state = example(config)
    logits, after = numpy_twin(model).forward(ids, state)
    tape = record(config, weights, ids, state)
    np.testing.assert_allclose(tape.logits, logits, atol=1e-5)
    for layer, expected in zip(tape.state, after, strict=True):
        for part, wanted in zip(layer, expected, strict=True):
            np.testing.assert_allclose(part, wanted, atol=1e-5)


@pytest.mark.parametrize("config", VARIANTS)
def test_weight_gradients_equal_autograd(config):
    model, weights, ids, targets, state = example(config)
    logits, _ = model(torch.from_numpy(ids), tuple(tuple(torch.from_numpy(p) for p in layer) for layer in state))
    functional.cross_entropy(logits.flatten(0, 1), torch.from_numpy(targets).flatten(), reduction="sum").backward()
    tape = record(config, weights, ids, state)
    found = backpropagate(config, weights, tape, cross_entropy_gradient(tape.logits, targets)).weights
    assert set(found) == set(weights)
    for name, parameter in model.named_parameters():
        scale = max(1.0, float(parameter.grad.abs().max()))
        np.testing.assert_allclose(found[name] / scale, parameter.grad.numpy() / scale, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("cell", CELLS)
def test_state_gradient_equals_finite_differences(cell):
    """In double precision, one layer: a window read on from a state that is moved a little."""
    config = ModelConfig(vocab_size=V, cell=cell, hidden_size=5, num_layers=1, embedding_dim=4)
    _, weights, ids, targets, _ = example(config)
    weights = {name: weight.astype(np.float64) for name, weight in weights.items()}

    def loss(start, state):
        logits = record(config, weights, ids[start:], state).logits[-1]
        shifted = np.exp(logits - logits.max(-1, keepdims=True))
        return -np.log(shifted[np.arange(N), targets[-1]] / shifted.sum(-1)).sum()

    tape = record(config, weights, ids, zero_state(config, weights, N))
    by_logits = cross_entropy_gradient(tape.logits, targets)
    by_logits[:-1] = 0  # the loss of the last character alone
    found = backpropagate(config, weights, tape, by_logits)
    step = 2  # the state after this character
    layer = tape.layers[0]
    parts = [(layer.hidden, found.hidden[0])] + ([(layer.cells, found.cells[0])] if CELLS[cell].states == 2 else [])
    for number, (_, gradient) in enumerate(parts):
        for place in [(0, 1), (2, 4)]:
            losses = []
            for shift in (1e-6, -1e-6):
                state = [layer.hidden[step].copy(), layer.cells[step].copy()][: len(parts)]
                state[number][place] += shift
                losses.append(loss(step + 1, (tuple(state),)))
            # moving c with h held still: what c does by way of the h beside it is not in the quotient
            expected = (losses[0] - losses[1]) / 2e-6
            own = gradient[step][place]
            if number:
                squashed = np.tanh(layer.cells[step][place])
                o = layer.gates[step][place[0], 15 + place[1]]
                own -= found.hidden[0][step][place] * o * (1 - squashed**2)
            assert own == pytest.approx(expected, abs=1e-7)


def test_gates_are_between_zero_and_one_and_named_for_their_cell():
    for cell, reference in REFERENCE.items():
        config = dataclasses.replace(VARIANTS[0].values[0], cell=cell)
        _, weights, ids, _, state = example(config)
        gates = gate_values(config, record(config, weights, ids, state).layers[0])
        assert list(gates) == list(reference.gates)
        assert all(gate.shape == (T, N, 9) and ((gate > 0) & (gate < 1)).all() for gate in gates.values())


@pytest.mark.parametrize(("bias", "kept"), [(50.0, 1.0), (-50.0, 0.0)])
def test_open_update_gate_keeps_the_state_and_a_shut_one_replaces_it(bias, kept):
    config = dataclasses.replace(VARIANTS[0].values[0], cell="gru")
    _, weights, ids, _, _ = example(config)
    weights["layers.0.bias"][9:18] += bias  # the second of three blocks, as `CELLS` says
    before = np.random.default_rng(1).normal(size=(N, 9))
    state = ((before,), *zero_state(config, weights, N)[1:])
    layer = record(config, weights, ids[:1], state).layers[0]
    np.testing.assert_allclose(gate_values(config, layer)["update"], kept, atol=1e-9)
    np.testing.assert_allclose(layer.hidden[0], before if kept else layer.gates[0, :, 18:], atol=1e-9)
