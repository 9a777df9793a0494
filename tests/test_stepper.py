"""The folded one-text stepper beside the engine that is written out from the equations."""

import numpy as np
import pytest
from conftest import VARIANTS, numpy_twin, random_model

from charrnn.config import GATES, ModelConfig


@pytest.mark.parametrize("config", VARIANTS)
def test_the_stepper_gives_the_engines_logits(config):
    engine = numpy_twin(random_model(config))
    read, state = engine.reader(), engine.initial_state()
    for character in np.random.default_rng(0).integers(0, config.vocab_size, 60):
        logits, state = engine.step(np.array([character]), state)
        np.testing.assert_allclose(read(int(character)), logits[0], atol=5e-5, rtol=1e-5)


@pytest.mark.parametrize("config", VARIANTS)
def test_texts_side_by_side_have_the_engines_logits(config):
    engine = numpy_twin(random_model(config))
    read, state = engine.batch_reader(3), engine.initial_state(3)
    for characters in np.random.default_rng(0).integers(0, config.vocab_size, (40, 3)):
        logits, state = engine.step(characters, state)
        np.testing.assert_allclose(read(characters), logits, atol=5e-5, rtol=1e-5)


@pytest.mark.parametrize("cell", GATES)
def test_two_texts_of_one_model_do_not_touch_each_other(cell):
    config = ModelConfig(vocab_size=11, cell=cell, hidden_size=8, num_layers=2, embedding_dim=5)
    engine = numpy_twin(random_model(config))
    alone, first, second = engine.reader(), engine.reader(), engine.reader()
    for character in (3, 1, 4, 1, 5):
        expected = alone(character).copy()
        np.testing.assert_array_equal(first(character), expected)
        second(character + 2)
