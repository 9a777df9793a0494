"""What a person at a terminal sees while there is nothing to show yet."""

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
"""Of a terminal that does not say how many it has."""


def has_viewer(request: Request) -> bool:
    """Whether somebody looks on, who did not ask for silence or for JSON."""
    return request.speaks_plainly and is_live()


@contextlib.contextmanager
def waiting(request: Request, ranks: Ranks, message: str) -> Iterator[None]:
    """Show a message while something takes seconds, and take it away when that is done or has failed.

    Args:
        request: that may be watched.
        ranks: the processes that train together, of which the first alone shows anything.
        message: of which a narrow terminal shows as much as its line takes, since only one line is taken away.
    """
    if not (ranks.is_first and has_viewer(request) and is_in_foreground(sys.stderr)):
        yield
        return
    shown = f"{message} ..."[: _columns() - 1]
    _put(shown)
    try:
        yield
    finally:
        if is_in_foreground(sys.stderr):  # else a shell's prompt may stand there by now
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
