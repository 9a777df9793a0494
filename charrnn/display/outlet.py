"""Lines to a reader who may stop reading, as a pipe that is full or a terminal under Ctrl-S does.

A training waits for its reader as long as it takes, so that no line is lost to one who is slow. Only where a signal
asks for something meanwhile, to save or to stop, it waits `HURRY_SECONDS` more and then goes on. What is being written
then is written as soon as somebody reads again; what is to be written until then is left out and counted.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import TextIO

from charrnn.display.json_line import to_json
from charrnn.escape import quoted

HURRY_SECONDS = 2.0
"""How long a line may wait once a signal has come: a reader who is merely slow takes a full pipe of 64 KiB in less."""

POLL_SECONDS = 0.1
"""Time between two looks at whether a signal has come while a line waits."""


def never() -> bool:
    """Always false: the default where nobody can ask for anything."""
    return False


class Outlet:
    """A stream whose reader may stop reading.

    Args:
        stream: to write to. The bytes go to its descriptor from a thread of their own, since a write that waits cannot
            be left; a stream without one, or on Windows, is written to at once.
        is_hurried: whether a signal asks for something, by now.

    Attributes:
        left_out: how many texts that count were left out since the last one was written.
    """

    def __init__(self, stream: TextIO, is_hurried: Callable[[], bool] = never) -> None:
        self._stream, self._is_hurried = stream, is_hurried
        self._writer: threading.Thread | None = None
        self._has_given_up = False
        self.left_out = 0

    def write(self, text: str, *, counts: bool = True) -> bool:
        """Write a text, which where nobody listens any more is lost; false where it is left out for a signal's sake.

        Nobody misses one that does not count, as a drawing that is soon drawn anew.
        """
        is_free = self._is_free()
        if counts:
            self.left_out = 0 if is_free else self.left_out + 1
        if not is_free:
            return False
        descriptor = self._descriptor()
        if descriptor is None:
            with contextlib.suppress(OSError):
                self._stream.write(text)
                self._stream.flush()
            return True
        data = text.encode("utf-8", "backslashreplace")
        self._writer = threading.Thread(target=_write, args=(descriptor, data), daemon=True)
        try:
            self._writer.start()
        except RuntimeError:  # this user, or this container, may have no more threads
            _write(descriptor, data)
        self._is_free()
        return True

    def _descriptor(self) -> int | None:
        if os.name == "nt":  # whose consoles take text alone
            return None
        try:
            self._stream.flush()  # of what others have written
            return self._stream.fileno()
        except (OSError, ValueError):
            return None

    def _is_free(self) -> bool:
        """Wait until what was written last is with the reader; false where a signal does not let it wait."""
        patience = 0.0 if self._has_given_up else HURRY_SECONDS
        while (writer := self._writer) is not None and writer.is_alive():
            if self._is_hurried():
                if patience <= 0:
                    self._has_given_up = True
                    return False
                patience -= POLL_SECONDS
            writer.join(POLL_SECONDS)  # meanwhile a signal's handler may write too
        self._writer, self._has_given_up = None, False
        return True


def _write(descriptor: int, data: bytes) -> None:
    with contextlib.suppress(OSError):  # the reader has gone
        while data:
            data = data[os.write(descriptor, data) :]


def write_line(line: str) -> None:
    """Write a line on stderr at once; where nobody listens any more, the work matters more than what is said of it.

    Nothing of it stays in Python's buffer, which could not be flushed at the end: that would be an error of its own.
    """
    Outlet(sys.stderr).write(f"{line}\n")


def error_line(message: str) -> str:
    """One line that says what is wrong."""
    return f"charrnn: {quoted(message)}"


def write_warning(message: str, *, as_json: bool = False) -> None:
    """Write on stderr, in one line, what may be wrong, though the work goes on; for programs as an object."""
    write_line(to_json({"warning": message}) if as_json else error_line(message))


def write_error(message: str, *, as_json: bool = False) -> None:
    """Write on stderr, in one line, what is wrong; for programs as an object."""
    write_line(to_json({"error": message}) if as_json else error_line(message))
