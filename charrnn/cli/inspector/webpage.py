"""`charrnn inspect --html`: all that was asked for as one page."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from charrnn import __version__
from charrnn.analysis.gradients import shortest_text
from charrnn.analysis.neurons import strongest
from charrnn.cli.common.shared import ON_A_TEXT, write_sample
from charrnn.cli.inspector.cards import describe
from charrnn.cli.inspector.gallery import read_given
from charrnn.cli.inspector.gradient_view import gradients_view
from charrnn.cli.inspector.studies import embeddings_view, novelty_view
from charrnn.cli.inspector.subject import Subject
from charrnn.cli.inspector.views import (
    gates_view,
    neurons_view,
    parse_unit,
    surprise_view,
    unit_name,
)
from charrnn.cli.inspector.watching import Watched, choose_pieces
from charrnn.display.card import origin, summary
from charrnn.display.page import check_page, render, write_page
from charrnn.generation.filters import SamplingOptions

ACTIVATION_BYTES = 1_000_000
"""Bytes of cells' values, at most, so that the page stays below three megabytes."""

PAGE_CHARACTERS = 1_500
DEFAULT_TOP_K = 5
TEMPERATURES = (0.5, 0.8, 1.1)
SAMPLE_LENGTH = 400
SEED = 1


def write_report(subject: Subject, path: str, flags: Mapping[str, Any]) -> None:
    """Write a page about a model; without any flag for a view it has all that can be shown.

    Raises:
        OutputError: something else is there, or it cannot be written.
    """
    check_page(path)  # before the work
    write_page(path, render(collect(subject, flags)))
    print(path)


def collect(subject: Subject, flags: Mapping[str, Any]) -> dict[str, Any]:
    """All values of the page."""
    data: dict[str, Any] = {
        "version": __version__,
        "name": subject.name,
        "summary": summary(subject.contents.model),
        "card": describe(subject),
        "origin": [[name.strip(), value] for name, value in origin(subject.contents)],
        "samples": [{"temperature": t, "text": _sample(subject, t)} for t in TEMPERATURES],
    }
    given, source = read_given([subject], flags)
    asked = {name for name in ON_A_TEXT if flags[name]}
    everything = not asked and not flags["embeddings"] and flags["novelty"] is None
    if given is not None or subject.text is not None or asked:
        data |= _on_text(subject, given, source, flags, asked, everything)
    if everything or flags["embeddings"]:
        data["embeddings"] = embeddings_view(subject).data
    if flags["novelty"] is not None:
        data["novelty"] = novelty_view(subject, flags["novelty"]).data
    return data


def _on_text(
    subject: Subject, given: str | None, source: str, flags: Mapping[str, Any], asked: set[str], everything: bool
) -> dict[str, Any]:
    """What can be seen while the model reads; where everything is wanted, what cannot be shown is left out."""
    (piece,) = choose_pieces([subject], given, source, flags["unknown"])
    watched = Watched(subject, piece)
    whole = watched.text if given is None or flags["unknown"] == "skip" else given
    shown = whole[:PAGE_CHARACTERS]
    top_k = flags["top_k"] or DEFAULT_TOP_K
    data = {"surprise": surprise_view(subject, shown, piece.source, rule=flags["unknown"], top_k=top_k).data}
    if everything or asked & {"neurons", "cell"}:
        data["neurons"] = neurons_view(watched).data
        data["activations"] = _activations(watched, flags["cell"] or ())
    if "gates" in asked or (everything and watched.gates):
        data["gates"] = gates_view(watched).data
    can_flow = subject.is_stream and len(watched.text) >= shortest_text()
    if "gradients" in asked or (everything and can_flow):
        data["gradients"] = gradients_view(watched).data
    return data


def _activations(watched: Watched, asked: Sequence[str]) -> dict[str, Any]:
    """Values in a byte each over the beginning of the text, unit after unit: of every state, then of some gates.

    All gates would leave little of the text: there are those that follow something, and those asked for by name.
    """
    seen, size = watched.activations, watched.subject.contents.model.hidden_size
    states = [place for place, unit in enumerate(seen.units) if unit.is_state]
    named = [finding.unit for finding in strongest(watched.findings)]
    named += [parse_unit(name, watched.subject) for name in asked]
    gates = list(dict.fromkeys(unit for unit in named if not unit.is_state))
    places = {unit: place for place, unit in enumerate(seen.units)}
    columns = [*states, *(places[unit] for unit in gates)]
    length = min(len(watched.text), PAGE_CHARACTERS, max(1, ACTIVATION_BYTES // len(columns)))
    values = seen.values[:length, columns].T  # (U, length)
    scale = max(1.0, float(np.abs(values).max(initial=0)))
    groups: list[dict[str, Any]] = [
        {"layer": seen.units[place].layer, "part": seen.units[place].part} for place in states[::size]
    ]
    if gates:
        groups.append({"units": [unit_name(unit) for unit in gates]})
    rounded = np.rint(values / scale * 127).astype(np.int8)
    return {
        "source": watched.piece.source, "characters": list(watched.text[:length]), "groups": groups, "size": size,
        "scale": scale, "values": base64.b64encode(rounded.tobytes()).decode("ascii"),
    }  # fmt: skip


def _sample(subject: Subject, temperature: float) -> str:
    contents, options = subject.contents, SamplingOptions(temperature=temperature)
    return write_sample(
        subject.writer, contents.encoder, contents.corpus.counts, SAMPLE_LENGTH, seed=SEED, options=options
    )
