"""Save checkpoints in a background thread while training goes on, within a share of its time.

The cost of a save is the copy of the weights, for which training waits, and the CPU time of the thread that writes
them; the thread's waits for the disk cost training nothing.

A save that fails, as on a full disk or in a folder that is gone, leaves the previous checkpoint. Failures are reported
once a minute, and the next save tries again; only a failure of the last save is an error.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from charrnn.cli.trainer.placing import Placer
from charrnn.cli.trainer.repeated_failure import RepeatedFailure
from charrnn.errors import OutputError, is_out_of_memory
from charrnn.training import checkpoint
from charrnn.training.clock import CLOCK

SAVE_EVERY = 60.0
"""Seconds between two saves, without --save-every and unless an evaluation comes first."""

SHARE = 0.01
"""Share of the training time that saves may cost; saves by `--save-every` and at the end are exempt."""

DISK_SHARE = 0.1
"""Share of the time that saves may take in all, with the same exemptions: matters on a slow or stalled disk."""


class BackgroundSaver:
    """Writes one checkpoint at a time, in a thread of its own.

    Args:
        placer: puts the checkpoint at its path.
        save_every: seconds between saves; None for `SAVE_EVERY`, or more if saves are slow.
        tell: called with messages for the user, from the caller's thread.
        before_save: called before each save, from the writing thread; None for nothing.
        after_save: called after each save that succeeds, likewise.
        writes: whether this process is the one that saves; in the others nothing is ever due or written.
        saved_step: the step of the existing checkpoint, if the run resumes from it.

    Attributes:
        seconds: duration of the last save, from the copy of the weights to the finished file.
        cost: the part of `seconds` that training lost.
        failure: why the last finished save failed; empty if it succeeded.
        saved_step: the step of the checkpoint on disk, as far as this process knows; None if nothing was saved.
        unplaced: where the last save lies if it could not be put at its path; see `Placer`.
    """

    def __init__(
        self,
        placer: Placer,
        save_every: float | None,
        tell: Callable[[str], None],
        *,
        before_save: Callable[[], object] | None = None,
        after_save: Callable[[], object] | None = None,
        writes: bool = True,
        saved_step: int | None = None,
    ) -> None:
        self.seconds = self.cost = 0.0
        self.failure = ""
        self.saved_step = saved_step
        self.unplaced: Path | None = None
        self._placer = placer
        self._save_every = save_every
        self._before_save = before_save
        self._after_save = after_save
        self._writes = writes
        self._trouble = RepeatedFailure(tell)
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        self._begun, self._step = CLOCK.now(), 0

    def is_due(self, *, evaluated: bool) -> bool:
        """Whether a save is due.

        Args:
            evaluated: whether an evaluation has just been made.
        """
        if not self._writes or self._thread is not None:
            return False
        elapsed = CLOCK.now() - self._begun
        if self._save_every is not None and elapsed >= self._save_every:
            return True
        is_time = evaluated or (self._save_every is None and elapsed >= SAVE_EVERY)
        return is_time and elapsed >= max(self.cost / SHARE, self.seconds / DISK_SHARE)

    def save(self, contents: Callable[[], dict[str, Any]], step: int) -> None:
        """Wait for the previous save, and start the next; too little memory for the copy counts as a failed save.

        Args:
            contents: returns a copy of what is to be saved; see `checkpoint.snapshot`.
            step: of the contents.
        """
        if not self._writes:
            return
        self.wait()
        self._begun, self._step = CLOCK.now(), step
        try:
            copy = contents()
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            copy = None
        self.cost = CLOCK.now() - self._begun
        self._thread = threading.Thread(target=self._write, args=(copy,), daemon=True)  # not joined at exit
        try:
            self._thread.start()
        except RuntimeError:  # the limit on threads is reached: write in this thread
            self._write(copy)
            self.cost = self.seconds

    def is_done(self, within: float) -> bool:
        """Wait up to `within` seconds for a save under way; return whether none is left."""
        if self._thread is not None and self._thread.ident is not None:
            self._thread.join(within)
        return self._thread is None or not self._thread.is_alive()

    def poll(self) -> None:
        """Take note of a save that has finished, and report a failure; does not wait."""
        if self.is_done(within=0):
            self.wait()

    def wait(self, *, is_last: bool = False) -> None:
        """Wait for a save under way, and take note of it as `poll` does.

        Args:
            is_last: whether no more saves follow; then the caller reports a failure.
        """
        if self._thread is None:
            return
        if self._thread.ident is not None:  # else it could not be started
            self._thread.join()
        self._thread = None
        # Outside the main thread the clock does not yet leave out a pause (Ctrl-Z) that has just ended.
        self.seconds = min(self.seconds, CLOCK.now() - self._begun)
        error, self._error = self._error, None
        if error is not None and not isinstance(error, OutputError):
            raise error
        self.unplaced = self._placer.unplaced
        self.failure = str(error or "")
        if not self.failure:
            self.saved_step = self._step
        if is_last:
            return
        if self.failure:
            self._trouble.begin(self.failure, is_safe=self.unplaced is not None)
        else:
            self._trouble.end(f"{self._placer.path}: saved again")

    def _write(self, contents: dict[str, Any] | None) -> None:
        """Write the contents, None if there was too little memory to copy them."""
        try:
            if contents is None:
                raise MemoryError
            if self._before_save is not None:
                self._before_save()
            checkpoint.write(self._placer.path, contents, partial(self._placer.put, step=self._step))
            if self._after_save is not None:
                self._after_save()
        except MemoryError:
            self._error = OutputError(f"{self._placer.path}: the checkpoint cannot be written (out of memory)")
        except Exception as error:  # `wait` raises it again unless it is an OutputError
            self._error = error
        self.seconds = CLOCK.now() - self._begun
        self.cost += time.thread_time()  # all CPU time of this thread
