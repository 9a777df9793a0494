"""The values of a page as they are gathered, and why some of them are absent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from charrnn.cli.inspector.subject import Subject
from charrnn.errors import CharRNNError, DivergenceError

Section = dict[str, Any]
"""Plain values, by the names under which the page's script reads them."""

READ = ("surprise", "neurons", "gates", "gradients")
"""Sections about a text that a model reads."""

LINES_FORGET = "it learned line by line and forgets at every line's end"
"""Why a model has no section that looks further back."""


class Page:
    """The values of a page, as they are gathered.

    Args:
        facts: what every page has.
        is_whole: whether all is wanted that can be shown; of what cannot, the reason is told then.

    Attributes:
        values: by the names under which the page's script reads them; "absent" has the reasons, by section.
    """

    def __init__(self, facts: Section, *, is_whole: bool) -> None:
        self.is_whole = is_whole
        self._absent: dict[str, str] = {}
        self.values: dict[str, Any] = {**facts, "absent": self._absent}

    def add(self, name: str, make: Callable[[], Section], *, must: bool = False) -> None:
        """Add a section that is not known to be absent; where its figures are no numbers, it is, by that reason.

        Raises:
            DivergenceError: they are no numbers, and it must be there.
        """
        if name in self._absent:
            return
        try:
            self.values |= make()
        except DivergenceError as error:
            if must:
                raise
            self.lack(name, reason=told_on_a_page(error))

    def lack(self, *names: str, reason: str) -> None:
        """Tell why sections are absent, where that is not told yet."""
        for name in names:
            self._absent.setdefault(name, reason)


def told_on_a_page(error: CharRNNError) -> str:
    """What an error says, without what is to be done: a reader of the page cannot do that."""
    return str(error).partition(";")[0]


def without_text(subject: Subject) -> str:
    """Why there is no text, without the flag that gives one: a page may be read by someone else."""
    return "for want of the text that it learned from: " + subject.absence.partition(";")[0]
