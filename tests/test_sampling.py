import itertools
import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from conftest import LastAlone, numpy_twin, random_model
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from charrnn.config import ModelConfig
from charrnn.errors import ConfigError, DivergenceError
from charrnn.generation.batch_samples import draw_samples
from charrnn.generation.batch_sampling import ENDED, PRUNE_EVERY, ReadPrompt, generate_batch
from charrnn.generation.choosing import draw, make_chooser
from charrnn.generation.endings import Ending
from charrnn.generation.filters import FILTERS, SamplingOptions, weigh
from charrnn.generation.matching import LineMatch
from charrnn.generation.rules import KnownLines, Rules
from charrnn.generation.sample_progress import SampleProgress
from charrnn.generation.samples import ByteJoiner, SampleBuilder, draw_characters
from charrnn.generation.sampling import Sampler, generate_one
from charrnn.text.encoder import CharEncoder

LOGITS = np.array([2.0, 0.5, -1.0, 1.2, 0.0, 1.9, -3.0])
ANY_LOGITS = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=st.floats(-50, 50, width=32)
)

PIECES = st.sampled_from([b"a", b"\n", b"\xc3", b"\xa9", b"\xe3", b"\x88", b"\x85", "é".encode(), b"b\xe3"])
"""Bytes, some of which form characters beside others."""


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

    def batch_reader(self, num_texts, generated_from=None):
        return LastAlone(lambda ids: self.step(ids, 0)[0])


class CountingModel(FixedModel):
    """A model that is sure of the next number."""

    def step(self, ids, state):
        self.read.append(ids.tolist())
        return np.eye(10)[(ids + 1) % 10] * 100, state


def probabilities(logits, options):
    """The distribution that is drawn from at a text's start, a row for each row of scores."""
    weights = weigh(logits, options, options.temperature)
    return weights / weights.sum(axis=-1, keepdims=True)


def expected_distribution(temperature=1.0, top_k=None, top_p=None, min_p=None, allowed=None):
    """The filtered softmax, computed here in another way: one character after another, in plain Python."""
    kept = sorted(allowed or range(len(LOGITS)), key=lambda i: -LOGITS[i])[:top_k]
    if top_p is not None:
        total, fewest = sum(math.exp(LOGITS[i]) for i in kept), []
        for i in kept:
            fewest.append(i)
            if sum(math.exp(LOGITS[j]) for j in fewest) >= top_p * total:
                break
        kept = fewest
    if min_p is not None:
        kept = [i for i in kept if math.exp(LOGITS[i]) >= min_p * math.exp(LOGITS[kept[0]])]
    weights = {i: math.exp(LOGITS[i] / temperature) for i in kept}
    return np.array([weights.get(i, 0) / sum(weights.values()) for i in range(len(LOGITS))])


FILTERED = [
    {"temperature": 1.0},
    {"temperature": 0.5},
    {"temperature": 1.7},
    {"temperature": 0.8, "top_k": 3},
    {"temperature": 2.0, "top_k": 5},
    {"temperature": 0.9, "top_p": 0.8},
    {"temperature": 1.5, "min_p": 0.1},
    {"temperature": 1.0, "allowed": (1, 3, 4, 6)},
    {"temperature": 1.3, "top_k": 6, "top_p": 0.95, "min_p": 0.05, "allowed": (0, 1, 2, 3, 4)},
]
CHI_SQUARE_LIMITS = {1: 10.828, 2: 13.816, 3: 16.266, 4: 18.467, 5: 20.515, 6: 22.458}
"""99.9 % points, by degrees of freedom."""


