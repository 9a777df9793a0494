"""The folded one-text stepper beside the engine that is written out from the equations."""

import weakref

import numpy as np
import pytest
from conftest import VARIANTS, assert_texts_go_on_from_one, numpy_twin, numpy_weights, random_model

from charrnn.cell_types import CELLS
from charrnn.config import ModelConfig
from charrnn.inference import folding
from charrnn.inference.engine import Engine
from charrnn.inference.folding import FoldedWeights
from charrnn.network.torch_engine import TorchCharRNN


@pytest.fixture(params=[folding.MOST_FOLDED, 0])
def most_folded(request, monkeypatch):
    monkeypatch.setattr(folding, "MOST_FOLDED", request.param)


@pytest.mark.usefixtures("most_folded")
@pytest.mark.parametrize("config", VARIANTS)
def test_stepper_gives_the_logits_of_the_engine(config):
    engine = numpy_twin(random_model(config))
    read, state = engine.reader(), engine.initial_state()
    for character in np.random.default_rng(0).integers(0, config.vocab_size, 60):
        logits, state = engine.step(np.array([character]), state)
        np.testing.assert_allclose(read(int(character)), logits[0], atol=5e-5, rtol=1e-5)


@pytest.mark.usefixtures("most_folded")
@pytest.mark.parametrize("config", VARIANTS)
def test_batch_stepper_gives_the_logits_of_the_engine(config):
    engine = numpy_twin(random_model(config))
    read, state = engine.batch_reader(3), engine.initial_state(3)
    for characters in np.random.default_rng(0).integers(0, config.vocab_size, (40, 3)):
        logits, state = engine.step(characters, state)
        np.testing.assert_allclose(read(characters), logits, atol=5e-5, rtol=1e-5)


@pytest.mark.parametrize("config", VARIANTS)
def test_texts_with_a_common_beginning_continue_from_one_reader(config):
    ids = np.random.default_rng(0).integers(0, config.vocab_size, (30, 3))
    model = random_model(config)
    weights = numpy_weights(model)
    for engine in (numpy_twin(model), TorchCharRNN(config, weights, "cpu")):
        assert_texts_go_on_from_one(engine, ids, 20)


UNBOUNDED = [name for name, cell in CELLS.items() if not cell.is_bounded]


@pytest.mark.parametrize("cell", UNBOUNDED)
def test_equal_units_have_no_negative_variance(cell):
    """Where they are large, the difference of mean squares is rounding alone, of either sign."""
    config = ModelConfig(vocab_size=5, cell=cell, hidden_size=48, num_layers=1, embedding_dim=4, layer_norm=True)
    weights = {name: array.numpy().copy() for name, array in random_model(config).state_dict().items()}
    for name in ("layers.0.weight_ih", "layers.0.weight_hh"):
        weights[name][:] = 0
    for scale in np.geomspace(10, 1000, 20):
        weights["layers.0.bias"][:] = scale
        engine = Engine(config, weights)
        assert np.isfinite(engine.reader()(1)).all()
        assert np.isfinite(engine.batch_reader(3)(np.array([1, 2, 3]))).all()


@pytest.mark.parametrize("cell", UNBOUNDED)
def test_large_unbounded_units_keep_their_variance(cell):
    """Of a spread of one about a mean of a thousand, a difference of mean squares in float32 leaves a digit."""
    config = ModelConfig(vocab_size=11, cell=cell, hidden_size=128, num_layers=2, embedding_dim=32)
    weights = {name: array.numpy().copy() for name, array in random_model(config).state_dict().items()}
    for layer in range(2):
        weights[f"layers.{layer}.weight_hh"] *= 0.1
        weights[f"layers.{layer}.bias"] += 1000
    engine = Engine(config, weights)
    one, three, state = engine.reader(), engine.batch_reader(3), engine.initial_state(3)
    for characters in np.random.default_rng(0).integers(0, 11, (40, 3)):
        logits, state = engine.step(characters, state)
        np.testing.assert_allclose(three(characters), logits, atol=2e-3)
        np.testing.assert_allclose(one(int(characters[0])), logits[0], atol=2e-3)


@pytest.mark.parametrize("cell", CELLS)
def test_two_readers_of_one_model_are_independent(cell):
    config = ModelConfig(vocab_size=11, cell=cell, hidden_size=8, num_layers=2, embedding_dim=5)
    engine = numpy_twin(random_model(config))
    alone, first, second = engine.reader(), engine.reader(), engine.reader()
    for character in (3, 1, 4, 1, 5):
        expected = alone(character).copy()
        np.testing.assert_array_equal(first(character), expected)
        second(character + 2)


@pytest.mark.parametrize("config", VARIANTS)
def test_weights_folded_in_blocks_are_the_same(monkeypatch, config):
    weights = numpy_weights(random_model(config))
    whole = FoldedWeights(config, dict(weights))
    monkeypatch.setattr(folding, "ROWS", 4)
    pieces = FoldedWeights(config, dict(weights))
    for own, expected in zip(pieces.matrices, whole.matrices, strict=True):
        np.testing.assert_array_equal(own, expected)
    for own, expected in zip(pieces.tables, whole.tables, strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("num_layers", [1, 3])
def test_folded_size_does_not_grow_with_the_square_of_the_alphabet(num_layers):
    config = ModelConfig(vocab_size=3000, cell="lstm", hidden_size=16, num_layers=num_layers, embedding_dim=16)
    assert config.is_residual(0), "the head reads the embedding too"
    weights = numpy_weights(random_model(config))
    folded = FoldedWeights(config, weights)
    folds = sum(array.size for array in (*folded.tables, *folded.matrices))
    assert folds < 3000 * (4 * num_layers + 2) * 16, (
        "rows of gates for each character, what the head adds up, and little else"
    )


@pytest.mark.parametrize("members", [1, 2])
def test_engine_without_stored_weights_reads_the_same(members):
    config = ModelConfig(
        vocab_size=11, cell="gru", hidden_size=128, num_layers=2, embedding_dim=64, recall=8, members=members
    )
    weights = {name: tensor.numpy().copy() for name, tensor in random_model(config).state_dict().items()}
    ids = [3, 1, 4, 1, 5, 1, 4, 1]
    kept = Engine(config, weights)
    read = kept.reader()
    expected = [read(character).copy() for character in ids]
    freed = {name: weakref.ref(weight) for name, weight in weights.items() if name.endswith(("weight_ih", "weight_hh"))}
    engine = Engine(config, weights, keeps_weights=False)
    del weights, kept, read
    assert all(weight() is not None for weight in freed.values())
    for _ in range(2):  # the second text finds the weights folded
        read = engine.reader()
        np.testing.assert_array_equal([read(character).copy() for character in ids], expected)
    assert all(weight() is None for weight in freed.values())
