"""A terminal that writes nothing into what is drawn on it, and whether it is this process that draws there.

A terminal echoes what is typed where the cursor stands: Enter moves the cursor to the next line, and so does the `^C`
of Ctrl-C at the end of a full one. What is redrawn from there leaves a stale line above.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Any, TextIO

try:
    import termios
except ImportError:  # not a POSIX system
    termios = None  # type: ignore[assignment]

_FORMER: dict[int, list[Any]] = {}
"""What the terminals were set to whose echo is hidden, by their descriptors."""


def is_in_foreground(stream: TextIO) -> bool:
    """Whether a terminal is this process's to draw on: a shell lends it to one job at a time.

    So is one that is no job's, such as another terminal than that at which the process was started.
    """
    try:
        return termios is None or os.tcgetpgrp(stream.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return True


def hide_typing(stream: TextIO) -> None:
    """Stop a terminal from echoing what is typed, until `show_typing`; it is kept for who reads it next.

    Again does no harm.

    Args:
        stream: a terminal. Where this process does not stand in its foreground, or it has no such setting, nothing is
            done: a background process that changed it would be stopped.
    """
    if termios is None:
        return
    with contextlib.suppress(OSError, ValueError, termios.error):
        descriptor = stream.fileno()
        if os.tcgetpgrp(descriptor) == os.getpgrp() and descriptor not in _FORMER:
            quiet = termios.tcgetattr(descriptor)
            _FORMER[descriptor] = [*quiet]  # first: whatever comes between, it can be given back
            quiet[3] &= ~termios.ECHO
            termios.tcsetattr(descriptor, termios.TCSANOW, quiet)


def show_typing() -> None:
    """Let the terminals echo again; for any thread, and again does no harm."""
    for descriptor, former in [*_FORMER.items()]:
        masked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})  # it may stand in the background by now
        try:
            with contextlib.suppress(OSError, ValueError, termios.error):
                termios.tcsetattr(descriptor, termios.TCSANOW, former)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, masked)
        _FORMER.pop(descriptor, None)


def forget_typing() -> None:
    """Leave the terminals as they are: somebody else has set them meanwhile."""
    _FORMER.clear()
