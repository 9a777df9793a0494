"""Columns of a terminal that characters take, and what is drawn of those that take none."""

from __future__ import annotations

import itertools
import unicodedata

from charrnn.escape import SIGNS, visible

_CIRCLE, _FILLER = "◌", "\N{HANGUL CHOSEONG FILLER}"
"""What a mark lies on where it stands by itself, and a Hangul vowel or final, which take the columns of a first."""

GLYPHS = {
    "\n": "↵",
    "\t": "→",
    "\N{SOFT HYPHEN}": "¬",
    "\N{ZERO WIDTH JOINER}": "⁀",
    "\N{ZERO WIDTH NON-JOINER}": "¦",
}
"""What is drawn of characters that show nothing, in the place of one alone."""


def glyph(character: str) -> str:
    """What a character by itself is drawn as, harmless; what would lie over its neighbour gets something to lie on."""
    if character in GLYPHS:
        return GLYPHS[character]
    shown = visible(character)
    if not shown or text_width(shown):
        return shown
    return (_FILLER if _is_within_syllable(shown[0]) else _CIRCLE) + shown


def grounded(text: str) -> str:
    """A harmless text in which what would lie over a space, or over nothing, gets something to lie on."""
    pairs = itertools.pairwise(" " + text)
    return "".join(glyph(c) if before == " " and not _width(c) else c for before, c in pairs)


def cell_width(character: str) -> int:
    """Columns of a terminal that a character's glyph takes."""
    return text_width(glyph(character))


def text_width(text: str) -> int:
    """Columns of a terminal that a harmless text takes."""
    return len(text) if text.isascii() else sum(map(_width, text))


def text_height(text: str, columns: int) -> int:
    """Rows of a terminal that a harmless line takes, wrapped: a character of two columns has both in one row."""
    rows, used = 1, 0
    for width in map(_width, text):
        used += width
        if used > columns:
            rows, used = rows + 1, width
    return rows


def cut(text: str, columns: int) -> str:
    """A harmless line, cut so that it takes no more columns on any terminal; a cut one ends in dots.

    Terminals differ in what they join, such as an emoji and the colour of its skin: here nothing is, and so a line may
    be cut where one terminal or another had room.
    """
    if len(text) <= columns and text.isascii():
        return text
    used, end = 0, 0  # end: of what fits with the dots behind it
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
    """Columns on the terminal that gives a character the most: an emoji's selector widens, half a flag stands alone."""
    if character == "\N{VARIATION SELECTOR-16}":
        return 1
    return 2 if "\U0001f1e6" <= character <= "\U0001f1ff" else _width(character)


def _is_within_syllable(character: str) -> bool:
    """Whether it is a vowel or a final of Hangul that joins a first: https://www.unicode.org/reports/tr11/."""
    return "\u1160" <= character <= "\u11ff" or "\ud7b0" <= character <= "\ud7ff"
