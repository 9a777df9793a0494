"""Names, values and lines on stdout, as a terminal or a pipe wants them."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MAX_WIDTH = 100
NARROW = 48
"""Columns of a terminal below which a value stands under its name, not beside it."""

_COMMANDING = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What JSON may hold as it is, and what a terminal obeys or a reader of lines takes for a line's end."""


def print_table(rows: Sequence[tuple[str, str]]) -> None:
    """Print names and values: wrapped and in colour on a terminal, a line each elsewhere."""
    if sys.stdout.isatty() and terminal_width() < NARROW:
        for name, value in rows:
            print(f"{name}\n    {value}")
        return
    if sys.stdout.isatty():
        from charrnn.display.console import print_table

        print_table(rows)
        return
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")


def print_lines(lines: Iterable[str]) -> None:
    """Print lines that fit already; what of them is a stranger's text has been made harmless where it was drawn."""
    for line in lines:
        print(line)


def terminal_width() -> int:
    """Columns to draw in: the terminal's, or 80 in a pipe; `MAX_WIDTH` at most."""
    return max(10, min(shutil.get_terminal_size((80, 24)).columns, MAX_WIDTH))


def shows_colour() -> bool:
    """Whether stdout is a terminal that wants colour: https://no-color.org."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") not in ("dumb", "unknown")


def print_columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table of texts that are harmless already."""
    print_lines(format_columns(head, rows))


def format_columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Format a table, its columns as wide as they need to be."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)
    ]


def to_json(record: Mapping[str, Any]) -> str:
    """One line of JSON; what UTF-8 cannot hold, such as a byte that is not text, and what commands is escaped."""
    line = json.dumps(record, ensure_ascii=False)
    try:
        line.encode("utf-8")
    except UnicodeEncodeError:
        line = json.dumps(record)
    return _COMMANDING.sub(lambda found: f"\\u{ord(found[0]):04x}", line)
