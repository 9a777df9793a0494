"""What the terminal that somebody sits at can show."""

from __future__ import annotations

import os
import shutil
import sys

MAX_WIDTH = 100
"""Columns that are drawn in, however wide the terminal is: longer lines are hard to read."""


def terminal_width() -> int:
    """Columns to draw in: the terminal's, or 80 in a pipe; `MAX_WIDTH` at most."""
    return max(10, min(shutil.get_terminal_size((80, 24)).columns, MAX_WIDTH))


def is_live() -> bool:
    """Whether stderr is a terminal that can be drawn on; Windows' older ones are known through stdout alone."""
    is_known = os.name != "nt" or sys.stdout.isatty()
    return is_known and sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def shows_colour() -> bool:
    """Whether stdout is a terminal that wants colour: https://no-color.org."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") not in ("dumb", "unknown")
