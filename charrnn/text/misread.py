"""Texts in UTF-8 that are read in an encoding of one byte a character, in which hardly any bytes are wrong."""

from __future__ import annotations

import codecs
from collections.abc import Callable

Doubt = Callable[[str], None]
"""Told the name of a text that is valid UTF-8 and is read otherwise."""

CONTINUING = bytes(range(0x80, 0xC0))
"""Bytes that begin no character in UTF-8."""


def no_doubt(name: str) -> None:
    """Let nobody be told."""


class FirstLook:
    """Looks at the first bytes of a text that are not ASCII: by chance, they are hardly ever valid UTF-8.

    Args:
        name: of the text.
        doubt: told of it, once, where they are and every byte has become a character.
    """

    def __init__(self, name: str, doubt: Doubt) -> None:
        self._name, self._doubt, self._is_over = name, doubt, False

    def take(self, data: bytes, text: str) -> None:
        """Look at the next bytes, and at what has become of them."""
        if self._is_over or data.isascii():
            return
        self._is_over = True
        if len(text) == len(data) and holds_utf8(data):
            self._doubt(self._name)


def holds_utf8(data: bytes) -> bool:
    """Whether bytes from anywhere in a text are valid UTF-8, but for what is cut at their ends, and not all ASCII."""
    begun = data[:3].lstrip(CONTINUING) + data[3:]
    try:
        return not codecs.getincrementaldecoder("utf-8")().decode(begun).isascii()
    except UnicodeDecodeError:
        return False