@pytest.mark.parametrize("one_by_one", [False, True])
@pytest.mark.parametrize("filters", FILTERED, ids=str)
def test_empirical_distribution_is_the_filtered_softmax(filters, one_by_one):
    """Chi-square of 200,000 draws; of one text at a time 50,000, and 20,000 where filters act on it."""
    draws = 200_000 if not one_by_one else 50_000 if len(filters) == 1 else 20_000
    expected = expected_distribution(**filters)
    model, options = FixedModel(LOGITS), SamplingOptions(**filters)
    if one_by_one:
        generator = np.random.default_rng(7)
        stream = generate_one(
            lambda _: LOGITS, [0], generator=generator, options=options, progress=SampleProgress(draws)
        )
        drawn = np.array([character for character, _ in stream])
    else:
        generators = [np.random.default_rng([7, i]) for i in range(2000)]
        beginning = Sampler(model, [0], options, seed=7).begin()
        stream = generate_batch(
            beginning, generators=generators, options=options, progresses=[SampleProgress(100)] * 2000
        )
        drawn = np.concatenate([ids for ids, _ in stream])
    counts = np.bincount(drawn, minlength=len(LOGITS))
    kept = expected > 0
    assert counts[~kept].sum() == 0
    chi_square = ((counts[kept] - draws * expected[kept]) ** 2 / (draws * expected[kept])).sum()
    assert chi_square < CHI_SQUARE_LIMITS[kept.sum() - 1]


@pytest.mark.parametrize("filters", FILTERED, ids=str)
def test_probabilities_are_the_filtered_softmax(filters):
    np.testing.assert_allclose(
        probabilities(LOGITS[None], SamplingOptions(**filters))[0], expected_distribution(**filters)
    )


def test_min_p_keeps_ties_at_its_bound():
    """At 1 that is the best one, and any that is as likely."""
    found = probabilities(np.array([[2.0, 0.0, 2.0, 1.0]]), SamplingOptions(temperature=1.0, min_p=1.0))
    np.testing.assert_allclose(found, [[0.5, 0.0, 0.5, 0.0]])


def test_top_p_keeps_no_more_than_needed():
    found = probabilities(np.zeros((1, 4)), SamplingOptions(temperature=1.0, top_p=0.5))
    np.testing.assert_allclose(found, [[0.5, 0.5, 0.0, 0.0]])


def test_top_p_keeps_the_exact_number_of_many_characters():
    """Sums in single precision would keep two more."""
    logits = np.full((1, 20_000), -0.1, dtype=np.float32)
    logits[0, 0] = 0
    assert np.count_nonzero(probabilities(logits, SamplingOptions(temperature=1.0, top_p=0.5))) == 10_000


def test_top_p_acts_on_the_model_distribution_before_min_p():
    found = probabilities(np.log([[0.5, 0.2, 0.1, 0.1, 0.1]]), SamplingOptions(temperature=1.0, top_p=0.6, min_p=0.3))
    np.testing.assert_allclose(found, [[5 / 7, 2 / 7, 0, 0, 0]])


def test_top_k_chooses_among_allowed_characters():
    options = SamplingOptions(temperature=1.0, top_k=2, allowed=(1, 2, 3))
    found = probabilities(np.array([[3.0, 2.0, 1.0, 0.0]]), options)
    assert (found > 0).tolist() == [[False, True, True, False]]


def test_temperature_range_runs_evenly_over_the_text():
    options = SamplingOptions(temperature=0.4, final_temperature=1.2)
    temperatures = [options.temperature_at(SampleProgress(5).share(drawn)) for drawn in range(5)]
    assert temperatures == pytest.approx([0.4, 0.6, 0.8, 1.0, 1.2])
    assert options.temperature_at(SampleProgress(None).share(10**9)) == 0.4
    assert options.temperature_at(SampleProgress(1).share(0)) == 0.4
    by_lines = SampleProgress(None, over_lines=3)
    shares = []
    for by_lines.line in range(4):
        shares.append(by_lines.share(100))
    assert shares == [0, 0.5, 1, 1], "one that is over is computed on beside those that are not"


def test_batched_texts_have_their_own_place_in_a_temperature_range():
    logits, options = np.append(LOGITS, LOGITS.max()), SamplingOptions(temperature=0, final_temperature=2)
    rows = weigh(np.tile(logits, (3, 1)), options, np.array([[0.0], [0.7], [2.0]]))
    for row, temperature in zip(rows, (0.0, 0.7, 2.0), strict=True):
        assert row.tolist() == weigh(logits[None], options, temperature)[0].tolist()
    assert np.count_nonzero(rows[0]) == 1, "the first of two that are alike"


