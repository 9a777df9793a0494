"""Run the command line, as `charrnn` or `python -m charrnn`.

Loading the parser takes a tenth of a second. Ctrl-C during that time is handled here, or it would print a stack trace.
"""

from __future__ import annotations

import os
import sys

from charrnn.garbage import paused_gc

INTERRUPTED = 130
"""Exit code after Ctrl-C, by the shells' convention: 128 plus the signal's number."""

FIRST = 1
"""Process id of a container's first process. The kernel sends it only signals that it handles, and SIGKILL."""


def main() -> None:
    """Load the command line and run it; the installed command's entry point."""
    if os.getpid() == FIRST:
        _end_by_signals()
    try:
        with paused_gc():
            from charrnn.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _end_by_signals() -> None:
    """Let SIGTERM and SIGHUP end the process at once, as they end any other process without a handler for them."""
    import signal

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, lambda number, _: os._exit(128 + number))


if __name__ == "__main__":
    main()
