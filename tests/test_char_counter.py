import tracemalloc
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from charrnn.text import char_counter
from charrnn.text.char_counter import LONG_PIECE, NUM_ASCII, CharCounter
from charrnn.text.encoder import CharEncoder, code_points

ANY_TEXT = st.text(st.characters(exclude_categories=[]))


def tally_of(texts, kept_bytes=1 << 20):
    result = CharCounter(kept_bytes)
    for text in texts:
        result.add(code_points(text))
    return result


def many(number):
    """A shuffled text of that many characters that are not ASCII."""
    return "".join(chr(0x100 + (7919 * place) % number) for place in range(number))


@pytest.fixture(autouse=True, scope="module", params=[4, 1 << 23])
def block(request):
    """Texts with few distinct characters, so that these repeat, and arbitrary ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(char_counter, "BLOCK", request.param)
        patch.setattr(char_counter, "PIECE", max(3, request.param >> 5))
        yield


@given(st.lists(st.one_of(ANY_TEXT, st.text("abc"))))
@example([many(NUM_ASCII - 1)])
@example([many(NUM_ASCII - 1), "a", many(NUM_ASCII)])
@example([many(NUM_ASCII)] * 2)
@example(["ab" * (LONG_PIECE // 2) + "c"])
@example([many(300), "abc", many(400), "\U0010ffff\ud800\0"])
def test_every_character_is_counted_and_encoded(texts):
    text = "".join(texts)
    found = tally_of(texts)
    counts = found.counts
    assert {chr(point): counts[point] for point in np.flatnonzero(counts)} == Counter(text)
    for kept_bytes in (0, len(text) // 2):
        assert (tally_of(texts, kept_bytes).counts == counts).all(), "what is not kept is counted too"
    encoder = CharEncoder(text)
    ids = found.ids(encoder)
    assert ids.dtype == encoder.dtype
    assert ids.tolist() == [encoder.characters.index(character) for character in text]


def test_more_than_65536_distinct_characters_are_counted():
    text = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x20000)]))
    found = tally_of([text[:70_000], text[70_000:], text[::-1]])
    assert set(found.counts[list(map(ord, text))]) == {2}
    assert found.ids(CharEncoder(text)).tolist() == [*range(len(text)), *range(len(text))[::-1]]


def test_characters_without_an_id_become_the_last():
    encoder = CharEncoder("abé", has_unknown=True)
    assert tally_of(["ab", "éüc", "漢"]).ids(encoder).tolist() == [0, 1, 2, 3, 3, 3]


@pytest.mark.parametrize(("texts", "is_kept"), [(["x" * 60, "x" * 40], True), (["x" * 60, "x" * 41], False)])
def test_long_text_keeps_only_its_counts(texts, is_kept):
    found = tally_of(texts, kept_bytes=100)
    assert found.counts[ord("x")] == sum(map(len, texts))
    assert (found.ids(CharEncoder("x")) is not None) == is_kept


def test_many_short_documents_take_little_memory(monkeypatch):
    """An end, and a document of ASCII alone, are narrower than the text before them."""
    monkeypatch.setattr(char_counter, "BLOCK", 1 << 20)
    tracemalloc.start()
    counted = tally_of([many(400), *["", "abc", "\u0100bc"] * 200])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 << 20, "tables of all code points, and a few blocks of 1 or 2 MB"
    assert decoded_length(counted) == 400 + 200 * 6


def decoded_length(counted):
    return len(counted.ids(CharEncoder("abc", has_unknown=True)))
