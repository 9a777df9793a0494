"""Saving while a training goes on: in the background, at a share of its time, and through failures.

What a save costs is the copy of the weights, for which training waits, and the processor's time of the thread that
writes them; what that thread waits for a disk costs training nothing.

A save that fails, on a disk that is full or a folder that is gone, leaves the checkpoint before it. It is told once a
minute and tried again; what counts is whether the last one succeeds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from charrnn.cli.trainer.placing import Placer
from charrnn.cli.trainer.trouble import Trouble
from charrnn.errors import OutputError, is_out_of_memory
from charrnn.training import checkpoint
from charrnn.training.clock import CLOCK

SAVE_EVERY = 60.0
"""Seconds between two saves where no flag says otherwise and no evaluation comes before."""

SHARE = 0.01
"""Share of the training's time that saving may cost, but for `--save-every` and the end."""

DISK_SHARE = 0.1
"""Share of the time in which a disk may be written to, likewise: a slow one, or one that stood still once."""


class BackgroundSaver:
    """Writes one checkpoint at a time, in a thread of its own.

    Args:
        placer: that puts the checkpoint at its path.
        save_every: seconds between saves; None for `SAVE_EVERY`, or more where a save costs much.
        tell: called, from the caller's thread, with what the user should know.
        first: called before each save, from the thread that writes.
        then: called after each that succeeds, from there too.
        writes: whether this process is the one of its training that saves; in others nothing is ever due or written.
        saved_step: the step of the checkpoint there, where the run goes on from it.

    Attributes:
        seconds: that the last save took, from the copy of the weights to the file.
        cost: seconds of these that training lost.
        failure: why the last finished save failed; empty where it did not.
        saved_step: the step of the checkpoint on disk, as far as this process knows; None if nothing was saved.
        unplaced: where the last save lies if it could not be put at its path; see `Placer`.
    """

    def __init__(
        self,
        placer: Placer,
        save_every: float | None,
        tell: Callable[[str], None],
        first: Callable[[], object] = lambda: None,
        then: Callable[[], object] = lambda: None,
        *,
        writes: bool = True,
        saved_step: int | None = None,
    ) -> None:
        self.seconds = self.cost = 0.0
        self.failure = ""
        self.saved_step = saved_step
        self.unplaced: Path | None = None
        self._first, self._then, self._writes = first, then, writes
        self._placer, self._save_every = placer, save_every
        self._trouble = Trouble(tell)
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        self._begun, self._step = CLOCK.now(), 0

    def is_due(self, *, evaluated: bool) -> bool:
        """Whether it is time to save.

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
        """Begin to save, once the save before is done; too little memory for a copy is a failure like others.

        Args:
            contents: gives a copy of what is to be saved; see `checkpoint.snapshot`.
            step: that it is of.
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
        self._thread = threading.Thread(target=self._write, args=(copy,), daemon=True)  # none to wait for on leaving
        try:
            self._thread.start()
        except RuntimeError:  # this user, or this container, may have no more threads: training waits for the disk
            self._write(copy)
            self.cost = self.seconds

    def is_done(self, within: float) -> bool:
        """Whether nothing is being saved any more, so many seconds from now at the latest."""
        if self._thread is not None and self._thread.ident is not None:
            self._thread.join(within)
        return self._thread is None or not self._thread.is_alive()

    def poll(self) -> None:
        """Take note of a save that is done, and tell of one that failed."""
        if self.is_done(within=0):
            self.wait()

    def wait(self, *, is_last: bool = False) -> None:
        """Wait until nothing is being saved, and take note as `poll` does.

        Args:
            is_last: no more saves follow, and the caller tells of a failure.
        """
        if self._thread is None:
            return
        if self._thread.ident is not None:  # else it could not be started
            self._thread.join()
        self._thread = None
        # A thread is not told of a pause by Ctrl-Z, and its clock may have counted one that ended just before.
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
        """Write the contents; None where memory did not suffice for a copy of them."""
        try:
            if contents is None:
                raise MemoryError
            self._first()
            checkpoint.write(self._placer.path, contents, partial(self._placer.put, step=self._step))
            self._then()
        except MemoryError:
            self._error = OutputError(f"{self._placer.path}: the checkpoint cannot be written (out of memory)")
        except Exception as error:  # raised again in the thread that waits, but for what is expected
            self._error = error
        self.seconds = CLOCK.now() - self._begun
        self.cost += time.thread_time()  # all of this thread's
