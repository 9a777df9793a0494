import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.analysis import embeddings
from charrnn.analysis.embeddings import map_embeddings
from charrnn.analysis.novelty import matching_lengths, novelty, novelty_of_lines

SMALL = st.text("ab\n", max_size=30)


def in_pieces(source, size=7):
    return [source[start : start + size] for start in range(0, len(source), size)]


def one_novelty(text, source):
    return novelty([text], in_pieces(source))[0]


def one_novelty_of_lines(text, source, is_cut):
    return novelty_of_lines([text], in_pieces(source), are_cut=[is_cut])[0]


@given(SMALL, SMALL)
def test_matching_stretch_is_as_long_as_possible(text, source):
    for start, length in enumerate(matching_lengths([text], in_pieces(source))[0]):
        assert text[start : start + length] in source
        assert start + length == len(text) or text[start : start + length + 1] not in source


def test_source_is_read_once_for_all_texts():
    source = iter(in_pieces("abdx" * 10))
    first, second = matching_lengths(["abcabd" * 50, "xab"], source)
    assert first[:6].tolist() == [2, 1, 0, 3, 2, 1]
    assert second.tolist() == [3, 2, 1]
    lines = iter(in_pieces("Tin\nsole\r\nmare"))
    found = novelty_of_lines(["Tin\nsol", "sole\nmare\nTi"], lines, are_cut=[False, True])
    assert [(each.lines, each.copied_lines) for each in found] == [(2, 0.5), (2, 1.0)]


def test_source_is_held_piece_by_piece():
    line = "a line of thirty characters ...\n"
    tracemalloc.start()
    try:
        found = novelty_of_lines([line], (line * 1000 for _ in range(20)), are_cut=[False])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found[0].copied_lines == 1
    assert peak < 10 * len(line) * 1000


def test_copied_stretches_are_found_and_measured():
    source = "To be, or not to be, that is the question: whether 'tis nobler"
    text = "XX or not to be, that is YY the questioZZ"
    found = one_novelty(text, source)
    assert found.longest[:2] == [" or not to be, that is ", " the questio"]
    assert found.copied[20] == pytest.approx(len(" or not to be, that is ") / len(text))
    assert found.copied[10] == pytest.approx((23 + 12) / len(text))
    assert found.copied[40] == 0
    assert one_novelty("", source).longest == []


def test_stretch_equal_to_the_previous_or_just_long_enough_counts():
    assert one_novelty("ab", "b a").longest == ["a", "b"]
    assert one_novelty("0123456789!", "0123456789?").copied[10] == pytest.approx(10 / 11)


def test_overlapping_or_equal_stretches_are_shown_once():
    source = "the old grey mare|grey mare and foal"
    overlapping = one_novelty("the old grey mare and foal", source)
    assert overlapping.longest == ["grey mare and foal"], "not the old grey mare too"
    assert one_novelty("grey mare and foal!grey mare and", source).longest == ["grey mare and foal"]


@given(SMALL, SMALL)
def test_longest_stretches_do_not_overlap(text, source):
    longest = one_novelty(text, source).longest
    assert [len(one) for one in longest] == sorted(map(len, longest), reverse=True)
    assert not any(one in other for i, one in enumerate(longest) for other in longest[:i])
    assert sum(map(len, longest)) <= len(text)


def test_whole_lines_are_searched_and_stretches_end_with_them():
    source = "Marigold\nSaltrock\nTorwen\n"
    text = "Saltrock\n\nTorwen\r\nWenrock\nTorw"
    assert one_novelty("Saltrock\nTorwen", source).longest == ["Saltrock\nTorwen"]
    assert one_novelty("Saltrock", source).lines is None
    found = one_novelty_of_lines(text, source, is_cut=True)
    assert (found.lines, found.copied_lines) == (3, pytest.approx(2 / 3))
    assert one_novelty_of_lines(text, source, is_cut=False).copied_lines == pytest.approx(2 / 4)
    assert one_novelty_of_lines("Torw", source, is_cut=True).copied_lines is None
    assert found.longest[:2] == ["Saltrock", "Torwen"]
    assert found.median == 3, "of the characters but for line feeds"
    assert found.copied[10] == 0


@given(SMALL, SMALL)
def test_stretches_of_lines_are_those_of_each_line(text, source):
    found, lines = one_novelty_of_lines(text, source, is_cut=False), [line for line in text.split("\n") if line]
    assert (found.characters, found.lines) == (len(text), len(lines))
    each = [length for line in lines for length in matching_lengths([line], [source])[0]]
    assert found.median == (np.median(each) if each else 0)
    assert not any("\n" in stretch for stretch in found.longest)
    known = {*source.split("\n")}
    assert found.copied_lines == (sum(line in known for line in lines) / len(lines) if lines else None)
    joined = "|".join(lines)  # what stands in no source ends a stretch as well
    copied = {n: share * len(joined) / max(len(joined) - max(len(lines) - 1, 0), 1) for n, share in
              one_novelty(joined, source).copied.items()}  # fmt: skip
    assert found.copied == pytest.approx(copied)


def test_neighbours_are_the_nearest_directions():
    rows = np.array([[1, 0.1, 0], [3, 0, 0], [0, 1, 0], [0, 2, 0.1], [0, 0, -1]])
    found = map_embeddings(rows, count=2)
    assert [row[0] for row in found.neighbours[:4]] == [1, 0, 3, 2]
    assert found.similarities[0][0] == pytest.approx(1 / np.sqrt(1.01))
    assert np.abs(found.places).max(axis=0).tolist() == [1, 1]
    np.testing.assert_allclose(found.places.mean(axis=0), 0, atol=1e-12)
    assert 0 < found.explained <= 1


def test_explained_is_the_variance_share_of_two_directions():
    ways = np.concatenate([np.eye(3)[[0] * 4], np.eye(3)[1:]])
    assert map_embeddings(np.concatenate([ways, -ways])).explained == pytest.approx((8 + 2) / (8 + 2 + 2))


def test_large_alphabet_is_compared_in_pieces(monkeypatch):
    rows = np.random.default_rng(1).normal(size=(50, 6))
    whole = map_embeddings(rows)
    monkeypatch.setattr(embeddings, "_COSINES_AT_ONCE", 7 * 50)
    assert map_embeddings(rows).neighbours == whole.neighbours


@pytest.mark.parametrize("shape", [(1, 4), (2, 1), (3, 1)])
def test_tiny_alphabets_have_a_map(shape):
    found = map_embeddings(np.random.default_rng(0).normal(size=shape))
    assert found.places.shape == (shape[0], 2)
    assert np.isfinite(found.places).all()
