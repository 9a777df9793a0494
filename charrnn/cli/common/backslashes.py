r"""Characters that are hard to type in a shell, written with a backslash: `\n`, `\r`, `\t`, `\0`, and `\\` for one."""

from __future__ import annotations

import re

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "0": "\0", "\\": "\\"}
_ESCAPED = {character: f"\\{name}" for name, character in _ESCAPES.items()}


def unescape(text: str) -> str:
    """Read what is written with a backslash as the character that is meant; any other backslash is one."""
    return re.sub(r"\\([nrt0\\])", lambda found: _ESCAPES[found[1]], text)


def escaped(text: str) -> str:
    """Write a text as `unescape` reads it."""
    return "".join(_ESCAPED.get(character, character) for character in text)
