import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.errors import UnknownCharacterError
from charrnn.text.encoder import CharEncoder, code_points

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
    with pytest.raises(UnknownCharacterError) as caught:
        encoder.encode(text)
    assert caught.value.characters == unknown
    assert caught.value.vocab_size == len(set(alphabet))


def test_error_names_code_points_and_counts_the_rest():
    with pytest.raises(UnknownCharacterError) as caught:
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


def test_membership_and_length():
    encoder = CharEncoder("hello")
    assert len(encoder) == 4
    assert encoder.characters == "ehlo"
    assert "h" in encoder
    assert "x" not in encoder


def test_a_byte_that_is_too_rare_to_be_known_is_a_question_mark():
    encoder = CharEncoder("ab\xc3", unit="byte", has_unknown=True)
    ids = [0, encoder.unknown_id, 1]
    assert encoder.decode(ids) == "a?b"
    assert "".join(encoder.spell(ids)) == "a?b"
