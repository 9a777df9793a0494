import itertools
import tracemalloc

import numpy as np
import pytest
from conftest import numpy_twin, random_model
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from charrnn.config import ModelConfig
from charrnn.errors import ConfigError
from charrnn.sampling import Sampler, SamplingOptions, generate, probabilities

LOGITS = np.array([2.0, 0.5, -1.0, 1.2, 0.0, 1.9, -3.0])
ANY_LOGITS = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=st.floats(-50, 50, width=32)
)


class FixedModel:
    """A model of one distribution, which remembers what it has read."""

    def __init__(self, logits):
        self.logits = logits
        self.read = []

    def initial_state(self, batch_size):
        return 0

    def step(self, ids, state):
        self.read.append(ids.tolist())
        return np.tile(self.logits, (len(ids), 1)), state + 1


class CountingModel(FixedModel):
    """A model that is sure of the next number."""

    def step(self, ids, state):
        self.read.append(ids.tolist())
        return np.eye(10)[(ids + 1) % 10] * 100, state


def expected_distribution(temperature, top_k=None):
    """The filtered softmax, computed here in another way."""
    keep = sorted(range(len(LOGITS)), key=lambda i: -LOGITS[i])[: top_k or len(LOGITS)]
    weights = {i: np.e ** (LOGITS[i] / temperature) for i in keep}
    return np.array([weights.get(i, 0) / sum(weights.values()) for i in range(len(LOGITS))])


@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, None), (0.5, None), (1.7, None), (0.8, 3), (2.0, 5)])
def test_the_empirical_distribution_is_the_filtered_softmax(temperature, top_k):
    """Chi-square of 200,000 draws; the limit is the 99.9 % point for the degrees of freedom."""
    expected = expected_distribution(temperature, top_k)
    options = SamplingOptions(temperature=temperature, top_k=top_k)
    generators = [np.random.default_rng([7, i]) for i in range(2000)]
    drawn = list(generate(FixedModel(LOGITS), [0], generators=generators, options=options, length=100))
    counts = np.bincount(np.concatenate(drawn), minlength=len(LOGITS))
    kept = expected > 0
    assert counts[~kept].sum() == 0
    chi_square = ((counts[kept] - 200_000 * expected[kept]) ** 2 / (200_000 * expected[kept])).sum()
    assert chi_square < {2: 13.816, 4: 18.467, 6: 22.458}[kept.sum() - 1]


@given(ANY_LOGITS, st.floats(0, 3), st.none() | st.integers(1, 12))
def test_probabilities_are_a_distribution_in_the_order_of_the_logits(logits, temperature, top_k):
    weights = probabilities(logits, SamplingOptions(temperature=temperature, top_k=top_k))
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)
    assert (weights >= 0).all()
    best = logits.argmax(axis=-1)
    assert (weights[np.arange(len(best)), best] == weights.max(axis=-1)).all()
    if top_k is not None:
        assert ((weights > 0).sum(axis=-1) <= top_k).all()


@given(ANY_LOGITS)
def test_temperature_zero_and_top_k_one_are_greedy(logits):
    expected = np.eye(logits.shape[1])[logits.argmax(axis=-1)]
    assert (probabilities(logits, SamplingOptions(temperature=0)) == expected).all()
    assert (probabilities(logits, SamplingOptions(temperature=1.5, top_k=1)) == expected).all()


def test_a_low_temperature_tends_to_the_greedy_choice():
    weights = probabilities(LOGITS[None], SamplingOptions(temperature=0.005))
    assert weights[0, LOGITS.argmax()] == pytest.approx(1)


def test_the_prompt_is_read_and_each_drawn_character_too():
    model = CountingModel(None)
    ids = generate(model, [7, 3], generators=[np.random.default_rng(0)] * 2, options=SamplingOptions(), length=4)
    assert [row.tolist() for row in ids] == [[4, 4], [5, 5], [6, 6], [7, 7]]
    assert model.read[:5] == [[7, 7], [3, 3], [4, 4], [5, 5], [6, 6]]


@pytest.fixture(scope="module")
def engine():
    return numpy_twin(
        random_model(ModelConfig(vocab_size=9, cell="lstm", hidden_size=16, num_layers=2, embedding_dim=4))
    )


def test_the_same_seed_gives_the_same_text_and_another_seed_another(engine):
    texts = [list(Sampler(engine, [1], SamplingOptions(), seed).stream(80)) for seed in (3, 3, 4)]
    assert texts[0] == texts[1] != texts[2]


def test_a_sample_does_not_depend_on_how_many_there_are(engine):
    sampler = Sampler(engine, [1], SamplingOptions(), 5)
    alone = [list(sampler.stream(60, number)) for number in range(6)]
    assert sampler.batch(range(6), 60).tolist() == alone
    assert sampler.batch(range(4, 6), 60).tolist() == alone[4:]
    assert len({tuple(text) for text in alone}) == 6


def test_a_length_of_zero_draws_nothing(engine):
    assert list(Sampler(engine, [1], SamplingOptions(), 0).stream(0)) == []
    assert Sampler(engine, [1], SamplingOptions(), 0).batch(range(3), 0).shape == (3, 0)


def test_an_endless_stream_runs_in_constant_memory(engine):
    stream = Sampler(engine, [1], SamplingOptions(), 0).stream(None)
    next(stream)
    tracemalloc.start()
    collected = []
    for _ in range(3):
        for _ in itertools.islice(stream, 400):
            pass
        collected.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert collected[2] - collected[0] < 2000, "bytes for 800 more characters"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -0.1}, "--temperature is -0.1; it must be at least 0"),
        ({"temperature": float("nan")}, "--temperature is nan"),
        ({"temperature": float("inf")}, "--temperature is inf"),
        ({"top_k": 0}, "--top-k is 0; it must be at least 1"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        SamplingOptions(**options)
