"""Prints and formats tables, wrapped text and JSON for stdout, a terminal or a pipe."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from charrnn.cli.common.terminal import shows_colour, terminal_width
from charrnn.display.json_line import to_json
from charrnn.display.widths import text_width, wrap, wrapped

NARROW_TABLE = 48
"""Terminal width below which a value stands under its name, not beside it."""

_DIM = "\x1b[2m{}\x1b[0m"


def print_table(rows: Sequence[tuple[str, str]]) -> None:
    """Print names and values: wrapped on a terminal, the names dim where it has colours; one line each otherwise."""
    size, width = max(text_width(name) for name, _ in rows), terminal_width()
    if not sys.stdout.isatty():
        print_lines(f"{_pad(name, size)}  {value}" for name, value in rows)
    elif width < NARROW_TABLE:
        print_lines(line for name, value in rows for line in (name, *wrapped(value, width, indent=4)))
    else:
        print_lines(_beside(rows, size, width, _DIM if shows_colour() else "{}"))


def print_json(objects: Sequence[Any]) -> None:
    """Print an object per checkpoint as JSON: one alone, several as a list."""
    print(to_json(objects[0] if len(objects) == 1 else objects))


def print_lines(lines: Iterable[str]) -> None:
    """Print lines that fit and whose foreign text is already escaped."""
    for line in lines:
        print(line)


def format_columns(head: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Format a table of escaped texts to fit a width; column heads may be wrapped.

    If it still does not fit, each row becomes a sentence of names and values.
    """
    if table := _in_columns(head, rows, width):
        return table
    sentences = [
        ", ".join(f"{name} {cell}".strip() for name, cell in zip(head, row, strict=True) if cell) for row in rows
    ]
    return [line for sentence in sentences for line in _hung(sentence, width)]


def format_comparison(
    labels: Sequence[str], names: Sequence[str], rows: Sequence[Sequence[str]], width: int
) -> list[str]:
    """Format a table with one column per compared thing; transposed if only that fits.

    If neither fits, the columns are split into several tables, one below the other.

    Args:
        labels: heads of the leading columns.
        names: heads of the columns of the things.
        rows: cells of the leading columns, then of each thing.
        width: terminal columns to fit in.
    """
    own, lines = len(labels), list[str]()
    first = [max(map(text_width, column)) for column in zip(labels, *(row[:own] for row in rows), strict=True)]
    sizes = [max(map(text_width, column)) for column in zip(names, *(row[own:] for row in rows), strict=True)]
    if own == 1 and _total([*first, *sizes]) > width:
        turned = [list(row) for row in zip(names, *(row[1:] for row in rows), strict=True)]
        table = _in_columns([labels[0], *(row[0] for row in rows)], turned, width)
        if table:
            return table
    start = 0
    while start < len(names):
        end = start + 1
        while end < len(names) and _total([*first, *sizes[start : end + 1]]) <= width:
            end += 1
        shown = [[*row[:own], *row[own + start : own + end]] for row in rows]
        lines += ["", *_chunk([*labels, *names[start:end]], shown, width)]
        start = end
    return lines[1:]


def _beside(rows: Sequence[tuple[str, str]], size: int, width: int, style: str) -> Iterator[str]:
    """Lines of values, wrapped, to the right of their names, which take so many columns."""
    for name, value in rows:
        first, *others = wrapped(value, width - size - 2)
        yield f"{style.format(_pad(name, size))}  {first}"
        yield from (" " * (size + 2) + line for line in others)


def _in_columns(head: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """A table whose heads may be wrapped; empty if it is still too wide."""
    if table := _as_it_is(head, rows, width):
        return table
    columns = zip(head, *rows, strict=True)
    narrow = [max([0, *map(text_width, [*column, *name.split()])]) for name, *column in columns]
    if _total(narrow) <= width:
        heads = [wrap(name, size) if name else [] for name, size in zip(head, narrow, strict=True)]
        return _lay_out([*itertools.zip_longest(*heads, fillvalue=""), *rows], narrow)
    return []


def _as_it_is(head: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """A table with every cell on one line; empty if it is too wide."""
    widths = [max(map(text_width, column)) for column in zip(head, *rows, strict=True)]
    return _lay_out([head, *rows], widths) if _total(widths) <= width else []


def _chunk(head: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """A table of some things of a comparison; a single one that is too wide is given in sentences."""
    if table := _as_it_is(head, rows, width):
        return table
    told = [" ".join(cell for cell in row[:-1] if cell) + f": {row[-1]}" for row in rows if row[-1]]
    return [*_hung(head[-1], width), *(line for one in told for line in _hung(one, width))]


def _hung(sentence: str, width: int) -> list[str]:
    return wrap(sentence, max(width, 10), others="  ")


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + 2 * (len(widths) - 1)


def _lay_out(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> list[str]:
    return ["  ".join(map(_pad, row, widths)).rstrip() for row in rows]


def _pad(cell: str, size: int) -> str:
    return cell + " " * (size - text_width(cell))
