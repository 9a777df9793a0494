"""Leaving at once where Python cannot: its handlers of signals run between its own steps, and one may take minutes.

Such a step is the filling of a large matrix, or a pass of a large model. A thread waits for signals beside it:
Python's handler in C tells it of each at once.
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
from charrnn.display.outlet import HURRY_SECONDS

PATIENCE = 2.0
"""Seconds in which a process that is to leave can do so by itself, and clear away what it made."""


class Watcher:
    """A thread that ends the process where a signal is to end it, and it is still there `PATIENCE` later.

    Args:
        must_leave: called in the thread with the number of each signal that has come: whether the process is to leave
            at once.
        tell: called in the thread before it ends the process.
    """

    def __init__(self, must_leave: Callable[[int], bool], tell: Callable[[], object]) -> None:
        self._must_leave, self._tell = must_leave, tell
        self._has_left = threading.Event()
        self._ours, self._systems = socket.socketpair()  # which Windows has too, and where it need not block
        self._systems.setblocking(False)
        self._former = signal.set_wakeup_fd(self._systems.fileno(), warn_on_full_buffer=False)
        with contextlib.suppress(RuntimeError):  # this user may have no more threads: a stop waits, as it can
            threading.Thread(target=self._watch, daemon=True).start()

    def close(self) -> None:
        """Watch no more; the process goes on, or leaves by itself."""
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
    """End the process at once for a signal: the terminal is in order and no lock is left; for any thread.

    A disk that stands still is not waited for: it may be why somebody wants to leave.

    Args:
        number: of the signal.
        tell: called once the terminal is in order; it may look at a file.
    """

    def finish() -> None:
        tell()
        give_up_all()

    abandon_all()
    thread = threading.Thread(target=finish, daemon=True)
    try:
        thread.start()
        thread.join(2 * HURRY_SECONDS)  # a line may wait for its reader as well
    except RuntimeError:  # no more threads: what lies there then locks nothing
        tell()
    os._exit(128 + number)
