import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import VARIANTS, make_text, numpy_twin, numpy_weights, random_model, read_whole

from charrnn.analysis import dynamic
from charrnn.analysis.dynamic import SEGMENT, adapt, adapted_loss
from charrnn.inference.engine import Engine
from charrnn.storage.archive import read_checkpoint


def adapt_to(*arguments, **options):
    """What a whole text costs, however many pieces it is read in."""
    return np.concatenate([*adapt(*arguments, **options)])


@pytest.mark.parametrize("config", [*VARIANTS[::5], dataclasses.replace(VARIANTS[0].values[0], recall=50)])
def test_rate_zero_gives_the_static_score(config):
    model = random_model(config)
    ids = np.random.default_rng(0).integers(0, 11, 3 * SEGMENT + 5)
    np.testing.assert_allclose(
        adapt_to(config, numpy_weights(model), ids, rate=0),
        read_whole(numpy_twin(model), ids, lanes=1).surprisals,
        atol=1e-5,
    )


def test_characters_are_predicted_before_they_are_learned():
    config = VARIANTS[0].values[0]
    weights = numpy_weights(random_model(config))
    ids = np.random.default_rng(1).integers(0, 11, 4 * SEGMENT)
    other = ids.copy()
    other[2 * SEGMENT + 5 :] = (other[2 * SEGMENT + 5 :] + 1) % 11
    kept = 2 * SEGMENT + 4  # surprisals of the characters before the change
    np.testing.assert_array_equal(adapt_to(config, weights, ids)[:kept], adapt_to(config, weights, other)[:kept])
    assert not np.allclose(adapt_to(config, weights, ids)[:kept], adapt_to(config, weights, ids, rate=0)[:kept])


@pytest.mark.parametrize("recall", [0, 50])
def test_long_text_is_learned_in_pieces_like_the_whole(monkeypatch, recall):
    config = dataclasses.replace(VARIANTS[0].values[0], recall=recall)
    weights = numpy_weights(random_model(config))
    ids = np.tile(np.random.default_rng(2).integers(0, 11, 90, dtype=np.uint8), 5)
    whole, watched = adapt_to(config, weights, ids), []
    monkeypatch.setattr(dynamic, "PIECE", 3 * SEGMENT)
    pieces = [*adapt(config, weights, ids, on_progress=watched.append)]
    assert [len(piece) for piece in pieces] == [3 * SEGMENT] * 4 + [len(ids) - 1 - 12 * SEGMENT]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    assert sum(watched) == len(whole)


def test_given_weights_are_not_changed():
    config = VARIANTS[0].values[0]
    weights = numpy_weights(random_model(config))
    before = {name: weight.copy() for name, weight in weights.items()}
    adapt_to(config, weights, np.arange(100) % 11)
    assert all((weights[name] == before[name]).all() for name in weights)


@pytest.mark.parametrize(("decay", "farthest"), [(1.0, 2.0), (0.0, None)])
def test_weights_decay_to_their_start(monkeypatch, decay, farthest):
    """One character again and again moves the weights one way: as far as a step at most, or on and on."""
    config, rate = VARIANTS[0].values[0], 1e-3
    weights = numpy_weights(random_model(config))
    moved, record = [], dynamic.record

    def on_progress(config, moving, *more):
        moved.append(max(float(np.abs(moving[name] - weights[name]).max()) for name in weights) / rate)
        return record(config, moving, *more)

    monkeypatch.setattr(dynamic, "record", on_progress)
    adapt_to(config, weights, np.zeros(12 * SEGMENT + 1, dtype=np.uint8), rate=rate, decay=decay)
    assert moved[0] == 0
    assert moved[1] == pytest.approx(1, rel=0.01), "the first step is as long as any, whatever the gradient"
    assert max(moved) < farthest if farthest else moved[-1] > 5


def test_step_length_is_relative_to_past_gradients(monkeypatch):
    config, rate, name = VARIANTS[0].values[0], 1e-3, "head.weight"
    weights = numpy_weights(random_model(config))
    gradients, seen, record = [2.0, -1.0, 5.0, 1.0], [], dynamic.record
    left = iter(gradients)

    def on_progress(config, moving, *more):
        seen.append(float(moving[name][0, 0]))
        return record(config, moving, *more)

    def backpropagate(*_):
        return SimpleNamespace(weights={name: np.full_like(weights[name], next(left))})

    monkeypatch.setattr(dynamic, "record", on_progress)
    monkeypatch.setattr(dynamic, "backpropagate", backpropagate)
    adapt_to(config, weights, np.zeros(len(gradients) * SEGMENT + 1, dtype=np.uint8), rate=rate, decay=0.0)
    expected = [-gradients[last] / np.sqrt(np.mean(np.square(gradients[: last + 1]))) for last in range(3)]
    np.testing.assert_allclose(np.diff(seen) / rate, expected, rtol=0.01)


def test_text_of_another_kind_is_learned_while_read(trained):
    contents = read_checkpoint(str(trained / "words.pt"))
    text = "".join(reversed(make_text(3000, seed=4)))
    ids = contents.encoder.encode(text)
    static = read_whole(Engine(contents.model, contents.weights), ids, lanes=1).surprisals
    adapted = adapt_to(contents.model, contents.weights, ids, rate=1e-3)
    assert adapted[-1000:].mean() < 0.8 * static[-1000:].mean()


def test_uncounted_characters_cost_nothing_across_pieces(monkeypatch):
    config = VARIANTS[0].values[0]
    weights = numpy_weights(random_model(config))
    ids = np.random.default_rng(3).integers(0, 11, 4 * SEGMENT)
    counts = np.random.default_rng(4).random(len(ids) - 1) < 0.7
    expected = adapt_to(config, weights, ids)[counts].sum()
    monkeypatch.setattr(dynamic, "PIECE", SEGMENT)
    assert adapted_loss(config, weights, ids, counts) == pytest.approx(expected)