class Cycle:
    """A model of one line, "ab": at temperature 0 it writes only that, and at a high temperature anything."""

    def reader(self, generated_from=None):
        return lambda id_: 20 * np.eye(3)[(id_ + 1) % 3]

    def batch_reader(self, num_texts, generated_from=None):
        return LastAlone(lambda ids: 20 * np.eye(3)[(ids + 1) % 3])


@pytest.mark.parametrize("known", [[], ["a", "b", "aa"]])
@pytest.mark.parametrize(("first", "last", "sure"), [(0, 1e4, 0), (1e4, 0, -1)])
def test_temperature_range_over_lines_counts_only_kept_lines(known, first, last, sure):
    encoder, rules = CharEncoder("ab\n"), Rules(lines=3, known_lines=KnownLines(known))
    options = SamplingOptions(temperature=first, final_temperature=last)
    sampler = Sampler(Cycle(), [0], options, 1, over_lines=3)
    samples = draw_samples(sampler, encoder, 1000, rules, range(40))
    assert not any("\n\n\n" in sample.text for sample in samples)
    lines = [[line for line in sample.text.split("\n")[:-1] if line] for sample in samples]
    assert {len(text) for text in lines} == {3}, "empty lines do not count where some are left out"
    assert {text[sure] for text in lines} == {"ab"}
    assert len({text[1] for text in lines}) > 5
    alone = draw_characters(sampler, encoder, 1000, Ending(rules), 7)
    assert "".join(character for character, _ in alone) == samples[7].text


def test_left_out_characters_extend_the_length_up_to_tenfold():
    progress = SampleProgress(20)
    progress.give_back(5)
    assert (progress.left(20), progress.left(25)) == (5, 0)
    assert progress.share(5) == 0
    assert progress.share(24) == 1
    progress.give_back(1000)
    assert progress.left(199) == 1
    assert progress.is_spent
    endless = SampleProgress(None)
    endless.give_back(9)
    assert endless.left(10**15) > 10**15
    assert not endless.is_spent


def test_ended_text_is_not_spent_and_gets_no_more_room():
    progress = SampleProgress(20)
    progress.end()
    progress.give_back(5)
    assert (progress.left(0), progress.is_spent) == (0, False)


class Script:
    """A model of "\\nab" that writes what it is told to."""

    def __init__(self, text):
        self._ids = ["\nab".index(character) for character in text]

    def reader(self, generated_from=None):
        rows = (np.eye(3)[id_] for id_ in itertools.chain(self._ids, itertools.repeat(0)))
        return lambda _: next(rows)

    def batch_reader(self, num_texts, generated_from=None):
        read = self.reader()
        return LastAlone(lambda ids: np.tile(read(0), (len(ids), 1)))


@pytest.mark.parametrize(
    ("left_out", "text", "reason"),
    [(17, "b\nb\n", "length"), (18, "b\nb\n", "length"), (19, "b\n", "known"), (20, "", "known")],
)
def test_text_ends_by_length_however_much_was_left_out(left_out, text, reason):
    """Of ten times four characters 36 may be left out, and the last four drawn are the text."""
    encoder, rules = CharEncoder("\nab"), Rules(known_lines=KnownLines({"a"}))
    sampler = Sampler(Script("a\n" * left_out + "b\nb\n"), [0], SamplingOptions(temperature=0), 1)
    (sample,) = draw_samples(sampler, encoder, 4, rules, [0])
    assert (sample.text, sample.refused, sample.reason) == (text, left_out, reason)
    ending = Ending(rules)
    drawn = "".join(character for character, _ in draw_characters(sampler, encoder, 4, ending))
    assert (drawn, ending.refused, ending.reason) == (text, left_out, reason)


