"""`charrnn inspect --novelty`: how much of a sample, or of another text, is copied from the training text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from charrnn.analysis.losses import OnProgress
from charrnn.analysis.novelty import Novelty, novelty, novelty_of_lines
from charrnn.arrays import Ids
from charrnn.cli.common.encodings import doubt_of
from charrnn.cli.common.terminal import work_progress
from charrnn.cli.inspector.flags import MAX_JUDGED, is_number
from charrnn.cli.inspector.results import Section, View
from charrnn.cli.inspector.subject import NOTHING_HELD_OUT, Subject
from charrnn.cli.inspector.tables import format_columns
from charrnn.cli.inspector.training_text import FoundText
from charrnn.display.widths import cut, wrapped
from charrnn.errors import CharRNNError, CorpusError
from charrnn.escape import one_line
from charrnn.paths import name_of
from charrnn.text.documents import read_text
from charrnn.text.encoder import AT_ONCE
from charrnn.text.likeness import ends_lines_by_cr_lf, in_known_form, with_cr_lf, with_known_line_ends

LONGEST_CHARACTER = 4
"""Most bytes of a UTF-8 character."""

LONGEST_STRETCH = 400
"""Most characters that a page shows of a copied substring."""

FORMER_TEXT = "the text of the model that it began with is not searched"


def require_text(subject: Subject) -> FoundText:
    """The text that a model learned from.

    Raises:
        CharRNNError: the text is not found.
    """
    if subject.training_text is None:
        raise CharRNNError(f"nothing to compare with: {subject.why_no_training_text}")
    return subject.training_text


def novelty_view(subject: Subject, wanted: str) -> View:
    """Measure how much of a sample or a file occurs in the training text, and how much of the held-out text does.

    Args:
        subject: the model.
        wanted: path of a file, or the number of characters (bytes for a byte model) to sample.

    Raises:
        CharRNNError: the training text is not found, or the text to compare is empty.
    """
    text_learned = require_text(subject)
    is_length = is_number(wanted)
    text = subject.sample(int(wanted)) if is_length else _read(subject, wanted)
    if not text:
        raise CorpusError(f"{'the sample' if is_length else name_of(wanted)}: no characters to look for; give more")
    judged = text[:MAX_JUDGED]
    texts, are_cut = [judged], [is_length or len(text) > len(judged)]
    if subject.holds_out:
        held_out = _beginning(text_learned.held_out, subject, len(judged) + 1)
        texts, are_cut = [judged, held_out[: len(judged)]], [*are_cut, len(held_out) > len(judged)]
    with work_progress("comparing", 1) as on_progress:
        source = _decoded(text_learned.train, subject, on_progress)
        if subject.is_stream:
            found, *expected = novelty(texts, source)
        else:
            found, *expected = novelty_of_lines(texts, source, are_cut=are_cut)
    is_part = found.characters < len(text)
    part = f", the first {found.characters:,} of its {len(text):,} characters" if is_part else ""
    name = "the sample" if is_length else f"{one_line(name_of(wanted))}{part}"
    data = {
        "text": None if is_length else one_line(name_of(wanted)), "of": len(text),
        "here": _fields(found), "held_out": _fields(*expected) if expected else None,
    }  # fmt: skip
    notes = [] if subject.contents.origin.init_from is None else [FORMER_TEXT]
    if not expected:
        notes.append(f"{NOTHING_HELD_OUT}, to compare with")
    note = "; ".join(notes)
    if note:
        data["note"] = note

    def draw(width: int, _: bool) -> list[str]:
        return [*_draw_novelty([found, *expected], name, width), *(["", *wrapped(note, width)] if note else [])]

    return View("novelty", data, draw)


def novelty_section(subject: Subject, wanted: str) -> Section:
    """The novelty view for a page, with the longest copied substrings cut to `LONGEST_STRETCH`."""
    data = novelty_view(subject, wanted).data
    longest = [{"length": len(text), "text": text[:LONGEST_STRETCH]} for text in data["here"]["longest"]]
    return {"novelty": {**data, "here": {**data["here"], "longest": longest}}}


def _fields(found: Novelty) -> dict[str, Any]:
    """The fields for JSON; those on lines only if each line is a text of its own."""
    return {name: value for name, value in asdict(found).items() if found.lines is not None or "lines" not in name}


def _read(subject: Subject, path: str) -> str:
    """Read a file as the training text was read."""
    options, takes_nulls = subject.text_options, "\0" in subject.contents.encoder
    doubt = doubt_of(options.encoding, subject.encoding)
    return _as_learned(read_text(path, options, doubt=doubt, takes_nulls=takes_nulls), subject)


def _as_learned(text: str, subject: Subject) -> str:
    """A text with the Unicode form, line ends and replacement of rare characters of the training text.

    Otherwise a copy would be found only in parts, or not at all.
    """
    encoder, counts = subject.contents.encoder, subject.contents.corpus.counts
    has_cr_lf = ends_lines_by_cr_lf(encoder, counts)
    text = in_known_form(with_cr_lf(text) if has_cr_lf else with_known_line_ends(text, encoder), encoder)
    return encoder.decode(encoder.encode(text)) if encoder.has_unknown else text


def _draw_novelty(judged: Sequence[Novelty], name: str, width: int) -> list[str]:
    """A table with a column for the text and one for the held-out text, if any, and the longest copied substrings."""
    found = judged[0]
    rows = [
        ["characters", *(f"{one.characters:,}" for one in judged)],
        ["median, from a character on", *(f"{one.median:,.0f}" for one in judged)],
        *([f"in stretches of {n} or more", *(f"{one.copied[n]:.1%}" for one in judged)] for n in found.copied),
    ]
    if found.lines is not None:
        rows[1:1] = [
            ["whole lines", *(f"{one.lines:,}" for one in judged)],
            ["lines that stand in it", *(_share(one.copied_lines) for one in judged)],
        ]
    lines = format_columns(["stands in the training text", "here", "held-out text"][: 1 + len(judged)], rows, width)
    longest = [cut(f"{len(stretch):>4}  {one_line(stretch)}", max(width, 20)) for stretch in found.longest]
    shown = ["", "the longest stretches here", *longest] if longest else []
    return [*wrapped(f"here: {name}", width), *lines, *shown]


def _beginning(ids: Ids, subject: Subject, length: int) -> str:
    """At most the first `length` characters of a text; only as many ids are decoded as these can take."""
    return subject.contents.encoder.decode(ids[: LONGEST_CHARACTER * length])[:length]


def _decoded(ids: Ids, subject: Subject, on_progress: OnProgress) -> Iterator[str]:
    """Decode a text in pieces; `on_progress` is called with the share of the text in each."""
    for piece in subject.contents.encoder.decode_pieces(ids):
        yield piece
        on_progress(AT_ONCE / len(ids))


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
