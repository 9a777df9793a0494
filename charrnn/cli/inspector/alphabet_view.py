"""`charrnn inspect --embeddings`: which characters are similar to a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from charrnn.analysis.embeddings import EmbeddingMap, map_embeddings
from charrnn.analysis.features import OTHER, kind_of, name_character
from charrnn.cli.inspector.results import Section, View
from charrnn.cli.inspector.subject import Subject
from charrnn.cli.inspector.tables import format_columns
from charrnn.display.card import spell
from charrnn.display.widths import text_width, wrapped
from charrnn.text.encoder import CharEncoder
from charrnn.text.options import CHARACTER

MAP_LINES = 20
"""Height of the map in lines, and number of characters in the list below it."""

MOST_COMPARED = 1 << 14
"""Most characters that are compared with each other, the most frequent ones; the work grows by the square."""

MOST_MAPPED = 120
"""Most characters on a page's map: more would overlap."""


def embeddings_view(subject: Subject) -> View:
    """Show similar characters: those predicted in the same places (head), and those with similar embeddings."""
    frequent = subject.contents.ids_by_frequency[:MOST_COMPARED]
    ids = sorted(frequent)
    names, unit = subject.contents.encoder.names, subject.contents.encoder.unit
    characters = [names[i] for i in ids]
    weights = subject.contents.member(0).weights  # the first member's
    head = weights["head.weight"][ids].astype(np.float64)  # double precision, so that the mean does not overflow
    found = map_embeddings(head - head.mean(axis=0))  # a vector common to all rows does not affect predictions
    read = map_embeddings(weights["embedding.weight"][ids])
    data: dict[str, Any] = {
        "expected_alike": _neighbours(characters, found),
        "read_alike": _neighbours(characters, read),
        "places": {c: [round(float(x), 4) for x in place] for c, place in zip(characters, found.places, strict=True)},
        "explained": found.explained,
    }
    if len(frequent) < len(names):
        data["note"] = f"the {len(frequent):,} most frequent of {len(names):,} {unit}s are compared"
    place_of = {i: place for place, i in enumerate(ids)}
    order = [place_of[i] for i in frequent]

    def draw(width: int, _: bool) -> list[str]:
        drawn = _draw_embeddings(characters, found, order, width, unit)
        return [*drawn, "", *wrapped(data["note"], width)] if "note" in data else drawn

    return View("embeddings", data, draw)


def embeddings_section(subject: Subject) -> Section:
    """The most frequent characters, their places on the map, and their nearest neighbours."""
    view, encoder = embeddings_view(subject).data, subject.contents.encoder
    names = encoder.names
    characters = []
    for i in subject.contents.ids_by_frequency[:MOST_MAPPED]:
        name = names[i]
        place, near = view["places"][name], view["expected_alike"][name]
        characters.append({"char": name, "kind": _kind(encoder, i), "place": place, "near": near})
    return {"embeddings": {"all": len(names), "characters": characters}}


def _kind(encoder: CharEncoder, i: int) -> str:
    """The kind of an id's character; `OTHER` for a partial byte and for the id of rare characters."""
    character = encoder.spelled[i]
    is_one = i != encoder.unknown_id and (encoder.unit == CHARACTER or character.isascii())
    return kind_of(character) if is_one else OTHER


def _neighbours(characters: Sequence[str], found: EmbeddingMap) -> dict[str, list[list[Any]]]:
    return {
        character: [[characters[i], round(value, 4)] for i, value in zip(ids, similar, strict=True)]
        for character, ids, similar in zip(characters, found.neighbours, found.similarities, strict=True)
    }


def _put(row: list[str], column: int, shown: str) -> None:
    """Put a character into a row of the map over what is there; a wide one takes two cells, the second empty."""
    size = text_width(shown)
    column = min(column, len(row) - size)
    for place in range(column, column + size):
        if not row[place]:
            row[place - 1] = " "
        if text_width(row[place] or " ") == 2:
            row[place + 1] = " "
        row[place] = ""
    row[column] = shown


def _draw_embeddings(
    characters: Sequence[str], found: EmbeddingMap, order: list[int], width: int, unit: str
) -> list[str]:
    """The map, with the more frequent character on top where two overlap, and neighbours of the most frequent ones."""
    columns = min(width, 64)
    grid = [[" "] * columns for _ in range(MAP_LINES)]
    is_flat = not found.places[:, 1].any()  # one hidden unit gives one dimension: spread the line vertically
    rank = np.argsort(np.argsort(found.places[:, 0]))
    for i in reversed(order):
        x = found.places[i, 0]
        y = found.places[i, 1] if not is_flat else 1 - 2 * (0.618 * rank[i] % 1)
        row, column = round((1 - y) / 2 * (MAP_LINES - 1)), round((x + 1) / 2 * (columns - 1))
        shown = {" ": "␣", "\n": "↵", "\t": "→"}.get(characters[i], spell(characters[i]))
        _put(grid[row], column, shown if text_width(shown) <= 2 else "□")
    listed = [spell(name_character(character)) for character in characters]
    rows = [[listed[i], " ".join(listed[j] for j in found.neighbours[i])] for i in order[:MAP_LINES]]
    headline = f"what is expected in the same places lies together ({found.explained:.0%} of the variance)"
    if is_flat and len(characters) > 1:
        headline += ", from left to right only: the height means nothing"
    lines = [*wrapped(headline, width), *("".join(row).rstrip() for row in grid), ""]
    return [*lines, *format_columns([unit, "expected where it is"], rows, width)]
