"""`charrnn inspect --score --by line`: a filter that says of every line how much it surprises each model.

Every line is read by itself, after a line feed, as the first of a text: its score does not depend on its neighbours,
and many lines are read side by side. What is there is answered at once; what is held is one piece of input. Bytes that
are not in the model's encoding end nothing, since a line that has them is just what one looks for.
"""

from __future__ import annotations

import base64
import math
import os
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from charrnn.analysis.losses import Floats, read_side_by_side
from charrnn.cli.common.encodings import doubt_of
from charrnn.cli.common.terminal import is_live
from charrnn.cli.inspector.fitting import (
    UNLIKE,
    fit_text,
    shared_encoding,
    unknown_price,
    unlike_readings,
    warn_of_line_ends,
    warn_of_other_form,
)
from charrnn.cli.inspector.scoring import best_fit
from charrnn.cli.inspector.subject import Subject
from charrnn.display.json_line import to_json
from charrnn.display.outlet import write_error, write_line
from charrnn.errors import CharRNNError
from charrnn.escape import quoted, visible
from charrnn.generation.unprompted import first_id
from charrnn.metrics import finite_or_none
from charrnn.paths import name_of
from charrnn.text.encoder import to_bytes
from charrnn.text.likeness import ends_lines_by_cr_lf
from charrnn.text.line_reader import read_lines
from charrnn.text.options import BYTE, TextOptions
from charrnn.wording import format_seconds

NO_TEXT = re.compile("[\udc80-\udcff]")
"""What stands for a byte that could not be decoded: see PEP 383, https://peps.python.org/pep-0383/."""

NEIGHBOURS = 5
"""Characters over which a line's worst place is measured: fewer would be one odd character, more half a line."""

FIRST_TOLD_SECONDS, SECONDS_BETWEEN = 10.0, 60.0
"""Until it is first told how much of a file is scored, and from then on."""


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


class Waiting:
    """Tells on a terminal, now and then, how much of a file is scored; nothing where the lines are shown there.

    It tells lines and draws no bar: what is piped into a pager, or through a filter, may be on the same terminal.
    """

    def __init__(self, path: str) -> None:
        is_wanted = is_live() and not sys.stdout.isatty() and os.path.isfile(path)
        self._path, self._size = path, os.path.getsize(path) if is_wanted else 0
        self._done, self._begun, self._next = 0, time.monotonic(), FIRST_TOLD_SECONDS

    def __call__(self, more: int) -> None:
        """Take into account how many more bytes are scored."""
        self._done += more
        seconds = time.monotonic() - self._begun
        if seconds >= self._next and 0 < self._done < self._size:
            left = format_seconds(seconds * (self._size / self._done - 1))
            write_line(sys.stderr, f"{quoted(self._path)}: {self._done / self._size:.0%} scored, about {left} left")
            self._next = seconds + SECONDS_BETWEEN


class _Remarks:
    """What is said on stderr of lines as they come, each remark once.

    Args:
        subjects: the models.
        path: of the text, or "-".
        rule: for characters that a model does not know.
        encoding: of the text, where bytes that are not valid in it are told; None where they are not.
    """

    def __init__(self, subjects: Sequence[Subject], path: str, rule: str, *, encoding: str | None) -> None:
        self._subjects, self._path, self._rule, self._encoding = subjects, path, rule, encoding
        self._is_compared = len(subjects) > 1
        self._read_as_is = list(subjects)  # as far as nothing was said of another form
        self._with_cr = list(subjects)  # nor of line ends

    def make(self, lines: Sequence[str], first_number: int) -> None:
        """Say what is to be said of the next lines, the first of which has that number."""
        if self._encoding is not None and (bad := _first_bad(lines)) is not None:
            write_error(
                f"{name_of(self._path)}: line {first_number + bad:,} is not valid {self._encoding.upper()}; such bytes "
                "are taken as characters that the model does not know"
            )
            self._encoding = None
        text = "".join(lines)
        if self._is_compared and (unlike := unlike_readings(self._subjects, text, self._rule)):
            write_error(UNLIKE.format(", ".join(unlike)))
            self._is_compared = False
        told = warn_of_other_form(self._read_as_is, text, self._path, self._rule)
        self._read_as_is = [subject for subject in self._read_as_is if subject not in told]
        told = warn_of_line_ends(self._with_cr, text, self._path, self._rule)
        self._with_cr = [subject for subject in self._with_cr if subject not in told]


