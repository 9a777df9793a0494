"""Bytes that are no text, as a text holds them: surrogates, U+DC80 to U+DCFF, one for each byte from 0x80 on.

So Python keeps what it cannot decode (PEP 383, https://peps.python.org/pep-0383/), and what was read can be written as
it was. All other surrogates stand for nothing that could be written: no UTF-8 holds them.
"""

from __future__ import annotations

import codecs
import os
import re

NO_TEXT = re.compile("[\udc80-\udcff]+")
"""Bytes that are no text, as many as follow each other."""

SURROGATE = re.compile("[\ud800-\udfff]")
"""What no UTF-8 holds, whether it stands for a byte or not."""

_FOREIGN = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Those that stand for no byte."""


def is_byte(character: str) -> bool:
    """Whether a character stands for a byte that is no text."""
    return "\udc80" <= character <= "\udcff"


def byte_of(character: str) -> int:
    """The byte that such a character stands for."""
    return ord(character) - 0xDC00


def name_byte(character: str) -> str:
    """Name a byte that is not text by its number, such as <0xE9>; leave any other character as it is."""
    return f"<0x{byte_of(character):02X}>" if is_byte(character) else character


def name_surrogate(character: str) -> str:
    """Name what no UTF-8 holds by its number, that of a byte or of a code point; leave any other as it is."""
    return f"<U+{ord(character):04X}>" if _FOREIGN.match(character) else name_byte(character)


def to_bytes(text: str) -> bytes:
    """Turn text into UTF-8, and what stands for a byte that was not text back into that byte.

    Any other lone surrogate, which no UTF-8 can hold, becomes a question mark.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return _FOREIGN.sub("?", text).encode("utf-8", "surrogateescape")


def apart(text: str) -> str:
    """Take a text apart into its bytes, each of which, where it is no ASCII, stands as one that is no text."""
    return text if text.isascii() else to_bytes(text).decode("ascii", "surrogateescape")


def together(text: str, *, is_whole: bool = True) -> str:
    """Put bytes that are no text by themselves together, as far as they are text; undoes `apart`.

    Args:
        text: that may hold such bytes.
        is_whole: whether nothing follows it; else the bytes at its end that begin a character are left out.
    """
    if not NO_TEXT.search(text):
        return text
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    return decoder.decode(to_bytes(text), is_whole)


def in_utf8(path: str) -> str:
    """A path whose UTF-8 is what it is on disk, in whichever encoding of the locale Python has read it.

    Bytes that are no UTF-8 stand as surrogates. What comes from elsewhere, and no path of the locale's holds, stays.
    """
    if os.name == "nt":  # where paths are text
        return path
    try:
        return os.fsencode(path).decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return path
