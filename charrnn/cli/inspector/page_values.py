"""The values of a page as they are gathered, and why some of them are absent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from charrnn.cli.inspector.subject import Subject
from charrnn.errors import DivergenceError
from charrnn.wording import what_is_wrong

Section = dict[str, Any]
"""Plain values, by the names under which the page's script reads them."""

PAGE_CHARACTERS = 1_500
"""Of a text that is shown, with the guesses and the cells' values for each."""

READ = ("surprise", "neurons", "gates", "gradients")
"""Sections about a text that a model reads."""


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
            self.lack(name, reason=what_is_wrong(str(error)))

    def lack(self, *names: str, reason: str) -> None:
        """Tell why sections are absent, where that is not told yet; without a reason they are not."""
        if reason:
            self._absent |= {name: reason for name in names if name not in self._absent}


def without_text(subject: Subject) -> str:
    """Why there is nothing for which a model's own text must be read, for one who can do nothing about it."""
    return f"for want of the text that it learned from: {what_is_wrong(subject.absence)}"
