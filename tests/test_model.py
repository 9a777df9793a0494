import numpy as np
import pytest
import torch
from conftest import VARIANTS, numpy_twin, numpy_weights, random_model

from charrnn.config import ModelConfig
from charrnn.network.cells import GRULayer
from charrnn.network.dropout import Dropout
from charrnn.network.model import CharRNN, detach
from charrnn.network.torch_engine import TorchCharRNN


def random_ids(steps, lanes, vocab_size=11):
    return np.random.default_rng(1).integers(0, vocab_size, (steps, lanes))


@pytest.mark.parametrize("config", VARIANTS)
def test_numpy_engine_and_torch_model_agree(config):
    model = random_model(config)
    engine = numpy_twin(model)
    ids = random_ids(20, 3)
    with torch.no_grad():
        logits, state = model(torch.from_numpy(ids), model.initial_state(3))
    engine_logits, engine_state = engine.forward(ids, engine.initial_state(3))
    np.testing.assert_allclose(engine_logits, logits.numpy(), atol=1e-5, rtol=1e-5)
    for layer, engine_layer in zip(state, engine_state, strict=True):
        for tensor, array in zip(layer, engine_layer, strict=True):
            np.testing.assert_allclose(array, tensor.numpy(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("config", VARIANTS)
def test_engine_step_by_step_equals_its_window(config):
    engine = numpy_twin(random_model(config))
    ids = random_ids(9, 2)
    whole, last = engine.forward(ids, engine.initial_state(2))
    state = engine.initial_state(2)
    for row, expected in zip(ids, whole, strict=True):
        logits, state = engine.step(row, state)
        np.testing.assert_allclose(logits, expected, atol=1e-5)
    np.testing.assert_allclose(state[0][0], last[0][0], atol=1e-5)


def test_engine_does_not_change_the_state_it_is_given():
    engine = numpy_twin(
        random_model(ModelConfig(vocab_size=11, cell="lstm", hidden_size=9, num_layers=2, embedding_dim=6))
    )
    _, state = engine.step(np.array([3]), engine.initial_state())
    before = [array.copy() for layer in state for array in layer]
    first, _ = engine.step(np.array([5]), state)
    second, _ = engine.step(np.array([5]), state)
    assert all((a == b).all() for a, b in zip(before, (x for layer in state for x in layer), strict=True))
    assert (first == second).all()


@pytest.mark.parametrize("config", VARIANTS)
def test_torch_engine_equals_the_numpy_engine(config):
    model = random_model(config)
    weights = numpy_weights(model)
    torch_engine, engine = TorchCharRNN(config, weights, "cpu"), numpy_twin(model)
    torch_state, state = torch_engine.initial_state(4), engine.initial_state(4)
    for row in random_ids(5, 4):
        torch_logits, torch_state = torch_engine.step(row, torch_state)
        logits, state = engine.step(row, state)
        np.testing.assert_allclose(torch_logits, logits, atol=1e-5)


def test_torch_engine_works_without_a_kernel_for_the_cell(monkeypatch):
    monkeypatch.delattr(GRULayer, "mode")
    model = random_model(ModelConfig(vocab_size=11, cell="gru", hidden_size=9, num_layers=2, embedding_dim=5))
    weights = numpy_weights(model)
    torch_engine, engine, row = TorchCharRNN(model.config, weights, "cpu"), numpy_twin(model), random_ids(1, 4)[0]
    logits, _ = torch_engine.step(row, torch_engine.initial_state(4))
    np.testing.assert_allclose(logits, engine.step(row, engine.initial_state(4))[0], atol=1e-5)


@pytest.mark.parametrize("config", VARIANTS)
def test_whole_sequence_equals_its_pieces_with_carried_state(config):
    model = random_model(config)
    ids = torch.from_numpy(random_ids(30, 2))
    whole, last = model(ids, model.initial_state(2))
    state, pieces = model.initial_state(2), []
    for piece in ids.split([7, 1, 22]):
        logits, state = model(piece, detach(state))
        pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces), whole, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(state, last, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("config", VARIANTS)
def test_gradient_reaches_the_state_and_stops_at_a_detached_edge(config):
    model = random_model(config)
    ids = torch.from_numpy(random_ids(6, 2))
    state = tuple(tuple(t.clone().requires_grad_() for t in layer) for layer in model.initial_state(2))
    _, carried = model(ids[:3], state)
    open_logits, _ = model(ids[3:], carried)
    assert torch.autograd.grad(open_logits.sum(), state[0][0], retain_graph=True)[0].abs().sum() > 0
    cut_logits, _ = model(ids[3:], detach(carried))
    gradient = torch.autograd.grad(cut_logits.sum(), state[0][0], allow_unused=True)[0]
    assert gradient is None, "no gradient crosses a detached edge"
    assert not any(tensor.requires_grad for layer in detach(carried) for tensor in layer)


@pytest.mark.parametrize("hidden_size", [64, 512])
def test_untrained_model_has_a_uniform_loss_at_any_width(hidden_size):
    """Its loss is near ln V: that of scores of deviation s is higher by s squared over two."""
    model = CharRNN(ModelConfig(vocab_size=300, cell="rnn", hidden_size=hidden_size, num_layers=1, embedding_dim=16))
    logits, _ = model(torch.randint(300, (20, 8)), model.initial_state(8))
    assert 0 < logits.std() < 0.25
    assert model.head.weight.std().item() == pytest.approx(0.25 * hidden_size**-0.5, rel=0.05)


def test_dropout_keeps_the_mean_and_drops_its_share():
    dropout = Dropout().train()
    x = torch.ones(400, 1000)
    dropped = dropout(x, 0.3)
    assert (dropped == 0).float().mean().item() == pytest.approx(0.3, abs=0.005)
    assert dropped.mean().item() == pytest.approx(1, abs=0.005)
    assert dropped.unique().numel() == 2


def test_dropout_masks_differ_and_repeat_from_a_saved_state():
    dropout = Dropout().train()
    x = torch.ones(50)
    state = dropout.random_state
    first, second = dropout(x, 0.5), dropout(x, 0.5)
    assert not torch.equal(first, second)
    dropout.random_state = state
    assert torch.equal(dropout(x, 0.5), first)


@pytest.mark.parametrize("share", [0.0, 0.9])
def test_nothing_is_dropped_outside_training(share):
    x = torch.randn(10)
    dropout = Dropout()
    assert torch.equal(dropout.eval()(x, share), x)
    assert torch.equal(dropout.eval().hide(x, share), x)
    assert torch.equal(dropout.train()(x, 0.0), x)
    assert torch.equal(dropout.train().hide(x, 0.0), x)


def test_hide_zeroes_whole_vectors_and_leaves_the_others():
    vectors = torch.rand(300, 200, 4) + 1
    hidden = Dropout().train().hide(vectors, 0.1)
    is_hidden = (hidden == 0).all(-1)
    assert is_hidden.float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert torch.equal(hidden[~is_hidden], vectors[~is_hidden])


@pytest.mark.parametrize("share", ["dropout", "input_dropout"])
def test_dropout_acts_in_training_only(share):
    config = ModelConfig(vocab_size=11, cell="gru", hidden_size=32, num_layers=2, embedding_dim=6, **{share: 0.5})
    model = CharRNN(config)
    ids = torch.from_numpy(random_ids(4, 2))
    run = lambda: model(ids, model.initial_state(2))[0]  # noqa: E731
    assert torch.equal(model.eval()(ids, model.initial_state(2))[0], run())
    model.train()
    assert not torch.equal(run(), run())


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_dropout_acts_between_the_layers_and_before_the_head(num_layers):
    shape = {"cell": "gru", "hidden_size": 16, "embedding_dim": 6, "dropout": 0.5}
    model = CharRNN(ModelConfig(vocab_size=11, num_layers=num_layers, **shape))
    widths = []
    model.dropout.forward = lambda x, share: widths.append((x.shape[-1], share)) or x
    model(torch.from_numpy(random_ids(4, 2)), model.initial_state(2))
    assert widths == [(16, 0.5)] * num_layers


def test_dropout_is_off_in_the_torch_engine():
    config = ModelConfig(vocab_size=11, cell="gru", hidden_size=16, num_layers=2, embedding_dim=6, dropout=0.5)
    weights = numpy_weights(random_model(config))
    engine = TorchCharRNN(config, weights, "cpu")
    np.testing.assert_array_equal(*(engine.batch_reader(2)(np.array([3, 4])) for _ in range(2)))
    np.testing.assert_array_equal(*(engine.reader()(3) for _ in range(2)))
