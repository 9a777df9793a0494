"""The three streams of the command line: there, whole, and in UTF-8."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
from typing import TextIO

from charrnn.escape import quoted
from charrnn.paths import as_argument
from charrnn.surrogates import in_utf8


def prepare_streams() -> None:
    """Make all three streams be there and whole, and text on them be UTF-8 whatever the locale says.

    Where the caller has closed one, as a daemon's are, messages go nowhere, but who needs its data gets an error.

    Bytes of a file name that are not UTF-8 pass through stdout unaltered, so that the path it prints is the path.
    """
    _wait_for_streams()
    sys.stdin = sys.stdin or open(_open_null(os.O_WRONLY))  # noqa: SIM115
    sys.stdout = sys.stdout or open(_open_null(os.O_RDONLY), "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(_open_null(os.O_WRONLY), "w")  # noqa: SIM115
    sys.stdout, sys.stderr = map(_buffered, (sys.stdout, sys.stderr))
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
    if os.name == "nt":  # its older consoles show colours once they are asked to; typer's own helper on that system
        importlib.import_module("colorama").just_fix_windows_console()
    for stream, errors in ((sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):  # lines end with a line feed on Windows too: what a pipe reads is data
            stream.reconfigure(encoding="utf-8", errors=errors, newline="\n")


def print_path(path: str) -> None:
    """Print the path of what was written, as the next command may take it; on a terminal what commands none.

    Raises:
        OSError: it cannot be written.
    """
    path = as_argument(path)
    print(quoted(path) if sys.stdout.isatty() else in_utf8(path), flush=True)


def discard_stdout() -> None:
    """Let Python's own flush at exit go nowhere."""
    os.dup2(_open_null(os.O_WRONLY), sys.stdout.fileno())


def _open_null(way: int) -> int:
    """Open what is empty and takes all, to be read or to be written alone.

    Where /dev is bare, as a chroot's may be, it is one end of a pipe; what that has no room for is an error of writing.
    """
    try:
        return os.open(os.devnull, way)
    except OSError:
        ends = dict(zip((os.O_RDONLY, os.O_WRONLY), os.pipe(), strict=True))
        os.set_blocking(ends[os.O_WRONLY], False)
        return ends[way]


def _wait_for_streams() -> None:
    """Let no stream pretend to be at its end, or full, where another program made it one that does not wait."""
    for descriptor in (0, 1, 2) if os.name != "nt" else ():
        with contextlib.suppress(OSError):  # closed by the caller
            os.set_blocking(descriptor, True)


def _buffered(stream: TextIO) -> TextIO:
    """The stream itself, or where `PYTHONUNBUFFERED` made it one that may leave off amid its bytes, one that does not.

    It ends with the process and not before: closing it leaves the descriptor open. Lines of text go out at once.
    """
    if isinstance(getattr(stream, "buffer", None), io.RawIOBase):
        return open(stream.fileno(), "w", buffering=1, closefd=False)  # its encoding is set with the others'
    return stream
