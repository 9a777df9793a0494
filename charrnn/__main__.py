"""Run the command line, as `charrnn` or `python -m charrnn`.

To load the parser takes a tenth of a second, in which Ctrl-C would end in a stack trace: here it ends as it does later.
"""

from __future__ import annotations

import os
import sys

from charrnn.garbage import loading_modules

INTERRUPTED = 130
"""Exit code of what Ctrl-C has ended, as shells have it: 128 and the signal's number."""

FIRST = 1
"""Number of the process that a container begins with: it is sent no signal that it does not handle, but to kill it."""


def main() -> None:
    """Load the command line and run it; the installed command's entry point."""
    if os.getpid() == FIRST:
        _end_by_signals()
    try:
        with loading_modules():
            from charrnn.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _end_by_signals() -> None:
    """Let SIGTERM and SIGHUP end the process at once, as they end any other that does not care for them."""
    import signal

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, lambda number, _: os._exit(128 + number))


if __name__ == "__main__":
    main()
