"""Detecting UTF-8 texts that are misread in an encoding in which hardly any bytes are invalid.

Such are the encodings of one byte a character, and UTF-16, in which two ASCII characters make a Chinese one.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable

Doubt = Callable[[str], None]
"""Called with the name of a text that is valid UTF-8 but is read in another encoding."""

CONTINUING = bytes(range(0x80, 0xC0))
"""UTF-8 continuation bytes."""

SHORTEST_WIDE = 32
"""Bytes of UTF-16 text from which on it is not valid UTF-8 by chance: half of the bytes of Chinese are not ASCII."""


class FirstLook:
    """Checks whether the first chunk of a text with non-ASCII bytes is valid UTF-8, which is hardly ever by chance.

    Args:
        name: of the text.
        doubt: called once if the chunk is, and each of its bytes was decoded as one character.
        is_wide: whether the text is read as UTF-16 or UTF-32; then the very first chunk is checked, and it is enough
            that it is valid UTF-8 without a NUL.
    """

    def __init__(self, name: str, doubt: Doubt, *, is_wide: bool = False) -> None:
        self._name, self._doubt, self._is_wide, self._is_over = name, doubt, is_wide, False

    def take(self, data: bytes, text: str) -> None:
        """Look at the next bytes and the text decoded from them."""
        if self._is_over or (data.isascii() and not self._is_wide):
            return
        self._is_over = True
        if is_hardly_wide(data) if self._is_wide else len(text) == len(data) and holds_utf8(data):
            self._doubt(self._name)


def is_hardly_wide(head: bytes) -> bool:
    """Whether a text's first bytes are valid UTF-8 (maybe ASCII) without a NUL, so hardly UTF-16 or UTF-32."""
    return len(head) >= SHORTEST_WIDE and 0 not in head and _decode(head) is not None


def holds_utf8(data: bytes) -> bool:
    """Whether bytes from within a text are valid UTF-8, except for characters cut at the ends, and not all ASCII."""
    begun = data[:3].lstrip(CONTINUING) + data[3:]
    return not (_decode(begun) or "").isascii()


def _decode(data: bytes) -> str | None:
    """Decode UTF-8 except for a character cut at its end; None if it is invalid."""
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return None
