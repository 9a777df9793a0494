"""The values of `charrnn inspect --html` of several checkpoints: what can be compared of them, on one page."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from charrnn import __version__
from charrnn.analysis.gradients import shortest_text
from charrnn.analysis.neurons import has_gates
from charrnn.analysis.ngrams import YARDSTICK
from charrnn.cli.inspector.cards import comparison_rows, describe_each, why_they_differ
from charrnn.cli.inspector.flags import InspectFlags
from charrnn.cli.inspector.gallery import read_given
from charrnn.cli.inspector.gradient_view import gradients_view, num_read, require_length
from charrnn.cli.inspector.page_sections import DEFAULT_TOP_K, MOST_GUESSES, extent, sample, thinned
from charrnn.cli.inspector.page_values import LINES_FORGET, Page, Section, without_text
from charrnn.cli.inspector.subject import Subject
from charrnn.cli.inspector.surprise_view import surprise_view
from charrnn.cli.inspector.watching import TEXTS_DIFFER, Piece, Watched, choose_pieces, share_text
from charrnn.wording import number_of

SHOWN_CHARACTERS = 600
"""Of a text that each model colours: enough to see what one expects and another does not."""

TEMPERATURE = 0.8

READ = ("surprise", "gradients")


def collect_comparison(subjects: Sequence[Subject], flags: InspectFlags) -> Section:
    """All values of the page; what was to be in it and cannot be is told by the reason.

    Raises:
        CharRNNError: what a flag asks for cannot be shown.
    """
    given = read_given(subjects, flags)  # before the work
    page = Page(_facts(subjects, given), is_whole=flags.names_no_view)
    page.add("samples", lambda: {"samples": [sample(subject, TEMPERATURE) for subject in subjects]})
    without = next((subject for subject in subjects if subject.own_text is None), None)
    if page.is_whole and (lines := next((subject for subject in subjects if not subject.is_stream), None)):
        page.lack("gradients", reason=f"of {lines.name}, {LINES_FORGET}")
    if given is not None or without is None or flags.watching:
        _add_what_they_read(page, subjects, given, flags)
    elif page.is_whole:
        page.lack(*READ, reason=f"of {without.name}, {without_text(without)}")
    return page.values


def _facts(subjects: Sequence[Subject], given: Piece | None) -> Section:
    """What every page of several models has."""
    cards = describe_each(subjects)
    baselines = {card["baseline"] and card["baseline"]["loss"] for card in cards}
    notes = [why_they_differ(subjects)]
    if given is None and not share_text(subjects):
        notes.append(TEXTS_DIFFER.partition(";")[0])  # a reader of the page cannot do what follows
    return {
        "version": __version__,
        "yardstick": YARDSTICK,
        "level": baselines.pop() if len(baselines) == 1 else None,
        "note": next(filter(None, notes), ""),
        "rows": [
            {"name": name.strip(), "cells": cells, "differs": len(set(cells)) > 1}
            for name, *cells in comparison_rows(subjects)
        ],
        "models": [
            {
                "name": subject.name,
                "unit": subject.contents.encoder.unit,
                "bits": card["best"] and card["best"]["bits_per_char"],
                "verdict": card["verdict"],
                "num_layers": card["num_layers"],
                "members": card["members"],
                "has_gates": has_gates(subject.contents.model),
                "losses_compare": card["losses_compare"],
                "history": thinned(card["history"]),
            }
            for subject, card in zip(subjects, cards, strict=True)
        ],
    }


def _add_what_they_read(page: Page, subjects: Sequence[Subject], given: Piece | None, flags: InspectFlags) -> None:
    """Add where each is surprised and how far back it remembers, as far as that is asked for."""
    pieces = choose_pieces(subjects, given, flags.unknown, holds_all=False)
    read = list(zip(subjects, pieces, strict=True))
    if page.is_whole and (shortest := min(num_read(*each) for each in read)) < shortest_text():
        told = number_of(shortest, subjects[0].contents.encoder.unit)
        page.lack("gradients", reason=f"a text of {told} is too short to go back in")
    shown = pieces if given is None or flags.unknown == "skip" else [given] * len(subjects)
    top_k = min(flags.top_k or DEFAULT_TOP_K, MOST_GUESSES)

    def surprise() -> Section:
        return {
            "surprise": [
                {
                    **surprise_view(subject, piece.first(SHOWN_CHARACTERS), rule=flags.unknown, top_k=top_k).data,
                    "extent": extent(piece.first(SHOWN_CHARACTERS)),
                }
                for subject, piece in zip(subjects, shown, strict=True)
            ]
        }

    def gradients() -> Section:
        require_length(read)
        return {
            "gradients": [
                {**gradients_view(Watched(subject, piece)).data, "extent": extent(piece)} for subject, piece in read
            ]
        }

    makers: dict[str, Callable[[], Section]] = {"surprise": surprise, "gradients": gradients}
    for name in READ:
        if page.is_whole or name in ("surprise", *flags.watching):
            page.add(name, makers[name], must=not page.is_whole)
