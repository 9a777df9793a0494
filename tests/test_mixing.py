"""Two models that write together, against the mixture computed here."""

import numpy as np
import pytest
from conftest import assert_texts_go_on_from_one, numpy_twin, random_model

from charrnn.config import ModelConfig
from charrnn.generation.mixing import MixedModel, Part
from charrnn.text.encoder import CharEncoder


def part(characters, share, cell="lstm", has_unknown=False):
    encoder = CharEncoder(characters, has_unknown=has_unknown)
    config = ModelConfig(vocab_size=len(encoder), cell=cell, hidden_size=7, num_layers=2, embedding_dim=4)
    return Part(numpy_twin(random_model(config)), encoder, share)


PARTS = [part("abcd", 0.7), part("cdxyz", 0.3, "gru")]
TEXT = "abcdxczzay"


def softmax(logits):
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def expected_mixture(text):
    """p(c) = sum of share * p_part(c), each part reading only what it knows of the text."""
    mixture = dict.fromkeys("abcdxyz", 0.0)
    for one in PARTS:
        state, prediction = one.model.initial_state(), np.full(len(one.encoder), 1 / len(one.encoder))
        for character in text:
            if character in one.encoder:
                logits, state = one.model.step(one.encoder.encode(character), state)
                prediction = softmax(logits[0])
        for character, p in zip(one.encoder.characters, prediction, strict=True):
            mixture[character] += one.share * p
    return [mixture[character] for character in sorted(mixture)]


@pytest.mark.parametrize("length", range(1, len(TEXT) + 1))
def test_single_and_batched_texts_have_the_mixed_distribution(length):
    model = MixedModel(PARTS)
    assert model.encoder.characters == "abcdxyz"
    read, read_many = model.reader(), model.batch_reader(2)
    for id_ in model.encoder.encode(TEXT[:length]):
        one = read(int(id_))
        many = read_many(np.array([id_, id_]))
    np.testing.assert_allclose(np.exp(one), expected_mixture(TEXT[:length]), atol=1e-6)
    np.testing.assert_allclose(np.exp(many), [expected_mixture(TEXT[:length])] * 2, atol=1e-6)


def test_batched_texts_keep_their_own_states():
    model = MixedModel(PARTS)
    read = model.batch_reader(2)
    for pair in zip(model.encoder.encode("axcz"), model.encoder.encode("zbdy"), strict=True):
        logits = read(np.array(pair))
    np.testing.assert_allclose(np.exp(logits[0]), expected_mixture("axcz"), atol=1e-6)
    np.testing.assert_allclose(np.exp(logits[1]), expected_mixture("zbdy"), atol=1e-6)


def test_texts_with_a_common_beginning_continue_from_one_reader():
    for alike in (1, 8):
        assert_texts_go_on_from_one(MixedModel(PARTS), np.random.default_rng(1).integers(0, 7, (20, 3)), alike)


def test_model_with_a_rare_id_reads_unknown_characters_by_it():
    lumping = part("abc", 0.6, has_unknown=True)
    mixed = MixedModel([lumping, part("acxy", 0.4, "gru")])
    one, many = mixed.reader(), mixed.batch_reader(1)
    for character in mixed.encoder.encode("axbya"):
        read = [one(int(character)), many(np.array([character]))[0]]
    state = lumping.model.initial_state()
    for own in (0, 3, 1, 3, 0):
        logits, state = lumping.model.step(np.array([own]), state)
    own_b = 0.6 * softmax(logits[0])[1]
    np.testing.assert_allclose([np.exp(logits[1]) for logits in read], [own_b] * 2, atol=1e-6)


def test_rare_id_of_the_first_model_is_read_and_never_written():
    lumping = part("abc", 0.6, has_unknown=True)
    mixed = MixedModel([lumping, part("acxy", 0.4, "gru")])
    assert not MixedModel([part("acxy", 0.4, "gru"), lumping]).encoder.has_unknown
    prompt = mixed.encoder.encode("a\u20acb\u00df")
    one, many = mixed.reader(), mixed.batch_reader(1)
    for character in prompt:
        read = [one(int(character)), many(np.array([character]))[0]]
    state, other = lumping.model.initial_state(), part("acxy", 0.4, "gru")
    for own in (0, 3, 1, 3):
        logits, state = lumping.model.step(np.array([own]), state)
    of_other, _ = other.model.step(np.array([0]), other.model.initial_state())  # of a alone
    expected = 0.6 * softmax(logits[0])[0] + 0.4 * softmax(of_other[0])[0]
    for logits in read:
        assert np.exp(logits[0]) == pytest.approx(expected, abs=1e-6)
        assert np.isneginf(logits[-1])
