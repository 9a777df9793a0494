import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from conftest import VARIANTS, numpy_twin, random_model, read_whole
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from charrnn.analysis import losses as losses_module
from charrnn.analysis.losses import WINDOW, Predictions, add_up, mask_uncounted, score_batch, surprisals
from charrnn.analysis.surprise import follow
from charrnn.config import ModelConfig
from charrnn.errors import DivergenceError
from charrnn.inference.engine import Engine
from charrnn.text.counted_places import WARM_UP
from charrnn.text.encoder import CharEncoder
from charrnn.text.unknowns import encode_known


@pytest.mark.parametrize("config", VARIANTS)
def test_surprisals_sum_to_the_torch_loss(config):
    model = random_model(config)
    ids = np.random.default_rng(2).integers(0, 11, WINDOW + 50)
    with torch.no_grad():
        logits, _ = model(torch.from_numpy(ids[:-1, None]), model.initial_state(1))
    targets = torch.from_numpy(ids[1:])
    result = read_whole(numpy_twin(model), ids)
    assert result.surprisals.mean() == pytest.approx(functional.cross_entropy(logits[:, 0], targets).item(), abs=1e-5)
    assert result.hits.mean() == (logits[:, 0].argmax(-1) == targets).double().mean().item()
    assert len(result.surprisals) == len(ids) - 1


def test_surprisals_are_exact_for_huge_logits():
    logits = np.array([[0.0, 0.0], [5000.0, 0.0], [0.0, 5000.0]], dtype=np.float32)
    assert surprisals(logits, np.array([0, 0, 0])).tolist() == pytest.approx([math.log(2), 0.0, 5000.0])


def test_nonfinite_losses_are_refused():
    shape = {"hidden_size": 9, "num_layers": 1, "embedding_dim": 6, "layer_norm": False}
    model = random_model(ModelConfig(vocab_size=11, cell="rnn-relu", **shape))
    weights = {name: weight.numpy() * np.float32(1e20) for name, weight in model.state_dict().items()}
    engine = Engine(model.config, weights)
    with pytest.raises(DivergenceError, match="not numbers any more"), np.errstate(all="ignore"):
        read_whole(engine, np.arange(60) % 11)
    readable = encode_known("abc", CharEncoder("abcdefghijk"))
    with pytest.raises(DivergenceError, match="not numbers any more"), np.errstate(all="ignore"):
        follow(engine, CharEncoder("abcdefghijk"), readable, first_id=0, price=0.0)


@pytest.mark.parametrize("config", VARIANTS[::4])
def test_batched_texts_are_read_like_each_alone(config):
    model = numpy_twin(random_model(config))
    generator = np.random.default_rng(5)
    texts = [generator.integers(0, 11, length) for length in (7, 1, 300, 2, 90, 300)]
    for text, together in zip(texts, score_batch(model, texts), strict=True):
        alone = read_whole(model, text, lanes=1)
        assert len(together.surprisals) == len(text) - 1
        np.testing.assert_allclose(together.surprisals, alone.surprisals, atol=1e-5)
        assert len(together.hits) == len(text) - 1
        assert (together.hits != alone.hits).sum() <= len(text) // 100


@pytest.mark.parametrize("recall", [0, 50])
def test_long_text_has_the_same_loss_for_any_number_of_lanes(recall):
    model = numpy_twin(random_model(dataclasses.replace(VARIANTS[0].values[0], recall=recall)))
    ids = np.random.default_rng(6).integers(0, 11, 5 * WARM_UP)
    one = read_whole(model, ids, lanes=1).surprisals
    for lanes in (2, 3, 7):
        np.testing.assert_allclose(read_whole(model, ids, lanes=lanes).surprisals, one, atol=1e-5)


