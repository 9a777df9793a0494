"""What stands in each section of an HTML page: the values of a model's view, no more of them than one would look at."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from charrnn import __version__
from charrnn.analysis.features import OTHER, kind_of
from charrnn.analysis.neurons import beyond_chance, has_gates
from charrnn.analysis.ngrams import ORDER, YARDSTICK
from charrnn.cli.inspector.alphabet_view import embeddings_view
from charrnn.cli.inspector.cards import describe
from charrnn.cli.inspector.gradient_view import gradients_view
from charrnn.cli.inspector.novelty_view import novelty_view
from charrnn.cli.inspector.page_values import Section
from charrnn.cli.inspector.subject import Subject
from charrnn.cli.inspector.surprise_view import TYPED, surprise_view
from charrnn.cli.inspector.text_views import (
    gates_view,
    neurons_view,
    note_on_gates,
    parse_unit,
    scale_of,
    unit_name,
)
from charrnn.cli.inspector.watching import Piece, Watched
from charrnn.display.card import frequencies, merged_parameters, provenance_rows, summary
from charrnn.generation.filters import SamplingOptions
from charrnn.surrogates import name_byte
from charrnn.text.encoder import CharEncoder
from charrnn.text.options import CHARACTER

ACTIVATION_BYTES = 1_000_000
"""Bytes of cells' values, at most, so that the page stays below three megabytes."""

PAGE_CHARACTERS = 1_500
"""Of a text that is shown, with the guesses and the cells' values for each."""

MOST_GUESSES, MOST_POINTS, MOST_EVALUATIONS, LONGEST_STRETCH = 20, 500, 1_000, 400
"""Guesses at a character, units of a gate, evaluations, and characters of what is copied: more nobody would look at."""

MOST_MAPPED = 120
"""Of an alphabet's map: more would lie on each other."""

MOST_LISTED = 200
"""Of a vocabulary, the most frequent."""

LEFT_OUT = ("parameters", "characters", "names", "made")
"""Of the card: the page shows it otherwise, or in part."""

DEFAULT_TOP_K = 5
TEMPERATURES = (0.5, 0.8, 1.1)
PAGE_SAMPLE_LENGTH = 400


def facts_section(subject: Subject) -> Section:
    """What every page has, whatever is asked for: the card, the weights, the vocabulary, where it comes from."""
    card = {name: value for name, value in describe(subject).items() if name not in LEFT_OUT}
    del card["corpus"]["counts"]
    return {
        "version": __version__,
        "name": subject.name,
        "summary": summary(subject.contents.model),
        "has_gates": has_gates(subject.contents.model),
        "card": {**card, "history": thinned(card["history"])},
        "weights": [asdict(weight) for weight in merged_parameters(subject.contents)],  # of all members together
        "vocabulary": frequencies(subject.contents)[:MOST_LISTED],
        "origin": [[name.strip(), value] for name, value in provenance_rows(subject.contents)],
        "yardstick": {"name": YARDSTICK, "context": ORDER - 1},
    }


def samples_section(subject: Subject) -> Section:
    """What it writes, at several temperatures."""
    return {"samples": [sample(subject, t) for t in TEMPERATURES]}


def sample(subject: Subject, temperature: float) -> Section:
    """What a model writes at a temperature."""
    text = subject.sample(PAGE_SAMPLE_LENGTH, SamplingOptions(temperature=temperature))
    return {"temperature": temperature, "text": text}


def surprise_section(subject: Subject, shown: Piece, *, rule: str, top_k: int) -> Section:
    """Where a text surprises it, with guesses in any case."""
    top_k = min(top_k or DEFAULT_TOP_K, MOST_GUESSES)
    seen = surprise_view(subject, shown, rule=rule, top_k=top_k)
    return {"surprise": {**seen.data, "extent": extent(shown)}}


def shown_piece(piece: Piece, text: Piece, rule: str, length: int) -> Piece:
    """What is coloured: the beginning of a text as it was, or of what the model reads of it."""
    return (piece if rule == "skip" else text).first(length)


