"""What every view is: what was found out about a model, as plain values, and drawn for a terminal or a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from charrnn.display.svg import Tinted


@dataclass(frozen=True)
class View:
    """Something found out about a model.

    Attributes:
        name: its key in the JSON.
        data: plain values.
        lines: draws it for a terminal of some width, with colour or without.
        tinted: the text that it colours, if it colours one.
        legend: what the colours of a picture of it stand for.
        cut: how much of its text that is, in words, where it is the beginning alone.
    """

    name: str
    data: dict[str, Any]
    lines: Callable[[int, bool], list[str]]
    tinted: tuple[Tinted, ...] = ()
    legend: str = ""
    cut: str = ""