@pytest.mark.parametrize("first", [0, 0.3])
def test_temperature_range_is_applied_to_draws(first):
    """From safe to wild: of the first draws one in two hundred, or none, is not the best, and of the last most are."""
    options = SamplingOptions(temperature=first, final_temperature=100)
    logits, rows = np.array([2.0, 0.0, 0.0, 0.0]), []
    for seed in range(400):
        generator = np.random.default_rng(seed)
        drawn = generate_one(lambda _: logits, [0], generator=generator, options=options, progress=SampleProgress(9))
        rows.append([character for character, _ in drawn])
    shares = (np.array(rows) == 0).mean(axis=0)
    assert shares[0] > 0.95
    assert shares[-1] < 0.35


@given(ANY_LOGITS, st.floats(0, 3), st.none() | st.integers(0, 12))
def test_probabilities_sum_to_one_and_keep_the_order_of_logits(logits, temperature, top_k):
    weights = probabilities(logits, SamplingOptions(temperature=temperature, top_k=top_k))
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)
    assert (weights >= 0).all()
    best = logits.argmax(axis=-1)
    assert (weights[np.arange(len(best)), best] == weights.max(axis=-1)).all()
    if top_k:
        assert ((weights > 0).sum(axis=-1) <= top_k).all()
    elif top_k == 0:
        assert (weights == probabilities(logits, SamplingOptions(temperature=temperature))).all()


@given(ANY_LOGITS)
def test_temperature_zero_and_top_k_one_are_greedy(logits):
    expected = np.eye(logits.shape[1])[logits.argmax(axis=-1)]
    assert (probabilities(logits, SamplingOptions(temperature=0)) == expected).all()
    assert (probabilities(logits, SamplingOptions(temperature=1.5, top_k=1)) == expected).all()


def test_low_temperature_tends_to_the_greedy_choice():
    weights = probabilities(LOGITS[None], SamplingOptions(temperature=0.005))
    assert weights[0, LOGITS.argmax()] == pytest.approx(1)


@pytest.mark.parametrize("temperature", [0.1, 0.3, 1.3])
@pytest.mark.parametrize("shift", [0, 200, 3000, -200, -966, -3000])
def test_single_text_draws_like_a_batch_for_large_logits(temperature, shift):
    options = SamplingOptions(temperature=temperature)
    choose = make_chooser(options, None, 7)
    generator = np.random.default_rng(0)
    with np.errstate(over="ignore"):
        for threshold in generator.random(300):
            logits = generator.normal(0, 2, 7).astype(np.float32) + np.float32(shift)
            assert choose(logits, threshold, 0) == draw(weigh(logits[None], options, temperature), threshold[None])
        broken = np.full(7, np.nan, dtype=np.float32)
        assert choose(broken, 0.5, 0) == 7, "no id: the caller tells what is wrong"


ANY_FILTERS = {
    "top_k": st.none() | st.integers(0, 75),
    "top_p": st.none() | st.sampled_from([0.01, 0.2, 0.5, 0.9, 1.0]),
    "min_p": st.none() | st.sampled_from([0, math.exp(-1), 0.01, 1.0]),
    "allowed": st.none() | st.sets(st.integers(1, 69), max_size=60),
}


