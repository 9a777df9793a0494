"""`charrnn inspect --score --by line`: a filter that prints for every line how much it surprises each model.

Available input is scored at once, and only one piece of it is held in memory. Invalid bytes are no error, since a line
that has them is just what a user looks for. `line_scores` computes the scores.
"""

from __future__ import annotations

import base64
import os
import sys
import time
from collections.abc import Sequence
from typing import Any, BinaryIO

from charrnn.cli.common.encodings import doubt_of
from charrnn.cli.common.terminal import is_live
from charrnn.cli.inspector.fitting import READINGS_DIFFER, REMARKS, differing_flags, shared_encoding, warn
from charrnn.cli.inspector.line_scores import ScoredLine, fit_lines, score_lines
from charrnn.cli.inspector.scoring import warn_where_learned, was_trained_on
from charrnn.cli.inspector.subject import Subject
from charrnn.display.json_line import to_json
from charrnn.display.messages import write_line, write_warning
from charrnn.escape import one_line, visible
from charrnn.metrics import finite_or_none
from charrnn.paths import name_of
from charrnn.surrogates import UNDECODABLE, to_bytes
from charrnn.text.line_reader import read_lines
from charrnn.text.meter import Meter
from charrnn.text.options import BYTE, TextOptions
from charrnn.wording import format_seconds

FIRST_TOLD_SECONDS, SECONDS_BETWEEN = 10.0, 60.0
"""Seconds before the first progress line, and between later ones."""


class Waiting:
    """Reports on a terminal from time to time how much of a file is scored, unless stdout is a terminal too.

    It writes lines and draws no bar, because a pager or filter behind the pipe may use the same terminal.
    """

    def __init__(self, path: str) -> None:
        is_wanted = is_live() and not sys.stdout.isatty() and os.path.isfile(path)
        self._path, self._size = path, os.path.getsize(path) if is_wanted else 0
        self._done = 0
        self._begun = time.monotonic()
        self._next = FIRST_TOLD_SECONDS

    def __call__(self, more: int) -> None:
        """Add the number of bytes scored since the last call, and report if it is time."""
        self._done += more
        seconds = time.monotonic() - self._begun
        if seconds >= self._next and 0 < self._done < self._size:
            left = format_seconds(seconds * (self._size / self._done - 1))
            write_line(f"{one_line(self._path)}: {self._done / self._size:.0%} scored, about {left} left")
            self._next = seconds + SECONDS_BETWEEN


def filter_lines(subjects: Sequence[Subject], path: str, *, rule: str, above: float | None, as_json: bool) -> None:
    """Score every line as it comes, and print a row or an object for each.

    Args:
        subjects: the models.
        path: of the text, or "-".
        rule: for characters that a model does not know, one of `charrnn.cli.inspector.flags.UNKNOWN_RULES`.
        above: print only non-empty lines that take every model more bits per character than this; None for all lines.
        as_json: print an object per line instead of columns.

    Raises:
        CharRNNError: the rule is "error" and a line has a character that a model does not know; the lines before it are
            printed.
    """
    out = sys.stdout.buffer
    number, meter = 0, Meter(None)
    options = shared_encoding(subjects)
    is_tolerant = rule != "error" and options.unit != BYTE and options.errors == "strict"
    remarks = _Remarks(subjects, path, rule, encoding=options.encoding if is_tolerant else None)
    doubt = doubt_of(options.encoding, subjects[0].encoding)
    for lines in read_lines(
        path, options, is_tolerant=is_tolerant, advance=Waiting(path), doubt=doubt, watch=meter.watch
    ):
        remarks.make(lines, number + 1)
        fitted, refusal = fit_lines(subjects, lines, rule, path=path, first_number=number + 1)
        for scored in score_lines(subjects, fitted, rule, finds_worst=as_json):
            if above is None or (scored.least > above and scored.text.strip("\r")):
                out.write(_format(scored, subjects, as_json, out, options))
        out.flush()
        if refusal is not None:
            raise refusal
        number += len(lines)
    warn_where_learned(subjects, [was_trained_on(subject, meter) for subject in subjects], path)


class _Remarks:
    """Writes remarks on the lines to stderr as they come, each remark once.

    Args:
        subjects: the models.
        path: of the text, or "-".
        rule: for characters that a model does not know.
        encoding: of the text, to warn of bytes that are invalid in it; None for no such warning.
    """

    def __init__(self, subjects: Sequence[Subject], path: str, rule: str, *, encoding: str | None) -> None:
        self._subjects = subjects
        self._path = path
        self._rule = rule
        self._encoding = encoding
        self._is_compared = len(subjects) > 1
        self._untold = {remark: list(subjects) for remark in REMARKS}  # models without that remark so far

    def make(self, lines: Sequence[str], first_number: int) -> None:
        """Write the remarks on the next lines; `first_number` is the number of the first of them."""
        if self._encoding is not None and (bad := _first_bad(lines)) is not None:
            write_warning(
                f"{name_of(self._path)}: line {first_number + bad:,} is not valid {self._encoding.upper()}; such bytes "
                "are taken as characters that the model does not know"
            )
            self._encoding = None
        text = "".join(lines)
        if self._is_compared and (unlike := differing_flags(self._subjects, text, self._rule)):
            write_warning(READINGS_DIFFER.format(", ".join(unlike)))
            self._is_compared = False
        for remark, subjects in self._untold.items():
            self._untold[remark] = warn(remark, subjects, text, self._path, self._rule)


def _first_bad(lines: Sequence[str]) -> int | None:
    """Index of the first line with invalid bytes; None if there is none."""
    return next((i for i, line in enumerate(lines) if not line.isascii() and UNDECODABLE.search(line)), None)


def _format(
    scored: ScoredLine, subjects: Sequence[Subject], as_json: bool, out: BinaryIO, options: TextOptions
) -> bytes:
    """A line's output row; a line with invalid bytes is written with its original bytes."""
    is_foreign = UNDECODABLE.search(scored.text) is not None and not options.codec.startswith("utf-8")
    text = scored.text.encode(options.encoding, "surrogateescape") if is_foreign else to_bytes(scored.text)
    if as_json:
        exact = {"bytes": base64.b64encode(text).decode("ascii")} if is_foreign else {}
        return to_bytes(to_json({**_fields(scored, subjects), **exact}) + "\n")
    columns = [f"{value:.4f}" for value in scored.bits]
    if len(subjects) > 1:
        columns.append(one_line(scored.best_of(subjects) or "-"))  # a name may hold a line feed, a tab
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
