"""What every HTML page has of a model, whatever is asked for; the sections of views stand with these."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from charrnn import __version__
from charrnn.analysis.neurons import has_gates
from charrnn.analysis.ngrams import ORDER, YARDSTICK
from charrnn.cli.inspector.cards import describe
from charrnn.cli.inspector.page_values import Section
from charrnn.cli.inspector.subject import Subject
from charrnn.display.card import frequencies, merged_parameters, provenance_rows, summary
from charrnn.generation.filters import SamplingOptions

MOST_EVALUATIONS = 1_000
"""Points of a curve: more nobody would look at."""

MOST_LISTED = 200
"""Of a vocabulary, the most frequent."""

LEFT_OUT = ("parameters", "characters", "names", "made")
"""Of the card: the page shows it otherwise, or in part."""

TEMPERATURES = (0.5, 0.8, 1.1)
PAGE_SAMPLE_LENGTH = 400


def facts_section(subject: Subject) -> Section:
    """What every page has, whatever is asked for: the card, the weights, the vocabulary, where it comes from."""
    card = {name: value for name, value in describe(subject).items() if name not in LEFT_OUT}
    del card["corpus"]["counts"]
    return {
        "version": __version__,
        "name": subject.name,
        "summary": summary(subject.contents.model),
        "has_gates": has_gates(subject.contents.model),
        "card": {**card, "history": thinned(card["history"])},
        "weights": [asdict(weight) for weight in merged_parameters(subject.contents)],  # of all members together
        "vocabulary": frequencies(subject.contents)[:MOST_LISTED],
        "origin": [[name.strip(), value] for name, value in provenance_rows(subject.contents)],
        "yardstick": {"name": YARDSTICK, "context": ORDER - 1},
    }


def samples_section(subject: Subject) -> Section:
    """What it writes, at several temperatures."""
    return {"samples": [sample(subject, t) for t in TEMPERATURES]}


def sample(subject: Subject, temperature: float) -> Section:
    """What a model writes at a temperature."""
    text = subject.sample(PAGE_SAMPLE_LENGTH, SamplingOptions(temperature=temperature))
    return {"temperature": temperature, "text": text}


def thinned(rows: list[Any]) -> list[Any]:
    """Some of many evaluations, the last among them."""
    step = -(-len(rows) // MOST_EVALUATIONS) or 1
    return rows[::-step][::-1]
