from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from charrnn.text.encoder import CharEncoder, code_points
from charrnn.text.tally import ARRAY_BYTES, NUM_ASCII, Tally

ANY_TEXT = st.text(st.characters(exclude_categories=[]))


def tally_of(texts, kept_bytes=1 << 20):
    tally = Tally(kept_bytes)
    for text in texts:
        tally.add(code_points(text))
    return tally


def many(number):
    """So many characters that are not ASCII, in disorder."""
    return "".join(chr(0x100 + (7919 * place) % number) for place in range(number))


@given(st.lists(st.one_of(ANY_TEXT, st.text("abc"))))
@example([many(NUM_ASCII - 1)])
@example([many(NUM_ASCII - 1), "a", many(NUM_ASCII)])
@example([many(300), "abc", many(400), "\U0010ffff\ud800\0"])
def test_every_character_is_counted_and_becomes_its_id(texts):
    text = "".join(texts)
    tally = tally_of(texts)
    counts = tally.counts
    assert {chr(point): counts[point] for point in np.flatnonzero(counts)} == Counter(text)
    encoder = CharEncoder(text)
    ids = tally.ids(encoder)
    assert ids.dtype == encoder.dtype
    assert ids.tolist() == [encoder.characters.index(character) for character in text]


def test_more_characters_than_sixteen_bits_can_number():
    text = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x20000)]))
    tally = tally_of([text[:70_000], text[70_000:], text[::-1]])
    assert set(tally.counts[list(map(ord, text))]) == {2}
    assert tally.ids(CharEncoder(text)).tolist() == [*range(len(text)), *range(len(text))[::-1]]


def test_characters_without_an_id_of_their_own_become_the_last():
    encoder = CharEncoder("abé", has_unknown=True)
    assert tally_of(["ab", "éüc", "漢"]).ids(encoder).tolist() == [0, 1, 2, 3, 3, 3]


@pytest.mark.parametrize(("texts", "is_kept"), [(["x" * 60, "x" * 40], True), (["x" * 60, "x" * 41], False)])
def test_of_a_long_text_the_counts_alone_are_kept(texts, is_kept):
    tally = tally_of(texts, kept_bytes=100 + 2 * ARRAY_BYTES)
    assert tally.counts[ord("x")] == sum(map(len, texts))
    assert (tally.ids(CharEncoder("x")) is not None) == is_kept
