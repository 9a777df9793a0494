"""What a person at a terminal sees while there is nothing to show yet."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from charrnn.cli.common.tables import is_live
from charrnn.cli.trainer.request import Request
from charrnn.training.ranks import Ranks


def is_watched(request: Request) -> bool:
    """Whether somebody looks on, who did not ask for silence or for JSON."""
    return not (request.quiet or request.as_json) and is_live()


@contextlib.contextmanager
def waiting(request: Request, ranks: Ranks, message: str) -> Iterator[None]:
    """Show a message while something takes seconds, and take it away when that is done or has failed.

    Args:
        request: that may be watched.
        ranks: the processes that train together, of which the first alone shows anything.
        message: shorter than a narrow terminal's line.
    """
    if not (ranks.is_first and is_watched(request)):
        yield
        return
    _put(f"{message} ...")
    try:
        yield
    finally:
        _put("\r" + " " * len(f"{message} ...") + "\r")


def _put(text: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may go away
        sys.stderr.write(text)
        sys.stderr.flush()
