"""`charrnn inspect --html`: all that was asked for as one page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from charrnn.analysis.gradients import shortest_text
from charrnn.analysis.neurons import has_gates
from charrnn.cli.inspector.flags import InspectFlags
from charrnn.cli.inspector.gallery import read_given
from charrnn.cli.inspector.gradient_view import num_read
from charrnn.cli.inspector.novelty_view import require_text
from charrnn.cli.inspector.page_sections import (
    PAGE_CHARACTERS,
    Section,
    embeddings_section,
    facts_section,
    gates_section,
    gradients_section,
    neurons_section,
    novelty_section,
    samples_section,
    surprise_section,
)
from charrnn.cli.inspector.subject import NOTHING_HELD_OUT, Subject
from charrnn.cli.inspector.watching import Piece, Watched, choose_pieces
from charrnn.display.outlet import write_warning
from charrnn.display.page import MARK, render
from charrnn.errors import DivergenceError
from charrnn.storage.outputs import check_replaceable, write_whole
from charrnn.wording import number_of

READ = ("surprise", "neurons", "gates", "gradients")
"""Sections about a text that the model reads."""


def write_report(subject: Subject, path: str, flags: InspectFlags) -> None:
    """Write a page about a model; without any flag for a view it has all that can be shown.

    What such a page lacks for want of the model's own text is told, since only who writes it can give that.

    Raises:
        OutputError: something else is there, or it cannot be written.
    """
    check_replaceable(path, MARK, "a report", "--html")  # before the work
    values = collect(subject, flags)
    write_whole(path, render(values).encode("utf-8"), "--html")
    print(path)
    if READ[0] in values["absent"] and subject.own_text is None:
        write_warning(f"{path}: lacks sections for want of the text that the model learned from: {subject.absence}")


def collect(subject: Subject, flags: InspectFlags) -> dict[str, Any]:
    """All values of the page; what was to be in it and cannot be is told by the reason."""
    given = read_given([subject], flags)  # before the work
    if flags.novelty is not None:
        require_text(subject)
    page = _Page(facts_section(subject), is_whole=flags.names_no_view)
    page.add("samples", lambda: samples_section(subject))
    if not subject.holds_out:
        page.lack("baseline", reason=NOTHING_HELD_OUT)
    elif subject.own_text is None:
        page.lack("baseline", reason=_absence(subject))
    if page.is_whole:
        _tell_impossible(page, subject)
    if given is not None or subject.own_text is not None or flags.watching:
        _add_what_it_reads(page, subject, given, flags)
    elif page.is_whole:
        page.lack(*READ, reason=_absence(subject))
    if page.is_whole or flags.embeddings:
        page.add("embeddings", lambda: embeddings_section(subject), must=True)
    if (novelty := flags.novelty) is not None:
        page.add("novelty", lambda: novelty_section(subject, novelty), must=True)
    return page.values


class _Page:
    """The values of a page, as they are gathered.

    Args:
        facts: what every page has.
        is_whole: whether all is wanted that can be shown; of what cannot, the reason is told then.

    Attributes:
        values: by the names under which the page's script reads them; "absent" has the reasons, by section.
    """

    def __init__(self, facts: Section, *, is_whole: bool) -> None:
        self.is_whole = is_whole
        self._absent: dict[str, str] = {}
        self.values: dict[str, Any] = {**facts, "absent": self._absent}

    def add(self, name: str, make: Callable[[], Section], *, must: bool = False) -> None:
        """Add a section that is not known to be absent; where its figures are no numbers, it is, by that reason.

        Raises:
            DivergenceError: they are no numbers, and it must be there.
        """
        if name in self._absent:
            return
        try:
            self.values |= make()
        except DivergenceError as error:
            if must:
                raise
            self.lack(name, reason=str(error).partition(";")[0])  # a reader of the page cannot do what follows

    def lack(self, *names: str, reason: str) -> None:
        """Tell why sections are absent, where that is not told yet."""
        for name in names:
            self._absent.setdefault(name, reason)


def _absence(subject: Subject) -> str:
    """Why there is no text, without the flag that gives one: a page may be read by someone else."""
    return "for want of the text that it learned from: " + subject.absence.partition(";")[0]


def _tell_impossible(page: _Page, subject: Subject) -> None:
    """Tell of sections that a model of its kind cannot have."""
    if not has_gates(subject.contents.model):
        page.lack("gates", reason=f"its cells are of the kind {subject.contents.model.cell}, which has no gates")
    if not subject.is_stream:
        page.lack("gradients", reason="it learned line by line and forgets at every line's end")


def _add_what_it_reads(page: _Page, subject: Subject, given: Piece | None, flags: InspectFlags) -> None:
    """Add what can be seen while the model reads: all of it, or the surprise and what was asked for."""
    (piece,) = choose_pieces([subject], given, flags.unknown, holds_all=page.is_whole or flags.holds_all)
    watched = Watched(subject, piece)
    shown = piece.first(PAGE_CHARACTERS)
    if given is not None and flags.unknown != "skip":
        shown = given.first(PAGE_CHARACTERS)
    if page.is_whole and (length := num_read(subject, piece)) < shortest_text():
        told = number_of(length, subject.contents.encoder.unit)
        page.lack("gradients", reason=f"a text of {told} is too short to go back in")
    makers: dict[str, Callable[[], Section]] = {
        "surprise": lambda: surprise_section(subject, shown, rule=flags.unknown, top_k=flags.top_k),
        "neurons": lambda: neurons_section(watched, flags.cell),
        "gates": lambda: gates_section(watched),
        "gradients": lambda: gradients_section(watched),
    }
    asked = ["neurons" if name == "cell" else name for name in flags.watching]
    for name in READ:
        if page.is_whole or name in ("surprise", *asked):
            page.add(name, makers[name], must=not page.is_whole)
