r"""Backslash escapes for characters that are hard to type in a shell: `\n`, `\r`, `\t`, `\0` and `\\`."""

from __future__ import annotations

import re

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "0": "\0", "\\": "\\"}
_ESCAPED = {character: f"\\{name}" for name, character in _ESCAPES.items()}


def unescape(text: str) -> str:
    """Replace escapes by the characters that they stand for; any other backslash stays."""
    return re.sub(r"\\([nrt0\\])", lambda found: _ESCAPES[found[1]], text)


def escaped(text: str) -> str:
    """Escape a text; the inverse of `unescape`."""
    return "".join(_ESCAPED.get(character, character) for character in text)
