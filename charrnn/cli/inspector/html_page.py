"""An HTML page: collects its values and the reasons for absent sections, and has the sections of every page.

The sections of views are in the views' modules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from charrnn import __version__
from charrnn.analysis.neurons import has_gates
from charrnn.analysis.ngrams import BASELINE_NAME, ORDER
from charrnn.cli.inspector.cards import describe
from charrnn.cli.inspector.results import Section
from charrnn.cli.inspector.subject import Subject
from charrnn.display.card import frequencies, merged_parameters, provenance_rows, summary
from charrnn.errors import DivergenceError
from charrnn.generation.filters import SamplingOptions
from charrnn.wording import without_advice

READ = ("surprise", "neurons", "gates", "gradients")
"""Sections that need a text for the model to read."""

MOST_EVALUATIONS = 1_000
"""Most points of a loss curve."""

MOST_LISTED = 200
"""Number of characters listed of a vocabulary, the most frequent."""

LEFT_OUT = ("parameters", "characters", "names", "made")
"""Fields of the card that the page leaves out, because it shows them in another form or in part."""

TEMPERATURES = (0.5, 0.8, 1.1)
PAGE_SAMPLE_LENGTH = 400


class Page:
    """The values of a page, which are added section by section.

    Args:
        facts: the values that every page has.
        is_whole: whether the page shows all it can and gives reasons for the rest, or only what flags name.

    Attributes:
        values: by the names under which the page's script reads them; "absent" holds the reasons, by section.
    """

    def __init__(self, facts: Section, *, is_whole: bool) -> None:
        self.is_whole = is_whole
        self._absent: dict[str, str] = {}
        self.values: dict[str, Any] = {**facts, "absent": self._absent}

    def add(self, name: str, make: Callable[[], Section], *, must: bool = False) -> None:
        """Add a section, unless it is already marked absent; mark it absent if its figures are not finite.

        Raises:
            DivergenceError: the figures are not finite, and `must` is set.
        """
        if name in self._absent:
            return
        try:
            self.values |= make()
        except DivergenceError as error:
            if must:
                raise
            self.lack(name, reason=without_advice(str(error)))

    def lack(self, *names: str, reason: str) -> None:
        """Mark sections absent for a reason; an earlier reason stays, and an empty one marks nothing."""
        if reason:
            self._absent |= {name: reason for name in names if name not in self._absent}


def without_text(subject: Subject) -> str:
    """Why sections that need the training text are absent, without advice, which a page's reader could not follow."""
    return f"for lack of the text that it learned from: {without_advice(subject.why_no_training_text)}"


def facts_section(subject: Subject) -> Section:
    """The facts about a model on every page: card, weights, vocabulary and origin."""
    card = {name: value for name, value in describe(subject).items() if name not in LEFT_OUT}
    del card["corpus"]["counts"]
    return {
        "version": __version__,
        "name": subject.name,
        "summary": summary(subject.contents.model),
        "has_gates": has_gates(subject.contents.model),
        "card": {**card, "history": thinned(card["history"])},
        "weights": [asdict(weight) for weight in merged_parameters(subject.contents)],  # summed over the members
        "vocabulary": frequencies(subject.contents)[:MOST_LISTED],
        "origin": [[name.strip(), value] for name, value in provenance_rows(subject.contents)],
        "yardstick": {"name": BASELINE_NAME, "context": ORDER - 1},
    }


def samples_section(subject: Subject) -> Section:
    """Samples at several temperatures."""
    return {"samples": [sample(subject, t) for t in TEMPERATURES]}


def sample(subject: Subject, temperature: float) -> Section:
    """One sample at a temperature."""
    text = subject.sample(PAGE_SAMPLE_LENGTH, SamplingOptions(temperature=temperature))
    return {"temperature": temperature, "text": text}


def thinned(rows: list[Any]) -> list[Any]:
    """At most `MOST_EVALUATIONS` rows, evenly spaced, the last included."""
    step = -(-len(rows) // MOST_EVALUATIONS) or 1
    return rows[::-step][::-1]
