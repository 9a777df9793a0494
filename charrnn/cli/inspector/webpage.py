"""`charrnn inspect --html`: all that was asked for as one page."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from charrnn import __version__
from charrnn.analysis.features import OTHER, kind_of
from charrnn.analysis.gradients import shortest_text
from charrnn.analysis.neurons import beyond_chance, has_gates
from charrnn.analysis.ngrams import ORDER, YARDSTICK
from charrnn.cli.inspector.alphabet_view import embeddings_view
from charrnn.cli.inspector.cards import describe
from charrnn.cli.inspector.flags import HELD, ON_A_TEXT, InspectFlags
from charrnn.cli.inspector.gallery import read_given
from charrnn.cli.inspector.gradient_view import gradients_view, num_read, require_length
from charrnn.cli.inspector.novelty_view import novelty_view, require_text
from charrnn.cli.inspector.subject import Subject
from charrnn.cli.inspector.text_views import (
    gates_view,
    neurons_view,
    parse_unit,
    scale_of,
    surprise_view,
    unit_name,
)
from charrnn.cli.inspector.watching import Given, Piece, Watched, choose_pieces
from charrnn.display.card import frequencies, merged_parameters, origin, summary
from charrnn.display.page import MARK, render
from charrnn.errors import DivergenceError
from charrnn.generation.filters import SamplingOptions
from charrnn.generation.unprompted import write_sample
from charrnn.storage.outputs import check_replaceable, write_whole
from charrnn.text.encoder import CharEncoder, name_byte
from charrnn.text.options import CHARACTER
from charrnn.wording import number_of

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
SEED = 1


def write_report(subject: Subject, path: str, flags: InspectFlags) -> None:
    """Write a page about a model; without any flag for a view it has all that can be shown.

    Raises:
        OutputError: something else is there, or it cannot be written.
    """
    check_replaceable(path, MARK, "a report", "--html")  # before the work
    write_whole(path, render(collect(subject, flags)).encode("utf-8"), "--html")
    print(path)


def collect(subject: Subject, flags: InspectFlags) -> dict[str, Any]:
    """All values of the page; what was to be in it and cannot be is told by the reason."""
    given = read_given([subject], flags)  # before the work
    if flags.novelty is not None:
        require_text(subject)
    card = {name: value for name, value in describe(subject).items() if name not in LEFT_OUT}
    del card["corpus"]["counts"]
    data: dict[str, Any] = {
        "version": __version__,
        "name": subject.name,
        "summary": summary(subject.contents.model),
        "card": {**card, "history": _thinned(card["history"])},
        "weights": [asdict(weight) for weight in merged_parameters(subject.contents)],  # of all members together
        "vocabulary": frequencies(subject.contents)[:MOST_LISTED],
        "origin": [[name.strip(), value] for name, value in origin(subject.contents)],
        "yardstick": {"name": YARDSTICK, "context": ORDER - 1},
        "samples": [],
        "absent": {},
    }
    try:
        data["samples"] = [{"temperature": t, "text": _sample(subject, t)} for t in TEMPERATURES]
    except DivergenceError as error:
        data["absent"]["samples"] = _cause(error)
    asked = set(flags.asked_for(*ON_A_TEXT))
    everything = not asked and not flags.embeddings and flags.novelty is None
    if subject.own_text is None:
        data["absent"]["baseline"] = _reason(subject)
    if given is not None or subject.own_text is not None or asked:
        found = _on_text(subject, given, flags, asked, everything)
        data["absent"] |= found.pop("absent", {})
        data |= found
    elif everything:
        data["absent"] |= dict.fromkeys(("surprise", "neurons", "gates", "gradients"), _reason(subject))
    if everything:
        data["absent"] |= _impossible(subject)
    if everything or flags.embeddings:
        data["embeddings"] = _alphabet(subject)
    if flags.novelty is not None:
        data["novelty"] = _novelty(subject, flags.novelty)
    return data


def _reason(subject: Subject) -> str:
    """Why there is no text, without the flag that gives one: a page may be read by someone else."""
    return "the text that it learned from was not found: " + subject.absence.partition(";")[0]


def _cause(error: DivergenceError) -> str:
    """What is wrong, without what a reader of the page cannot do about it."""
    return str(error).partition(";")[0]


def _extent(piece: Piece) -> str:
    """What was read, for someone who never saw a flag."""
    return replace(piece, source="the text that was given" if piece.source == "--text" else piece.source).extent


def _impossible(subject: Subject) -> dict[str, str]:
    """Sections that a model of its kind cannot have."""
    reasons = {}
    if not has_gates(subject.contents.model):
        reasons["gates"] = f"its cells are of the kind {subject.contents.model.cell}, which has no gates"
    if not subject.is_stream:
        reasons["gradients"] = "it learned line by line and forgets at every line's end"
    return reasons


def _on_text(
    subject: Subject, given: Given | None, flags: InspectFlags, asked: set[str], everything: bool
) -> dict[str, Any]:
    """What can be seen while the model reads; of what cannot, where everything is wanted, the reason."""
    holds_all = everything or not asked.isdisjoint(HELD)
    (piece,) = choose_pieces([subject], given, flags.unknown, holds_all=holds_all)
    watched = Watched(subject, piece)
    shown = piece.first(PAGE_CHARACTERS)
    if given is not None and flags.unknown != "skip":
        shown = Piece(given.text[:PAGE_CHARACTERS], given.source, given.of)
    wanted = {"surprise", *asked, *(("neurons",) if "cell" in asked else ())}
    absent: dict[str, str] = {}
    if everything:
        wanted |= {"neurons", *(("gates",) if has_gates(subject.contents.model) else ())}
        if subject.is_stream and (length := num_read(subject, piece)) >= shortest_text():
            wanted.add("gradients")
        elif subject.is_stream:
            unit = subject.contents.encoder.unit
            absent["gradients"] = f"a text of {number_of(length, unit)} is too short to go back in"
    data: dict[str, Any] = {"absent": absent}
    for name, make in _makers(watched, shown, flags).items():
        try:
            data |= make() if name in wanted else {}
        except DivergenceError as error:
            if not everything:
                raise
            absent[name] = _cause(error)
    return data


def _makers(watched: Watched, shown: Piece, flags: InspectFlags) -> dict[str, Callable[[], dict[str, Any]]]:
    """What makes each section about a text that is read."""
    top_k, rule = min(flags.top_k or DEFAULT_TOP_K, MOST_GUESSES), flags.unknown
    told = {"extent": _extent(watched.piece)}

    def surprise() -> dict[str, Any]:
        seen = surprise_view(watched.subject, Given(shown.text, shown.source), rule=rule, top_k=top_k)
        return {"surprise": {**seen.data, "extent": _extent(shown)}}

    def gradients() -> dict[str, Any]:
        require_length([(watched.subject, watched.piece)])
        return {"gradients": {**gradients_view(watched).data, **told}}

    return {
        "surprise": surprise,
        "neurons": lambda: {
            "neurons": neurons_view(watched).data, "activations": _activations(watched, flags.cell),
        },
        "gates": lambda: {"gates": {"gates": _gates(watched), **told}},
        "gradients": gradients,
    }  # fmt: skip


def _gates(watched: Watched) -> list[dict[str, Any]]:
    """How each gate is used, in few enough points: of many units every second, or third, ..."""
    gates = gates_view(watched).data["gates"]
    step = -(-watched.subject.contents.model.hidden_size // MOST_POINTS)
    return [{**gate, "open": gate["open"][::step], "shut": gate["shut"][::step], "step": step} for gate in gates]


def _alphabet(subject: Subject) -> dict[str, Any]:
    """The most frequent characters, where they lie, and what lies near them."""
    view, encoder = embeddings_view(subject).data, subject.contents.encoder
    names = encoder.names
    return {
        "all": len(names),
        "characters": [
            {"char": c, "kind": _kind(encoder, i), "place": view["places"][c], "near": view["expected_alike"][c]}
            for i, c in ((i, names[i]) for i in subject.contents.ids_by_frequency[:MOST_MAPPED])
        ],
    }


def _kind(encoder: CharEncoder, i: int) -> str:
    """The kind of an id's character; a byte that is only a part of one, and what rare ones are called, are of none."""
    character = encoder.spelled[i]
    is_one = i != encoder.unknown_id and (encoder.unit == CHARACTER or character.isascii())
    return kind_of(character) if is_one else OTHER


def _novelty(subject: Subject, wanted: str) -> dict[str, Any]:
    """What is copied; of the longest stretches no more than one wants to read."""
    data = novelty_view(subject, wanted).data
    longest = [{"length": len(text), "text": text[:LONGEST_STRETCH]} for text in data["sample"]["longest"]]
    return {**data, "sample": {**data["sample"], "longest": longest}}


def _thinned(rows: list[Any]) -> list[Any]:
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
        "extent": _extent(watched.piece.first(length)), "groups": groups,
        "characters": [name_byte(character) for character in watched.text[:length]],
        "first": unit_name(named[0] if named else seen.units[0]), "size": size, "scale": scale,
        "values": base64.b64encode(rounded.tobytes()).decode("ascii"),
    }  # fmt: skip


def _sample(subject: Subject, temperature: float) -> str:
    contents, options = subject.contents, SamplingOptions(temperature=temperature)
    return write_sample(
        subject.writer, contents.encoder, contents.corpus.counts, PAGE_SAMPLE_LENGTH, seed=SEED, options=options
    )
