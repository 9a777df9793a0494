"""Handle signals that stop a training or ask it to save at the next safe point, and SIGCONT after a pause."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from charrnn.cli.trainer.exit_watchdog import ExitWatchdog, leave
from charrnn.training.clock import CLOCK

try:
    import resource
except ImportError:  # not a POSIX system
    resource = None  # type: ignore[assignment]

_STOPS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK", "SIGXCPU")
STOPS = [getattr(signal, name) for name in _STOPS if hasattr(signal, name)]
"""Ctrl-C, kill, a closed terminal, Ctrl-Break on Windows, and the soft limit on CPU time."""

SAVES = [getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name)]
"""Save, and go on: batch systems send these some time before they kill a job."""

QUITS = [signal.SIGQUIT] if hasattr(signal, "SIGQUIT") else []
r"""Ctrl-\: exit at once without saving, but restore the terminal."""

SAME_SECONDS = 0.25
"""Time after a first stop in which a SIGINT counts as the same Ctrl-C: the terminal sends one, and coreutils' `timeout`
sends another to its child. Nobody presses Ctrl-C twice as fast."""

OUT_OF_TIME = getattr(signal, "SIGXCPU", None)
"""The signal of the limit on CPU time, which repeats every second."""

SHARE_TO_SAVE, LEAST_TO_SAVE, MOST_TO_SAVE = 10, 3, 60
"""CPU time reserved for the last save: the limit divided by the first figure, within bounds in seconds.

This is for each thread, since the limit is on the time of all threads together; in all at most half of the limit."""

GOES_ON = [signal.SIGCONT] if hasattr(signal, "SIGCONT") else []
"""The process continues after it was stopped."""


class TrainingSignals:
    """Context manager in which a signal is recorded instead of ending the process.

    Before the training is under way there is nothing to save, and a stop exits at once, by KeyboardInterrupt or
    SystemExit. Later, a SIGINT after another stop exits at once too, unless it is the same Ctrl-C delivered twice (see
    `SAME_SECONDS`). It does not in a process started by a launcher: one Ctrl-C may arrive from the terminal, from the
    launcher and as the launcher's SIGTERM, and the launcher kills processes that take too long. A signal that was
    ignored before, as SIGINT is in a script's background job, stays ignored. `exit_watchdog` ends computations
    that keep Python from exiting.

    The system sends a signal at the soft limit on CPU time, and kills at the hard limit; a plain `ulimit -t` sets both
    to the same time. So the soft limit is lowered inside the context, to leave time for a save.

    Args:
        is_launched: whether a launcher started this process.
        tell: says that the process exits with nothing saved; called by `tell_unsaved`.

    Attributes:
        under_way: whether there is something to save.
        received: number of the first signal that asked for a stop; 0 before.
        save_wanted: whether a signal asked for a save; the caller resets it.
    """

    def __init__(self, *, is_launched: bool = False, tell: Callable[[], object] = lambda: None) -> None:
        self._is_launched, self._tell = is_launched, tell
        self.under_way = self._holds = False
        self.received = 0
        self.save_wanted = False
        self._first_stop = math.inf  # its `time.monotonic()`
        self._is_leaving = False  # set by the watcher's thread
        self._has_told = False
        self._former: dict[int, Any] = {}

    def __enter__(self) -> TrainingSignals:
        for number in (*STOPS, *SAVES, *QUITS, *GOES_ON):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._former[number] = signal.signal(number, self._remember)
        self._watcher = ExitWatchdog(self._must_leave, self.tell_unsaved)
        self._former_limit = _leave_time_to_save(threads=1)
        return self

    def keep_time_to_save(self, threads: int) -> None:
        """Lower the soft limit on CPU time as far as a save with so many threads needs."""
        before = _leave_time_to_save(threads)
        self._former_limit = self._former_limit or before

    @property
    def asks(self) -> bool:
        """Whether a signal has asked for a stop, or for a save that was not made yet."""
        return bool(self.received or self.save_wanted)

    def tell_unsaved(self) -> None:
        """Say once that nothing was saved, unless the training is under way: then a second Ctrl-C was deliberate."""
        if not (self.under_way or self._has_told):
            self._has_told = True  # first: another signal or the watcher may interrupt the call
            self._tell()

    @contextlib.contextmanager
    def held_back(self) -> Iterator[None]:
        """Defer a first stop to the end of the block: an exception while PyTorch is loaded would abort the process."""
        self._holds = True
        try:
            yield
        finally:
            self._holds = False
        if self.received:
            number, self.received = self.received, 0
            self._remember(number, None)

    def __exit__(self, *_: object) -> None:
        if self._former_limit is not None:
            resource.setrlimit(resource.RLIMIT_CPU, self._former_limit)
        self._watcher.close()
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _must_leave(self, number: int) -> bool:
        """Whether a signal that arrives now must end the process at once; called in the watcher's thread."""
        if number in QUITS:
            return True
        if number not in STOPS or self._holds:
            return False
        self._is_leaving = self._is_leaving or self._is_impatient(number)
        return self._is_leaving or not self.under_way

    def _is_impatient(self, number: int) -> bool:
        """Record the time of a stop; return whether it is a second Ctrl-C, from a user who does not wait for a save.

        Python's handler may run long after the watcher was told of the same signal, and for two signals at once.
        """
        now = time.monotonic()
        self._first_stop = min(self._first_stop, now)
        return number == signal.SIGINT and not self._is_launched and now >= self._first_stop + SAME_SECONDS

    def _remember(self, number: int, _: FrameType | None) -> None:
        if number in GOES_ON:
            CLOCK.leave_out_pause()
        elif number in QUITS:
            leave(number, self.tell_unsaved)
        elif number in SAVES:
            self.save_wanted = True
        elif self._holds:
            if self.received and not self._is_launched and number != OUT_OF_TIME:
                leave(number, self.tell_unsaved)
            self.received = number
        elif self._is_leaving or (number == signal.SIGINT and not self.under_way):
            raise KeyboardInterrupt
        elif not self.under_way:
            raise SystemExit(128 + number)
        elif self._is_impatient(number) and self.received:
            raise KeyboardInterrupt
        else:
            self.received = self.received or number


def _leave_time_to_save(threads: int) -> tuple[int, int] | None:
    """Lower the soft limit on CPU time if it is too close to the hard limit for a save.

    Returns:
        The soft and the hard limit as they were; None if nothing was changed.
    """
    if resource is None:
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    reserved = threads * min(max(hard // SHARE_TO_SAVE, LEAST_TO_SAVE), MOST_TO_SAVE)
    latest = max(1, hard - min(reserved, hard // 2))
    if hard == resource.RLIM_INFINITY or 0 <= soft <= latest:  # RLIM_INFINITY is -1 or the largest value
        return None
    resource.setrlimit(resource.RLIMIT_CPU, (latest, hard))
    return soft, hard
