"""How much each line of a text surprises each model.

Every line is read by itself, after a line feed, as the first of a text: its score does not depend on its neighbours,
and many lines are read side by side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from charrnn.analysis.losses import read_side_by_side
from charrnn.analysis.surprise import by_character
from charrnn.arrays import Doubles
from charrnn.cli.inspector.fitting import fit_text, unknown_price
from charrnn.cli.inspector.scoring import best_fit
from charrnn.cli.inspector.subject import Subject
from charrnn.errors import CharRNNError
from charrnn.generation.unprompted import first_id
from charrnn.paths import name_of
from charrnn.text.options import BYTE
from charrnn.text.unknowns import Readable

NEIGHBOURS = 5
"""Characters over which a line's worst place is measured: fewer would be one odd character, more half a line."""


@dataclass(frozen=True)
class FittedLine:
    """A line of a text, brought to what the models can read.

    Attributes:
        number: from 1.
        text: as it was given, with its end.
        readings: by model.
    """

    number: int
    text: str
    readings: list[Readable]


@dataclass(frozen=True)
class ScoredLine:
    """A line of a text.

    Attributes:
        number: from 1.
        text: without its line's end: the line feed, and the CR before it where every model takes both for one.
        bits: per character and model; its line's end counts, as one character or two. Of several models, per character
            of the line as it was given. No number where all of it is left out that is not its end.
        worst: by model, the most bits per character that as many as `NEIGHBOURS` beside each other take.
    """

    number: int
    text: str
    bits: list[float]
    worst: list[float]

    @property
    def least(self) -> float:
        """The fewest bits that a model gives it, of those that know some of it; none where no model does."""
        return min((value for value in self.bits if not math.isnan(value)), default=-math.inf)

    def best_of(self, subjects: Sequence[Subject]) -> str | None:
        """The name of the model that fits it best; None where none knows any of it."""
        return None if self.least == -math.inf else subjects[best_fit(self.bits)].name


def fit_lines(
    subjects: Sequence[Subject], lines: Sequence[str], rule: str, *, path: str, first_number: int
) -> tuple[list[FittedLine], CharRNNError | None]:
    """Bring lines to what the models can read.

    Args:
        subjects: the models.
        lines: with their ends.
        rule: for characters that a model does not know, one of `charrnn.cli.inspector.flags.UNKNOWN_RULES`.
        path: of the text, or "-".
        first_number: of the first of the lines in it.

    Returns:
        The lines up to the first that has a character which the rule refuses, and what is wrong with that one; else all
        of them, and None.
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
    """Score lines, each by itself, and find the worst place of each if that is wanted; see `fit_lines`."""
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
            line.text.removesuffix("\r\n" if has_cr_lf else "\n").removesuffix("\n"),
            [mean[index] for mean in means],
            [_worst(column[index]) for column in columns] if finds_worst else [],
        )
        for index, line in enumerate(lines)
    ]


def _as_read(line: str, subject: Subject, rule: str) -> str:
    """A line with its end, but for a model of one long line: where another ends says nothing."""
    if "\n" in subject.contents.encoder:
        return line
    return line.removesuffix("\r\n" if _takes_cr_lf(subject, rule) else "\n").removesuffix("\n")


def _takes_cr_lf(subject: Subject, rule: str) -> bool:
    """Whether a model takes CR LF for a line's end: it reads it as LF, or knows it from its text."""
    contents = subject.contents
    reads_lf = contents.text_options.newline == "lf" or (rule == "nearest" and "\r" not in contents.encoder)
    return reads_lf or contents.has_cr_lf


def _bits(subject: Subject, texts: Sequence[Readable], rule: str) -> list[Doubles]:
    """Bits of each character of each line that counts; of one that the model does not know its price.

    Where all of a line but its end is left out, they are one that is no number.
    """
    encoder, price = subject.contents.encoder, unknown_price(subject)
    beginning = first_id(encoder, subject.contents.corpus.counts)
    readings = read_side_by_side(subject.engine, [np.concatenate([[beginning], text.ids]) for text in texts])
    result = []
    for text, reading in zip(texts, readings, strict=True):
        values = reading.surprisals
        if encoder.unit == BYTE or text.unknown:
            values = by_character(values, encoder, text, price)
            values = values[text.known] if rule == "skip" else values
        result.append(np.where(np.isfinite(values), values / math.log(2), math.inf))  # where its numbers overflow
        if rule == "skip" and text.text.strip("\r\n") and not text.known_text.strip("\r\n"):
            result[-1] = np.array([math.nan])
    return result


def _worst(bits: Doubles) -> float:
    """The largest mean over `NEIGHBOURS` characters, or over all of a line that has fewer."""
    if not len(bits):
        return 0.0
    count = min(NEIGHBOURS, len(bits))
    return float(np.convolve(bits, np.ones(count) / count, "valid").max())
