"""The n-gram baseline against a plain model with dictionaries."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from conftest import CORPORA, make_text

from charrnn.analysis import ngrams
from charrnn.analysis.ngrams import NgramModel
from charrnn.text.encoder import CharEncoder


def plain_model(texts, alphabet, order, opening=None):
    """Interpolated, modified Kneser-Ney, from its definition: p(character | context of any length below the order).

    What begins with the character that opens every text counts how often it occurs, having nothing before it.
    """
    raw = [Counter(text[i : i + n] for text in texts for i in range(len(text) - n + 1)) for n in range(order + 1)]
    grams = [set(table) for table in raw]
    followed = Counter(gram[1:] for table in raw[2:] for gram in table)

    def count(gram):
        return raw[len(gram)][gram] if len(gram) == order or gram[:-1].startswith(opening or "-") else followed[gram]

    counts = {n: {gram: count(gram) for gram in grams[n]} for n in range(1, order + 1)}
    discount = {}
    for n, table in counts.items():
        have = Counter(table.values())
        if not all(have[k] for k in (1, 2, 3)):  # too few to estimate from: half of a count
            discount[n] = [0.0, 0.5, 0.5, 0.5]
            continue
        y = have[1] / (have[1] + 2 * have[2])
        estimates = [k - (k + 1) * y * have[k + 1] / have[k] for k in (1, 2, 3)]
        discount[n] = [0.0] + [min(max(d, 0.05), k - 0.05) for k, d in enumerate(estimates, 1)]
    assert discount[order][1:] != [0.5, 0.5, 0.5], "the text is rich enough to estimate the discounts from"
    following = defaultdict(dict)
    for table in counts.values():
        for gram, number in table.items():
            following[gram[:-1]][gram[-1]] = number

    def probability(character, context):
        lower = probability(character, context[1:]) if context else 1 / len(alphabet)
        seen = following.get(context, {})
        total = sum(seen.values())
        if not total:
            return lower
        taken = discount[len(context) + 1]
        left = sum(taken[min(number, 3)] for number in seen.values()) / total
        return max(seen.get(character, 0) - taken[min(seen.get(character, 0), 3)], 0) / total + left * lower

    return probability


@pytest.mark.parametrize("order", [2, 3])
def test_ngram_model_is_kneser_ney_as_defined(order):
    generator = np.random.default_rng(0)
    alphabet = "abcdefghijklmnopqrst"
    weights = generator.dirichlet(np.full(20, 0.15), size=20)  # rare and frequent successors: counts of 1 to 4 and more
    letters = [0]
    for _ in range(1500):
        letters.append(generator.choice(20, p=weights[letters[-1]]))
    text = "".join(alphabet[i] for i in letters)
    unseen = "abcabcddtsrqponmlkjihgfedcba"
    encoder = CharEncoder(alphabet)
    found = NgramModel(encoder.encode(text), 20, order).surprisals(encoder.encode(unseen))
    model = plain_model([text], alphabet, order)
    expected = [-np.log(model(c, unseen[max(0, i - order + 1) : i])) for i, c in enumerate(unseen)]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("order", [2, 3, 6])
@pytest.mark.parametrize("end", ["\n", "", "\n\n"])
def test_separate_lines_give_no_context_to_each_other(order, end):
    """A line is learned, and scored, behind a line feed, and with no other line."""
    text = (CORPORA / "names.txt").read_text()[:9000].strip().replace("\nan", "\n\nan") + end
    scored = "mario\n\nbellatrix\n\nq\nanna"
    lines = ["\n" + line for line in text.splitlines(keepends=True)]
    assert len(lines) > 900
    encoder = CharEncoder(text + scored)
    line_end_id = encoder.characters.index("\n")
    found = NgramModel(encoder.encode(text), len(encoder), order, line_end_id=line_end_id)
    model = plain_model(lines, encoder.characters, order, opening="\n")
    expected = [
        -np.log(model(character, ("\n" + line)[: i + 1][-order + 1 :]))
        for line in scored.splitlines(keepends=True)
        for i, character in enumerate(line)
    ]
    np.testing.assert_allclose(found.surprisals(encoder.encode("\n" + scored))[1:], expected, rtol=1e-9)


def test_line_without_its_beginning_is_ignored(monkeypatch):
    """Of a huge text the end is learned, which begins within a line."""
    encoder = CharEncoder("\nabcdx")
    text = encoder.encode("ab\n" * 50 + "cxdb\n" + "ab\n" * 50)
    monkeypatch.setattr(ngrams, "MAX_LEARNED", 153)  # "db" and its line feed before the lines
    cut, whole = (NgramModel(ids, 6, line_end_id=0).surprisals(encoder.encode("\nd"))[1] for ids in (text, text[-153:]))
    assert cut > whole + 0.5, "no line begins so"


@pytest.mark.parametrize(
    ("times", "discounts"),
    [((100, 1, 1), (0, 0.95, 0.05, 2.95)), ((10, 100, 1), (0, 0.05, 1.95, 2.95)), ((1, 1, 0), (0, 0.5, 0.5, 0.5))],
)
def test_discount_is_between_zero_and_the_count(times, discounts):
    """However few n-grams there are to estimate it from: so many that were counted once, twice and three times."""
    np.testing.assert_allclose(ngrams._discounts(np.repeat([1, 2, 3], times)), discounts)


@pytest.mark.parametrize("context", ["", "a", "banana ", "\n\nq", "Tin sole mare"])
def test_probabilities_of_all_characters_sum_to_one(context):
    text = make_text(3000) + "q"  # a context that ends the text and has nothing after it
    encoder = CharEncoder(text)
    model = NgramModel(encoder.encode(text), len(encoder))
    last = [model.surprisals(encoder.encode(context + c))[-1] for c in encoder.characters]
    assert np.exp(-np.array(last)).sum() == pytest.approx(1, abs=1e-12)


def test_longer_context_learns_more():
    text = make_text(20_000)
    encoder = CharEncoder(text)
    ids = encoder.encode(text)
    losses = [NgramModel(ids[:18_000], len(encoder), n).surprisals(ids[18_000:]).mean() for n in (1, 2, 4, 6)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.6 * losses[0]


def test_only_a_limited_part_of_a_huge_text_is_held(monkeypatch):
    text = make_text(4000)
    encoder = CharEncoder(text)
    ids = encoder.encode(text)
    short = NgramModel(ids[-1000:], len(encoder)).surprisals(ids[:500])
    monkeypatch.setattr(ngrams, "MAX_LEARNED", 1000)
    np.testing.assert_array_equal(NgramModel(ids, len(encoder)).surprisals(ids[:500]), short)


def test_surprisals_at_some_places_equal_those_of_the_whole_text(monkeypatch):
    text = make_text(3000)
    encoder = CharEncoder(text)
    ids = encoder.encode(text)
    model = NgramModel(ids[:2000], len(encoder))
    whole = model.surprisals(ids[2000:])
    monkeypatch.setattr(ngrams, "PLACES_AT_ONCE", 100)
    for places in (np.arange(1000), np.array([0]), np.array([2, 5, 6, 7, 300, 999]), np.arange(3, 1000, 4)):
        np.testing.assert_array_equal(model.surprisals_at(ids[2000:], places), whole[places])


@pytest.mark.parametrize("text", ["a", "aaaa", "ab", "\n", "a\nb\n", "\n\n\n\n\n\n\n"])
@pytest.mark.parametrize("line_end_id", [None, 0])
def test_tiny_texts_are_accepted(text, line_end_id):
    encoder = CharEncoder(text)
    model = NgramModel(encoder.encode(text), len(encoder), line_end_id=line_end_id if "\n" in text else None)
    assert np.isfinite(model.surprisals(encoder.encode(text * 3))).all()
