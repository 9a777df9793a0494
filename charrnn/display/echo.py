"""Turning off a terminal's echo while something is drawn on it, and whether this process is in its foreground.

A terminal echoes typed characters at the cursor: Enter moves the cursor to the next line, and so does the `^C` of
Ctrl-C at the end of a full line. A redraw from there would leave a stale line above.
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
"""The former settings of the terminals whose echo is off, by file descriptor."""


def is_in_foreground(stream: TextIO) -> bool:
    """Whether this process may draw on a terminal: it is in the terminal's foreground process group.

    This is also true of a terminal that is not the one at which the process was started.
    """
    try:
        return termios is None or os.tcgetpgrp(stream.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return True


def hide_typing(stream: TextIO) -> None:
    """Turn off a terminal's echo until `show_typing`; typed input is kept for the next reader. Idempotent.

    Args:
        stream: a terminal. Nothing is done if it has no such setting, or if this process is in the background, where it
            would be stopped for the change.
    """
    if termios is None:
        return
    with contextlib.suppress(OSError, ValueError, termios.error):
        descriptor = stream.fileno()
        if os.tcgetpgrp(descriptor) == os.getpgrp() and descriptor not in _FORMER:
            quiet = termios.tcgetattr(descriptor)
            _FORMER[descriptor] = [*quiet]  # before the change, so that an interrupt between can restore it
            quiet[3] &= ~termios.ECHO
            termios.tcsetattr(descriptor, termios.TCSANOW, quiet)


def show_typing() -> None:
    """Turn the terminals' echo on again; may be called from any thread. Idempotent."""
    for descriptor, former in [*_FORMER.items()]:
        masked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})  # the process may be in the background now
        try:
            with contextlib.suppress(OSError, ValueError, termios.error):
                termios.tcsetattr(descriptor, termios.TCSANOW, former)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, masked)
        _FORMER.pop(descriptor, None)


def forget_typing() -> None:
    """Forget the former settings without restoring them, since another process has set the terminals meanwhile."""
    _FORMER.clear()
