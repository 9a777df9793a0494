"""Output to a reader that may stop reading, such as a full pipe or a terminal under Ctrl-S.

A training waits for its reader as long as necessary, so that a slow reader loses no line. Only if a signal meanwhile
asks it to save or to stop, it waits `HURRY_SECONDS` more and then goes on. The blocked write completes as soon as the
reader reads again; lines that come before that are dropped and counted.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import TextIO

from charrnn.display.json_line import to_json
from charrnn.escape import one_line

HURRY_SECONDS = 2.0
"""How long a line may wait once a signal has come: a slow reader reads a full pipe of 64 KiB in less."""

POLL_SECONDS = 0.1
"""Interval at which a blocked line checks whether a signal has come."""


def never() -> bool:
    """Always false: the default of `is_hurried` where no signal can ask for anything."""
    return False


class PatientStream:
    """A stream whose reader may stop reading.

    Args:
        stream: to write to. A separate thread writes the bytes to its descriptor, since a blocked write cannot be
            abandoned; a stream without a descriptor, or on Windows, is written to directly.
        is_hurried: whether a signal has asked the process to save or to stop.

    Attributes:
        left_out: how many texts that count were dropped since the last one was written.
    """

    def __init__(self, stream: TextIO, is_hurried: Callable[[], bool] = never) -> None:
        self._stream, self._is_hurried = stream, is_hurried
        self._writer: threading.Thread | None = None
        self._has_given_up = False
        self.left_out = 0

    def write(self, text: str, *, counts: bool = True) -> bool:
        """Write a text; false if it is dropped because a signal does not let it wait. Without a reader it is lost.

        A text that does not count, such as a drawing that is soon redrawn, is dropped without being counted.
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
        except RuntimeError:  # the limit of threads of this user or container is reached
            _write(descriptor, data)
        self._is_free()
        return True

    def _descriptor(self) -> int | None:
        if os.name == "nt":  # a Windows console takes only text
            return None
        try:
            self._stream.flush()  # what others have written to it
            return self._stream.fileno()
        except (OSError, ValueError):
            return None

    def _is_free(self) -> bool:
        """Wait until the last write is complete; false if a signal does not let it wait longer."""
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


def write_line(line: str) -> None:
    """Write a line on stderr at once; if nobody reads it any more, the line is lost and the work goes on.

    Nothing stays in Python's buffer, where a failing flush at exit would be another error.
    """
    PatientStream(sys.stderr).write(f"{line}\n")


def error_line(message: str) -> str:
    """Format a message of an error or a warning as one line."""
    return f"charrnn: {one_line(message)}"


def write_warning(message: str, *, as_json: bool = False) -> None:
    """Write a warning on stderr in one line, optionally as a JSON object."""
    write_line(to_json({"warning": message}) if as_json else error_line(message))


def write_error(message: str, *, as_json: bool = False) -> None:
    """Write an error on stderr in one line, optionally as a JSON object."""
    write_line(to_json({"error": message}) if as_json else error_line(message))


def _write(descriptor: int, data: bytes) -> None:
    with contextlib.suppress(OSError):  # the reader has gone
        while data:
            data = data[os.write(descriptor, data) :]