def test_filter_tables_cover_every_filter():
    assert {name for options in FILTERED for name in options} - {"temperature"} == set(FILTERS) == set(ANY_FILTERS)


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        st.integers(1, 70),
        elements=st.sampled_from([-np.inf, -200.0, -3.5, -1.0, 0.0, 0.5, 2.0]) | st.floats(-9, 9, width=32),
    ).filter(lambda logits: np.isfinite(logits[0])),
    st.sampled_from([0, 1e-30, 1e-4, 0.3, 0.8, 2.5, 1e46]),
    st.none() | st.sampled_from([0, 0.5, 1e308]),
    st.fixed_dictionaries(ANY_FILTERS),
)
@example(
    np.array([3.375, 0, 1.1754944e-38, 0], dtype=np.float32), 0.8, None,
    {"top_k": None, "top_p": 0.01, "min_p": None, "allowed": None},
)  # fmt: skip
@example(
    np.array([3.375, *[0] * 20, 1.1754944e-38], dtype=np.float32), 0.8, None,
    {"top_k": 2, "top_p": None, "min_p": None, "allowed": None},
)  # fmt: skip
@example(
    np.array([2.0, 0.0, 2.0], dtype=np.float32), 0.8, None,
    {"top_k": 1, "top_p": None, "min_p": 1.0, "allowed": None},
)  # fmt: skip
def test_single_text_draws_like_a_batch_for_any_filters_and_ties(logits, temperature, last, filters):
    """The middle of each character's part of the distribution draws it."""
    if filters["allowed"] is not None:
        filters["allowed"] = (0, *(id_ for id_ in filters["allowed"] if id_ < len(logits)))
    options = SamplingOptions(temperature=temperature, final_temperature=last, **filters)
    progress = SampleProgress(5)
    choose = make_chooser(options, progress, len(logits))
    for drawn in (0, 2, 4):
        weights = weigh(logits[None], options, options.temperature_at(progress.share(drawn)))[0].astype(np.float64)
        ends = weights.cumsum() / weights.sum()
        for character in np.flatnonzero(weights > 1e-4).tolist():
            threshold = ends[character] - weights[character] / weights.sum() / 2
            assert choose(logits, threshold, drawn) == character


@pytest.mark.parametrize("filters", FILTERED, ids=str)
@pytest.mark.parametrize("broken", [np.nan, np.inf])
@pytest.mark.parametrize("temperature", [0, 0.5])
def test_single_text_with_nan_logits_returns_no_id(filters, broken, temperature):
    logits = np.where(np.arange(7) == 3, broken, LOGITS)
    options = SamplingOptions(**{**filters, "temperature": temperature})
    with np.errstate(all="ignore"):
        assert make_chooser(options, SampleProgress(1), 7)(logits, 0.5, 0) == 7, "no id: the caller tells what is wrong"


@pytest.mark.parametrize("temperature", [1e38, 1e46, 1e308])
@pytest.mark.parametrize("filters", [{}, {"top_k": 4}, {"final_temperature": 1e308}])
def test_huge_temperatures_choose_evenly_among_open_characters(temperature, filters):
    logits = np.array([5, -np.inf, -40, 0, -np.inf], dtype=np.float32)
    options = SamplingOptions(temperature=temperature, **filters)
    choose, thresholds = (
        make_chooser(options, SampleProgress(1), len(logits)),
        np.array([0, 0.33, 0.34, 0.66, 0.67, 0.99]),
    )
    assert [choose(logits, threshold, 0) for threshold in thresholds] == [0, 0, 2, 2, 3, 3]
    assert draw(weigh(np.tile(logits, (6, 1)), options, temperature), thresholds).tolist() == [0, 0, 2, 2, 3, 3]


@pytest.mark.parametrize("temperature", [0, 0.1, 1.3])
def test_zero_probability_is_never_drawn_for_a_zero_random_number(temperature):
    logits, options = np.array([-np.inf, 0.0, -1.0]), SamplingOptions(temperature=temperature)
    assert make_chooser(options, SampleProgress(9), 3)(logits, 0.0, 0) == 1
    assert draw(weigh(np.tile(logits, (80, 1)), options, temperature), np.zeros(80)).tolist() == [1] * 80


def test_text_with_nan_logits_stops_the_batch():
    with pytest.raises(DivergenceError, match="not numbers any more"):
        draw(np.array([[1.0, 1.0], [np.nan, 1.0]]), np.array([0.5, 0.5]))


def test_prompt_is_read_once_for_all_texts_and_then_each_drawn_character():
    model = CountingModel(None)
    sampler = Sampler(model, [7, 3], SamplingOptions(), 0)
    assert sampler.batch(range(2), 4).tolist() == [[4, 5, 6, 7]] * 2
    assert model.read[:5] == [[7], [3], [4, 4], [5, 5], [6, 6]]
    assert sampler.batch(range(2, 5), 1).tolist() == [[4]] * 3
    assert model.read[6:] == [[4] * 3]


