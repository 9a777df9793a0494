"""Lines at the foot of a terminal that are drawn anew while something goes on; what else is written goes above them.

They are drawn only while the process stands in the terminal's foreground: a job in the background would walk over what
somebody does there. Ctrl-Z ends the frame where it stands, and it begins anew below once the job is back.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TextIO

from charrnn.display.echo import forget_typing, hide_typing, is_in_foreground, show_typing
from charrnn.display.outlet import HURRY_SECONDS, Outlet
from charrnn.display.widths import text_height

DRAWN_EVERY = 0.25
"""Seconds."""

_STARTED: set[Frame] = set()
_HIDE_CURSOR, _SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
_CLEAR = "\x1b[K\x1b[C\x1b[J\r"
"""Takes away this row and all below: its line, and from its second column on the rest. What clears a whole screen from
its first column on has tmux put all that stood there into its history, and PuTTY likewise."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_CTRL_Z: int | None = getattr(signal, "SIGTSTP", None)  # Windows has none


class Frame:
    """Lines that a thread draws again and again, from `start` to `stop`; where none may be started, `refresh` does.

    Args:
        stream: a terminal.
        outlet: of it.
        render: gives the lines, harmless but for colours, none wider than the terminal.
        size: gives the terminal's columns and rows.
        stays: whether what is drawn last is left there.
        hides_typing: whether nothing is typed meanwhile that somebody wants to see. The cursor is hidden then too, and
            needs a process that gives it back at SIGTERM.
    """

    def __init__(
        self,
        stream: TextIO,
        outlet: Outlet,
        render: Callable[[], Sequence[str]],
        size: Callable[[], tuple[int, int]],
        *,
        stays: bool,
        hides_typing: bool,
    ) -> None:
        self._stream, self._outlet, self._render, self._size = stream, outlet, render, size
        self._stays, self._hides_typing = stays, hides_typing
        self._lock, self._done = threading.RLock(), threading.Event()
        self._former: Any = None
        self._drawn_at = 0.0
        self._has_thread = False
        self._holds_ctrl_z = self._has_ctrl_z = False
        self._lines: list[str] | None = None  # those that stand there, without colours; None where none do

    def start(self) -> None:
        """Draw from now on."""
        _STARTED.add(self)
        if _CTRL_Z is not None and _sets_handlers() and signal.getsignal(_CTRL_Z) is signal.SIG_DFL:
            self._former = signal.signal(_CTRL_Z, self._heed_ctrl_z)
        with self._turn():
            self._draw()
        with contextlib.suppress(RuntimeError):  # this user, or this container, may have no more threads
            threading.Thread(target=self._run, daemon=True).start()
            self._has_thread = True

    def refresh(self) -> None:
        """Start, if that has not been done; and draw, no more often than a thread would, where none does."""
        if self not in _STARTED:
            self.start()
        elif not self._has_thread and time.monotonic() - self._drawn_at >= DRAWN_EVERY:
            with self._turn():
                self._draw()

    def stop(self) -> None:
        """Draw once more, all of it; what does not stay is taken away then. Again does no harm, nor without a start.

        Whatever comes between, as a further Ctrl-C may, the terminal is given back.
        """
        if self not in _STARTED:
            return
        self._done.set()
        try:
            with self._turn():
                try:
                    self._draw(is_last=True)
                finally:
                    _STARTED.discard(self)
                    self._leave()
        finally:
            show_typing()
            if self._former is not None and _CTRL_Z is not None and _sets_handlers():
                signal.signal(_CTRL_Z, self._former)
                self._former = None

    def abandon(self) -> None:
        """Leave the terminal in order, and draw no more.

        A drawing that does not come to its end is not waited for: a signal's handler, which waits for this, may have
        interrupted it.
        """
        self._done.set()
        has_turn = self._lock.acquire(timeout=HURRY_SECONDS / 2)
        if not has_turn:
            self._outlet = Outlet(self._stream)  # the other one may be held as well
        try:
            self._leave()
        finally:
            if has_turn:
                self._lock.release()

    def write(self, text: str) -> None:
        """Write whole lines above what is drawn."""
        with self._turn():
            if self._lines is None:
                self._outlet.write(text)
            else:
                self._draw(text)

    def _run(self) -> None:
        while not self._done.wait(DRAWN_EVERY):
            with self._turn():
                if not self._done.is_set():
                    self._draw()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """The terminal to one thread alone; Ctrl-Z, whose handler would draw amid what it draws, waits for its end."""
        with self._lock:
            self._holds_ctrl_z = _sets_handlers()
            try:
                yield
            finally:
                has_held, self._holds_ctrl_z = self._holds_ctrl_z, False
                if has_held and self._has_ctrl_z:
                    self._suspend()

    def _draw(self, above: str = "", *, is_last: bool = False) -> None:
        if not self._has_terminal():
            if above:
                self._outlet.write(above)
            return
        self._drawn_at = time.monotonic()
        begins, (columns, rows) = self._lines is None, self._size()
        if begins and self._hides_typing:
            hide_typing(self._stream)
        lines = self._render()[: None if is_last else rows]
        hidden = _HIDE_CURSOR if begins and self._hides_typing else ""
        shown = hidden + self._erasure(columns) + above + "\n".join(lines)
        former, self._lines = self._lines, [_COLOURS.sub("", line) for line in lines]
        if not self._outlet.write(shown, counts=bool(above)):
            self._lines = former

    def _has_terminal(self) -> bool:
        """Whether the terminal is to draw on; where a shell has it, what was drawn before is not ours any more."""
        if is_in_foreground(self._stream):
            return True
        self._lines = None
        forget_typing()
        return False

    def _erasure(self, columns: int) -> str:
        """What takes away the lines that stand there: those that do not fit since it was made narrower are wrapped."""
        if self._lines is None:
            return ""
        height = sum(text_height(line, columns) for line in self._lines)
        return ("\r" if height < 2 else f"\r\x1b[{height - 1}A") + _CLEAR

    def _leave(self) -> None:
        if self._has_terminal() and self._lines is not None:
            end = "\n" if self._stays else self._erasure(self._size()[0])
            self._lines = None
            self._outlet.write(end + (_SHOW_CURSOR if self._hides_typing else ""), counts=False)
        show_typing()

    def _heed_ctrl_z(self, *_: object) -> None:
        """Stop where nothing is being drawn; amid a long computation in C, Python calls this only once it is done.

        No other thread can do it before: none may take the handler away, and SIGSTOP, which needs that not, also stops
        what no shell would ever continue.
        """
        self._has_ctrl_z = True
        if not self._holds_ctrl_z:
            self._suspend()

    def _suspend(self) -> None:
        """Leave the terminal in order, and stop as without a handler; the next drawing begins anew."""
        assert _CTRL_Z is not None, "else nobody asks for it"
        with self._lock:
            self._holds_ctrl_z = True  # another asks for the same
            self._leave()
            signal.signal(_CTRL_Z, signal.SIG_DFL)
            os.kill(os.getpid(), _CTRL_Z)
            signal.signal(_CTRL_Z, self._heed_ctrl_z)
            self._holds_ctrl_z = self._has_ctrl_z = False


def abandon_all() -> None:
    """Leave the terminal in order where the process is to end at once; for any thread.

    Where the terminal is held, as by Ctrl-S, it stays as it is, but for typing.
    """

    def abandon() -> None:
        for drawn in [*_STARTED]:
            drawn.abandon()

    with contextlib.suppress(RuntimeError):  # this user may have no more threads, and here it might wait for good
        thread = threading.Thread(target=abandon, daemon=True)
        thread.start()
        thread.join(HURRY_SECONDS)
    show_typing()


def _sets_handlers() -> bool:
    """Whether this is the thread that may set what becomes of a signal."""
    return threading.current_thread() is threading.main_thread()
