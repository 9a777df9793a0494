"""The values of the page of `charrnn inspect --html` that compares several checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from charrnn import __version__
from charrnn.analysis.neurons import has_gates
from charrnn.analysis.ngrams import BASELINE_NAME
from charrnn.cli.inspector.cards import describe_each
from charrnn.cli.inspector.comparison import comparison_rows, why_they_differ
from charrnn.cli.inspector.flags import InspectFlags
from charrnn.cli.inspector.gallery import read_given
from charrnn.cli.inspector.gradient_view import gradients_section, require_length, why_too_short
from charrnn.cli.inspector.html_page import Page, sample, thinned, without_text
from charrnn.cli.inspector.recording import TEXTS_DIFFER, Excerpt, Recording, choose_pieces, choose_texts, share_text
from charrnn.cli.inspector.results import Section
from charrnn.cli.inspector.subject import LINES_FORGET, Subject
from charrnn.cli.inspector.surprise_view import surprise_section
from charrnn.errors import CharRNNError, DivergenceError
from charrnn.wording import without_advice

SHOWN_CHARACTERS = 600
"""Most characters of the text that the page shows coloured by each model's surprisal."""

TEMPERATURE = 0.8


def collect_comparison(subjects: Sequence[Subject], flags: InspectFlags) -> Section:
    """All values of the page, with the reasons for sections that are missing.

    Raises:
        CharRNNError: what a flag asks for cannot be shown.
    """
    given = read_given(subjects, flags)  # before the work
    page = Page(_facts(subjects, given), is_whole=flags.names_no_view)
    cases = [(subject, TEMPERATURE) for subject in subjects]
    page.values["samples"] = _of_each(sample, cases, must=False)
    without = next((subject for subject in subjects if subject.training_text is None), None)
    if given is not None or without is None or flags.recording:
        _add_what_they_read(page, subjects, given, flags)
    elif page.is_whole:
        page.lack("surprise", "gradients", reason=f"of {without.name}, {without_text(without)}")
    return page.values


def _facts(subjects: Sequence[Subject], given: Excerpt | None) -> Section:
    """The facts about the models on every page."""
    cards = describe_each(subjects)
    baselines = {card["baseline"]["loss"] for card in cards if card["baseline"]}
    note = why_they_differ(subjects)
    level = next(iter(baselines)) if len(baselines) == 1 and not note else None
    if not note and given is None and not share_text(subjects):
        note = without_advice(TEXTS_DIFFER)  # without the advice, which a page's reader cannot follow
    return {
        "version": __version__,
        "yardstick": {"name": BASELINE_NAME},
        "level": level,
        "note": note,
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
                "holds_out": subject.holds_out,
                "losses_of": subject.contents.losses_of,
                "losses_compare": card["losses_compare"],
                "history": thinned(card["history"]),
            }
            for subject, card in zip(subjects, cards, strict=True)
        ],
    }


def _add_what_they_read(page: Page, subjects: Sequence[Subject], given: Excerpt | None, flags: InspectFlags) -> None:
    """Add the surprise of each model and, on a whole page or if asked for, its gradients."""
    texts = choose_texts(subjects, given)
    rule = flags.unknown
    must = not page.is_whole
    pieces = choose_pieces(subjects, texts, rule, keeps_activations=False) if rule == "skip" else texts
    coloured = [(subject, piece.first(SHOWN_CHARACTERS)) for subject, piece in zip(subjects, pieces, strict=True)]
    going_back = _pieces_to_go_back_in(page, subjects, given, flags) if page.is_whole or flags.gradients else []

    def surprise(subject: Subject, shown: Excerpt) -> Section:
        section: Section = surprise_section(subject, shown, rule=rule, top_k=flags.top_k)["surprise"]
        return section

    def gradients(subject: Subject, piece: Excerpt | None) -> Section:
        if piece is None:
            return {"absent": LINES_FORGET}
        section: Section = gradients_section(Recording(subject, piece))["gradients"]
        return section

    page.values["surprise"] = _of_each(surprise, coloured, must=must)
    if going_back:
        page.values["gradients"] = _of_each(gradients, going_back, must=must)


def _pieces_to_go_back_in(
    page: Page, subjects: Sequence[Subject], given: Excerpt | None, flags: InspectFlags
) -> list[tuple[Subject, Excerpt | None]]:
    """The text for each model's gradients, None for a model of lines; an empty list if the page lacks the section.

    Raises:
        CharRNNError: --gradients asks for the section and it cannot be shown.
    """
    streams = [subject for subject in subjects if subject.is_stream]
    if not streams:
        return [(subject, None) for subject in subjects]
    texts = choose_texts(streams, given)
    try:
        pieces = choose_pieces(streams, texts, flags.unknown, keeps_activations=False)
    except CharRNNError as error:  # a model knows no character of its text; the surprise view needs none
        if flags.gradients:
            raise
        page.lack("gradients", reason=texts[0].on_page(without_advice(str(error))))
        return []
    read = list(zip(streams, pieces, strict=True))
    if flags.gradients:
        require_length(read)
    if why_not := why_too_short(read):
        page.lack("gradients", reason=without_advice(why_not))
        return []
    each = iter(pieces)
    return [(subject, next(each) if subject.is_stream else None) for subject in subjects]


def _of_each(make: Callable[..., Section], cases: Iterable[tuple[Any, ...]], *, must: bool) -> list[Section]:
    """Each model's values for a section, or the reason if a model's figures are not finite.

    Raises:
        DivergenceError: `must` is set, and no model has finite figures.
    """
    found, errors = list[Section](), list[DivergenceError]()
    for case in cases:
        try:
            found.append(make(*case))
        except DivergenceError as error:
            errors.append(error)
            found.append({"absent": without_advice(str(error))})
    if must and len(errors) == len(found):
        raise errors[0]
    return found