class Counted:
    """Texts side by side that count how many characters they have read, all of them together."""

    def __init__(self, texts, counts):
        self.texts, self.counts = texts, counts

    def __call__(self, ids):
        self.counts.append(len(ids))
        return self.texts(ids)

    def selected(self, rows):
        return Counted(self.texts.selected(rows), self.counts)


@pytest.mark.parametrize("pattern", [None, "[b-h]*"])
def test_finished_texts_are_dropped_from_the_batch_and_the_others_stay_the_same(engine, pattern):
    encoder = CharEncoder("\nabcdefgh")
    match = None if pattern is None else LineMatch.build(pattern, encoder)
    sampler = Sampler(engine, [1], SamplingOptions(), 5, match)
    alone = []
    for number in range(40):
        ending = Ending(Rules(lines=1))
        drawn = draw_characters(sampler, encoder, 500, ending, number)
        alone.append("".join(character for character, _ in drawn))
    counts = []
    beginning = sampler.begin()
    sampler.__dict__["_read_prompt"] = replace(beginning, read=Counted(beginning.read, counts))
    samples = draw_samples(sampler, encoder, 500, Rules(lines=1), range(40))
    lengths = list(map(len, alone))
    assert [sample.text for sample in samples] == alone
    for sample in samples:
        assert len(sample.log_probabilities) == len(sample.text)
        assert np.isfinite(sample.log_probabilities).all()
    assert sum(counts) <= 2 * sum(lengths) + 40 * PRUNE_EVERY < 40 * max(lengths), "at most a half are over"


@pytest.mark.parametrize(("unit", "pattern"), [("character", None), ("character", "[b-h]*"), ("byte", None)])
@pytest.mark.parametrize(
    "rules",
    [
        Rules(),
        Rules(lines=3),
        Rules(stops=("ab", "\n\n")),
        Rules(stops=("\ncd", "efgh"), lines=4),
        Rules(lines=2, known_lines=KnownLines(["a", "b", "bc"])),
    ],
    ids=["none", "lines", "stops", "both", "known"],
)
def test_batched_samples_equal_those_drawn_alone(engine, rules, pattern, unit):
    encoder = CharEncoder("\nabcdefgh", unit)
    match = None if pattern is None else LineMatch.build(pattern, encoder)
    rules = rules if match is None else replace(rules, fits=match.fits)
    sampler = Sampler(engine, [1], SamplingOptions(), 5, match)
    for length in (1, 60, 200):
        for sample in draw_samples(sampler, encoder, length, rules, range(20), "a"):
            ending = Ending(rules, "a")
            drawn = list(draw_characters(sampler, encoder, length, ending, sample.number))
            assert sample.text == "".join(character for character, _ in drawn)
            np.testing.assert_allclose(sample.log_probabilities, [value for _, value in drawn], atol=1e-5)
            assert (sample.reason, sample.lines, sample.refused) == (ending.reason, ending.lines, ending.refused)


def test_batched_samples_change_temperature_by_their_own_lines(engine):
    encoder, rules = CharEncoder("\nabcdefgh"), Rules(lines=4)
    sampler = Sampler(engine, [1], SamplingOptions(temperature=0.2, final_temperature=2.0), 5, over_lines=4)
    for sample in draw_samples(sampler, encoder, 200, rules, range(20)):
        drawn = draw_characters(sampler, encoder, 200, Ending(rules, ""), sample.number)
        assert sample.text == "".join(character for character, _ in drawn)


def test_finished_text_with_nan_logits_stops_no_other():
    """The first of three ends at once, and is still computed when its scores break."""

    class Breaking:
        def __init__(self, places):
            self.places, self.num_read = places, 0

        def __call__(self, ids):
            self.num_read += 1
            breaks = (self.places == 0) & (self.num_read > 20)
            return np.where(breaks[:, None], np.nan, np.zeros((len(ids), 3)))

        def selected(self, rows):
            return Breaking(np.arange(len(rows)))

    progresses = [SampleProgress(90) for _ in range(3)]
    progresses[0].end()
    beginning = ReadPrompt(Breaking(np.zeros(1)), np.zeros((1, 3)))
    generators = [np.random.default_rng(seed) for seed in range(3)]
    steps = generate_batch(beginning, generators=generators, options=SamplingOptions(), progresses=progresses)
    drawn = np.array([ids for ids, _ in steps])
    assert (drawn[:, 0] == ENDED).all()
    assert drawn.shape == (90, 3)
    assert (drawn[:, 1:] != ENDED).all()


