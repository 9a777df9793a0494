"""Adjust the number of threads of a training: fewer while other programs use the same cores.

The threads of one network wait for each other at every matrix product. A thread that shares its core with another
program holds up all of them, and two threads are then several times slower than one.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from typing import Any

import torch

from charrnn.cli.common.cores import allotted_cores, usable_cores
from charrnn.cli.trainer.cpu_load import OtherLoad, threads_beside
from charrnn.network.ensemble import Model, members_of, share_threads
from charrnn.training.clock import CLOCK

POLL_SECONDS, FIRST_POLL_SECONDS = 1.0, 0.3
"""Least seconds between two looks at other programs, and before the first; Linux counts their time in 1/100 s."""

WORTH_A_START = 30.0
"""Least seconds left of a training for the advice that stopping and resuming it would be faster."""


def default_threads(processes: int) -> int:
    """The default number of threads of one process: its share of the physical cores, as torch counts them.

    No more than the cores allotted to the process. If OMP_NUM_THREADS is set, its number is for each process, and not
    divided.

    Args:
        processes: of this training on this host.
    """
    threads = min(torch.get_num_threads(), allotted_cores())
    return threads if "OMP_NUM_THREADS" in os.environ else max(1, threads // processes)


def try_threads(count: int) -> None:
    """Start so many threads at once, and end them; PyTorch's thread library would end the process if it could not.

    Raises:
        RuntimeError: one of them cannot be started.
    """
    are_tried, started = threading.Event(), list[threading.Thread]()
    try:
        for _ in range(count):
            thread = threading.Thread(target=are_tried.wait, daemon=True)
            thread.start()
            started.append(thread)
    finally:
        are_tried.set()
        for thread in started:
            thread.join()


class ThreadKeeper:
    """Gives a training fewer threads while other programs need the cores, and all of them again afterwards.

    It changes the number only with a time limit. Otherwise the same seed must give the same weights, and the last
    digits of sums depend on the number of threads; then it only advises what would be faster. Either message is shown
    once.

    Args:
        options: of the training, by field name of `TrainConfig`; "threads" is the largest number of threads.
        other_load: the other programs, watched for some time already.
        is_fixed: whether the number never changes: --threads was given, or several processes train.

    Attributes:
        threads: their current number.
        at_work: how many of them compute: as many as can be divided evenly among members.
        news: a message that was not shown yet; empty if there is none.
    """

    def __init__(self, options: Mapping[str, Any], other_load: OtherLoad, *, is_fixed: bool) -> None:
        most: int = options["threads"]
        is_open = not is_fixed and "OMP_NUM_THREADS" not in os.environ
        self._looks = is_open and most > 1 and options["device"] == "cpu"
        self._may_change = options["time_limit"] is not None
        self._most = self.threads = self.at_work = most
        self._other_load, self._looked = other_load, other_load.began
        self._left_out = time.monotonic() - CLOCK.now()
        self._has_told, self.news = False, ""

    def share(self, model: Model) -> None:
        """Divide the current threads among the members of a model.

        If there is at most one thread for each member, all threads are used: members do not wait for each other within
        a step.
        """
        if self._are_apart(model):
            self.threads, self.news = self._most, ""
        self.at_work = share_threads(model, self.threads)

    @property
    def has_all(self) -> bool:
        """Whether no thread has been given up."""
        return self.threads == self._most

    def adjust_first(self) -> None:
        """Look at other programs before there is a model, and settle the number of threads."""
        self._see(FIRST_POLL_SECONDS)

    def adjust(self, model: Model) -> bool:
        """If a look is due, fit the threads to what other programs use; return whether the number has changed."""
        if self._are_apart(model) or not self._see(POLL_SECONDS):
            return False
        self.share(model)
        return True

    def _see(self, least: float) -> bool:
        """Settle the number of threads if the last look was `least` seconds ago; return whether it has changed."""
        if not self._looks or time.monotonic() < self._looked + least:
            return False
        self._looked = time.monotonic()
        left_out, self._left_out = self._left_out, self._looked - CLOCK.now()
        others = self._other_load.measure()
        if self._left_out - left_out > least:  # this process was paused: ignore what others did then
            return False
        threads = threads_beside(others, usable=usable_cores(), threads=self.threads, most=self._most)
        if threads == self.threads:
            return False
        if self._may_change:
            self.threads = threads
            advice = f"going on with {threads} of {self._most} threads until they are free"
        else:
            advice = f"to stop here and go on with --resume --threads {threads} would be faster"
        if not self._has_told:
            self._has_told, self.news = True, f"other programs keep {others:.1f} cores busy; {advice}"
        return self._may_change

    def tell(self, seconds_left: float) -> str:
        """Return the pending message, once; near the end, the advice to stop and resume is dropped.

        Args:
            seconds_left: of the training.
        """
        told, self.news = self.news, ""
        return told if self._may_change or seconds_left >= WORTH_A_START else ""

    def _are_apart(self, model: Model) -> bool:
        return len(members_of(model)) >= self._most
