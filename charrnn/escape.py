"""Showing text that is not ours on a terminal: what would command the terminal is shown, not obeyed."""

from __future__ import annotations

import unicodedata

_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_ALLOWED = {"\n", "\N{ZERO WIDTH JOINER}", "\N{ZERO WIDTH NON-JOINER}", "\N{SOFT HYPHEN}"}


def visible(text: str) -> str:
    """Replace control and formatting characters, line feeds apart, by pictures or code points."""
    return "".join(_picture(character) for character in text)


def quoted(text: str) -> str:
    """The same on one line: a line feed becomes a backslash and an n."""
    return "".join(_picture(c) if c != "\n" else "\\n" for c in text)


def _picture(character: str) -> str:
    if character in _ALLOWED or unicodedata.category(character) not in _HIDDEN:
        return character
    if character == "\t":
        return "    "
    point = ord(character)
    return chr(0x2400 + point) if point < 0x20 else f"<U+{point:04X}>"