@pytest.mark.parametrize("recall", [0, 50])
def test_text_longer_than_a_piece_is_read_like_the_whole(monkeypatch, recall):
    config = ModelConfig(vocab_size=11, cell="lstm", hidden_size=12, num_layers=1, embedding_dim=8, recall=recall)
    model = numpy_twin(random_model(config))
    ids = np.tile(np.random.default_rng(6).integers(0, 11, 90), 60)
    whole, watched = read_whole(model, ids, lanes=1), []
    monkeypatch.setattr(losses_module, "PIECE", 1000)
    in_pieces = read_whole(model, ids, on_progress=watched.append)
    np.testing.assert_allclose(in_pieces.surprisals, whole.surprisals, atol=1e-5)
    assert (in_pieces.hits == whole.hits).mean() > 0.999
    assert sum(watched) == pytest.approx(len(ids) - 1, rel=0.01)
    assert len(read_whole(model, ids[:1]).surprisals) == 0


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 15)), min_size=1, max_size=20), st.integers(1, 9))
def test_multibyte_character_is_right_only_in_all_its_bytes(characters, size):
    """Each has a width, and a bit for each of its bytes: whether that is right. Two bytes before them do not count."""
    right = [[bool(bits >> i & 1) for i in range(width)] for width, bits in characters]
    hits = np.array([False, True, *itertools.chain(*right)])
    begins = np.array([i == 0 for each in right for i in range(len(each))])
    costs = np.random.default_rng(len(hits)).random(len(hits))
    edges = [0, *range(size + 2, len(hits), size), len(hits)]
    pieces = [Predictions(costs[start:end], hits[start:end]) for start, end in itertools.pairwise(edges)]
    loss, count = add_up(pieces, begins, unread=2)
    assert count == sum(map(all, right))
    assert loss == pytest.approx(costs[2:].sum(), abs=1e-12)


@pytest.mark.parametrize("size", [1, 3, 12])
def test_uncounted_characters_cost_nothing_across_pieces(size):
    generator = np.random.default_rng(7)
    costs, (hits, counts) = generator.random(12), generator.random((2, 12)) < 0.6
    pieces = [Predictions(costs[start : start + size], hits[start : start + size]) for start in range(0, 12, size)]
    found = [*mask_uncounted(pieces, counts)]
    np.testing.assert_array_equal(np.concatenate([piece.surprisals for piece in found]), np.where(counts, costs, 0.0))
    np.testing.assert_array_equal(np.concatenate([piece.hits for piece in found]), hits & counts)


def test_no_window_holds_more_than_its_share():
    from charrnn.analysis.losses import LOGITS_AT_ONCE, window_length
    from charrnn.config import ModelConfig

    config = ModelConfig(vocab_size=60, cell="lstm", hidden_size=512, num_layers=1, embedding_dim=8)
    assert 1 < window_length(config, 64) < WINDOW
    assert window_length(config, 64) * 64 * 60 <= LOGITS_AT_ONCE
    assert window_length(config, 1) == WINDOW
    assert window_length(config, 10**6) == 1


def test_long_text_is_batched_with_few(monkeypatch):
    """What is held is bounded: a long line among short ones does not make columns of its length of all."""
    model = numpy_twin(random_model(VARIANTS[0].values[0]))
    generator = np.random.default_rng(3)
    texts = [generator.integers(0, 11, length) for length in (5, 300, 7, 2, 90, 6, 8)]
    expected = score_batch(model, texts)
    monkeypatch.setattr(losses_module, "MOST_PADDED", 320)
    widths = []
    readers = model.window_reader
    monkeypatch.setattr(model, "window_reader", lambda count: widths.append(count) or readers(count))
    for found, alone in zip(score_batch(model, texts), expected, strict=True):
        np.testing.assert_allclose(found.surprisals, alone.surprisals, atol=1e-5)
    assert widths[0] == 1
    assert max(widths) > 1


def test_only_texts_of_similar_length_are_batched(monkeypatch):
    model = numpy_twin(random_model(VARIANTS[0].values[0]))
    generator = np.random.default_rng(3)
    texts = [generator.integers(0, 11, length) for length in (5, 100, 60, 49, 25, 4, 24, 50)]
    widths = []
    readers = model.window_reader
    monkeypatch.setattr(model, "window_reader", lambda count: widths.append(count) or readers(count))
    score_batch(model, texts)
    assert widths == [3, 2, 1, 2], "100, 60 and 50; 49 and 25; 24; 5 and 4"
