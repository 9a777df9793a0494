"""The columns of a terminal that characters take, and the glyphs of characters that take none."""

from __future__ import annotations

import itertools
import unicodedata

from charrnn.escape import SIGNS, visible

_CIRCLE, _FILLER = "◌", "\N{HANGUL CHOSEONG FILLER}"
"""Bases for a mark that stands by itself, and for a Hangul vowel or final, which join an initial consonant."""

GLYPHS = {
    "\n": "↵",
    "\t": "→",
    "\N{SOFT HYPHEN}": "¬",
    "\N{ZERO WIDTH JOINER}": "⁀",
    "\N{ZERO WIDTH NON-JOINER}": "¦",
}
"""Glyphs of invisible characters, where each is drawn by itself."""


def glyph(character: str) -> str:
    """The safe glyph of a character drawn by itself; one that would combine with its neighbour gets a base."""
    if character in GLYPHS:
        return GLYPHS[character]
    shown = visible(character)
    if not shown or text_width(shown):
        return shown
    return (_FILLER if _is_within_syllable(shown[0]) else _CIRCLE) + shown


def with_bases(text: str) -> str:
    """A safe text in which a character that would combine with a space, or with nothing, gets a base."""
    pairs = itertools.pairwise(" " + text)
    return "".join(glyph(c) if before == " " and not _width(c) else c for before, c in pairs)


def cell_width(character: str) -> int:
    """Columns of a terminal that a character's glyph takes."""
    return text_width(glyph(character))


def text_width(text: str) -> int:
    """Columns of a terminal that a text without control characters takes."""
    return len(text) if text.isascii() else sum(map(_width, text))


def text_height(text: str, columns: int) -> int:
    """Rows of a terminal that a line without control characters takes; a wide character is not split between rows."""
    rows, used = 1, 0
    for width in map(_width, text):
        used += width
        if used > columns:
            rows, used = rows + 1, width
    return rows


def cut(text: str, columns: int) -> str:
    """Cut a line without control characters to a number of columns on any terminal; a cut line ends in an ellipsis.

    Terminals differ in what they join, such as an emoji and its skin tone. Nothing counts as joined here, so a line may
    be cut although some terminals have room for all of it.
    """
    if len(text) <= columns and text.isascii():
        return text
    used, end = 0, 0  # end: of the part that fits together with the ellipsis
    for place, character in enumerate(text):
        used += _most(character)
        if used > columns:
            return text[:end] + "…" * (columns > 0)
        if used < columns:
            end = place + 1
    return text


def _width(character: str) -> int:
    if _is_within_syllable(character):
        return 0
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return int(character in SIGNS)
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def _most(character: str) -> int:
    """Most columns that any terminal gives a character: an emoji selector may widen, half a flag may stand alone."""
    if character == "\N{VARIATION SELECTOR-16}":
        return 1
    return 2 if "\U0001f1e6" <= character <= "\U0001f1ff" else _width(character)


def _is_within_syllable(character: str) -> bool:
    """Whether this is a Hangul vowel or final that joins an initial: https://www.unicode.org/reports/tr11/."""
    return "\u1160" <= character <= "\u11ff" or "\ud7b0" <= character <= "\ud7ff"
