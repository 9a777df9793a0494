"""Shows the requested views one after another, as JSON, or as a picture."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from charrnn.analysis.neurons import MAX_VIEWED
from charrnn.cli.common.encodings import doubt_of
from charrnn.cli.common.streams import print_path
from charrnn.cli.common.terminal import fit_colours, shows_colour, terminal_width
from charrnn.cli.inspector.alphabet_view import embeddings_view
from charrnn.cli.inspector.fitting import REMARKS, shared_encoding, warn
from charrnn.cli.inspector.flags import InspectFlags
from charrnn.cli.inspector.gradient_figures import draw_gradients
from charrnn.cli.inspector.gradient_view import gradients_view, require_length
from charrnn.cli.inspector.novelty_view import novelty_view, require_text
from charrnn.cli.inspector.recording import (
    TEXTS_DIFFER,
    TYPED,
    Excerpt,
    Recording,
    choose_pieces,
    choose_texts,
    share_text,
)
from charrnn.cli.inspector.results import View
from charrnn.cli.inspector.subject import Subject
from charrnn.cli.inspector.surprise_view import surprise_view
from charrnn.cli.inspector.tables import print_json, print_lines
from charrnn.cli.inspector.unit_views import SHOWN_CHARACTERS, cell_view, gates_view, neurons_view
from charrnn.display.messages import write_line
from charrnn.display.svg import MARK, picture
from charrnn.display.widths import wrapped
from charrnn.escape import one_line
from charrnn.paths import name_of
from charrnn.storage.outputs import check_replaceable, write_whole
from charrnn.text.documents import read_beginning

MOST_COUNTED = 1 << 22
"""Most characters of a file that are read to count them; the views show far fewer."""


def show_views(subjects: Sequence[Subject], flags: InspectFlags) -> None:
    """Print the requested views of each model."""
    given = read_given(subjects, flags)
    pieces = recorded_pieces(subjects, given, flags)
    if flags.novelty is not None:  # before anything is shown
        for subject in subjects:
            require_text(subject)
    if flags.as_json:
        print_json([
            _as_json(subject, list(make_views(subject, given, piece, flags)))
            for subject, piece in zip(subjects, pieces, strict=True)
        ])  # fmt: skip
        return
    figures: dict[str, Any] = {}
    blank: list[str] = []  # goes between views, not before the first
    if given is None and pieces[0] is not None and not share_text(subjects):
        print_lines(wrapped(TEXTS_DIFFER, terminal_width()))
        blank = [""]
    for subject, piece in zip(subjects, pieces, strict=True):
        heading = [f"# {one_line(subject.name)}", ""] if len(subjects) > 1 else []
        for view in make_views(subject, given, piece, flags):
            if view.name == "gradients" and len(subjects) > 1:
                figures[subject.name] = view.data  # shown side by side, when all have been measured
                continue
            drawn = map(fit_colours, view.lines(terminal_width(), shows_colour()))
            print_lines([*blank, *heading, *drawn])
            blank, heading = [""], []
    if figures:
        print_lines([*blank, *draw_gradients(figures, terminal_width())])


def write_picture(subject: Subject, path: str, flags: InspectFlags) -> None:
    """Write the requested view's coloured text as an SVG picture.

    Raises:
        OutputError: the path holds something other than a picture of charrnn's, or the picture cannot be written.
    """
    check_replaceable(path, MARK, "a picture", "--svg")  # before the work
    given = read_given([subject], flags)
    (piece,) = recorded_pieces([subject], given, flags)
    (view,) = make_views(subject, given, piece, flags)
    shown = " ".join([view.name, *([view.data["unit"]] if "unit" in view.data else [])])
    drawn = picture(view.tinted, f"{subject.name}: {shown}", view.legend)
    write_whole(path, drawn.encode("utf-8", "replace"), "--svg")
    if view.cut:
        write_line(view.cut)
    print_path(path)


def read_given(subjects: Sequence[Subject], flags: InspectFlags) -> Excerpt | None:
    """The text of --text or --text-file, if given; warns of characters that a model knows only in another form."""
    if flags.text_file is not None:
        most = MOST_COUNTED if os.path.isfile(flags.text_file) else MAX_VIEWED  # a pipe may never end
        options = shared_encoding(subjects)
        doubt = doubt_of(options.encoding, flags.encoding)
        text, is_whole = read_beginning(flags.text_file, options, most, doubt=doubt)
        given = Excerpt(text, name_of(flags.text_file), len(text) if is_whole else None)
    elif flags.text is not None:
        given = Excerpt(flags.text, TYPED, len(flags.text))
    else:
        return None
    for remark in REMARKS:
        warn(remark, subjects, given.text[:MAX_VIEWED], given.source, flags.unknown)
    return given


def recorded_pieces(
    subjects: Sequence[Subject], given: Excerpt | None, flags: InspectFlags
) -> Sequence[Excerpt | None]:
    """The text for each model to read while its units are recorded; None if no requested view needs that."""
    if not flags.recording:
        return [None] * len(subjects)
    texts = choose_texts(subjects, given)
    pieces = choose_pieces(subjects, texts, flags.unknown, keeps_activations=flags.keeps_activations)
    if flags.gradients:
        require_length([*zip(subjects, pieces, strict=True)])
    return pieces


def make_views(subject: Subject, given: Excerpt | None, piece: Excerpt | None, flags: InspectFlags) -> Iterator[View]:
    """Make the views lazily, so that each is shown before the next is made."""
    if given is not None and piece is None:
        yield surprise_view(subject, given, rule=flags.unknown, top_k=flags.top_k)
    if piece is not None:
        recording = Recording(subject, piece)
        if flags.neurons:
            yield neurons_view(recording)
        for name in flags.cell:
            yield cell_view(recording, name, shown=None if given is not None else SHOWN_CHARACTERS)
        if flags.gates:
            yield gates_view(recording)
        if flags.gradients:
            yield gradients_view(recording)
    if flags.novelty is not None:
        yield novelty_view(subject, flags.novelty)
    if flags.embeddings:
        yield embeddings_view(subject)


def _as_json(subject: Subject, found: Sequence[View]) -> dict[str, Any]:
    """The values of each view by its name; those of all --cell views as a list, "cells"."""
    values: dict[str, Any] = {"checkpoint": subject.path}
    for view in found:
        if view.name == "cell":
            values.setdefault("cells", []).append(view.data)
        else:
            values[view.name] = view.data
    return values
