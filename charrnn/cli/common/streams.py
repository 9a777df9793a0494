"""Set-up of the three standard streams: open, blocking, and in UTF-8."""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import os
import sys
from typing import TextIO

from charrnn.escape import one_line
from charrnn.paths import as_argument
from charrnn.surrogates import in_utf8


def prepare_streams() -> None:
    """Make sure that all three streams are open, blocking and in UTF-8, whatever the locale says.

    If the caller has closed one, as for a daemon, messages are discarded, while reading stdin or writing to stdout
    fails.

    Bytes of a file name that are not UTF-8 pass through stdout unaltered, so that a path that is printed is valid.
    """
    _wait_for_streams()
    sys.stdin = sys.stdin or open(_open_null(os.O_WRONLY))  # noqa: SIM115
    sys.stdout = sys.stdout or open(_open_null(os.O_RDONLY), "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(_open_null(os.O_WRONLY), "w")  # noqa: SIM115
    sys.stdout, sys.stderr = map(_buffered, (sys.stdout, sys.stderr))
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
    if os.name == "nt":  # older consoles show colours only on request; colorama comes with typer on Windows
        importlib.import_module("colorama").just_fix_windows_console()
    for stream, errors in ((sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):  # lines end with a line feed on Windows too, since output is data
            stream.reconfigure(encoding="utf-8", errors=errors, newline="\n")


def print_path(path: str) -> None:
    """Print the path of what was written, for use as the next command's argument; on a terminal, escaped.

    Raises:
        OSError: stdout cannot be written.
    """
    path = as_argument(path)
    print(one_line(path) if sys.stdout.isatty() else in_utf8(path), flush=True)


def discard_stdout() -> None:
    """Discard what Python flushes to stdout at exit."""
    os.dup2(_open_null(os.O_WRONLY), sys.stdout.fileno())


def is_closed_pipe(error: OSError, system: str = os.name) -> bool:
    """Whether the reader of a pipe has closed it; Windows sometimes reports EINVAL then (cpython issue 79935).

    An error that has a `winerror` is something else, such as a library that does not load.
    """
    nameless = error.filename is None and getattr(error, "winerror", None) is None
    return isinstance(error, BrokenPipeError) or (system == "nt" and error.errno == errno.EINVAL and nameless)


def _open_null(way: int) -> int:
    """Open the null device, either for reading or for writing.

    Where /dev is empty, as in some chroots, it is one end of a pipe; writing more than the pipe holds is an error.
    """
    try:
        return os.open(os.devnull, way)
    except OSError:
        ends = dict(zip((os.O_RDONLY, os.O_WRONLY), os.pipe(), strict=True))
        os.set_blocking(ends[os.O_WRONLY], False)
        return ends[way]


def _wait_for_streams() -> None:
    """Make all streams blocking: non-blocking ones, set so by another program, look ended or full."""
    for descriptor in (0, 1, 2) if os.name != "nt" else ():
        with contextlib.suppress(OSError):  # closed by the caller
            os.set_blocking(descriptor, True)


def _buffered(stream: TextIO) -> TextIO:
    """The stream itself, or a line-buffered one if `PYTHONUNBUFFERED` made it unbuffered, with partial writes.

    Closing the new stream leaves the descriptor open.
    """
    if isinstance(getattr(stream, "buffer", None), io.RawIOBase):
        return open(stream.fileno(), "w", buffering=1, closefd=False)  # the caller sets its encoding
    return stream
