"""Run the command line, as `charrnn` or `python -m charrnn`.

To load the parser takes a tenth of a second, in which Ctrl-C would end in a stack trace: here it ends as it does later.
"""

from __future__ import annotations

import sys

from charrnn.garbage import loading_modules

INTERRUPTED = 130
"""Exit code of what Ctrl-C has ended, as shells have it: 128 and the signal's number."""


def main() -> None:
    """Load the command line and run it; the installed command's entry point."""
    try:
        with loading_modules():
            from charrnn.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
