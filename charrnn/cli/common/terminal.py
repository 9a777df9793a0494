"""What the terminal that somebody sits at can show."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys

MAX_WIDTH = 100
"""Columns that are drawn in, however wide the terminal is: longer lines are hard to read."""

FEWEST, MOST = 8, 256
"""Colours below which a terminal gets signs, and as many as are used; those between get eight."""

STDOUT = 1
"""Its descriptor, which a capture of `sys.stdout` may not have."""


def terminal_width() -> int:
    """Columns to draw in: the terminal's, or 80 in a pipe, where COLUMNS may tell others; `MAX_WIDTH` at most.

    More than a terminal has, as where COLUMNS was exported in a wider one, would be drawn over its edge.
    """
    columns = shutil.get_terminal_size((80, 24)).columns
    with contextlib.suppress(OSError):  # of what is no terminal
        columns = min(columns, os.get_terminal_size(STDOUT).columns or columns)
    return max(10, min(columns, MAX_WIDTH))


def is_live() -> bool:
    """Whether stderr is a terminal that can be drawn on; Windows' older ones are known through stdout alone."""
    is_known = os.name != "nt" or sys.stdout.isatty()
    return is_known and sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def shows_colour() -> bool:
    """Whether stdout is to have colour: a terminal that has some, or any reader for whom FORCE_COLOR asks for it.

    NO_COLOR keeps it away: https://no-color.org, https://force-color.org.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return sys.stdout.isatty() and os.environ.get("TERM") not in ("dumb", "unknown") and _num_colours() >= FEWEST


def fit_colours(drawn: str) -> str:
    """What was drawn in colour, in those that the terminal has."""
    from charrnn.display.heatmap import in_eight_colours  # here: what needs no colour starts without

    return in_eight_colours(drawn) if FEWEST <= _num_colours() < MOST else drawn


def _num_colours() -> int:
    """Colours that the terminal has by terminfo, less than 0 for none; where that does not know it, `MOST`."""
    if os.environ.get("COLORTERM") in ("truecolor", "24bit"):
        return MOST
    try:
        import curses
    except ImportError:  # as on Windows
        return MOST
    try:
        curses.setupterm(fd=STDOUT)
    except curses.error:
        return MOST
    return curses.tigetnum("colors")
