"""`charrnn inspect --html`: writes everything that was asked for to one page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from charrnn.cli.common.streams import print_path
from charrnn.cli.inspector.alphabet_view import embeddings_section
from charrnn.cli.inspector.comparison_page import collect_comparison
from charrnn.cli.inspector.flags import InspectFlags
from charrnn.cli.inspector.gallery import read_given
from charrnn.cli.inspector.gradient_view import gradients_section, require_length, why_too_short
from charrnn.cli.inspector.html_page import READ, Page, facts_section, samples_section, without_text
from charrnn.cli.inspector.novelty_view import novelty_section, require_text
from charrnn.cli.inspector.recording import Excerpt, Recording, choose_pieces, choose_texts
from charrnn.cli.inspector.results import PAGE_CHARACTERS, Section
from charrnn.cli.inspector.subject import LINES_FORGET, NOTHING_HELD_OUT, Subject
from charrnn.cli.inspector.surprise_view import surprise_section
from charrnn.cli.inspector.unit_views import gates_section, neurons_section, why_no_gates
from charrnn.display.messages import write_warning
from charrnn.display.page import MARK, ONE, SEVERAL, render
from charrnn.errors import CharRNNError
from charrnn.escape import one_line
from charrnn.storage.outputs import check_replaceable, write_whole
from charrnn.wording import without_advice


def write_report(subjects: Sequence[Subject], path: str, flags: InspectFlags) -> None:
    """Write a page about one model or several; without a flag for a view it has all that can be shown.

    A warning on stderr says that sections are missing because the training text is: the page's author can supply it.

    Raises:
        OutputError: the path holds something other than a report, or the page cannot be written.
    """
    check_replaceable(path, MARK, "a report", "--html")  # before the work
    values = collect(subjects[0], flags) if len(subjects) == 1 else collect_comparison(subjects, flags)
    write_whole(path, render(values, ONE if len(subjects) == 1 else SEVERAL).encode("utf-8"), "--html")
    print_path(path)
    if "surprise" not in values["absent"] or flags.gives_text:
        return
    for subject in subjects:
        if subject.training_text is None:
            learner = "the model" if len(subjects) == 1 else one_line(subject.name)
            write_warning(
                f"{path}: lacks sections that need the text that {learner} learned from: {subject.why_no_training_text}"
            )


def collect(subject: Subject, flags: InspectFlags) -> dict[str, Any]:
    """All values of the page, with the reasons for sections that are missing."""
    given = read_given([subject], flags)  # before the work
    if flags.novelty is not None:
        require_text(subject)
    page = Page(facts_section(subject), is_whole=flags.names_no_view)
    page.add("samples", lambda: samples_section(subject))
    if not subject.holds_out:
        page.lack("baseline", reason=NOTHING_HELD_OUT)
    elif subject.training_text is None:
        page.lack("baseline", reason=without_text(subject))
    if page.is_whole:
        page.lack("gates", reason=without_advice(why_no_gates(subject)))
        page.lack("gradients", reason="" if subject.is_stream else LINES_FORGET)
    if given is not None or subject.training_text is not None or flags.recording:
        _add_what_it_reads(page, subject, given, flags)
    else:
        page.lack(*(READ if page.is_whole else ["surprise"]), reason=without_text(subject))
    if page.is_whole or flags.embeddings:
        page.values |= embeddings_section(subject)
    if flags.novelty is not None:
        page.values |= novelty_section(subject, flags.novelty)
    return page.values


def _add_what_it_reads(page: Page, subject: Subject, given: Excerpt | None, flags: InspectFlags) -> None:
    """Add the sections in `READ`: all of them on a whole page, else the surprise and those that flags ask for."""
    (text,) = choose_texts([subject], given)
    try:
        (piece,) = choose_pieces(
            [subject], [text], flags.unknown, keeps_activations=page.is_whole or flags.keeps_activations
        )
    except CharRNNError as error:  # it knows no character of the text; the surprise view needs none
        if flags.recording:
            raise
        if page.is_whole:
            page.lack("neurons", "gates", "gradients", reason=text.on_page(without_advice(str(error))))
        piece = text
    recording = Recording(subject, piece)
    shown = (piece if flags.unknown == "skip" else text).first(PAGE_CHARACTERS)
    if page.is_whole:
        page.lack("gradients", reason=without_advice(why_too_short([(subject, piece)])))
    elif flags.gradients:
        require_length([(subject, piece)])
    makers: dict[str, Callable[[], Section]] = {
        "surprise": lambda: surprise_section(subject, shown, rule=flags.unknown, top_k=flags.top_k),
        "neurons": lambda: neurons_section(recording, flags.cell),
        "gates": lambda: gates_section(recording),
        "gradients": lambda: gradients_section(recording),
    }
    asked = ["neurons" if name == "cell" else name for name in flags.recording]
    for name in READ:
        if page.is_whole or name in ("surprise", *asked):
            page.add(name, makers[name], must=not page.is_whole)
