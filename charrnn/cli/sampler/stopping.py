"""Ctrl-C in a conversation: it ends a text or drops a line, and leaves nothing half done."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


class Stop:
    """Ctrl-C that is put by until it may come: so what is written and what a story has stay the same text.

    It may come within `with` this, as a KeyboardInterrupt, one that was put by at once. A second one while the first is
    put by comes at once too: what is written may have a reader who has stopped reading.

    Args:
        ends_all: whether it ends the conversation instead, wherever it comes.
    """

    def __init__(self, *, ends_all: bool) -> None:
        self._ends_all = ends_all
        self._may_come = self._is_put_by = False

    @contextlib.contextmanager
    def put_by(self) -> Iterator[None]:
        """Put Ctrl-C by; where it is ignored, or somebody else takes it, that stays so."""
        former = signal.getsignal(signal.SIGINT)
        if self._ends_all or former is not signal.default_int_handler:
            yield
            return
        signal.signal(signal.SIGINT, self._take)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, former)

    def __enter__(self) -> None:
        self._may_come = True
        if self._is_put_by:
            self._come()

    def __exit__(self, *_: object) -> None:
        self._may_come = self._is_put_by = False

    def each(self, items: Iterable[Item]) -> Iterator[Item]:
        """Give on items; Ctrl-C may come while one is made, and is put by while it is used."""
        waiting = iter(items)
        while True:
            with self:
                try:
                    item = next(waiting)
                except StopIteration:
                    return
            yield item

    def until(self, items: Iterable[Item]) -> Iterator[Item]:
        """The same, but Ctrl-C just ends them, unless it ends all."""
        try:
            yield from self.each(items)
        except KeyboardInterrupt:
            if self._ends_all:
                raise

    def _take(self, *_: object) -> None:
        if self._may_come or self._is_put_by:
            self._come()
        self._is_put_by = True

    def _come(self) -> None:
        self._may_come = self._is_put_by = False
        raise KeyboardInterrupt
