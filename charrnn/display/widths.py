"""The columns of a terminal that characters take, the glyphs of characters that take none, and lines that fit."""

from __future__ import annotations

import itertools
import textwrap
import unicodedata
from collections.abc import Iterator

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
            return f"{text[:end]}…" if columns > 0 else ""
        if used < columns:
            end = place + 1
    return text


def wrapped(sentence: str, width: int, indent: int = 0) -> list[str]:
    """Wrap a sentence without control characters into lines; a word longer than a line is broken."""
    return wrap(sentence, max(width, indent + 8), first=" " * indent, others=" " * indent) or [""]


def wrap(sentence: str, width: int, *, first: str = "", others: str = "") -> list[str]:
    """Wrap a sentence with indents, in lines that fit on any terminal; see `cut`."""
    if sentence.isascii():
        return textwrap.wrap(sentence, width, initial_indent=first, subsequent_indent=others, break_on_hyphens=False)
    lines, line = list[str](), first
    for whole in sentence.split(" "):
        *pieces, word = _cut_word(whole, width - max(len(first), len(others)))
        for piece in pieces:  # a word longer than a line
            if line.strip(" "):
                lines.append(line.rstrip(" "))
                line = others
            lines.append(line + piece)
            line = others
        begun = f"{line} {word}" if line.strip(" ") else line + word
        if sum(map(_most, begun)) > width:
            lines.append(line.rstrip(" "))
            begun = others + word
        line = begun
    return [*lines, line.rstrip(" ")] if line.strip(" ") else lines


def _cut_word(word: str, width: int) -> Iterator[str]:
    """Cut a word into pieces, each as wide as possible; a mark or vowel sign stays with its letter."""
    start = used = letter = 0
    for place, character in enumerate(word):
        size = _most(character)
        letter = letter if unicodedata.category(character)[0] == "M" else place
        while used + size > width and place > start:
            end = letter if letter > start else place
            yield word[start:end]
            start, used = end, sum(map(_most, word[end:place]))
        used += size
    yield word[start:]


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
