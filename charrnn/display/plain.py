"""The displays of a training that need no terminal: plain lines, JSON lines, or nothing.

The live display for a terminal is in `charrnn.display.console`, which imports rich.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TextIO

from charrnn.display.json_line import to_json
from charrnn.display.messages import PatientStream, error_line, never
from charrnn.escape import one_line
from charrnn.metrics import DIVERGENCE, Report, bits_per_char, finite_or_none, perplexity
from charrnn.wording import describe_loss, describe_speed, format_seconds

LINE_EVERY = 60.0
"""Seconds without a line after which one is written between two evaluations, which may be far apart."""


class Display:
    """The base of all displays; it shows only warnings.

    Args:
        stream: to write to.
        is_hurried: whether a signal has asked the process to save or to stop, so that lines nobody reads are dropped.

    Attributes:
        shows_samples: whether the display shows samples of the model.
        unit: unit of the losses, "character" or "byte".
    """

    shows_samples = False
    unit = "character"

    def __init__(self, stream: TextIO, *, is_hurried: Callable[[], bool] = never) -> None:
        self._patient = PatientStream(stream, is_hurried)

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Restore the terminal. Idempotent."""

    def begin(self, lines: Sequence[str], settings: Mapping[str, Any]) -> None:
        """Show what was found and chosen: `lines` are for people, `settings` for programs."""
        for line in lines:
            self.note(line)

    def note(self, message: str) -> None:
        """Show a message once."""

    def warn(self, message: str) -> None:
        """Show a warning; every display but `MuteDisplay` does."""
        self.write(self._warning(message))

    def update(self, report: Report) -> None:
        """Show the progress of the training."""

    def sample(self, step: int, text: str) -> None:
        """Show a sample of the model at a step."""

    def finished(self, step: int) -> None:
        """Show that there is nothing to do, since the training had already ended at a step."""

    def interrupted(self, step: int) -> None:
        """Show that the training was stopped from outside after a step, and saved."""

    def write(self, line: str) -> None:
        """Write a line unchanged, preceded by a warning if lines were dropped since the last one."""
        self._patient.write(f"{self._told_of_lost()}{line}\n")

    def _told_of_lost(self) -> str:
        """A warning line on how many lines were dropped since the last one; empty for none."""
        lost = self._patient.left_out
        told = f"{lost:,} line{'s were' if lost > 1 else ' was'} left out while nobody read"
        return f"{self._warning(told)}\n" if lost else ""

    def _warning(self, message: str) -> str:
        """Format a warning for this display, in one line."""
        return error_line(message)


class MuteDisplay(Display):
    """Shows nothing at all, since another process of the same training does."""

    def warn(self, message: str) -> None:
        """See `Display.warn`."""


class PlainDisplay(Display):
    """Writes one line per evaluation, and one a minute between them, for logs and pipes.

    Args:
        stream: to write to.
        shows_samples: whether samples were asked for.
        is_hurried: see `Display`.
    """

    def __init__(self, stream: TextIO, *, shows_samples: bool, is_hurried: Callable[[], bool] = never) -> None:
        super().__init__(stream, is_hurried=is_hurried)
        self._told = time.monotonic()
        self.shows_samples = shows_samples

    def note(self, message: str) -> None:
        """See `Display.note`."""
        self._told = time.monotonic()
        self.write(one_line(message))

    def update(self, report: Report) -> None:
        """See `Display.update`."""
        losses = [] if report.train_loss is None else [f"training {report.train_loss:.4f}"]
        if report.val_loss is not None:
            mark = "best so far" if report.is_best else f"best at step {report.best_step:,}"
            losses.append(f"validation {describe_loss(report.val_loss, self.unit)}, {mark}")
        elif not losses or time.monotonic() - self._told < LINE_EVERY:
            return
        speed = "" if report.chars_per_second is None else f"{describe_speed(report.chars_per_second, self.unit)}, "
        self.note(
            f"step {report.step:,}, epoch {report.epoch:.2f}, {report.progress:.0%}: {', '.join(losses)}; "
            f"{speed}{format_seconds(report.seconds_left)} left"
        )

    def sample(self, step: int, text: str) -> None:
        """See `Display.sample`."""
        self.note(f"step {step:,} writes: {text}")


class JsonWarnings(Display):
    """Writes only warnings, for programs: one JSON object each."""

    def _warning(self, message: str) -> str:
        return to_json({"warning": message})


class JsonDisplay(JsonWarnings):
    """Writes a JSON object for the settings, and one for each event; the last report has the checkpoint's path too.

    Args:
        stream: to write to.
        path: of the checkpoint.
        shows_samples: whether samples were asked for.
        is_hurried: see `Display`.
    """

    def __init__(
        self, stream: TextIO, path: str, *, shows_samples: bool = False, is_hurried: Callable[[], bool] = never
    ) -> None:
        super().__init__(stream, is_hurried=is_hurried)
        self._path = path
        self.shows_samples = shows_samples

    def begin(self, lines: Sequence[str], settings: Mapping[str, Any]) -> None:
        """See `Display.begin`."""
        self._write({**settings, "told": lines})

    def note(self, message: str) -> None:
        """See `Display.note`."""
        self._write({"note": message})

    def update(self, report: Report) -> None:
        """See `Display.update`."""
        fields = report_fields(report)
        has_checkpoint = report.is_last and report.ended_by != DIVERGENCE  # which leaves an older one, if any
        self._write({**fields, "checkpoint": self._path} if has_checkpoint else fields)

    def sample(self, step: int, text: str) -> None:
        """See `Display.sample`."""
        self._write({"step": step, "sample": text})

    def finished(self, step: int) -> None:
        """See `Display.finished`."""
        self._write({"step": step, "finished": True, "checkpoint": self._path})

    def interrupted(self, step: int) -> None:
        """See `Display.interrupted`."""
        self._write({"step": step, "interrupted": True, "checkpoint": self._path})

    def _write(self, fields: dict[str, Any]) -> None:
        self.write(to_json(fields))


def report_fields(report: Report) -> dict[str, Any]:
    """A report as plain values, with the perplexities and bits per character of its losses."""
    fields = asdict(report)
    for name in ("train", "val"):
        loss = fields[f"{name}_loss"]
        fields[f"{name}_perplexity"] = None if loss is None else finite_or_none(perplexity(loss))
        fields[f"{name}_bits_per_char"] = None if loss is None else bits_per_char(loss)
    return fields
