"""How much each line of a text surprises each model.

Every line is read by itself, after a line feed, like the first line of a text: its score does not depend on other
lines, and many lines are read as a batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from charrnn.analysis.losses import score_batch
from charrnn.analysis.surprise import by_character
from charrnn.arrays import Doubles
from charrnn.cli.inspector.fitting import fit_text, unknown_price
from charrnn.cli.inspector.scoring import best_fit
from charrnn.cli.inspector.subject import Subject
from charrnn.errors import CharRNNError
from charrnn.paths import name_of
from charrnn.text.options import BYTE
from charrnn.text.unknowns import EncodedText

WINDOW = 5
"""Length in characters of a line's worst place: shorter, one odd character would dominate, longer, half a line."""


@dataclass(frozen=True)
class FittedLine:
    """A line of a text as the models can read it.

    Attributes:
        number: line number, from 1.
        text: the line as given, with its line end.
        readings: what each model reads.
    """

    number: int
    text: str
    readings: list[EncodedText]


@dataclass(frozen=True)
class ScoredLine:
    """The score of a line.

    Attributes:
        number: line number, from 1.
        text: the line without LF, and without the CR before it if every model takes CR LF for a line end.
        bits: bits per character, by model; the line end counts, as one character or two. With several models, per
            character of the line as given. NaN if everything but the line end is left out.
        worst: by model, the highest mean bits per character over `WINDOW` adjacent characters.
    """

    number: int
    text: str
    bits: list[float]
    worst: list[float]

    @property
    def least(self) -> float:
        """The lowest bits per character of all models that know some of the line; -inf if none does."""
        return min((value for value in self.bits if not math.isnan(value)), default=-math.inf)

    def best_of(self, subjects: Sequence[Subject]) -> str | None:
        """The name of the model that fits the line best; None if none knows any of it."""
        return None if self.least == -math.inf else subjects[best_fit(self.bits)].name


def fit_lines(
    subjects: Sequence[Subject], lines: Sequence[str], rule: str, *, path: str, first_number: int
) -> tuple[list[FittedLine], CharRNNError | None]:
    """Turn lines into what the models can read.

    Args:
        subjects: the models.
        lines: with their line ends.
        rule: for characters that a model does not know, one of `charrnn.cli.inspector.flags.UNKNOWN_RULES`.
        path: of the text, or "-".
        first_number: line number of the first of these lines.

    Returns:
        The lines before the first one that the rule refuses, and the error of that one; else all lines, and None.
    """
    fitted = list[FittedLine]()
    for number, line in enumerate(lines, first_number):
        where = f"{name_of(path)}: line {number:,}"
        try:
            readings = [fit_text(subject, _as_read(line, subject, rule), where, rule) for subject in subjects]
        except CharRNNError as refusal:
            return fitted, refusal
        fitted.append(FittedLine(number, line, readings))
    return fitted, None


def score_lines(
    subjects: Sequence[Subject], lines: Sequence[FittedLine], rule: str, *, finds_worst: bool
) -> list[ScoredLine]:
    """Score each line by itself, and find its worst place if asked for; see `fit_lines`."""
    columns, means = [], []
    is_over_given = len(subjects) > 1 and rule != "skip"  # so that they compare
    for place, subject in enumerate(subjects):
        columns.append(_bits(subject, [line.readings[place] for line in lines], rule))
        counted = [_as_read(line.text, subject, rule) for line in lines] if is_over_given else columns[-1]
        pairs = zip(columns[-1], map(len, counted), strict=True)
        means.append([float(bits.sum()) / max(count, 1) for bits, count in pairs])
    has_cr_lf = all(_takes_cr_lf(subject, rule) for subject in subjects)
    return [
        ScoredLine(
            line.number,
            _without_end(line.text, has_cr_lf=has_cr_lf),
            [mean[index] for mean in means],
            [_worst(column[index]) for column in columns] if finds_worst else [],
        )
        for index, line in enumerate(lines)
    ]


def _as_read(line: str, subject: Subject, rule: str) -> str:
    """The line with its end, or without it for a model whose text has no line feed."""
    if "\n" in subject.contents.encoder:
        return line
    return _without_end(line, has_cr_lf=_takes_cr_lf(subject, rule))


def _without_end(line: str, *, has_cr_lf: bool) -> str:
    """The line without its line feed, or CR LF if that ends its lines."""
    return line.removesuffix("\r\n" if has_cr_lf else "\n").removesuffix("\n")


def _takes_cr_lf(subject: Subject, rule: str) -> bool:
    """Whether a model takes CR LF for a line end: it reads it as LF, or its training text has CR LF."""
    contents = subject.contents
    reads_lf = contents.text_options.newline == "lf" or (rule == "nearest" and "\r" not in contents.encoder)
    return reads_lf or contents.has_cr_lf


def _bits(subject: Subject, texts: Sequence[EncodedText], rule: str) -> list[Doubles]:
    """Bits of each counted character of each line; an unknown one has its price.

    A line of which everything but the line end is left out has a single NaN.
    """
    encoder, price = subject.contents.encoder, unknown_price(subject)
    first = subject.contents.first_id
    readings = score_batch(subject.engine, [np.concatenate([[first], text.ids]) for text in texts])
    result = []
    for text, reading in zip(texts, readings, strict=True):
        values = reading.surprisals
        if encoder.unit == BYTE or text.unknown:
            values = by_character(values, encoder, text, price)
            values = values[text.known] if rule == "skip" else values
        result.append(np.where(np.isfinite(values), values / math.log(2), math.inf))  # inf where logits overflow
        if rule == "skip" and text.text.strip("\r\n") and not text.known_text.strip("\r\n"):
            result[-1] = np.array([math.nan])
    return result


def _worst(bits: Doubles) -> float:
    """The largest mean over `WINDOW` adjacent characters, or over the whole line if it is shorter."""
    if not len(bits):
        return 0.0
    count = min(WINDOW, len(bits))
    return float(np.convolve(bits, np.ones(count) / count, "valid").max())
