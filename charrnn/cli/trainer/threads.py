"""The threads of a training, fewer while other programs are at work on the same cores.

The threads of one network wait for each other at every product. One that shares its core with another program holds up
all, and two are then several times slower than one.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from typing import Any

import torch

from charrnn.cli.common.cores import allotted_cores, usable_cores
from charrnn.cli.trainer.neighbours import Neighbours, threads_beside
from charrnn.network.ensemble import Model, members_of, share_threads
from charrnn.training.clock import CLOCK

LOOK_SECONDS, FIRST_LOOK_SECONDS = 1.0, 0.3
"""Time between looks at the others, at least, and from the start to the first; what they do is told in hundredths."""

WORTH_A_START = 30.0
"""Seconds that must be left of a training where it is said to be faster if it is stopped and started again."""


def default_threads(processes: int) -> int:
    """The physical cores, as torch counts them, of those that this process is allotted: its part of them.

    Where OMP_NUM_THREADS says how many threads a process is to have, that is the number.

    Args:
        processes: of a training on this host.
    """
    threads = min(torch.get_num_threads(), allotted_cores())
    return threads if "OMP_NUM_THREADS" in os.environ else max(1, threads // processes)


def try_threads(count: int) -> None:
    """Start so many threads at once, and end them: where PyTorch's library may start none, it ends the process.

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
    """Gives a training fewer threads while others need the cores, and all of them again when they are free.

    It does so only where the clock ends the training: else the same seed is to give the same weights, and sums depend
    on the threads in their last digits. There it says what would be faster. Whatever it says, it says once.

    Args:
        options: how the training is set up, by field name of `TrainConfig`; its threads are those that there are.
        neighbours: the other programs, watched for some time already.
        is_fixed: whether the number never changes: --threads was given, or other processes train too.

    Attributes:
        threads: that there are now.
        at_work: how many of them compute: all that can be shared evenly among members.
        news: a message that was not shown yet; empty if there is none.
    """

    def __init__(self, options: Mapping[str, Any], neighbours: Neighbours, *, is_fixed: bool) -> None:
        most: int = options["threads"]
        is_open = not is_fixed and "OMP_NUM_THREADS" not in os.environ
        self._looks = is_open and most > 1 and options["device"] == "cpu"
        self._may_change = options["time_limit"] is not None
        self._most = self.threads = self.at_work = most
        self._neighbours, self._looked = neighbours, neighbours.began
        self._left_out = time.monotonic() - CLOCK.now()
        self._has_told, self.news = False, ""

    def share(self, model: Model) -> None:
        """Divide as many threads as there are now among the members of a model.

        Members that can have one each do not wait for each other within a step, and stay side by side.
        """
        if self._are_apart(model):
            self.threads, self.news = self._most, ""
        self.at_work = share_threads(model, self.threads)

    @property
    def has_all(self) -> bool:
        """Whether the threads are as many as there may be."""
        return self.threads == self._most

    def look_first(self) -> None:
        """See what others have done since the start, before there is a model to train."""
        self._see(FIRST_LOOK_SECONDS)

    def look(self, model: Model) -> bool:
        """See what others do, where it is time to, and change the threads for it: whether they have changed."""
        if self._are_apart(model) or not self._see(LOOK_SECONDS):
            return False
        self.share(model)
        return True

    def _see(self, least: float) -> bool:
        """Settle how many threads there are to be, `least` seconds after the last time: whether it is another one."""
        if not self._looks or time.monotonic() < self._looked + least:
            return False
        self._looked = time.monotonic()
        left_out, self._left_out = self._left_out, self._looked - CLOCK.now()
        others = self._neighbours.look()
        if self._left_out - left_out > least:  # it was stopped meanwhile: what they did then is over
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
        """Give the news, once; near the end, advice to stop and start again is dropped.

        Args:
            seconds_left: of the training.
        """
        told, self.news = self.news, ""
        return told if self._may_change or seconds_left >= WORTH_A_START else ""

    def _are_apart(self, model: Model) -> bool:
        return len(members_of(model)) >= self._most
