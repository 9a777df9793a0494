"""Texts in UTF-8 that are read in an encoding in which hardly any bytes are wrong.

Those of one byte a character are such, and UTF-16, in which ASCII, two characters at a time, makes Chinese.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable

Doubt = Callable[[str], None]
"""Told the name of a text that is valid UTF-8 and is read otherwise."""

CONTINUING = bytes(range(0x80, 0xC0))
"""Bytes that begin no character in UTF-8."""

SHORTEST_WIDE = 32
"""Bytes of a text in UTF-16 from which on they are not valid UTF-8 by chance: half of those of Chinese are no ASCII."""


class FirstLook:
    """Finds out whether the first bytes of a text that are not ASCII are valid UTF-8, which they hardly are by chance.

    Args:
        name: of the text.
        doubt: told of the text, once, if they are and each of them was read as a character.
        is_wide: whether it is read in UTF-16 or UTF-32; then the first bytes of all are looked at, and to be valid
            UTF-8 without a NUL is enough.
    """

    def __init__(self, name: str, doubt: Doubt, *, is_wide: bool = False) -> None:
        self._name, self._doubt, self._is_wide, self._is_over = name, doubt, is_wide, False

    def take(self, data: bytes, text: str) -> None:
        """Look at the next bytes, and at what has become of them."""
        if self._is_over or (data.isascii() and not self._is_wide):
            return
        self._is_over = True
        if is_hardly_wide(data) if self._is_wide else len(text) == len(data) and holds_utf8(data):
            self._doubt(self._name)


def is_hardly_wide(head: bytes) -> bool:
    """Whether a text's first bytes are valid UTF-8, ASCII maybe, without a NUL, as those of UTF-16 hardly ever are."""
    return len(head) >= SHORTEST_WIDE and 0 not in head and _decode(head) is not None


def holds_utf8(data: bytes) -> bool:
    """Whether bytes from anywhere in a text are valid UTF-8, but for what is cut at their ends, and not all ASCII."""
    begun = data[:3].lstrip(CONTINUING) + data[3:]
    return not (_decode(begun) or "").isascii()


def _decode(data: bytes) -> str | None:
    """Decode UTF-8, but for what is cut at its end; None where it is not valid."""
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return None
