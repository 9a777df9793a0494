"""Detecting texts that are misread in an encoding in which hardly any bytes are invalid.

Such are the encodings of one byte a character, those of Chinese, Japanese and Korean, and UTF-16, in which two ASCII
characters make a Chinese one. A text may be UTF-8, or in an encoding of Chinese, Japanese or Korean in which its
letters are the common ones.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable

from charrnn.text.guessing import EAST_ASIAN, head_of, likely_encoding
from charrnn.text.options import TextOptions

Doubt = Callable[[str, str], None]
"""Called with the name of a text that seems to be misread, and the likelier encoding."""

CONTINUING = bytes(range(0x80, 0xC0))
"""UTF-8 continuation bytes."""

SHORTEST_WIDE = 32
"""Bytes of UTF-16 text from which on it is not valid UTF-8 by chance: half of the bytes of Chinese are not ASCII."""

FEWEST_PAIRED = 6
"""Non-ASCII bytes, in an encoding that has two of them a character, from which on they are hardly ever UTF-8 of
Chinese, Japanese or Korean by chance."""

FEWEST_OF_ALPHABET = 12
"""The same for UTF-8 of other letters: of the texts of three Chinese characters in GB18030 about one in 175 is that."""

MANY_OTHER = 0.1
"""Share of a text's distinct letters that differ in the likelier encoding. In smaller and larger ones of one kind, such
as Shift JIS and cp932, hardly any do."""

FIRST_EAST_ASIAN = "\N{CJK RADICAL REPEAT}"
"""First character of the blocks of Chinese, Japanese and Korean."""

_ASCII = bytes(range(0x80))


class FirstLook:
    """Checks whether the first chunk of a text with non-ASCII bytes is valid UTF-8, which is hardly ever by chance.

    A chunk of too few such bytes for that, as a line of one character may be, is passed over. One that is not UTF-8 may
    be likelier in another encoding of Chinese, Japanese or Korean; most lines are too short to tell. A chunk
    counts as beginning with a character, as a text or a line does: to pass over continuation bytes would find many by
    chance.

    Args:
        name: of the text.
        doubt: called once if the chunk is UTF-8 or likelier in another encoding.
        options: how the text is decoded; if as UTF-16 or UTF-32, the very first chunk is checked, and it is enough that
            it is valid UTF-8 without a NUL.
    """

    def __init__(self, name: str, doubt: Doubt, options: TextOptions) -> None:
        self._name = name
        self._doubt = doubt
        self._is_wide = options.is_wide
        self._codec = options.codec
        self._is_over = self._codec.startswith("utf-8")

    def take(self, data: bytes, text: str) -> None:
        """Look at the next bytes and the text decoded from them."""
        if self._is_over or (data.isascii() and not self._is_wide):
            return
        as_utf8 = _decode(data) or ""
        is_utf8 = is_hardly_wide(data) if self._is_wide else not as_utf8.isascii()
        is_told_by_few = self._is_wide or len(text) == len(data)
        fewest = FEWEST_PAIRED if any(c >= FIRST_EAST_ASIAN for c in as_utf8) else FEWEST_OF_ALPHABET
        self._is_over = not is_utf8 or is_told_by_few or len(data.translate(None, _ASCII)) >= fewest
        if is_utf8 and self._is_over:
            self._doubt(self._name, "utf-8")
        elif not is_utf8 and not self._is_wide and (likely := likelier_encoding(data, self._codec)):
            self._doubt(self._name, likely)


def no_doubt(name: str, likely: str) -> None:
    """Say nothing of a text that seems to be misread: the default `Doubt`."""


def likelier_encoding(data: bytes, codec: str) -> str:
    """The East Asian encoding that bytes of a text are likely in, if that differs from a codec's; otherwise empty."""
    head = head_of(data)
    if not (likely := likely_encoding(head, EAST_ASIAN)):
        return ""
    text, as_read = (head.decode(name, "ignore") for name in (likely, codec))
    if len(as_read) < len(head) and not _is_east_asian(as_read):
        return ""  # most are of an alphabet, such as Cyrillic, which is no chance in an encoding of two bytes each
    letters = set(filter(str.isalpha, text))
    return likely if len(letters - set(as_read)) > MANY_OTHER * len(letters) else ""


def is_hardly_wide(head: bytes) -> bool:
    """Whether a text's first bytes are valid UTF-8 (maybe ASCII) without a NUL, so hardly UTF-16 or UTF-32."""
    return len(head) >= SHORTEST_WIDE and 0 not in head and _decode(head) is not None


def holds_utf8(data: bytes) -> bool:
    """Whether bytes from within a text are valid UTF-8, except for characters cut at the ends, and not all ASCII."""
    begun = data[:3].lstrip(CONTINUING) + data[3:]
    return not (_decode(begun) or "").isascii()


def _is_east_asian(text: str) -> bool:
    """Whether most non-ASCII characters of a text are in the blocks of Chinese, Japanese and Korean, or after them."""
    foreign = [c for c in text if c > "\x7f"]
    return 2 * sum(c >= FIRST_EAST_ASIAN for c in foreign) > len(foreign)


def _decode(data: bytes) -> str | None:
    """Decode UTF-8 except for a character cut at its end; None if it is invalid."""
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return None
