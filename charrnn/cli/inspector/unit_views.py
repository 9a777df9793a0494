"""Activations of cells and gates on a text: `charrnn inspect --neurons`, `--cell` and `--gates`."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from charrnn.analysis.features import Values
from charrnn.analysis.neurons import (
    ENOUGH,
    OPEN,
    SHORTEST_TEXT,
    SHUT,
    Unit,
    has_gates,
    parts_of,
    significant_findings,
)
from charrnn.cell_types import CELLS, GATE_LETTERS
from charrnn.cli.inspector.recording import Recording, describe_omission, too_few
from charrnn.cli.inspector.results import PAGE_CHARACTERS, Section, View
from charrnn.cli.inspector.subject import Subject
from charrnn.cli.inspector.tables import format_columns
from charrnn.config import ModelConfig
from charrnn.display.heatmap import Column, draw, signed_block, signed_colour, signed_scale
from charrnn.display.svg import Tinted
from charrnn.display.widths import with_bases, wrapped
from charrnn.errors import CharRNNError, ConfigError
from charrnn.escape import one_line
from charrnn.paths import name_of
from charrnn.surrogates import name_byte
from charrnn.wording import number_of

SHOWN_CHARACTERS = 2_000
"""Most characters that --cell shows of a model's own text."""

ACTIVATION_BYTES = 1_000_000
"""Most bytes of activations on a page, which keeps the page below three megabytes."""

MOST_POINTS = 500
"""Most units of a gate that a page plots."""

NEARLY_ALWAYS = 0.9
"""A gate counts as always open, or shut, if it is so at more than this share of the characters."""

UPDATE_KEEPS = (
    "a GRU's update gate z keeps the state where it is open, h = (1 - z) * candidate + z * h before; some textbooks "
    "swap z and 1 - z"
)


def neurons_view(recording: Recording) -> View:
    """List the units that correlate significantly with a feature of the text."""
    found = significant_findings(recording.findings)
    data = {
        **recording.piece.fields,
        "units": len(recording.activations.units),
        "features": len(recording.findings),
        "found": [{**asdict(f), "unit": unit_name(f.unit)} for f in found],
    }
    if note := _shortness(recording):
        data["note"] = note
    rows = [
        [with_bases(one_line(f.feature)), unit_name(f.unit), f"{f.effect:+.2f}", f"{f.chosen:+.2f}", f"{f.p:.4f}"]
        for f in found
    ]
    return View("neurons", data, lambda width, _colour: _draw_findings(recording, rows, width))


def cell_view(recording: Recording, name: str, *, shown: int | None) -> View:
    """Show the text coloured by one unit, and the features that the unit follows.

    Args:
        recording: the model and the text.
        name: of the unit, as --cell takes it.
        shown: most characters to show; None for all.
    """
    unit = parse_unit(name, recording.subject)
    values, piece = recording.activations.of(unit)[:shown], recording.piece.first(shown)
    followed = [f for f in significant_findings(recording.findings) if f.unit == unit]
    data = {
        "unit": unit_name(unit),
        "text": piece.source,
        "left_out": piece.left_out,
        "characters": [name_byte(character) for character in piece.text],
        "values": [round(float(value), 4) for value in values],
        "follows": [{"feature": f.feature, "effect": f.effect} for f in followed],
    }
    shown_as = ", tanh of c" if unit.part == "c" else ""
    headline = f"cell {unit_name(unit)}{shown_as}, {values.min():.2f} to {values.max():.2f}"
    headline += f" on {piece.extent}" if piece.is_cut else describe_omission(piece.left_out)
    headline += "".join(f"; follows {with_bases(one_line(f.feature))} (r {f.effect:+.2f})" for f in followed)
    scale = scale_of(values)
    tinted = tuple(Tinted(*pair) for pair in zip(piece.text, (values / scale).tolist(), strict=True))
    legend = f"orange: above 0, up to {scale:.2f}"
    legend += f"; blue, underlined: below 0, down to {-scale:.2f}" if values.min() < 0 else ""
    return View(
        "cell",
        data,
        lambda width, colour: [*wrapped(headline, width), "", *_draw_values(piece.text, values, width, colour)],
        tinted,
        legend,
        piece.extent if piece.is_cut else "",
    )


