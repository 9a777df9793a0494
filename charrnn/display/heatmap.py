"""A text on a terminal with a background colour, and rows of signs below, for each of its characters.

The text is untrusted: its control characters are shown as visible signs. A line feed is shown as an arrow, so that it
can have a colour too. Without colour the rows give the same information.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from charrnn.display.curves import sparkline
from charrnn.display.widths import cell_width, glyph, text_width

HEAT = (0, 230, 229, 228, 222, 216, 210, 203, 197)
"""Backgrounds (of a terminal's 256 colours) for surprisals of 0 to 1, 1 to 2, ... and 8 or more bits; 0: none."""

COLD_AND_HOT = (33, 39, 75, 117, 159, 0, 229, 222, 216, 209, 203)
"""Backgrounds of values from -1 over 0 to 1."""

SHARES = {0.1: 194, 0.25: 157, 0.5: 120, 0.75: 77}
"""Backgrounds of guesses, by the least probability that each stands for."""

OF_EIGHT = {
    230: 43, 229: 43, 228: 43, 222: 43, 216: 41, 210: 41, 209: 41, 203: 41, 197: 41,
    33: 44, 39: 44, 75: 44, 117: 46, 159: 46, 194: 46, 157: 46, 120: 42, 77: 42,
}  # fmt: skip
"""The nearest of eight backgrounds, by SGR code: yellow and red, blue and cyan, cyan and green."""

_INK = "\x1b[38;5;16;48;5;{}m{}\x1b[0m"
_INK_IN_EIGHT = "\x1b[{};{}m"
_GROUND = re.compile(re.escape(_INK.partition("{")[0]) + r"(\d+)m")


@dataclass(frozen=True)
class Column:
    """A character of the text.

    Attributes:
        character: the character itself.
        background: one of a terminal's 256 colours; 0 for none.
        below: characters below it, one for each row.
        grounds: the backgrounds of those in `below`, if they have any.
    """

    character: str
    background: int
    below: tuple[str, ...] = ()
    grounds: tuple[int, ...] = ()

    @cached_property
    def width(self) -> int:
        """Columns of a terminal that it takes, together with the characters below it."""
        return max(map(cell_width, (self.character, *self.below)))


def draw(columns: Sequence[Column], width: int, *, colour: bool) -> list[str]:
    """Draw a text in lines of at most a width.

    Args:
        columns: the text, with the same number of rows below every character.
        width: columns of the terminal.
        colour: whether the terminal has colour.
    """
    lines: list[str] = []
    for row in _rows(columns, width):
        cells = [_pad(column.character, column.width) for column in row]
        if colour:
            cells = [paint(cell, column.background) for cell, column in zip(cells, row, strict=True)]
        lines.append("".join(cells))
        for level in range(len(row[0].below)):
            below = [_pad(column.below[level], column.width) for column in row]
            if colour and any(column.grounds for column in row):
                below = [paint(cell, column.grounds[level]) for cell, column in zip(below, row, strict=True)]
            lines.append("".join(below).rstrip())
        if row[0].below:
            lines.append("")
    return lines


def heat(bits: float) -> int:
    """The background of a surprisal in bits."""
    return HEAT[min(int(max(bits, 0)), len(HEAT) - 1)]


def heat_scale(*, colour: bool, guesses: bool) -> list[str]:
    """The legend of the colours or, without colour, of the digits."""
    if not colour:
        return ["digits: bits, 9 for nine or more"]
    cells = "".join(paint(str(bits), ground) for bits, ground in enumerate(HEAT))
    shares = "".join(paint(f"{share:.0%}", ground) for share, ground in SHARES.items())
    return [f"bits {cells}+", *([f"guess {shares}+"] if guesses else [])]


def share_ground(share: float) -> int:
    """The background of a guess by its probability; 0, none, for a low one."""
    return next((ground for least, ground in reversed(SHARES.items()) if share >= least), 0)


def paint(cell: str, background: int) -> str:
    """A text without control characters in black on one of a terminal's 256 colours; unchanged for 0."""
    return _INK.format(background, cell) if background else cell


def in_eight_colours(drawn: str) -> str:
    """Convert what was drawn for a terminal with eight colours."""
    return _GROUND.sub(lambda ground: _pair_in_eight(OF_EIGHT[int(ground[1])]), drawn)


def digit(bits: float) -> str:
    """A surprisal in bits, rounded down, as a digit; 9 stands for nine or more."""
    return str(min(int(max(bits, 0)), 9))


def signed_colour(value: float) -> int:
    """The background of a value from -1 to 1."""
    return COLD_AND_HOT[round((min(max(value, -1), 1) + 1) / 2 * (len(COLD_AND_HOT) - 1))]


def signed_block(value: float) -> str:
    """A value from -1 to 1 as a block, low for -1 and high for 1."""
    return sparkline([value + 1], 2)


def signed_scale(high: float, *, colour: bool, has_negative: bool) -> str:
    """The legend of the colours, or of the blocks, for values from `-high`, or 0 if none is negative, to `high`."""
    if not colour:
        return ", ".join(f"{signed_block(end)} {end * high:.4g}" for end in ((-1, 0, 1) if has_negative else (0, 1)))
    cells = [paint(" ", ground) for ground in COLD_AND_HOT]
    middle = len(cells) // 2
    cold, hot = "".join(cells[:middle]), "".join(cells[middle + 1 :])
    return f"{f'{-high:.4g} {cold} ' if has_negative else ''}0 {hot} {high:.4g}"


def _pair_in_eight(background: int) -> str:
    """One of eight backgrounds with an ink that is seen on it: white on red and blue, black on the others."""
    return _INK_IN_EIGHT.format(37 if background in (41, 44) else 30, background)


def _rows(columns: Sequence[Column], width: int) -> Iterator[list[Column]]:
    """Break a text into lines, after each line feed and where a line is full."""
    row: list[Column] = []
    used = 0
    for column in columns:
        if row and used + column.width > width:
            yield row
            row, used = [], 0
        row.append(column)
        used += column.width
        if column.character == "\n":
            yield row
            row, used = [], 0
    if row:
        yield row


def _pad(character: str, size: int) -> str:
    shown = glyph(character)
    return shown + " " * (size - text_width(shown))
