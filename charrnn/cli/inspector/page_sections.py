"""The sections that every HTML page has; the sections of views are in the views' modules."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from charrnn import __version__
from charrnn.analysis.neurons import has_gates
from charrnn.analysis.ngrams import BASELINE_NAME, ORDER
from charrnn.cli.inspector.cards import describe
from charrnn.cli.inspector.page_values import Section
from charrnn.cli.inspector.subject import Subject
from charrnn.display.card import frequencies, merged_parameters, provenance_rows, summary
from charrnn.generation.filters import SamplingOptions

MOST_EVALUATIONS = 1_000
"""Most points of a loss curve."""

MOST_LISTED = 200
"""Number of characters listed of a vocabulary, the most frequent."""

LEFT_OUT = ("parameters", "characters", "names", "made")
"""Fields of the card that the page leaves out, because it shows them in another form or in part."""

TEMPERATURES = (0.5, 0.8, 1.1)
PAGE_SAMPLE_LENGTH = 400


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
