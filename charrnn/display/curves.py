"""Curves for a terminal, as lines of text that fit a width; callers print them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from charrnn.analysis.ngrams import BASELINE_NAME
from charrnn.display.widths import cut, text_width
from charrnn.metrics import HistoryRow
from charrnn.text.options import CHARACTER

CURVE_HEIGHT = 10
MIN_WIDTH = 48
NO_ROOM = f"curves need {MIN_WIDTH} columns"
"""The message instead of curves on a terminal that is too narrow for them."""

BLOCKS = "▁▂▃▄▅▆▇█"
_TRAIN, _VAL, _LEVEL = "·", "●", "┄"
_MARGIN = 10

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Curve:
    """A broken line.

    Attributes:
        name: for the legend.
        mark: the character that draws it.
        points: (x, y) with x ascending.
    """

    name: str
    mark: str
    points: Points


def history_curve(
    history: Sequence[HistoryRow], width: int, baseline: float | None = None, *, unit: str = CHARACTER
) -> list[str]:
    """Draw both losses over the steps, and the learning rate below them.

    Args:
        history: evaluations in order.
        width: columns to draw in.
        baseline: loss of another model on the same held-out text, drawn as a horizontal line.
        unit: unit of the losses, `charrnn.text.options.CHARACTER` or `BYTE`.

    Returns:
        Lines of text; none for fewer than two evaluations or less than `MIN_WIDTH` columns.
    """
    if len(history) < 2 or width < MIN_WIDTH:
        return []
    curves = [
        Curve("validation", _VAL, [(row.step, row.val_loss) for row in history]),
        Curve("training", _TRAIN, [(row.step, row.train_loss) for row in history]),
    ]
    last_step = history[-1].step
    levels = {} if baseline is None else {BASELINE_NAME: baseline}
    labels = ("step 0", f"step {last_step:,}")
    lines = plot(curves, width, title=f"nats per {unit}", x_range=(0, last_step), labels=labels, levels=levels)
    return [*lines, "", *_rates(history, width)]


def plot(
    curves: Sequence[Curve],
    width: int,
    *,
    title: str,
    x_range: tuple[float, float],
    labels: tuple[str, str],
    levels: dict[str, float] | None = None,
) -> list[str]:
    """Draw curves in one frame; where some overlap, their marks alternate from column to column.

    Args:
        curves: at least one.
        width: columns to draw in, at least `MIN_WIDTH`.
        title: what the y axis shows.
        x_range: the ends of the x axis.
        labels: labels of the two ends.
        levels: y values to draw as horizontal lines, by name.

    Returns:
        `CURVE_HEIGHT` lines with a headline of one line or more above and the axis with its labels below.
    """
    columns = width - _MARGIN
    values = [y for curve in curves for _, y in curve.points]
    levels = levels or {}
    low, high = min([*values, *levels.values()]), max([*values, *levels.values()])

    def line_of(y: float) -> int:
        return round((high - y) / max(high - low, 1e-9) * (CURVE_HEIGHT - 1))

    grid = [[""] * columns for _ in range(CURVE_HEIGHT)]  # the marks of all curves that pass there
    for curve in curves:
        for column, value in enumerate(_sample(curve.points, x_range, columns)):
            if value is not None:
                grid[line_of(value)][column] += curve.mark
    empty = [" "] * CURVE_HEIGHT
    for y in levels.values():
        empty[line_of(y)] = _LEVEL
    marks = {0: f"{high:.3f}", CURVE_HEIGHT - 1: f"{low:.3f}"}
    rows = [
        "".join(found[column % len(found)] if found else empty[line] for column, found in enumerate(row))
        for line, row in enumerate(grid)
    ]
    lines = [f"{marks.get(index, ''):>8} ┤{row}".rstrip() for index, row in enumerate(rows)]
    legend = [f"{curve.mark} {curve.name}" for curve in curves] + [f"{_LEVEL} {name}" for name in levels]
    foot = f"{'':>{_MARGIN}}{labels[0]}{labels[1]:>{columns - len(labels[0])}}"
    return [*_headline(title, legend, width), *lines, f"{'':>8} └{'─' * columns}", foot]


def sparkline(values: Sequence[float | None], high: float) -> str:
    """Draw values from 0 to `high` in one line of blocks; None is a gap."""
    top = len(BLOCKS) - 1
    return "".join(" " if y is None else BLOCKS[round(min(max(y / high, 0), 1) * top)] for y in values)


def _headline(title: str, legend: Sequence[str], width: int) -> list[str]:
    """The title and the legend, in as many lines as they take."""
    lines = [f"{title} "]
    for entry in legend:
        if text_width(lines[-1]) + 2 + text_width(entry) > width:
            lines.append(entry)
        else:
            lines[-1] += f"  {entry}"
    return [cut(line, width).rstrip() for line in lines]


def _rates(history: Sequence[HistoryRow], width: int) -> list[str]:
    """The learning rate over the same x axis."""
    rates = [(row.step, row.learning_rate) for row in history]
    high = max(rate for _, rate in rates)
    blocks = sparkline(_sample(rates, (0, history[-1].step), width - _MARGIN), high or 1.0)
    return [f"learning rate, {high:.2g} to {rates[-1][1]:.2g}", f"{high:>8.1e} ┤{blocks}".rstrip()]


def _sample(points: Points, x_range: tuple[float, float], columns: int) -> list[float | None]:
    """Interpolate a curve at every column; None outside its x range. A single point is put in the nearest column."""
    low, high = x_range
    values = [_interpolate(points, low + (high - low) * column / (columns - 1)) for column in range(columns)]
    if len(points) == 1:
        x, y = points[0]
        values[round((x - low) / (high - low) * (columns - 1))] = y
    return values


def _interpolate(points: Points, x: float) -> float | None:
    for (left, low), (right, high) in itertools.pairwise(points):
        if left <= x <= right:
            return low + (high - low) * (x - left) / max(right - left, 1e-9)
    return None