def filter_lines(subjects: Sequence[Subject], path: str, *, rule: str, above: float | None, as_json: bool) -> None:
    """Score every line as it comes and print one for one.

    Args:
        subjects: the models.
        path: of the text, or "-".
        rule: for characters that a model does not know, one of `charrnn.text.unknowns.RULES`.
        above: print only lines that take every model more bits per character than this, and of those no blank ones, in
            which nothing stands that could be odd; None for all lines.
        as_json: an object for each line instead of columns.

    Raises:
        CharRNNError: the rule is "error" and a line has a character that a model does not know; those before it are
            printed.
    """
    out = sys.stdout.buffer
    number = 0
    options = shared_encoding(subjects)
    is_tolerant = rule != "error" and options.unit != BYTE and options.errors == "strict"
    remarks = _Remarks(subjects, path, rule, encoding=options.encoding if is_tolerant else None)
    doubt = doubt_of(options.encoding, subjects[0].encoding)
    for lines in read_lines(path, options, is_tolerant=is_tolerant, advance=Waiting(path), doubt=doubt):
        remarks.make(lines, number + 1)
        known, refusal = _known_lines(subjects, lines, path, number + 1) if rule == "error" else (lines, None)
        scores = score_lines(subjects, known, rule=rule, first_number=number + 1, path=path, finds_worst=as_json)
        for scored in scores:
            if above is None or (scored.least > above and scored.text.strip("\r")):
                out.write(_format(scored, subjects, as_json, out, options))
        out.flush()
        if refusal is not None:
            raise refusal
        number += len(lines)


def _known_lines(
    subjects: Sequence[Subject], lines: list[str], path: str, first_number: int
) -> tuple[list[str], CharRNNError | None]:
    """The lines up to the first with a character that a model does not know, and what is wrong with that one."""
    for number, line in enumerate(lines, first_number):
        try:
            for subject in subjects:
                fit_text(subject, _as_read(line, subject), f"{name_of(path)}: line {number:,}", "error")
        except CharRNNError as refusal:
            return lines[: number - first_number], refusal
    return lines, None


def _first_bad(lines: Sequence[str]) -> int | None:
    """Which line is the first that has bytes in it that were no text."""
    return next((i for i, line in enumerate(lines) if not line.isascii() and NO_TEXT.search(line)), None)


def score_lines(
    subjects: Sequence[Subject],
    lines: Sequence[str],
    *,
    rule: str,
    first_number: int,
    path: str,
    finds_worst: bool,
) -> list[ScoredLine]:
    """Score lines, each by itself, and find the worst place of each if that is wanted; see `filter_lines`."""
    columns, means = [], []
    for subject in subjects:
        known = [_as_read(line, subject) for line in lines]
        columns.append(_bits(subject, known, rule, path))
        counts = columns[-1] if len(subjects) == 1 or rule == "skip" else known
        means.append([_mean(*pair) for pair in zip(columns[-1], map(len, counts), strict=True)])
    has_cr_lf = all(_takes_cr_lf(subject, rule) for subject in subjects)
    texts = [line.removesuffix("\r\n" if has_cr_lf else "\n").removesuffix("\n") for line in lines]
    return [
        ScoredLine(
            first_number + index, text, [mean[index] for mean in means],
            [_worst(column[index]) for column in columns] if finds_worst else [],
        )
        for index, text in enumerate(texts)
    ]  # fmt: skip


