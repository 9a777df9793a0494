"""A transient message on the terminal while a slow preparation runs."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from charrnn.cli.common.terminal import is_live
from charrnn.cli.trainer.request import Request
from charrnn.display.echo import is_in_foreground
from charrnn.training.ranks import Ranks

COLUMNS = 80
"""Assumed width of a terminal that does not report one."""


def has_viewer(request: Request) -> bool:
    """Whether the output goes to a live terminal, without --quiet or --json."""
    return request.speaks_plainly and is_live()


@contextlib.contextmanager
def waiting(request: Request, ranks: Ranks, message: str) -> Iterator[None]:
    """Show a message while the body runs, and erase it when the body ends or fails.

    Args:
        request: decides whether anything is shown; see `has_viewer`.
        ranks: the processes that train together; only the first shows anything.
        message: cut to the width of the terminal, since only one line can be erased.
    """
    if not (ranks.is_first and has_viewer(request) and is_in_foreground(sys.stderr)):
        yield
        return
    shown = f"{message} ..."[: _columns() - 1]
    _put(shown)
    try:
        yield
    finally:
        if is_in_foreground(sys.stderr):  # in the background, a shell's prompt may be on that line
            _put("\r" + " " * len(shown) + "\r")


def _columns() -> int:
    """Columns of the terminal."""
    with contextlib.suppress(OSError, ValueError):
        return os.get_terminal_size(sys.stderr.fileno()).columns or COLUMNS
    return COLUMNS


def _put(text: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may go away
        sys.stderr.write(text)
        sys.stderr.flush()
