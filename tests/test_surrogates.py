"""Undecodable bytes: each is kept, named and written unchanged."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from charrnn.surrogates import (
    SURROGATE,
    UNDECODABLE,
    byte_of,
    is_byte,
    join_bytes,
    name_byte,
    name_surrogate,
    split_bytes,
    to_bytes,
)


@given(st.binary())
@example(bytes(range(256)))
def test_undecodable_bytes_are_written_unchanged(data):
    text = data.decode("utf-8", "surrogateescape")
    assert to_bytes(text) == data
    kept = "".join(UNDECODABLE.findall(text))
    assert kept == "".join(filter(is_byte, text)) == "".join(SURROGATE.findall(text))
    assert kept == bytes(map(byte_of, kept)).decode("ascii", "surrogateescape")


@pytest.mark.parametrize(
    ("character", "byte", "surrogate", "written"),
    [
        ("\udc80", "<0x80>", "<0x80>", b"\x80"),
        ("\udcff", "<0xFF>", "<0xFF>", b"\xff"),
        ("\ud800", "\ud800", "<U+D800>", b"?"),
        ("\udc7f", "\udc7f", "<U+DC7F>", b"?"),
        ("\udd00", "\udd00", "<U+DD00>", b"?"),
        ("\udfff", "\udfff", "<U+DFFF>", b"?"),
        ("\ud7ff", "\ud7ff", "\ud7ff", b"\xed\x9f\xbf"),
        ("\ue000", "\ue000", "\ue000", b"\xee\x80\x80"),
    ],
)
def test_surrogate_is_named_by_its_byte_or_number(character, byte, surrogate, written):
    assert (name_byte(character), name_surrogate(character)) == (byte, surrogate)
    assert to_bytes(f"a{character}\udce9") == b"a" + written + b"\xe9"


@pytest.mark.parametrize("character", ["é", "詩", "🦊"])
def test_unfinished_character_at_the_end_is_left_out(character):
    data = character.encode()
    for length in range(1, len(data)):
        assert join_bytes("a" + data[:length].decode("utf-8", "surrogateescape"), is_whole=False) == "a"
    for text in ("", character, f"\udce9{character}", "\udc80", "\udcff"):
        assert join_bytes(text, is_whole=False) == text


@given(st.binary(max_size=12))
def test_text_split_into_bytes_is_joined_again(data):
    text = data.decode("utf-8", "surrogateescape")
    assert [*split_bytes(text)] == [bytes([byte]).decode("ascii", "surrogateescape") for byte in data]
    assert join_bytes(split_bytes(text)) == join_bytes(text) == text
    begun = join_bytes(split_bytes(text), is_whole=False)
    assert text.startswith(begun)
    assert len(text) - len(begun) <= 3