def gates_view(recording: Recording) -> View:
    """Show how open the gates are, or say that there are none."""
    if why_not := why_no_gates(recording.subject):
        return View("gates", {**recording.piece.fields, "gates": []}, lambda width, _: wrapped(why_not, width))
    rows, data = [], []
    for use in recording.gates:
        always_open, always_shut = (int((shares > NEARLY_ALWAYS).sum()) for shares in (use.open, use.shut))
        rows.append([
            f"{use.layer}", use.gate, f"{use.mean:.2f}", f"{use.open.mean():.1%}", f"{use.shut.mean():.1%}",
            f"{always_open} of {len(use.open)}", f"{always_shut} of {len(use.shut)}",
        ])  # fmt: skip
        data.append({
            "layer": use.layer, "gate": use.gate, "letter": GATE_LETTERS[use.gate], "mean": use.mean,
            "open_share": float(use.open.mean()), "shut_share": float(use.shut.mean()),
            "open": [round(float(share), 4) for share in use.open],
            "shut": [round(float(share), 4) for share in use.shut],
        })  # fmt: skip
    head = ["layer", "gate", "mean", f"above {OPEN}", f"below {SHUT}", "cells always open", "always shut"]
    note = note_on_gates(recording.subject.contents.model)
    return View(
        "gates",
        {**recording.piece.fields, "gates": data},
        lambda width, _colour: [
            *wrapped(recording.piece.extent, width), "", *format_columns(head, rows, width),
            *(["", *wrapped(note, width)] if note else []),
        ],
    )  # fmt: skip


def neurons_section(recording: Recording, asked: Sequence[str]) -> Section:
    """The features that units follow, and activations; see `_activations` for `asked`."""
    return {"neurons": neurons_view(recording).data, "activations": _activations(recording, asked)}


