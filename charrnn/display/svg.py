"""A text with a colour for each of its characters, as an SVG picture that fits light and dark pages."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from charrnn.escape import quoted

MARK = "<!-- charrnn picture -->"

COLUMNS = 72
"""Characters of a line of the picture."""

_ADVANCE, _LINE, _MARGIN, _SIZE, _GAP = 9, 20, 12, 15, 8
_STYLE = f"""
  text {{ font: {_SIZE}px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #24211d; }}
  .below {{ font-size: 12px; fill: #807a70; }} .paper {{ fill: #fdfcfa; }}
  .hot {{ fill: #d65c14; }} .cold {{ fill: #266ebe; }}
  @media (prefers-color-scheme: dark) {{
    text {{ fill: #e6e1d8; }} .below {{ fill: #968f83; }} .paper {{ fill: #171614; }} .hot {{ fill: #f08034; }}
    .cold {{ fill: #549ce8; }}
  }}
"""


@dataclass(frozen=True)
class Tinted:
    """A character of the text.

    Attributes:
        character: itself.
        value: from -1, cold, over 0, without colour, to 1, hot.
        below: what stands under it, a character for each row.
    """

    character: str
    value: float
    below: tuple[str, ...] = ()


def picture(characters: Sequence[Tinted], title: str) -> str:
    """Draw a text, cut after each line feed and where a line is full.

    Args:
        characters: the text, each with as many rows below.
        title: what it shows, for those who cannot see it.
    """
    below = max((len(one.below) for one in characters), default=0)
    block = _LINE * (1 + below) + (_GAP if below else 0)
    parts, line, column, widest = [], 0, 0, 1
    for one in characters:
        size = _columns(one.character)
        if column + size > COLUMNS:
            line, column = line + 1, 0
        x, y = _MARGIN + column * _ADVANCE, _MARGIN + line * block
        parts.append(_draw(one, x, y, size * _ADVANCE))
        column += size
        widest = max(widest, column)
        if one.character == "\n":
            line, column = line + 1, 0
    lines = line + (column > 0)
    width, height = 2 * _MARGIN + widest * _ADVANCE, 2 * _MARGIN + lines * block
    extent = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return (
        f'{MARK}\n<svg xmlns="http://www.w3.org/2000/svg" {extent} role="img">\n'
        f"<title>{escape(quoted(title))}</title>\n<style>{_STYLE}</style>\n"
        f'<rect class="paper" width="{width}" height="{height}" rx="8"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _draw(one: Tinted, x: int, y: int, width: int) -> str:
    strength = min(abs(one.value), 1.0) * 0.85
    tint = "hot" if one.value > 0 else "cold"
    drawn = f'<rect class="{tint}" x="{x}" y="{y}" width="{width}" height="{_LINE}" opacity="{strength:.2f}"/>'
    drawn = drawn if strength >= 0.01 else ""
    drawn += f'<text x="{x}" y="{y + 15}">{_letter(one.character)}</text>'
    for row, character in enumerate(one.below, 1):
        drawn += f'<text class="below" x="{x + 1}" y="{y + row * _LINE + 13}">{_letter(character)}</text>'
    return drawn


def _letter(character: str) -> str:
    """One harmless character that stands for any."""
    if character in "\n\t":
        return {"\n": "↵", "\t": "→"}[character]
    shown = quoted(character) if unicodedata.category(character) != "Cn" else ""  # XML has no U+FFFF, and its like
    return escape(shown) if len(shown) == 1 else "□"


def _columns(character: str) -> int:
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
