"""A text with a colour for each of its characters, as an SVG picture for light and dark pages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from xml.sax.saxutils import escape

from charrnn.display.widths import GLYPHS, cell_width, glyph
from charrnn.escape import one_line

MARK = "<!-- charrnn picture -->"

COLUMNS = 72
"""Most columns of a line of the picture."""

_ADVANCE = 9
_SMALL_ADVANCE = 7.25
_LINE = 20
_MARGIN = 12
_SIZE = 15
_GAP = 8

_STYLE = f"""
  .sign, text {{ font: {_SIZE}px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #24211d; }}
  .below {{ font-size: 12px; fill: #6b655b; }} .mark {{ font: 11px sans-serif; }} .paper {{ fill: #fdfcfa; }}
  .hot {{ fill: #e27028; }} .cold {{ fill: #5496de; }}
  @media (prefers-color-scheme: dark) {{
    .sign, text {{ fill: #e6e1d8; }} .below {{ fill: #968f83; }} .paper {{ fill: #171614; }} .hot {{ fill: #ac4a10; }}
    .cold {{ fill: #205caa; }}
  }}
"""

_DOUBLE = (233, 234)
"""Combining classes of marks that span two letters, above or below them."""

_NO_XML = dict.fromkeys((0xFFFE, 0xFFFF), "□")
"""Characters besides control characters that XML cannot contain: https://www.w3.org/TR/xml/#charsets."""

MIRRORED = str.maketrans("()[]{}<>«»\u2039\u203a≤≥", ")(][}{><»«\u203a\u2039≥≤")
"""Mirrored brackets, drawn in right-to-left text."""

_KINDS = {"R": "R", "AL": "R", "L": "L", "EN": "N", "AN": "N", "CS": ",", "ES": ",", "ET": "%", "B": "\n"}
"""Kinds by Unicode's bidirectional classes: R for a right-to-left letter, L for a left-to-right one, N for a digit, ","
for a separator and "%" for a terminator of numbers, "\\n" for the end of a paragraph."""

_FIRST_LETTER = re.compile("[^RL\n]*([RL])")
_FROM_RIGHT_OR_LEFT = re.compile(r"(?s)R(?:[^L]*[RN])?|[^R]+")
_KEPT_OR_TURNED = re.compile(r"(?s)L(?:[^R]*[LN])?|%*N+(?:,N+)*%*|.")


@dataclass(frozen=True)
class Tinted:
    """A character of the text.

    Attributes:
        character: the character itself.
        value: its colour, from -1, cold, over 0, without colour, to 1, hot.
        below: characters below it, one for each row.
    """

    character: str
    value: float
    below: tuple[str, ...] = ()


def picture(characters: Sequence[Tinted], title: str, legend: str = "") -> str:
    """Draw a text, with line breaks after each line feed and where a line is full.

    Args:
        characters: the text; all have the same number of rows below.
        title: description of the picture, for screen readers.
        legend: what the colours stand for, in ASCII, to be written below the text.
    """
    below = max((len(one.below) for one in characters), default=0)
    block = _LINE * (1 + below) + (_GAP if below else 0)
    lines = list(_lines(characters))
    widest = max((_extent(line) for line, *_ in lines), default=1)
    parts = []
    for number, (line, kinds, is_from_right) in enumerate(lines):
        column = widest - _extent(line) if is_from_right else 0
        columns, shown = dict[int, int](), list(line)
        for place, is_turned in _as_seen(kinds, is_from_right):
            columns[place] = column
            column += _columns(line[place].character)
            if is_turned:
                shown[place] = _mirrored(line[place])
        for place, one in enumerate(shown):
            x, y = _MARGIN + columns[place] * _ADVANCE, _MARGIN + number * block
            parts.append(_draw(one, x, y, _columns(one.character) * _ADVANCE))
    width: float = 2 * _MARGIN + widest * _ADVANCE
    height = 2 * _MARGIN + len(lines) * block
    if legend:
        parts.append(f'<text class="below" x="{_MARGIN}" y="{height + _GAP}">{escape(legend)}</text>')
        width, height = max(width, 2 * _MARGIN + len(legend) * _SMALL_ADVANCE), height + _LINE
    extent = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return (
        f'{MARK}\n<svg xmlns="http://www.w3.org/2000/svg" {extent} role="img">\n'
        f"<title>{escape(one_line(title).translate(_NO_XML))}</title>\n<style>{_STYLE}</style>\n"
        f'<rect class="paper" width="{width}" height="{height}" rx="8"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _mirrored(one: Tinted) -> Tinted:
    below = tuple(character.translate(MIRRORED) for character in one.below)
    return replace(one, character=one.character.translate(MIRRORED), below=below)


def _draw(one: Tinted, x: int, y: int, width: int) -> str:
    strength = min(abs(one.value), 1.0) * 0.85
    tint = "hot" if one.value > 0 else "cold"
    drawn = f'<rect class="{tint}" x="{x}" y="{y}" width="{width}" height="{_LINE}" opacity="{strength:.2f}"/>'
    drawn = drawn if strength >= 0.01 else ""
    if drawn and one.value < 0:  # a line, as in grey its colour is that of what is above zero
        drawn += f'<rect class="sign" x="{x}" y="{y + 17}" width="{width}" height="2" opacity="{strength:.2f}"/>'
    drawn += f'<text{_class("", one.character)} x="{x}" y="{y + 15}">{_letter(one.character)}</text>'
    for row, below in enumerate(one.below, 1):
        drawn += f'<text{_class("below", below)} x="{x + 1}" y="{y + row * _LINE + 13}">{_letter(below)}</text>'
    return drawn


def _class(name: str, character: str) -> str:
    """The class attribute of a letter: marks get another font, as DejaVu Sans Mono draws them beside the circle."""
    names = f"{name} mark".lstrip() if unicodedata.category(character) in ("Mn", "Me") else name
    return f' class="{names}"' if names else ""


def _letter(character: str) -> str:
    """The XML text for any character: one safe sign; a mark by itself is put on a base."""
    is_one = len(one_line(character)) == 1
    return escape(glyph(character).translate(_NO_XML)) if is_one or character in GLYPHS else "□"


def _lines(characters: Sequence[Tinted]) -> Iterator[tuple[Sequence[Tinted], str, bool]]:
    """Lines, broken after each line feed and where one is full, their kinds, and whether each is right-to-left."""
    kinds = _kinds(characters)
    start = begun = column = 0  # begun: the place after the last line feed
    for place, one in enumerate(characters):
        size = _columns(one.character)
        if column + size > COLUMNS:
            yield characters[start:place], kinds[start:place], _is_from_right(kinds, begun)
            start, column = place, 0
        column += size
        if one.character == "\n":
            yield characters[start : place + 1], kinds[start : place + 1], _is_from_right(kinds, begun)
            start, begun, column = place + 1, place + 1, 0
    if column:
        yield characters[start:], kinds[start:], _is_from_right(kinds, begun)


def _kinds(characters: Sequence[Tinted]) -> str:
    """The kind of each character as in `_KINDS`, or " "; a mark has that of the character before it."""
    kinds, kind = "", " "
    for one in characters:
        direction = unicodedata.bidirectional(one.character)
        kind = kind.replace("\n", " ") if direction == "NSM" else _KINDS.get(direction, " ")
        kinds += kind
    return kinds


def _is_from_right(kinds: str, begun: int) -> bool:
    found = _FIRST_LETTER.match(kinds, begun)
    return found is not None and found[1] == "R"


def _as_seen(kinds: str, is_from_right: bool) -> list[tuple[int, bool]]:
    """The places of a line's characters as drawn from left to right, and whether each is to be mirrored.

    This is a simplification of the bidirectional algorithm, https://www.unicode.org/reports/tr9/.
    """
    if is_from_right:
        return _turned(kinds, 0, len(kinds))
    seen = list[tuple[int, bool]]()
    for found in _FROM_RIGHT_OR_LEFT.finditer(kinds):
        start, end = found.span()
        seen += _turned(kinds, start, end) if kinds[start] == "R" else [(place, False) for place in range(start, end)]
    return seen


def _turned(kinds: str, start: int, end: int) -> list[tuple[int, bool]]:
    """Places in reverse order, except within numbers and left-to-right text, and whether each is to be mirrored."""
    spans = [found.span() for found in _KEPT_OR_TURNED.finditer(kinds, start, end)]
    return [(place, last - first == 1) for first, last in reversed(spans) for place in range(first, last)]


def _extent(line: Sequence[Tinted]) -> int:
    return sum(_columns(one.character) for one in line)


def _columns(character: str) -> int:
    return 2 if cell_width(character) == 2 or unicodedata.combining(character) in _DOUBLE else 1
