"""Lines at the bottom of a terminal's output that are redrawn while work goes on; other output goes above them.

They are drawn only while the process is in the terminal's foreground: a background job would overwrite what the user
does there. On Ctrl-Z the drawn lines stay where they are, and a resumed job draws new ones below.
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
from charrnn.display.messages import HURRY_SECONDS, PatientStream
from charrnn.display.widths import text_height

DRAWN_EVERY = 0.25
"""Seconds between two drawings."""

_STARTED: set[Frame] = set()
_HIDE_CURSOR, _SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
_CLEAR = "\x1b[K\x1b[C\x1b[J\r"
"""Clears this row and all below: first the row, then the rest of the screen from the row's second column on. Clearing
the whole screen from its first column on would make tmux and PuTTY move its content into their scrollback."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_CTRL_Z: int | None = getattr(signal, "SIGTSTP", None)  # Windows has none


class Frame:
    """Lines that a thread redraws periodically from `start` to `stop`; if no thread can start, `refresh` draws them.

    Args:
        stream: a terminal.
        patient: writes to the stream, whose reader may stop reading.
        render: returns the lines, without control characters except for colours, none wider than the terminal.
        size: returns the terminal's columns and rows.
        stays: whether the last drawing is left on the terminal.
        hides_typing: whether to turn off echo, and to hide the cursor, which the process must then restore at SIGTERM.
    """

    def __init__(
        self,
        stream: TextIO,
        patient: PatientStream,
        render: Callable[[], Sequence[str]],
        size: Callable[[], tuple[int, int]],
        *,
        stays: bool,
        hides_typing: bool,
    ) -> None:
        self._stream = stream
        self._patient = patient
        self._render = render
        self._size = size
        self._stays, self._hides_typing = stays, hides_typing
        self._lock, self._done = threading.RLock(), threading.Event()
        self._former: Any = None
        self._drawn_at = 0.0
        self._has_thread = False
        self._holds_ctrl_z = self._has_ctrl_z = False
        self._lines: list[str] | None = None  # the lines on the terminal, without colours; None if there are none

    def start(self) -> None:
        """Draw from now on."""
        _STARTED.add(self)
        if _CTRL_Z is not None and _sets_handlers() and signal.getsignal(_CTRL_Z) is signal.SIG_DFL:
            self._former = signal.signal(_CTRL_Z, self._heed_ctrl_z)
        with self._turn():
            self._draw()
        with contextlib.suppress(RuntimeError):  # the limit of threads of this user or container is reached
            threading.Thread(target=self._run, daemon=True).start()
            self._has_thread = True

    def refresh(self) -> None:
        """Start if not started yet; without a thread, draw, but no more often than `DRAWN_EVERY`."""
        if self not in _STARTED:
            self.start()
        elif not self._has_thread and time.monotonic() - self._drawn_at >= DRAWN_EVERY:
            with self._turn():
                self._draw()

    def stop(self) -> None:
        """Draw all lines once more, and erase them unless they stay. Idempotent, and without effect before a start.

        The terminal's settings are restored even if an exception, such as that of another Ctrl-C, interrupts this.
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
        """Restore the terminal, and draw no more.

        A drawing in progress is waited for only briefly: it may have been interrupted by the very signal handler that
        waits for this call.
        """
        self._done.set()
        has_turn = self._lock.acquire(timeout=HURRY_SECONDS / 2)
        if not has_turn:
            self._patient = PatientStream(self._stream)  # the former one may be blocked as well
        try:
            self._leave()
        finally:
            if has_turn:
                self._lock.release()

    def write(self, text: str) -> None:
        """Write whole lines above what is drawn."""
        with self._turn():
            if self._lines is None:
                self._patient.write(text)
            else:
                self._draw(text)

    def _run(self) -> None:
        while not self._done.wait(DRAWN_EVERY):
            with self._turn():
                if not self._done.is_set():
                    self._draw()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Hold the lock; in the main thread, also postpone Ctrl-Z, whose handler would draw amid a drawing."""
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
                self._patient.write(above)
            return
        self._drawn_at = time.monotonic()
        begins, (columns, rows) = self._lines is None, self._size()
        if begins and self._hides_typing:
            hide_typing(self._stream)
        lines = self._render()[: None if is_last else rows]
        hidden = _HIDE_CURSOR if begins and self._hides_typing else ""
        shown = hidden + self._erasure(columns) + above + "\n".join(lines)
        former, self._lines = self._lines, [_COLOURS.sub("", line) for line in lines]
        if not self._patient.write(shown, counts=bool(above)):
            self._lines = former

    def _has_terminal(self) -> bool:
        """Whether the process is in the foreground; if not, forget the lines drawn before and the former settings."""
        if is_in_foreground(self._stream):
            return True
        self._lines = None
        forget_typing()
        return False

    def _erasure(self, columns: int) -> str:
        """Control sequence that erases the drawn lines, which wrap if the terminal was made narrower meanwhile."""
        if self._lines is None:
            return ""
        height = sum(text_height(line, columns) for line in self._lines)
        return ("\r" if height < 2 else f"\r\x1b[{height - 1}A") + _CLEAR

    def _leave(self) -> None:
        if self._has_terminal() and self._lines is not None:
            end = "\n" if self._stays else self._erasure(self._size()[0])
            self._lines = None
            self._patient.write(end + (_SHOW_CURSOR if self._hides_typing else ""), counts=False)
        show_typing()

    def _heed_ctrl_z(self, *_: object) -> None:
        """Handle Ctrl-Z: suspend the process, or have `_turn` do so after a drawing.

        During a long computation in C, Python calls this only at its end. No other thread can act earlier: only the
        main thread may reset the handler, and SIGSTOP, which needs no reset, also stops a process that no shell would
        resume.
        """
        self._has_ctrl_z = True
        if not self._holds_ctrl_z:
            self._suspend()

    def _suspend(self) -> None:
        """Restore the terminal, and stop the process by the default action; the next drawing begins anew."""
        assert _CTRL_Z is not None, "else nobody asks for it"
        with self._lock:
            self._holds_ctrl_z = True  # a second Ctrl-Z must not suspend again
            self._leave()
            signal.signal(_CTRL_Z, signal.SIG_DFL)
            os.kill(os.getpid(), _CTRL_Z)
            signal.signal(_CTRL_Z, self._heed_ctrl_z)
            self._holds_ctrl_z = self._has_ctrl_z = False


def abandon_all() -> None:
    """Restore the terminal before the process ends at once; may be called from any thread.

    If the terminal's output is blocked, as by Ctrl-S, only its echo is restored.
    """

    def abandon() -> None:
        for drawn in [*_STARTED]:
            drawn.abandon()

    with contextlib.suppress(RuntimeError):  # no more threads; in this one, `abandon` might block forever
        thread = threading.Thread(target=abandon, daemon=True)
        thread.start()
        thread.join(HURRY_SECONDS)
    show_typing()


def _sets_handlers() -> bool:
    """Whether this is the main thread, the only one that may set signal handlers."""
    return threading.current_thread() is threading.main_thread()
