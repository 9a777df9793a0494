"""Collects the values of an HTML page, and the reasons for absent sections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from charrnn.cli.inspector.subject import Subject
from charrnn.errors import DivergenceError
from charrnn.wording import without_advice

Section = dict[str, Any]
"""Plain values, by the names under which the page's script reads them."""

PAGE_CHARACTERS = 1_500
"""Most characters of a text on a page: each comes with guesses and cell values."""

READ = ("surprise", "neurons", "gates", "gradients")
"""Sections that need a text for the model to read."""


class Page:
    """The values of a page, which are added section by section.

    Args:
        facts: the values that every page has.
        is_whole: whether the page shows all it can and gives reasons for the rest, or only what flags name.

    Attributes:
        values: by the names under which the page's script reads them; "absent" holds the reasons, by section.
    """

    def __init__(self, facts: Section, *, is_whole: bool) -> None:
        self.is_whole = is_whole
        self._absent: dict[str, str] = {}
        self.values: dict[str, Any] = {**facts, "absent": self._absent}

    def add(self, name: str, make: Callable[[], Section], *, must: bool = False) -> None:
        """Add a section, unless it is already marked absent; mark it absent if its figures are not finite.

        Raises:
            DivergenceError: the figures are not finite, and `must` is set.
        """
        if name in self._absent:
            return
        try:
            self.values |= make()
        except DivergenceError as error:
            if must:
                raise
            self.lack(name, reason=without_advice(str(error)))

    def lack(self, *names: str, reason: str) -> None:
        """Mark sections absent for a reason; an earlier reason stays, and an empty one marks nothing."""
        if reason:
            self._absent |= {name: reason for name in names if name not in self._absent}


def without_text(subject: Subject) -> str:
    """Why sections that need the training text are absent, without advice, which a page's reader could not follow."""
    return f"for lack of the text that it learned from: {without_advice(subject.why_no_training_text)}"
