"""Stopping a training from outside, or asking it to save, at a point where it can; and telling its clock of a pause."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from charrnn.cli.trainer.leaving import Watcher, leave
from charrnn.training.clock import CLOCK

try:
    import resource
except ImportError:  # not a POSIX system
    resource = None  # type: ignore[assignment]

_STOPS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK", "SIGXCPU")
STOPS = [getattr(signal, name) for name in _STOPS if hasattr(signal, name)]
"""Ctrl-C, a polite kill, a terminal that goes away, what Windows has for these, and processor time that is used up."""

SAVES = [getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name)]
"""Save, and go on: what batch systems send some time before they kill."""

QUITS = [signal.SIGQUIT] if hasattr(signal, "SIGQUIT") else []
r"""Ctrl-\: leave at once whatever there is to save, but with the terminal in order."""

SAME_SECONDS = 0.25
"""Time after a first stop in which a SIGINT is the same Ctrl-C: the terminal sends it, and so does coreutils' `timeout`
to what it runs. Nobody presses two keys again as fast."""

OUT_OF_TIME = getattr(signal, "SIGXCPU", None)
"""The last of them, which comes again each second."""

SHARE_TO_SAVE, LEAST_TO_SAVE, MOST_TO_SAVE = 10, 3, 60
"""Of a limit on processor time, what is kept for the last save: one part in so many, and bounds in seconds.

That is for each thread, since the limit is on what all of them take together; of all of it no more than half."""

GOES_ON = [signal.SIGCONT] if hasattr(signal, "SIGCONT") else []
"""The process was stopped, and is no more."""


class TrainingSignals:
    """While it is entered, a signal is remembered instead of ending the process.

    That is so once the training is under way: before, there is nothing to save, and a stop leaves at once, by
    KeyboardInterrupt or SystemExit. So does a SIGINT after another stop, which is not the same Ctrl-C that comes twice,
    but for a process that a launcher started: there the same Ctrl-C may come from the terminal, from the launcher and
    as its SIGTERM, and the launcher kills what stays for too long. A signal that was ignored before, as SIGINT is for a
    background job of a script, stays ignored. Where a computation keeps Python from leaving at once, see `leaving`.

    A limit on processor time tells of its end by a signal only if it can be raised; at the other, which a plain
    `ulimit -t` sets too, the system kills. So while it is entered the first ends early enough for a save.

    Args:
        is_launched: whether a launcher started this process.
        tell: says that the process leaves with nothing saved; called by `tell_unsaved`.

    Attributes:
        under_way: whether there is something to save.
        received: number of the first signal to stop; 0 before.
        save_wanted: whether one asked for a save; the caller sets it back.
    """

    def __init__(self, *, is_launched: bool = False, tell: Callable[[], object] = lambda: None) -> None:
        self._is_launched, self._tell = is_launched, tell
        self.under_way = self._holds = False
        self.received = 0
        self.save_wanted = False
        self._first_stop = math.inf  # when it came, by the monotonic clock
        self._is_leaving = False  # as the thread beside Python knows
        self._has_told = False
        self._former: dict[int, Any] = {}

    def __enter__(self) -> TrainingSignals:
        for number in (*STOPS, *SAVES, *QUITS, *GOES_ON):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._former[number] = signal.signal(number, self._remember)
        self._watcher = Watcher(self._must_leave, self.tell_unsaved)
        self._former_limit = _leave_time_to_save(threads=1)
        return self

    def keep_time_to_save(self, threads: int) -> None:
        """Let the signal of a limit on processor time come as early as so many threads need it."""
        before = _leave_time_to_save(threads)
        self._former_limit = self._former_limit or before

    @property
    def asks(self) -> bool:
        """Whether one asks for something that has not been done yet."""
        return bool(self.received or self.save_wanted)

    def tell_unsaved(self) -> None:
        """Say once that nothing was saved, unless the training is under way: who pressed Ctrl-C twice then knows."""
        if not (self.under_way or self._has_told):
            self._has_told = True  # first: a further signal comes amid it, or the thread beside Python
            self._tell()

    @contextlib.contextmanager
    def held_back(self) -> Iterator[None]:
        """Let a first stop wait: amid the loading of PyTorch, an exception would abort the process."""
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
        """Whether a signal that comes now is to end the process at once, whatever it does."""
        if number in QUITS:
            return True
        if number not in STOPS or self._holds:
            return False
        self._is_leaving = self._is_leaving or self._is_impatient(number)
        return self._is_leaving or not self.under_way

    def _is_impatient(self, number: int) -> bool:
        """Take note of a stop; tell whether it is a later Ctrl-C, of somebody who does not wait for a save.

        Python's handler may hear of one long after the thread beside it, and of two at once.
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
    """Lower the limit on processor time at which a signal comes, where the one that kills is near it.

    Returns:
        Both as they were; None if nothing was changed.
    """
    if resource is None:
        return None
    limits = told, kills = resource.getrlimit(resource.RLIMIT_CPU)
    kept = threads * min(max(kills // SHARE_TO_SAVE, LEAST_TO_SAVE), MOST_TO_SAVE)
    last = max(1, kills - min(kept, kills // 2))
    if kills == resource.RLIM_INFINITY or 0 <= told <= last:  # no limit is -1, or as high as can be
        return None
    resource.setrlimit(resource.RLIMIT_CPU, (last, kills))
    return limits
