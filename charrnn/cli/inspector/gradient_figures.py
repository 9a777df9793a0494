"""Draws figures of gradients and of the loss by context, of one model or several, for a terminal."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

from charrnn.analysis.gradients import REACH
from charrnn.cli.inspector.recording import describe_extent
from charrnn.cli.inspector.tables import format_columns, format_comparison
from charrnn.display.curves import MIN_WIDTH, NO_ROOM, Curve, plot
from charrnn.display.widths import wrapped
from charrnn.escape import one_line
from charrnn.metrics import bits_per_char
from charrnn.wording import number_of

LOWEST = 1e-9
"""Share of the gradient at k = 0 at which a curve ends; a wider range would flatten the part above."""

LARGEST_COUNTED = 1e4
"""Growth factor of a gradient from which on it is written with an exponent."""

LARGEST_BITS = 1e6
"""Loss from which on it is written without decimals."""

_MARKS = "●○◆◇▲△■□"

GradientFigures = dict[str, Any]
"""The data of `gradients_view` for one model, as plain values."""


def draw_gradients(figures: Mapping[str, GradientFigures], width: int) -> list[str]:
    """Draw the figures of models, by name; the name of a single model is left out."""
    flows = [(one_line(name), flow) for name, each in figures.items() for flow in each["flow"]]
    rows = [
        [name, f"{flow['layer']}", flow["part"], format_reach(flow, "half"), format_reach(flow, "hundredth"),
         format_remainder(flow)]
        for name, flow in flows
    ]  # fmt: skip
    lines = [line for text in _describe_texts(figures) for line in wrapped(text, width)]
    head = ["model", "layer", "by", "falls to a half at", "to a hundredth at", f"left at {REACH}"]
    lines += ["", *_table(head, rows, len(figures), width)]
    if places := {flow["places"] for _, flow in flows if flow["places"] > 1}:
        note = (
            f"gradients are medians over {max(places)} places, spread over the text; in brackets, the range of the "
            "middle half"
        )
        lines += ["", *wrapped(note, width)]
    lines += ["", *(draw_curves(flows, width) if width >= MIN_WIDTH else wrapped(NO_ROOM, width))]
    radii = [
        [one_line(name), str(entry["layer"]), entry["gate"], _radius(entry["radius"])]
        for name, each in figures.items()
        for entry in each["spectral_radius"]
    ]
    head = ["model", "layer", "gate", "spectral radius of its recurrent weights"]
    return [*lines, "", *_table(head, radii, len(figures), width), "", *_contexts(figures, width)]


def draw_curves(flows: list[tuple[str, Any]], width: int) -> list[str]:
    """Draw gradient norms by distance; each curve ends where less than `LOWEST` is left."""
    curves = [
        Curve(f"{name} {flow['layer']} {flow['part']}".strip(), _MARKS[number % len(_MARKS)], _falling(flow["norms"]))
        for number, (name, flow) in enumerate(flows)
        if flow["norms"][0]
    ]
    if not curves:
        return []
    title = "log10 of |gradient| k back over that at 0"
    drawn = plot(curves, width, title=title, x_range=(0, REACH), labels=("k = 0", f"k = {REACH}"))
    if any(_falls_below(flow["norms"]) for _, flow in flows):
        drawn += ["", *wrapped(f"a curve ends where less than {LOWEST:g} is left", width)]
    return drawn


def describe_counts(figures: Mapping[str, GradientFigures]) -> list[str]:
    """Notes on the number of characters that the losses by context are over, and on lengths left out."""
    counts = {number_of(each["loss_by_context"][0]["characters"], each["unit"]) for each in figures.values()}
    units = " or ".join(dict.fromkeys(f"{each['unit']}s" for each in figures.values()))
    notes = [f"every row is over the same {counts.pop() if len(counts) == 1 else f'{units} of a text'}"]
    if any(each["contexts_cut"] for each in figures.values()):
        longest = min(each["loss_by_context"][-1]["most"] for each in figures.values())
        notes.append(f"more context than {longest} would leave less than half of so short a text to predict")
    return notes


def format_loss(row: Mapping[str, Any] | None) -> str:
    """A loss in bits with as many decimals as its standard error justifies."""
    if row is None:
        return ""
    if row["loss"] is None or row["error"] is None:
        return "no number"
    bits, error = bits_per_char(row["loss"]), bits_per_char(row["error"])
    decimals = -math.floor(math.log10(error)) if error > 0 else 4
    return f"{bits:.{min(max(decimals, 1), 4)}f}" if bits < LARGEST_BITS else f"{bits:.2g}"


def format_reach(flow: Mapping[str, Any], share: str) -> str:
    """The distance at which a gradient has fallen to a share, or words if it has not."""
    if flow[share] is not None:
        return str(flow[share])
    if not flow["norms"][0]:
        return "no number"
    return f"beyond {REACH}" if (flow["remainder"] or math.inf) <= 1 else "it grows"


def format_remainder(flow: Mapping[str, Any]) -> str:
    """The share of a gradient left at the largest distance, with its quartiles over the places."""
    remainder = flow["remainder"]
    if remainder is None:
        return "no number"
    told = _rounded(remainder) if remainder <= 1 else f"{_rounded(remainder)} times"
    if flow["middle_half"] is None:
        return told
    low, high = map(_rounded, flow["middle_half"])
    return f"{told} ({low} to {high})"


def _describe_texts(figures: Mapping[str, GradientFigures]) -> list[str]:
    """What each model read; one line if all read the same."""
    extents = {name: describe_extent(each) for name, each in figures.items()}
    if len(set(extents.values())) == 1:
        return [next(iter(extents.values()))]
    return [f"{one_line(name)}: {extent}" for name, extent in extents.items()]


def _table(head: list[str], rows: list[list[str]], num_models: int, width: int) -> list[str]:
    skipped = int(num_models == 1)
    return format_columns(head[skipped:], [row[skipped:] for row in rows], width)


def _radius(radius: float | None) -> str:
    return "no number" if radius is None else f"{radius:.3f}"


def _falling(norms: list[float | None]) -> list[tuple[float, float]]:
    """The points of a curve up to the first share that is below `LOWEST` or missing."""
    first = norms[0] or math.nan
    shares = itertools.takewhile(lambda share: share >= LOWEST, ((norm or 0.0) / first for norm in norms))
    return [(k, math.log10(share)) for k, share in enumerate(shares)]


def _falls_below(norms: list[float | None]) -> bool:
    """Whether a curve is cut because a finite share is below `LOWEST`."""
    if not norms[0]:
        return False
    drawn = len(_falling(norms))
    return drawn < len(norms) and norms[drawn] is not None


def _contexts(figures: Mapping[str, GradientFigures], width: int) -> list[str]:
    """The table of bits per character or byte by context length, a column for each model, with its notes."""
    lengths = {row["most"]: row["fewest"] for each in figures.values() for row in each["loss_by_context"]}
    by_model = [{row["most"]: row for row in each["loss_by_context"]} for each in figures.values()]
    rows = [
        [f"{fewest} to {most}" if fewest < most else f"{most}", *(format_loss(found.get(most)) for found in by_model)]
        for most, fewest in sorted(lengths.items())
    ]
    units = list(dict.fromkeys(each["unit"] for each in figures.values()))
    told = f"bits per {' or '.join(units)}, by {' or '.join(f'{unit}s' for unit in units)} of context"
    names = [one_line(name) for name in figures]
    if len(units) > 1:
        names = [f"{one_line(name)}, per {each['unit']}" for name, each in figures.items()]
    table = format_comparison(["context"], names, rows, width)
    notes = [line for note in describe_counts(figures) for line in wrapped(note, width)]
    return [*wrapped(told, width), *table, "", *notes]


def _rounded(share: float) -> str:
    """A share rounded to its precision: one digit below 1; above, two digits, or the whole part from 10 on."""
    if 10 <= share < LARGEST_COUNTED:
        return f"{share:,.0f}"
    return f"{share:.1g}" if share < 1 else f"{share:.2g}"
