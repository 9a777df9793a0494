"""End the process at once even while Python cannot run signal handlers: they run between bytecodes.

One bytecode may take minutes, such as the filling of a large matrix, or a pass of a large model. A separate thread
watches for signals: Python's C-level handler writes each to its socket at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import NoReturn

from charrnn.cli.trainer.lock import give_up_all
from charrnn.display.frame import abandon_all
from charrnn.display.messages import HURRY_SECONDS

PATIENCE = 2.0
"""Seconds that a process has to exit by itself, and to clean up."""


class ExitWatchdog:
    """A thread that ends the process if a signal should have ended it and it still runs `PATIENCE` later.

    Args:
        must_leave: called in the thread with the number of each signal; returns whether the process must exit at once.
        tell: called before the thread ends the process; see `leave`.
    """

    def __init__(self, must_leave: Callable[[int], bool], tell: Callable[[], object]) -> None:
        self._must_leave, self._tell = must_leave, tell
        self._has_left = threading.Event()
        self._ours, self._systems = socket.socketpair()  # not a pipe: on Windows only sockets can be non-blocking here
        self._systems.setblocking(False)
        self._former = signal.set_wakeup_fd(self._systems.fileno(), warn_on_full_buffer=False)
        with contextlib.suppress(RuntimeError):  # the limit on threads is reached: a stop waits for Python's handler
            threading.Thread(target=self._watch, daemon=True).start()

    def close(self) -> None:
        """Stop watching; the process goes on, or exits by itself."""
        self._has_left.set()
        signal.set_wakeup_fd(self._former)
        self._systems.close()

    def _watch(self) -> None:
        with self._ours:
            while told := self._ours.recv(1):
                (number,) = told
                if self._must_leave(number) and not self._has_left.wait(PATIENCE):
                    leave(number, self._tell)


def leave(number: int, tell: Callable[[], object]) -> NoReturn:
    """End the process at once for a signal, after restoring the terminal and removing locks; callable in any thread.

    Does not wait for a disk that hangs, which may be why the user wants to leave.

    Args:
        number: of the signal.
        tell: called after the terminal is restored; it may access files.
    """

    def finish() -> None:
        tell()
        give_up_all()

    abandon_all()
    thread = threading.Thread(target=finish, daemon=True)
    try:
        thread.start()
        thread.join(2 * HURRY_SECONDS)  # twice: writing a line may itself wait that long for its reader
    except RuntimeError:  # the limit on threads is reached: the lock files stay, but lock nothing
        tell()
    os._exit(128 + number)