@pytest.fixture(scope="module")
def engine():
    return numpy_twin(
        random_model(ModelConfig(vocab_size=9, cell="lstm", hidden_size=16, num_layers=2, embedding_dim=4))
    )


def test_same_seed_gives_the_same_text_and_another_seed_another(engine):
    texts = [list(Sampler(engine, [1], SamplingOptions(), seed).stream(80)) for seed in (3, 3, 4)]
    assert texts[0] == texts[1] != texts[2]


def test_second_sample_of_a_seed_differs_from_the_first_of_the_next(engine):
    second, first = (
        list(Sampler(engine, [1], SamplingOptions(), seed).stream(80, number)) for seed, number in ((3, 1), (4, 0))
    )
    assert second != first


def test_traced_logits_are_the_model_logits_and_drawn_from(engine):
    sampler = Sampler(engine, [1], SamplingOptions(top_k=1), 5)
    state = engine.initial_state(2)
    logits, state = engine.step(np.array([1, 1]), state)
    one = ((character, values.copy()) for character, values in sampler.trace(SampleProgress(30)))
    for (ids, given_two), (character, given_one) in zip(
        sampler.steps([0, 1], [SampleProgress(30)] * 2), one, strict=True
    ):
        np.testing.assert_allclose(given_two, logits, atol=1e-5)
        np.testing.assert_allclose(given_one, logits[0], atol=1e-5)
        assert ids.tolist() == [character] * 2 == logits.argmax(axis=-1).tolist()
        logits, state = engine.step(ids, state)


def test_sample_does_not_depend_on_their_number(engine):
    sampler = Sampler(engine, [1], SamplingOptions(), 5)
    alone = [list(sampler.stream(60, number)) for number in range(6)]
    assert sampler.batch(range(6), 60).tolist() == alone
    assert sampler.batch(range(4, 6), 60).tolist() == alone[4:]
    assert len({tuple(text) for text in alone}) == 6


def test_batch_can_hold_any_id():
    model = FixedModel(np.where(np.arange(300) == 299, 9.0, 0.0))
    assert Sampler(model, [0], SamplingOptions(temperature=0), 0).batch([0], 2).tolist() == [[299, 299]]


def test_length_zero_draws_nothing(engine):
    assert list(Sampler(engine, [1], SamplingOptions(), 0).stream(0)) == []
    assert Sampler(engine, [1], SamplingOptions(), 0).batch(range(3), 0).shape == (3, 0)


def test_batch_takes_the_memory_of_its_result(engine):
    sampler = Sampler(engine, [1], SamplingOptions(), 5)
    tracemalloc.start()
    try:
        whole = sampler.batch(range(4), 2500)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert whole.shape == (4, 2500)
    assert whole.nbytes == 10_000
    assert peak < 300_000, "some columns at a time as arrays of their own"
    assert whole[2].tolist() == list(sampler.stream(2500, 2))


@pytest.mark.parametrize("rules", [Rules(), Rules(stops=("zzz",))], ids=["endless", "until a stop"])
@pytest.mark.parametrize("reach", [0, 8])
def test_endless_stream_runs_in_constant_memory(reach, rules):
    config = ModelConfig(vocab_size=9, cell="lstm", hidden_size=16, num_layers=2, embedding_dim=4, recall=reach)
    sampler, encoder = Sampler(numpy_twin(random_model(config)), [1], SamplingOptions(), 0), CharEncoder("abcdefghi")
    drawn = draw_characters(sampler, encoder, None, Ending(rules), with_log_probabilities=False)
    stream = sampler.stream(None) if rules.are_none else drawn
    next(stream)
    tracemalloc.start()
    collected = []
    try:
        for _ in range(5):
            for _ in itertools.islice(stream, 1200):  # where it recalls 8, what is beyond that is let go of 50 times
                pass
            collected.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert collected[-1] - collected[0] < 4000, "bytes for 4,800 more characters"