def _as_read(line: str, subject: Subject) -> str:
    """A line with its end, but for a model of one long line: where another ends says nothing."""
    return line if "\n" in subject.contents.encoder else line.removesuffix("\n")


def _takes_cr_lf(subject: Subject, rule: str) -> bool:
    """Whether a model takes CR LF for a line's end: it reads it as LF, or knows it from its text."""
    contents = subject.contents
    reads_lf = contents.text.newline == "lf" or (rule == "nearest" and "\r" not in contents.encoder)
    return reads_lf or ends_lines_by_cr_lf(contents.encoder, contents.corpus.counts)


def _bits(subject: Subject, lines: Sequence[str], rule: str, path: str) -> list[Floats]:
    """Bits of each character of each line that counts; of one that the model does not know its price.

    Where all of a line but its end is left out, they are one that is no number.
    """
    encoder, price = subject.contents.encoder, unknown_price(subject)
    beginning = first_id(encoder, subject.contents.corpus.counts)
    texts = [fit_text(subject, line, path, rule) for line in lines]
    readings = read_side_by_side(subject.engine, [np.concatenate([[beginning], text.ids]) for text in texts])
    result = []
    for text, reading in zip(texts, readings, strict=True):
        values = reading.surprisals
        if encoder.unit == BYTE or text.unknown:
            widths = encoder.widths(text.known_text)
            values = np.full(len(text.known), price)
            if len(widths):
                values[text.known] = np.add.reduceat(reading.surprisals, np.cumsum(widths) - widths)
            values = values[text.known] if rule == "skip" else values
        result.append(np.where(np.isfinite(values), values / math.log(2), math.inf))  # where its numbers overflow
        if rule == "skip" and text.text.strip("\r\n") and not text.known_text.strip("\r\n"):
            result[-1] = np.array([math.nan])
    return result


def _mean(bits: Floats, count: int) -> float:
    return float(bits.sum()) / count if count else 0.0


def _worst(bits: Floats) -> float:
    """The largest mean over `NEIGHBOURS` characters, or over all of a line that has fewer."""
    if not len(bits):
        return 0.0
    count = min(NEIGHBOURS, len(bits))
    return float(np.convolve(bits, np.ones(count) / count, "valid").max())


def _format(
    scored: ScoredLine, subjects: Sequence[Subject], as_json: bool, out: BinaryIO, options: TextOptions
) -> bytes:
    """A line's row; the line itself is in it as it is, where it has bytes that are no text."""
    is_foreign = NO_TEXT.search(scored.text) is not None and not options.codec.startswith("utf-8")
    text = scored.text.encode(options.encoding, "surrogateescape") if is_foreign else to_bytes(scored.text)
    if as_json:
        exact = {"bytes": base64.b64encode(text).decode("ascii")} if is_foreign else {}
        return to_bytes(to_json({**_fields(scored, subjects), **exact}) + "\n")
    columns = [f"{value:.4f}" for value in scored.bits]
    if len(subjects) > 1:
        columns.append(quoted(scored.best_of(subjects) or "-"))  # a name may hold a line feed, a tab
    columns.append(str(len(scored.text)))
    shown = to_bytes(visible(scored.text)) if out.isatty() else text
    return b"".join([*(to_bytes(column) + b"\t" for column in columns), shown, b"\n"])


def _fields(scored: ScoredLine, subjects: Sequence[Subject]) -> dict[str, Any]:
    known = {"line": scored.number, "length": len(scored.text), "text": scored.text}
    values, worst = ([finite_or_none(round(value, 6)) for value in each] for each in (scored.bits, scored.worst))
    if len(subjects) == 1:
        return {"bits_per_char": values[0], "worst": worst[0], **known}
    names = [subject.name for subject in subjects]
    by_name = {"bits_per_char": dict(zip(names, values, strict=True)), "worst": dict(zip(names, worst, strict=True))}
    return {**by_name, "best": scored.best_of(subjects), **known}
