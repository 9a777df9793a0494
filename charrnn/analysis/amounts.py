"""How much text is enough to learn a style from, and to judge a model by."""

from __future__ import annotations

from dataclasses import dataclass

FEW, ENOUGH = 5_000, 100_000
"""Training characters below which no style is learned, and those that are a good start."""

FEW_LINES = 100
"""With --lines: training lines below which no style is learned; `FEW` lines are a good start."""

LINE = "line"


@dataclass(frozen=True)
class Measure:
    """The unit in which a text's length is judged, and the limits in it.

    Attributes:
        unit: "character", "byte" or `LINE`.
        few: units to train on below which no style is learned; a tenth of them must be held out to judge by.
        enough: units to train on that are a good start.
    """

    unit: str
    few: int
    enough: int

    def has_few_to_judge(self, held_out: int) -> bool:
        """Whether so few units are held out that chance decides which weights are the best."""
        return 10 * held_out < self.few


def measure_of(training: int, unit: str, *, has_lines: bool) -> Measure:
    """The measure of a text with so many characters or bytes to train on; of a short list of lines, that in lines."""
    return Measure(LINE, FEW_LINES, FEW) if has_lines and training < ENOUGH else Measure(unit, FEW, ENOUGH)
