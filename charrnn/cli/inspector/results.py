"""What a view finds about a model: plain values, how much of a text a page shows, and a drawing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from charrnn.display.svg import Tinted

Section = dict[str, Any]
"""Plain values, by the names under which the page's script reads them."""

PAGE_CHARACTERS = 1_500
"""Most characters of a text on a page: each comes with guesses and cell values."""


@dataclass(frozen=True)
class View:
    """Findings about a model.

    Attributes:
        name: its key in the JSON.
        data: the findings as plain values.
        lines: draws the view; takes the terminal's width and whether to use colour.
        tinted: the coloured text, for a picture; empty if the view has none.
        legend: what the colours of the picture stand for.
        cut: a note on how much of the text is shown; empty if all of it is.
    """

    name: str
    data: dict[str, Any]
    lines: Callable[[int, bool], list[str]]
    tinted: tuple[Tinted, ...] = ()
    legend: str = ""
    cut: str = ""
