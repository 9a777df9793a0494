import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.analysis import embeddings
from charrnn.analysis.embeddings import map_embeddings
from charrnn.analysis.novelty import matching_lengths, novelty, novelty_of_lines

SMALL = st.text("ab\n", max_size=30)


@given(SMALL, SMALL)
def test_a_stretch_is_as_long_as_it_can_be(text, source):
    for start, length in enumerate(matching_lengths(text, source)):
        assert text[start : start + length] in source
        assert start + length == len(text) or text[start : start + length + 1] not in source


def test_a_source_is_read_once_however_little_of_a_text_stands_in_it():
    class Source(str):
        times_read = 0

        def __iter__(self):
            Source.times_read += 1
            return super().__iter__()

        def __contains__(self, _):
            raise AssertionError("it is searched through from its beginning")

    lengths = matching_lengths("abcabd" * 50, Source("abdx" * 10))
    assert Source.times_read == 1
    assert lengths[:6].tolist() == [2, 1, 0, 3, 2, 1]


def test_copied_stretches_are_found_and_measured():
    source = "To be, or not to be, that is the question: whether 'tis nobler"
    text = "XX or not to be, that is YY the questioZZ"
    found = novelty(text, source)
    assert found.longest[:2] == [" or not to be, that is ", " the questio"]
    assert found.copied[20] == pytest.approx(len(" or not to be, that is ") / len(text))
    assert found.copied[10] == pytest.approx((23 + 12) / len(text))
    assert found.copied[40] == 0
    assert novelty("", source).longest == []


def test_a_stretch_as_long_as_the_one_before_it_counts_and_so_does_one_just_long_enough():
    assert novelty("ab", "b a").longest == ["a", "b"]
    assert novelty("0123456789!", "0123456789?").copied[10] == pytest.approx(10 / 11)


def test_of_stretches_that_overlap_or_say_the_same_one_is_shown():
    source = "the old grey mare|grey mare and foal"
    overlapping = novelty("the old grey mare and foal", source)
    assert overlapping.longest == ["grey mare and foal"], "not the old grey mare too"
    assert novelty("grey mare and foal!grey mare and", source).longest == ["grey mare and foal"]


@given(SMALL, SMALL)
def test_the_longest_stretches_are_apart(text, source):
    longest = novelty(text, source).longest
    assert [len(one) for one in longest] == sorted(map(len, longest), reverse=True)
    assert not any(one in other for i, one in enumerate(longest) for other in longest[:i])
    assert sum(map(len, longest)) <= len(text)


def test_of_lines_whole_ones_are_looked_for_and_no_stretch_goes_beyond_one():
    source = "Marigold\nSaltrock\nTorwen\n"
    text = "Saltrock\n\nTorwen\r\nWenrock\nTorw"
    assert novelty("Saltrock\nTorwen", source).longest == ["Saltrock\nTorwen"]
    assert novelty("Saltrock", source).lines is None
    found = novelty_of_lines(text, source, is_cut=True)
    assert (found.lines, found.copied_lines) == (3, pytest.approx(2 / 3))
    assert novelty_of_lines(text, source, is_cut=False).copied_lines == pytest.approx(2 / 4)
    assert novelty_of_lines("Torw", source, is_cut=True).copied_lines is None
    assert found.longest[:2] == ["Saltrock", "Torwen"]
    assert found.median == 3, "of the characters but for line feeds"
    assert found.copied[10] == 0


@given(SMALL, SMALL)
def test_stretches_of_lines_are_those_of_each_line(text, source):
    found, lines = novelty_of_lines(text, source, is_cut=False), [line for line in text.split("\n") if line]
    assert (found.characters, found.lines) == (len(text), len(lines))
    each = [length for line in lines for length in matching_lengths(line, source)]
    assert found.median == (np.median(each) if each else 0)
    assert not any("\n" in stretch for stretch in found.longest)
    known = {*source.split("\n")}
    assert found.copied_lines == (sum(line in known for line in lines) / len(lines) if lines else None)
    joined = "|".join(lines)  # what stands in no source ends a stretch as well
    copied = {n: share * len(joined) / max(len(joined) - max(len(lines) - 1, 0), 1) for n, share in
              novelty(joined, source).copied.items()}  # fmt: skip
    assert found.copied == pytest.approx(copied)


def test_neighbours_are_the_rows_of_the_nearest_directions():
    rows = np.array([[1, 0.1, 0], [3, 0, 0], [0, 1, 0], [0, 2, 0.1], [0, 0, -1]])
    found = map_embeddings(rows, count=2)
    assert [row[0] for row in found.neighbours[:4]] == [1, 0, 3, 2]
    assert found.similarities[0][0] == pytest.approx(1 / np.sqrt(1.01))
    assert np.abs(found.places).max(axis=0).tolist() == [1, 1]
    np.testing.assert_allclose(found.places.mean(axis=0), 0, atol=1e-12)
    assert 0 < found.explained <= 1


def test_what_two_directions_explain_is_their_share_of_the_variance():
    ways = np.concatenate([np.eye(3)[[0] * 4], np.eye(3)[1:]])
    assert map_embeddings(np.concatenate([ways, -ways])).explained == pytest.approx((8 + 2) / (8 + 2 + 2))


def test_a_large_alphabet_is_compared_in_pieces(monkeypatch):
    rows = np.random.default_rng(1).normal(size=(50, 6))
    whole = map_embeddings(rows)
    monkeypatch.setattr(embeddings, "_ROWS_AT_ONCE", 7)
    assert map_embeddings(rows).neighbours == whole.neighbours


@pytest.mark.parametrize("shape", [(1, 4), (2, 1), (3, 1)])
def test_tiny_alphabets_have_a_map_too(shape):
    found = map_embeddings(np.random.default_rng(0).normal(size=shape))
    assert found.places.shape == (shape[0], 2)
    assert np.isfinite(found.places).all()
