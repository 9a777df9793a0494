import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from charrnn.errors import CharRNNError
from charrnn.text import encoder as encoder_module
from charrnn.text.encoder import AT_ONCE, CharEncoder, code_points

ANY_CHARACTER = st.characters(exclude_categories=[])  # lone surrogates too
ANY_TEXT = st.text(ANY_CHARACTER)


@given(ANY_TEXT)
def test_decode_of_encode_is_the_text(text):
    encoder = CharEncoder(text)
    assert encoder.decode(encoder.encode(text)) == text


@given(ANY_TEXT)
def test_ids_are_ranks_in_code_point_order(text):
    encoder = CharEncoder(text)
    assert encoder.encode(text).tolist() == [sorted(set(text)).index(character) for character in text]


@given(st.one_of(ANY_TEXT, st.text("a\0é"), st.text("a\ud83d\ude00")))  # the halves of a pair are two characters
def test_code_points_are_those_of_the_text(text):
    points = code_points(text)
    assert points.tolist() == list(map(ord, text))
    assert points.itemsize == (1 if text.isascii() else 4)


@given(ANY_TEXT, ANY_TEXT)
def test_unknown_characters_are_listed_once_in_order(alphabet, text):
    unknown = "".join(dict.fromkeys(character for character in text if character not in alphabet))
    encoder = CharEncoder(alphabet)
    if not unknown:
        assert encoder.decode(encoder.encode(text)) == text
        return
    assert encoder.without_own_id(text) == unknown
    with pytest.raises(CharRNNError):
        encoder.encode(text)


def test_error_names_code_points_and_counts_the_rest():
    with pytest.raises(CharRNNError) as caught:
        CharEncoder("ab").encode("é" + "".join(map(chr, range(0x400, 0x409))))
    assert "'é' (U+00E9)" in str(caught.value)
    assert "and 2 more" in str(caught.value)
    assert "2 characters" in str(caught.value)


@pytest.mark.parametrize(("size", "dtype"), [(1, np.uint8), (256, np.uint8), (257, np.uint16), (65_537, np.uint32)])
def test_ids_have_the_narrowest_type(size, dtype):
    encoder = CharEncoder("".join(map(chr, range(0x10000, 0x10000 + size))))
    ids = encoder.encode(encoder.characters)
    assert ids.dtype == dtype
    assert ids.tolist() == list(range(size))


def test_encoder_has_sorted_characters_and_a_length():
    encoder = CharEncoder("hello")
    assert len(encoder) == 4
    assert encoder.characters == "ehlo"
    assert "h" in encoder
    assert "x" not in encoder


@given(st.binary(), st.sets(st.integers(0, 255), max_size=255))
@example("é\u20ac\U0001f98aa".encode()[1:], {*range(255)})
def test_rare_bytes_are_read_as_unknown(data, known):
    encoder = CharEncoder("".join(map(chr, known)), unit="byte", has_unknown=True)
    ids = encoder.look_up(np.frombuffer(data, dtype=np.uint8))
    assert [i == encoder.unknown_id for i in ids] == [byte not in known for byte in data]
    np.testing.assert_array_equal(encoder.encode(encoder.decode(ids)), ids)
    assert "".join(encoder.spell(ids.tolist())) == encoder.decode(ids)
    whole = "".join(encoder.spelled[i] for i in ids).encode("latin-1").decode("utf-8", "surrogateescape")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(encoder_module, "AT_ONCE", 3)
        assert "".join(encoder.decode_pieces(ids)) == whole


@given(ANY_TEXT, ANY_TEXT)
@example("\ufffd", "a\ufffd")
@example("\ufffd\udfff", "a\ufffd\udfff")
@example("?\ufffd", "a?\ufffd")
def test_rare_characters_are_read_as_unknown(known, text):
    encoder = CharEncoder(known, has_unknown=True)
    ids = encoder.encode(text)
    assert [i == encoder.unknown_id for i in ids] == [character not in known for character in text]
    np.testing.assert_array_equal(encoder.encode(encoder.decode(ids)), ids)


@given(ANY_TEXT)
@example("")
@example("aé\u20ac\U0001f98a\udc80\udcff\ud800")
def test_character_becomes_as_many_ids_as_bytes(text):
    encoder = CharEncoder("", unit="byte", has_unknown=True)
    widths = [len(encoder.encode(character)) for character in text]
    assert encoder.widths(text).tolist() == widths
    assert encoder.begins(text).tolist() == [place == 0 for width in widths for place in range(width)]
    assert CharEncoder("ab").widths(text).tolist() == CharEncoder("ab").begins(text).tolist() == [1] * len(text)


def test_rare_byte_is_decoded_to_none_of_the_known():
    assert CharEncoder("ab?\xc3", unit="byte", has_unknown=True).decode([1, 4, 2]) == "a\udcffb"


def test_undisplayable_characters_are_named_by_number():
    of_bytes = CharEncoder("a\x7f\x80\xe9", unit="byte", has_unknown=True)
    assert of_bytes.names == ["a", "\x7f", "<0x80>", "<0xE9>", "<rare>"]
    assert CharEncoder("a\x80\xe9\ud800\udce9").names == ["a", "\x80", "é", "<U+D800>", "<0xE9>"]


@pytest.mark.parametrize("unit", ["character", "byte"])
def test_long_text_is_encoded_and_decoded_in_pieces(unit):
    text = "аб\n" * AT_ONCE
    of_it = CharEncoder(text if unit == "character" else text.encode().decode("latin-1"), unit)
    assert of_it.decode(of_it.encode(text)) == text
    assert of_it.begins(text).tolist() == ([True, False, True, False, True] if unit == "byte" else [True] * 3) * AT_ONCE


def test_long_text_is_decoded_in_little_memory():
    ids = np.zeros(4_000_000, dtype=np.uint8)
    tracemalloc.start()
    try:
        text = CharEncoder("ab").decode(ids)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert text == "a" * len(ids)
    assert peak < 4 * len(ids)