def gates_section(recording: Recording) -> Section:
    """How open each gate is, for at most `MOST_POINTS` evenly spaced units."""
    gates = gates_view(recording).data["gates"]
    config = recording.subject.contents.model
    step = -(-config.hidden_size // MOST_POINTS)
    points = [{**gate, "open": gate["open"][::step], "shut": gate["shut"][::step], "step": step} for gate in gates]
    return {"gates": {"gates": points, "extent": recording.piece.page_extent, "note": note_on_gates(config)}}


def note_on_gates(config: ModelConfig) -> str:
    """A note on how to read the gates of the model's cell type; empty if none is needed."""
    return UPDATE_KEEPS if "update" in CELLS[config.cell].gates else ""


def why_no_gates(subject: Subject) -> str:
    """Why a model has no gates, and what to use instead; empty if it has some."""
    config = subject.contents.model
    return "" if has_gates(config) else f"its cell is {config.cell}, which has no gates; --neurons shows its states"


def require_gates(subjects: Sequence[Subject]) -> None:
    """Refuse --gates if no model has gates.

    Raises:
        CharRNNError: no model has gates.
    """
    if all(map(why_no_gates, subjects)):
        raise CharRNNError(f"{name_of(subjects[0].path)}: {why_no_gates(subjects[0])}")


def unit_name(unit: Unit) -> str:
    """Name a unit as --cell takes it: layer, number, and the part unless that is an LSTM's cell state."""
    return f"{unit.layer}:{unit.number}" + ("" if unit.part == "c" else f":{unit.part}")


def parse_unit(name: str, subject: Subject) -> Unit:
    """Parse the name of a unit, as --cell takes it.

    Raises:
        ConfigError: the name is malformed, or the model has no such unit.
    """
    config = subject.contents.model
    match = re.fullmatch(r"(\d{1,9}):(\d{1,9})(?::([a-z]))?", name)
    if match is None:
        raise ConfigError(f"--cell is {name!r}; write it as LAYER:UNIT, such as 0:7, both counted from 0")
    layer, number = int(match[1]), int(match[2])
    layers = config.num_layers * config.members
    if layer >= layers or number >= config.hidden_size:
        raise ConfigError(
            f"--cell is {name}, and {name_of(subject.path)} has layers 0 to {layers - 1} of units 0 to "
            f"{config.hidden_size - 1}"
        )
    parts = parts_of(config)
    if match[3] and match[3] not in parts:
        raise ConfigError(
            f"--cell is {name}, and a unit of this model has {', '.join(parts)}; name one of them, or none"
        )
    return Unit(layer, number, match[3] or ("c" if "c" in parts else "h"))


def scale_of(values: Values) -> float:
    """The value at the end of the colour scale: 1, or the largest of the values if that is more, as with ReLU."""
    return max(1.0, float(abs(values).max(initial=0)))


def _activations(recording: Recording, asked: Sequence[str]) -> dict[str, Any]:
    """Activations over the beginning of the text, quantised to a byte each, unit by unit: all states, then some gates.

    The values of all gates would leave room for little text, so only those are included that are asked for by name or
    follow a feature. "first", the unit that the page shows initially, is the first unit asked for or found.
    """
    seen, size = recording.activations, recording.subject.contents.model.hidden_size
    states = [place for place, unit in enumerate(seen.units) if unit.is_state]
    named = [parse_unit(name, recording.subject) for name in asked]
    named += [finding.unit for finding in significant_findings(recording.findings)]
    gates = list(dict.fromkeys(unit for unit in named if not unit.is_state))
    places = {unit: place for place, unit in enumerate(seen.units)}
    columns = [*states, *(places[unit] for unit in gates)]
    length = min(len(recording.text), PAGE_CHARACTERS, max(1, ACTIVATION_BYTES // len(columns)))
    values = seen.values[:length, columns].T  # (U, length)
    scale = scale_of(values)
    groups: list[dict[str, Any]] = [
        {"layer": seen.units[place].layer, "part": seen.units[place].part} for place in states[::size]
    ]
    if gates:
        groups.append({"units": [unit_name(unit) for unit in gates]})
    rounded = np.rint(values / scale * 127).astype(np.int8)
    return {
        "extent": recording.piece.first(length).page_extent, "groups": groups,
        "characters": [name_byte(character) for character in recording.text[:length]],
        "first": unit_name(named[0] if named else seen.units[0]), "size": size, "scale": scale,
        "values": base64.b64encode(rounded.tobytes()).decode("ascii"),
    }  # fmt: skip


def _draw_findings(recording: Recording, rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Lines on what was compared, what was found, and what the figures mean."""
    compared = (
        f"{len(recording.activations.units):,} states and gates of cells, {len(recording.findings)} features; "
        f"{len(rows)} have a unit that follows them beyond chance"
    )
    meaning = (
        "r is measured on the half of the text that the cell was not chosen on; p is corrected for all comparisons"
    )
    table = format_columns(["feature", "cell", "r", "chosen by", "p"], rows, width)
    notes = [note for note in (_shortness(recording), meaning if rows else "") if note]
    return [
        *wrapped(recording.piece.extent, width), *wrapped(compared, width), *(["", *table] if rows else []),
        *([""] if notes else []), *(line for note in notes for line in wrapped(note, width)),
    ]  # fmt: skip


def _shortness(recording: Recording) -> str:
    """A note if the text is too short to find much, or anything; empty if it is long enough."""
    length, members = len(recording.text), recording.subject.contents.model.members
    if recording.findings and length >= ENOUGH:
        return ""
    is_something = recording.findings and significant_findings(recording.findings)
    told = f"{number_of(length, 'character')} are few" if is_something else f"{too_few(length)} to find much"
    if length < ENOUGH and recording.piece.is_held_back:  # no other text would be read further
        return f"{told}; one member alone reads more (--member 0)" if members > 1 else ""
    if is_something:
        return f"{told}; in {ENOUGH:,} or more, more would be found"
    return f"{told}; {SHORTEST_TEXT} at least, and {ENOUGH:,} or more, would do"


def _draw_values(text: str, values: Values, width: int, colour: bool) -> list[str]:
    scale = scale_of(values)
    columns = [
        Column(character, signed_colour(value / scale), () if colour else (signed_block(value / scale),))
        for character, value in zip(text, values.tolist(), strict=True)
    ]
    drawn = draw(columns, width, colour=colour)
    legend = signed_scale(scale, colour=colour, has_negative=bool((values < 0).any()))
    return [*drawn, *([""] if drawn[-1] else []), legend]
