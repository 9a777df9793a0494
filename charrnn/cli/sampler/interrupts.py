"""Ctrl-C in a conversation: it ends a text or drops a line, and leaves nothing in an inconsistent state."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


class DeferredInterrupt:
    """Defers Ctrl-C to where it is safe, so that the text written and the text that a story holds stay the same.

    Within `with` this object, Ctrl-C raises a KeyboardInterrupt, and one deferred before raises it on entry. A second
    Ctrl-C while the first is deferred is raised at once: writing may hang because the reader has stopped reading.

    Args:
        ends_all: whether Ctrl-C is not deferred, but ends the conversation.
    """

    def __init__(self, *, ends_all: bool) -> None:
        self._ends_all = ends_all
        self._may_come = self._is_deferred = False

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Defer Ctrl-C within the context, unless it is ignored or handled by someone else."""
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
        if self._is_deferred:
            self._come()

    def __exit__(self, *_: object) -> None:
        self._may_come = self._is_deferred = False

    def each(self, items: Iterable[Item]) -> Iterator[Item]:
        """Pass items on; Ctrl-C is raised while one is made, and deferred while it is used."""
        waiting = iter(items)
        while True:
            with self:
                try:
                    item = next(waiting)
                except StopIteration:
                    return
            yield item

    def until(self, items: Iterable[Item]) -> Iterator[Item]:
        """As `each`, but Ctrl-C ends the items without an exception, unless it ends the conversation."""
        try:
            yield from self.each(items)
        except KeyboardInterrupt:
            if self._ends_all:
                raise

    def _take(self, *_: object) -> None:
        if self._may_come or self._is_deferred:
            self._come()
        self._is_deferred = True

    def _come(self) -> None:
        self._may_come = self._is_deferred = False
        raise KeyboardInterrupt
