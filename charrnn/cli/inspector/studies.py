"""What `charrnn inspect` finds out about a model as a whole: what it copies from its text, and its alphabet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from charrnn.analysis.embeddings import EmbeddingMap, map_embeddings
from charrnn.analysis.features import name_character
from charrnn.analysis.losses import Watch
from charrnn.analysis.novelty import Novelty, novelty, novelty_of_lines
from charrnn.cli.common.tables import format_columns, wrapped
from charrnn.cli.inspector.flags import is_number
from charrnn.cli.inspector.own_text import FoundText
from charrnn.cli.inspector.progress import work_progress
from charrnn.cli.inspector.subject import Subject
from charrnn.cli.inspector.views import View
from charrnn.display.card import spell
from charrnn.display.widths import cut, text_width
from charrnn.errors import CharRNNError
from charrnn.escape import quoted
from charrnn.generation.unprompted import write_sample
from charrnn.standard_input import name_of
from charrnn.text.documents import read_text
from charrnn.text.encoder import AT_ONCE, Ids
from charrnn.text.options import CHARACTER

SAMPLE_SEED = 1
MAX_JUDGED = 20_000
"""Characters that are looked for in the text, at most."""

LONGEST_CHARACTER = 4
"""Of UTF-8, in bytes."""

FORMER_TEXT = "what the model that it began with had learned from is not looked at"

MAP_LINES = 20
"""Lines of the map of an alphabet, and characters in the list below it."""


def require_text(subject: Subject) -> FoundText:
    """The text that a model learned from.

    Raises:
        CharRNNError: it is not there to compare with.
    """
    if subject.own_text is None:
        raise CharRNNError(f"nothing to compare with: {subject.absence}")
    return subject.own_text


def novelty_view(subject: Subject, wanted: str) -> View:
    """Tell how much of a sample stands in the training text, and how much of the held-out text does.

    Args:
        subject: the model.
        wanted: a file, or how many characters to sample; bytes, where these are the unit.

    Raises:
        CharRNNError: the training text is not there to compare with.
    """
    text_learned = require_text(subject)
    is_length = is_number(wanted)
    text = _sample(subject, wanted) if is_length else _as_learned(read_text(wanted, subject.text_options), subject)
    judged = text[:MAX_JUDGED]
    held_out = _beginning(text_learned.held_out, subject, len(judged) + 1)
    are_cut = [is_length or len(text) > len(judged), len(held_out) > len(judged)]
    texts = [judged, held_out[: len(judged)]]
    with work_progress("comparing", 1) as watch:
        source = _decoded(text_learned.train, subject, watch)
        if subject.is_stream:
            found, yardstick = novelty(texts, source)
        else:
            found, yardstick = novelty_of_lines(texts, source, are_cut=are_cut)
    part = f", the first {found.characters:,} of its {len(text):,} characters" * (found.characters < len(text))
    name = "the sample" if is_length else f"{quoted(name_of(wanted))}{part}"
    data = {
        "text": None if is_length else quoted(name_of(wanted)), "of": len(text),
        "sample": _fields(found), "held_out": _fields(yardstick),
    }  # fmt: skip
    note = FORMER_TEXT if subject.contents.origin.init_from is not None else ""
    if note:
        data["note"] = note

    def draw(width: int, _: bool) -> list[str]:
        return [*_draw_novelty(found, yardstick, name, width), *(["", *wrapped(note, width)] if note else [])]

    return View("novelty", data, draw)


def embeddings_view(subject: Subject) -> View:
    """Show which characters lie together: those that are expected in the same places, and those read alike."""
    characters = subject.contents.encoder.names
    weights = subject.contents.member(0).weights  # of an ensemble the first network's
    head = weights["head.weight"]
    found = map_embeddings(head - head.mean(axis=0))  # what is added to all of them makes no difference
    read = map_embeddings(weights["embedding.weight"])
    data = {
        "expected_alike": _neighbours(characters, found),
        "read_alike": _neighbours(characters, read),
        "places": {c: [round(float(x), 4) for x in place] for c, place in zip(characters, found.places, strict=True)},
        "explained": found.explained,
    }
    order = subject.contents.ids_by_frequency
    unit = subject.contents.encoder.unit
    return View("embeddings", data, lambda width, _: _draw_embeddings(characters, found, order, width, unit))


def _neighbours(characters: Sequence[str], found: EmbeddingMap) -> dict[str, list[list[Any]]]:
    return {
        character: [[characters[i], round(value, 4)] for i, value in zip(ids, similar, strict=True)]
        for character, ids, similar in zip(characters, found.neighbours, found.similarities, strict=True)
    }


def _fields(found: Novelty) -> dict[str, Any]:
    """What was found; of lines, where they are texts of their own."""
    return {name: value for name, value in asdict(found).items() if found.lines is not None or "lines" not in name}


def _as_learned(text: str, subject: Subject) -> str:
    """A text in which rare characters are what they are in the one that it learned from."""
    encoder = subject.contents.encoder
    return encoder.decode(encoder.encode(text)) if encoder.has_unknown else text


def _sample(subject: Subject, wanted: str) -> str:
    """Write as many characters, or bytes, as are wanted."""
    length = int(wanted) if len(wanted.lstrip("0")) < 10 else MAX_JUDGED  # Python reads no number of 5,000 digits
    contents = subject.contents
    counts = contents.corpus.counts
    return write_sample(subject.writer, contents.encoder, counts, min(length, MAX_JUDGED), seed=SAMPLE_SEED)


def _draw_novelty(found: Novelty, yardstick: Novelty, name: str, width: int) -> list[str]:
    rows = [
        ["characters", f"{found.characters:,}", f"{yardstick.characters:,}"],
        ["median stretch", f"{found.median:,.0f}", f"{yardstick.median:,.0f}"],
        *(
            [f"in stretches of {n} or more", f"{found.copied[n]:.1%}", f"{yardstick.copied[n]:.1%}"]
            for n in found.copied
        ),
    ]
    if found.lines is not None:
        rows[1:1] = [
            ["whole lines", f"{found.lines:,}", f"{yardstick.lines:,}"],
            ["lines that stand in it", _share(found.copied_lines), _share(yardstick.copied_lines)],
        ]
    lines = format_columns(["stands in the training text", "here", "held-out text"], rows, width)
    longest = [f"{len(stretch):>4}  {quoted(stretch)}" for stretch in found.longest]
    return [
        *wrapped(f"here: {name}", width),
        *lines,
        "",
        "the longest stretches here",
        *(cut(line, max(width, 20)) for line in longest),
    ]


def _beginning(ids: Ids, subject: Subject, length: int) -> str:
    """The first characters of a text, or those that there are; no more is decoded than they can take."""
    return subject.contents.encoder.decode(ids[: LONGEST_CHARACTER * length])[:length]


def _decoded(ids: Ids, subject: Subject, watch: Watch) -> Iterator[str]:
    """A text in pieces; what share of it was looked at is told to `watch`."""
    for piece in subject.contents.encoder.decode_pieces(ids):
        yield piece
        watch(AT_ONCE / len(ids))


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _put(row: list[str], column: int, shown: str) -> None:
    """Put a character into a row of a map, in which what follows a wide one is empty; what it covers goes."""
    size = text_width(shown)
    column = min(column, len(row) - size)
    for place in range(column, column + size):
        if not row[place]:
            row[place - 1] = " "
        if text_width(row[place] or " ") == 2:
            row[place + 1] = " "
        row[place] = ""
    row[column] = shown


def _listed(character: str, unit: str) -> str:
    """One of an alphabet in a list; a byte that is only a part of a character is none that could have a picture."""
    return spell(name_character(character) if unit == CHARACTER or character.isascii() else character, unit)


def _draw_embeddings(
    characters: Sequence[str], found: EmbeddingMap, order: list[int], width: int, unit: str
) -> list[str]:
    """A map, the more frequent character on top where two meet, and the neighbours of the most frequent ones."""
    columns = min(width, 64)
    grid = [[" "] * columns for _ in range(MAP_LINES)]
    is_flat = not found.places[:, 1].any()  # of one unit: what would lie in one line is kept apart
    rank = np.argsort(np.argsort(found.places[:, 0]))
    for i in reversed(order):
        x = found.places[i, 0]
        y = found.places[i, 1] if not is_flat else 1 - 2 * (0.618 * rank[i] % 1)
        row, column = round((1 - y) / 2 * (MAP_LINES - 1)), round((x + 1) / 2 * (columns - 1))
        shown = {" ": "␣", "\n": "↵", "\t": "→"}.get(characters[i], spell(characters[i], unit))
        _put(grid[row], column, shown if text_width(shown) <= 2 else "□")
    rows = [
        [_listed(characters[i], unit), " ".join(_listed(characters[j], unit) for j in found.neighbours[i])]
        for i in order[:MAP_LINES]
    ]
    headline = f"what is expected in the same places lies together ({found.explained:.0%} of the variance)"
    headline += ", from left to right alone: up and down say nothing" * (is_flat and len(characters) > 1)
    lines = [*wrapped(headline, width), *("".join(row).rstrip() for row in grid), ""]
    return [*lines, *format_columns([unit, "expected where it is"], rows, width)]
