"""`charrnn inspect --gradients`: gradients by distance, and the loss by context length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict

from charrnn.analysis.gradients import (
    CONTEXT_LENGTHS,
    REACH,
    gradient_flow,
    loss_by_context,
    shortest_text,
    spectral_radii,
)
from charrnn.cli.inspector.gradient_figures import draw_gradients
from charrnn.cli.inspector.recording import Excerpt, Recording, too_few
from charrnn.cli.inspector.results import Section, View
from charrnn.cli.inspector.subject import Subject
from charrnn.errors import CorpusError
from charrnn.metrics import finite_or_none


def why_too_short(read: Sequence[tuple[Subject, Excerpt]]) -> str:
    """Why one of the texts is too short for gradients over `REACH`, and what to do; empty if none is."""
    subject, piece = _to_blame(read)
    length, least = num_read(subject, piece), shortest_text()
    if length >= least:
        return ""
    few = too_few(length, subject.contents.encoder.unit)
    return f"{few} to go back {REACH} in; give --gradients at least {least} with --text-file"


def require_length(read: Sequence[tuple[Subject, Excerpt]]) -> None:
    """Refuse texts that are too short for gradients over `REACH`.

    Raises:
        CorpusError: a text is too short.
    """
    if why_not := why_too_short(read):
        raise CorpusError(f"{_to_blame(read)[1].source}: {why_not}")


def num_read(subject: Subject, piece: Excerpt) -> int:
    """Number of ids that a model reads of a text: characters, or bytes for a byte model."""
    return int(subject.contents.encoder.widths(piece.text).sum())


def gradients_view(recording: Recording) -> View:
    """Show how far back gradients reach, and how far back context helps; see `require_length`."""
    contents = recording.subject.contents
    ids = contents.encoder.encode(recording.text)
    data = {
        **recording.piece.fields,
        "unit": contents.encoder.unit,
        "flow": [
            {
                "layer": flow.layer, "part": flow.part, "norms": [finite_or_none(norm) for norm in flow.norms.tolist()],
                "half": flow.distance(0.5), "hundredth": flow.distance(0.01),
                "remainder": flow.remainder, "middle_half": flow.middle_half, "places": flow.places,
            }
            for flow in gradient_flow(contents.model, contents.weights, ids)
        ],
        "spectral_radius": [
            {"layer": layer, "gate": gate, "radius": finite_or_none(radius)}
            for layer, gate, radius in spectral_radii(contents.model, contents.weights)
        ],
        "loss_by_context": [
            {name: finite_or_none(value) for name, value in asdict(row).items()}
            for row in loss_by_context(recording.subject.engine, ids)
        ],
    }  # fmt: skip
    data["contexts_cut"] = data["loss_by_context"][-1]["most"] < CONTEXT_LENGTHS[-1]
    return View("gradients", data, lambda width, _: draw_gradients({"": data}, width))


def gradients_section(recording: Recording) -> Section:
    """The gradients view for a page; see `require_length`."""
    return {"gradients": {**gradients_view(recording).data, "extent": recording.piece.page_extent}}


def _to_blame(read: Sequence[tuple[Subject, Excerpt]]) -> tuple[Subject, Excerpt]:
    """The model and text to name in an error: one that is too short, if any, the shortest whole text first."""
    return min(read, key=lambda each: (num_read(*each) >= shortest_text(), each[1].whole or math.inf))
