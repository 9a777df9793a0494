"""Undecodable bytes in a string: lone surrogates U+DC80 to U+DCFF, which stand for the bytes 0x80 to 0xFF.

This is Python's surrogateescape (PEP 383, https://peps.python.org/pep-0383/): what was read can be written back
unchanged. All other surrogates stand for no byte, and UTF-8 cannot encode them.
"""

from __future__ import annotations

import codecs
import os
import re

UNDECODABLE = re.compile("[\udc80-\udcff]+")
"""A run of undecodable bytes."""

SURROGATE = re.compile("[\ud800-\udfff]")
"""Any surrogate, whether it stands for a byte or not."""

_FOREIGN = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""A surrogate that stands for no byte."""


def is_byte(character: str) -> bool:
    """Whether a character stands for an undecodable byte."""
    return "\udc80" <= character <= "\udcff"


def byte_of(character: str) -> int:
    """The byte that a surrogate stands for."""
    return ord(character) - 0xDC00


def name_byte(character: str) -> str:
    """Name a byte that is not text by its number, such as <0xE9>; leave any other character as it is."""
    return f"<0x{byte_of(character):02X}>" if is_byte(character) else character


def name_surrogate(character: str) -> str:
    """Name a surrogate by its byte, such as <0xE9>, or its code point, such as <U+D800>; leave any other character."""
    return f"<U+{ord(character):04X}>" if _FOREIGN.match(character) else name_byte(character)


def to_bytes(text: str) -> bytes:
    """Encode text as UTF-8, with surrogates that stand for bytes as these bytes.

    Any other lone surrogate becomes a question mark.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return _FOREIGN.sub("?", text).encode("utf-8", "surrogateescape")


def split_bytes(text: str) -> str:
    """Split each character that is not ASCII into its UTF-8 bytes, as surrogates."""
    return text if text.isascii() else to_bytes(text).decode("ascii", "surrogateescape")


def join_bytes(text: str, *, is_whole: bool = True) -> str:
    """Join surrogates whose bytes are valid UTF-8 into characters; undoes `split_bytes`.

    Args:
        text: may hold undecodable bytes.
        is_whole: whether nothing follows the text; otherwise an incomplete character at its end is dropped.
    """
    if not UNDECODABLE.search(text):
        return text
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    return decoder.decode(to_bytes(text), is_whole)


def in_utf8(path: str) -> str:
    """Decode a path's bytes on disk as UTF-8, whichever encoding the locale made Python decode them with.

    Bytes that are not valid UTF-8 become surrogates. A string that the locale's encoding cannot hold stays as it is.
    """
    if os.name == "nt":  # where paths are text, not bytes
        return path
    try:
        return os.fsencode(path).decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return path