def test_left_out_line_counts_no_bytes_and_is_in_vain_until_another_comes():
    encoder, progress = CharEncoder("\na\xa4\xc3", "byte"), SampleProgress(10)
    builder = SampleBuilder(encoder, progress, Ending(Rules(known_lines=KnownLines(["ä"]))))
    in_vain = []
    for id_ in encoder.encode_list("ä\nä\na"):
        builder.feed(id_, 0.0)
        in_vain.append(builder.vain)
    assert progress.left(7) == 10 - 1, "six of seven bytes were left out"
    assert in_vain == [0, 0, 2, 2, 2, 4, 0], "characters, not bytes"


def test_log_probability_of_a_multibyte_character_sums_its_bytes():
    joining = ByteJoiner()
    drawn = [joining.feed([(byte, -(2.0**number))]) for number, byte in enumerate("a\udcc3\udca4a\udcc3")]
    assert drawn == [[("a", -1)], [], [("ä", -6)], [("a", -8)], []]
    assert joining.finish() == [("\udcc3", -16)]
    assert joining.feed([("ä", -3), ("\udca4", -4)]) == [("ä", -3), ("\udca4", -4)]


@given(st.lists(PIECES, max_size=12).map(b"".join), st.lists(PIECES, min_size=1, max_size=3), st.booleans())
@example(b"ab\xe3\x88\x85c", [b"\xe3"], False)
@example("aé\nb".encode(), [b"\xa9\n"], True)
def test_byte_stop_ends_the_text_even_within_a_character(data, stops, keep_stop):
    encoder = CharEncoder("".join(map(chr, range(256))), "byte")
    ending = Ending(Rules(stops=tuple(stop.decode("utf-8", "surrogateescape") for stop in stops), keep_stop=keep_stop))
    builder, given_out = SampleBuilder(encoder, SampleProgress(len(data)), ending), list[tuple[str, float]]()
    for byte in data:
        given_out += builder.feed(byte, -1.0)
        if ending.reason:
            break
    else:
        given_out += builder.finish(len(data))
    expected, ends = data, [data.index(stop) + len(stop) for stop in stops if stop in data]
    if ends:
        drawn = data[: min(ends)]
        longest = max((stop for stop in stops if drawn.endswith(stop)), key=len)
        expected = drawn if keep_stop else drawn.removesuffix(longest)
        assert ending.stop == longest.decode("utf-8", "surrogateescape")
    assert (ending.reason == "stop") == bool(ends)
    assert [character for character, _ in given_out] == [*expected.decode("utf-8", "surrogateescape")]
    assert sum(value for _, value in given_out) == -len(expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -0.1}, "--temperature is -0.1; it must be at least 0"),
        ({"temperature": float("nan")}, "--temperature is nan"),
        ({"temperature": float("inf")}, "--temperature is inf"),
        ({"final_temperature": -1.0}, "--temperature is -1.0"),
        ({"top_k": -1}, "--top-k is -1; it must be at least 0"),
        ({"top_p": 0.0}, "--top-p is 0.0; it must be more than 0 and at most 1"),
        ({"top_p": 1.1}, "--top-p is 1.1"),
        ({"min_p": 2.0}, "--min-p is 2.0"),
        ({"min_p": -0.1}, "--min-p is -0.1; it must be at least 0 and at most 1"),
        ({"allowed": ()}, "--allow and --forbid leave no character"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        SamplingOptions(**options)


def test_empty_prompt_and_negative_length_are_refused():
    with pytest.raises(ConfigError, match="the prompt is empty"):
        Sampler(FixedModel(LOGITS), prompt=[], options=SamplingOptions(), seed=0)
    sampler = Sampler(FixedModel(LOGITS), prompt=[1], options=SamplingOptions(), seed=0)
    with pytest.raises(ConfigError, match="the length is -1; it must be at least 0, or None"):
        sampler.stream(-1)
