"""What the terminal can show: its width, its colours and the progress of long work."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator

MAX_WIDTH = 100
"""The most columns to use, however wide the terminal is: longer lines are hard to read."""

FEWEST, MOST = 8, 256
"""Terminals with fewer than `FEWEST` colours get signs instead, those with fewer than `MOST` get eight colours, and
others get `MOST`."""

STDOUT = 1
"""The descriptor of stdout, which a replaced `sys.stdout` may not have."""


def terminal_width() -> int:
    """Number of columns to use: the terminal's, or 80 in a pipe, unless COLUMNS is set; at most `MAX_WIDTH`.

    Never more than a terminal has, even if COLUMNS was exported in a wider one.
    """
    columns = shutil.get_terminal_size((80, 24)).columns
    with contextlib.suppress(OSError):  # not a terminal
        columns = min(columns, os.get_terminal_size(STDOUT).columns or columns)
    return max(10, min(columns, MAX_WIDTH))


def is_live() -> bool:
    """Whether stderr is a terminal on which lines can be redrawn; older Windows ones are recognised by stdout only."""
    is_known = os.name != "nt" or sys.stdout.isatty()
    return is_known and sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


@contextlib.contextmanager
def work_progress(name: str, total: int, *, is_shown: bool = True) -> Iterator[Callable[[float], object]]:
    """Show a progress bar if stderr is a terminal; yield a function that advances it.

    Args:
        name: of the work.
        total: of all advances, at the end of the work.
        is_shown: whether to show a bar at all.
    """
    if not (is_shown and is_live()):
        yield lambda read: None
        return
    from charrnn.display.console import share_bar  # imports rich, which takes a tenth of a second

    with share_bar(sys.stderr, name, total) as bar:
        yield bar.advance


def shows_colour() -> bool:
    """Whether stdout is to have colour: it is a terminal with colours, or FORCE_COLOR is set, and NO_COLOR is not.

    See https://no-color.org and https://force-color.org.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return sys.stdout.isatty() and os.environ.get("TERM") not in ("dumb", "unknown") and _num_colours() >= FEWEST


def fit_colours(drawn: str) -> str:
    """Reduce coloured output to the colours that the terminal has."""
    from charrnn.display.heatmap import in_eight_colours  # here: not needed without colour

    return in_eight_colours(drawn) if FEWEST <= _num_colours() < MOST else drawn


def _num_colours() -> int:
    """The terminal's number of colours by terminfo, negative for none; `MOST` if terminfo does not know it."""
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
