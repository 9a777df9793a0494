"""Keeping a terminal from writing `^C` into what is drawn on it.

A terminal echoes Ctrl-C where the cursor stands. At the end of a full line that moves the cursor to the next one, and
what is redrawn from there leaves a stale line above.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from typing import TextIO

try:
    import termios
except ImportError:  # not a POSIX system
    termios = None  # type: ignore[assignment]


def hide_control_characters(stream: TextIO) -> Callable[[], None]:
    """Stop a terminal from echoing control characters.

    Args:
        stream: a terminal. Where this process does not stand in its foreground, or it has no such setting, nothing is
            done: a background process that changed it would be stopped.

    Returns:
        What puts it back.
    """
    if termios is None:
        return _do_nothing
    try:
        descriptor = stream.fileno()
        if os.tcgetpgrp(descriptor) != os.getpgrp():
            return _do_nothing
        former = termios.tcgetattr(descriptor)
        quiet = [*former]
        quiet[3] &= ~termios.ECHOCTL
        termios.tcsetattr(descriptor, termios.TCSANOW, quiet)
    except (OSError, ValueError, termios.error):
        return _do_nothing

    def put_back() -> None:
        ignored = signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # it may stand in the background by now
        with contextlib.suppress(OSError, ValueError, termios.error):
            termios.tcsetattr(descriptor, termios.TCSANOW, former)
        signal.signal(signal.SIGTTOU, ignored)

    return put_back


def _do_nothing() -> None:
    pass