def neurons_section(watched: Watched, asked: Sequence[str]) -> Section:
    """What its units follow, and what they do; see `_activations` for what is asked for by name."""
    return {"neurons": neurons_view(watched).data, "activations": _activations(watched, asked)}


def gates_section(watched: Watched) -> Section:
    """How each gate is used, in few enough points: of many units every second, or third, ..."""
    gates = gates_view(watched).data["gates"]
    config = watched.subject.contents.model
    step = -(-config.hidden_size // MOST_POINTS)
    points = [{**gate, "open": gate["open"][::step], "shut": gate["shut"][::step], "step": step} for gate in gates]
    return {"gates": {"gates": points, "extent": extent(watched.piece), "note": note_on_gates(config)}}


def gradients_section(watched: Watched) -> Section:
    """How far back it learns and looks; see `require_length`."""
    return {"gradients": {**gradients_view(watched).data, "extent": extent(watched.piece)}}


def embeddings_section(subject: Subject) -> Section:
    """The most frequent characters, where they lie, and what lies near them."""
    view, encoder = embeddings_view(subject).data, subject.contents.encoder
    names = encoder.names
    characters = [
        {"char": c, "kind": _kind(encoder, i), "place": view["places"][c], "near": view["expected_alike"][c]}
        for i, c in ((i, names[i]) for i in subject.contents.ids_by_frequency[:MOST_MAPPED])
    ]
    return {"embeddings": {"all": len(names), "characters": characters}}


def novelty_section(subject: Subject, wanted: str) -> Section:
    """What is copied; of the longest stretches no more than one wants to read."""
    data = novelty_view(subject, wanted).data
    longest = [{"length": len(text), "text": text[:LONGEST_STRETCH]} for text in data["sample"]["longest"]]
    return {"novelty": {**data, "sample": {**data["sample"], "longest": longest}}}


def extent(piece: Piece) -> str:
    """What was read, for someone who never saw a flag."""
    return replace(piece, source="the text that was given" if piece.source == TYPED else piece.source).extent


def _kind(encoder: CharEncoder, i: int) -> str:
    """The kind of an id's character; a byte that is only a part of one, and what rare ones are called, are of none."""
    character = encoder.spelled[i]
    is_one = i != encoder.unknown_id and (encoder.unit == CHARACTER or character.isascii())
    return kind_of(character) if is_one else OTHER


def thinned(rows: list[Any]) -> list[Any]:
    """Some of many evaluations, the last among them."""
    step = -(-len(rows) // MOST_EVALUATIONS) or 1
    return rows[::-step][::-1]


def _activations(watched: Watched, asked: Sequence[str]) -> dict[str, Any]:
    """Values in a byte each over the beginning of the text, unit after unit: of every state, then of some gates.

    All gates would leave little of the text: there are those asked for by name, and those that follow something. What
    is shown first is the first of these, gate or not.
    """
    seen, size = watched.activations, watched.subject.contents.model.hidden_size
    states = [place for place, unit in enumerate(seen.units) if unit.is_state]
    named = [parse_unit(name, watched.subject) for name in asked]
    named += [finding.unit for finding in beyond_chance(watched.findings)]
    gates = list(dict.fromkeys(unit for unit in named if not unit.is_state))
    places = {unit: place for place, unit in enumerate(seen.units)}
    columns = [*states, *(places[unit] for unit in gates)]
    length = min(len(watched.text), PAGE_CHARACTERS, max(1, ACTIVATION_BYTES // len(columns)))
    values = seen.values[:length, columns].T  # (U, length)
    scale = scale_of(values)
    groups: list[dict[str, Any]] = [
        {"layer": seen.units[place].layer, "part": seen.units[place].part} for place in states[::size]
    ]
    if gates:
        groups.append({"units": [unit_name(unit) for unit in gates]})
    rounded = np.rint(values / scale * 127).astype(np.int8)
    return {
        "extent": extent(watched.piece.first(length)), "groups": groups,
        "characters": [name_byte(character) for character in watched.text[:length]],
        "first": unit_name(named[0] if named else seen.units[0]), "size": size, "scale": scale,
        "values": base64.b64encode(rounded.tobytes()).decode("ascii"),
    }  # fmt: skip
