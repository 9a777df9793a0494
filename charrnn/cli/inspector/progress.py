"""Progress bars for long work, on a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from charrnn.analysis.losses import OnProgress
from charrnn.cli.common.terminal import is_live


@contextlib.contextmanager
def work_progress(name: str, total: int, *, is_shown: bool = True) -> Iterator[OnProgress]:
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
