"""A training's log: one JSON object per report, in a file that a resumed run goes on with.

Each line is written before the checkpoint that comes after it, so that whatever moment a process is killed at, every
evaluation that the checkpoint knows of stands in the log; what the checkpoint does not know of is cut off when the run
goes on from it, and written anew.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence, Set
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Any

from charrnn.cli.trainer.request import Request
from charrnn.display.outlet import never
from charrnn.errors import CheckpointError, OutputError
from charrnn.metrics import HistoryRow
from charrnn.storage.archive import read_checkpoint

LINE_BEGINNING = b'{"step": '
"""Of every line."""

BEST = ("best_step", "best_val_loss")
"""What every line names: the best evaluation so far, by which a log is known."""

PACE = 1e-3
"""Share by which the text that a step stands for may differ between lines of one run: windows are not all as long."""

TELL_EVERY = 60.0
"""Seconds between two warnings of what cannot be written while the training goes on."""


def begins_as_log(path: Path) -> bool:
    """Whether a file is a log by its first line, which may be torn, or nothing yet; other programs' may begin alike."""
    with path.open("rb") as file:
        if not LINE_BEGINNING.startswith(file.read(len(LINE_BEGINNING))):
            return False
        rest = file.readline()
    return not rest.endswith(b"\n") or all(f'"{name}": '.encode() in rest for name in BEST)


def job_of(path: Path) -> str:
    """The job whose processes began a log; empty where that is none or unknown."""
    try:
        with path.open("rb") as file:
            return str(json.loads(file.readline())["job"])
    except (OSError, ValueError, TypeError, KeyError):
        return ""


def open_log(
    request: Request, step: int, history: Sequence[HistoryRow], tell: Callable[[str], None]
) -> TrainingLog | None:
    """Open the log, where there is to be one.

    Args:
        request: that may name one.
        step: after which the run goes on.
        history: the run's evaluations so far.
        tell: see `TrainingLog`.

    Raises:
        OutputError: see `TrainingLog`.
    """
    if request.log is None:
        return None
    is_anew = request.overwrite and (not step or _was_written_with(request.path, request.log))
    return TrainingLog(
        Path(request.log),
        after_step=-1 if is_anew else step,
        history=() if is_anew else history or _history_before(request),
        was_named=partial(_was_named, request, request.log, step),
        tell=tell,
    )


class TrainingLog:
    """A file that lines are added to; a line that cannot be written is kept until it can.

    Args:
        path: of the file; it is made where it is not there.
        after_step: the step that the run goes on after: later lines are cut off, with a last line that is torn; all are
            where it is less than 0.
        history: the run's evaluations so far, by which its log is known.
        was_named: asked whether the run has written to this path before: then later lines are its own too where none
            before them shows that, as of a run without an evaluation, or where the file before was moved away; and
            nobody has forgotten to name it.
        tell: called with what the user should know: that it cannot be written, once a minute, and that it can again.

    Attributes:
        failure: why the last line could not be written; empty where it could.
        gap: what a run that went on without it has left out of it; empty where that is nothing.
        is_new: whether it has no line yet.

    Raises:
        OutputError: the file cannot be written, or is something else than this run's log, as far as that shows.
    """

    def __init__(
        self,
        path: Path,
        *,
        after_step: int,
        history: Sequence[HistoryRow] = (),
        was_named: Callable[[], bool] = never,
        tell: Callable[[str], object] = lambda told: None,
    ) -> None:
        self.failure = self.gap = ""
        self._path, self._tell = path, tell
        self._pending = b""
        self._told, self._missing_from = float("-inf"), 0
        try:
            data = path.read_bytes() if path.exists() else b""
            end, last = _end_of(data, after_step, history, path, was_named=was_named)
            self.is_new = not end
            with self._open() as file:
                file.truncate(end)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror}); give another file with --log") from None
        if end and last < after_step:
            advice = "" if was_named() else "; give --log at each resume"  # a run that diverged is saved without a line
            self.gap = (
                f"{path}: ends with step {last:,}, and the run goes on after step {after_step:,}; what lies "
                f"between is not in it{advice}"
            )
        elif data and not end and history:
            self.gap = f"{path}: begins after step {after_step:,}; what came before is in the file that was moved away"

    def write(self, fields: Mapping[str, Any]) -> None:
        """Add a line; what JSON has no word for, such as infinity, becomes null."""
        line = json.dumps({name: _plain(value) for name, value in fields.items()}, allow_nan=False)
        if not self._pending:
            self._missing_from = fields["step"]
        self._pending += line.encode() + b"\n"
        try:
            with self._open() as file:
                self._append(file)
        except OSError as error:
            self.failure = f"{self._path}: the log cannot be written ({error.strerror})"
            if time.monotonic() - self._told >= TELL_EVERY:
                self._told = time.monotonic()
                self._tell(f"{self.failure}; training goes on, and tries again")
            return
        if self.failure:
            self._told = float("-inf")
            self._tell(f"{self._path}: the log is written again, and nothing of it is missing")
        self.failure, self._pending = "", b""

    @property
    def lost(self) -> str:
        """What is missing if nothing more is written, and why; empty where all is there."""
        return f"{self.failure}: its lines from step {self._missing_from:,} on are missing" if self._pending else ""

    def _open(self) -> FileIO:
        """Open it anew each time: it may have been deleted."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)  # Windows would write line ends of its own
        return open(os.open(self._path, flags, 0o666), "r+b", buffering=0)

    def _append(self, file: FileIO) -> None:
        end = file.seek(0, os.SEEK_END)
        try:
            written = 0
            while written < len(self._pending):
                written += file.write(self._pending[written:])
        except OSError:
            file.truncate(end)  # no torn line stays
            raise


def _history_before(request: Request) -> Sequence[HistoryRow]:
    """The evaluations that a run had which goes on without them, as where another share of the text is held out now."""
    return read_checkpoint(str(request.source)).history if request.resume else ()


def _was_named(request: Request, log: str, step: int) -> bool:
    """Whether the command that has written the checkpoint to go on from wrote to the same log of the same run."""
    is_other = request.resume_from is not None or (request.force and not step)  # a branch, and one on another text
    return request.resume and not is_other and _was_written_with(request.source, log)


def _was_written_with(path: Path, log: str) -> bool:
    """Whether there is a checkpoint at a path, and its training wrote to a log."""
    with contextlib.suppress(CheckpointError):  # none is there, or a damaged one that is to be replaced
        return log == read_checkpoint(str(path)).origin.log
    return False


def _end_of(
    data: bytes, after_step: int, history: Sequence[HistoryRow], path: Path, *, was_named: Callable[[], bool]
) -> tuple[int, int]:
    """Where the lines of steps up to `after_step` end, and the step of the last of them, 0 where there is none."""
    end = last = 0
    evaluated = frozenset((past.step, past.val_loss) for past in history)
    while (line_end := data.find(b"\n", end)) >= 0:
        try:
            row = json.loads(data[end:line_end])
            step = row["step"]
            is_later = step > after_step
            is_own = _is_of(row, history, evaluated) if history else _may_be_of(row, after_step) or was_named()
        except (ValueError, TypeError, KeyError):
            raise OutputError(f"{path}: is not the log of a training; give another file with --log") from None
        if not is_own:
            raise OutputError(f"{path}: is the log of another training; give another file with --log")
        if is_later:
            is_known = end > 0 if history else after_step < 0
            if not is_known and not (_keeps_pace(row, history) and was_named()):
                raise OutputError(f"{path}: has nothing of this training; give another file with --log")
            break
        end, last = line_end + 1, step
    return end, last


def _may_be_of(row: Mapping[str, Any], after_step: int) -> bool:
    """Whether a line may be of a run that was not evaluated up to a step: it names no evaluation up to there."""
    return (best_step := row.get("best_step")) is None or bool(best_step > after_step)


def _is_of(row: Mapping[str, Any], history: Sequence[HistoryRow], evaluated: Set[tuple[int, float]]) -> bool:
    """Whether the best evaluation that a line names is one of a run's; where the run had none by then, it may be."""
    if row["step"] < history[0].step:
        return True
    best = tuple(row[name] for name in BEST)
    return best in evaluated or (best[0] is not None and best[0] > history[-1].step)


def _keeps_pace(row: Mapping[str, Any], history: Sequence[HistoryRow]) -> bool:
    """Whether a line's step stands for as much of the text as a run's, as it does in no training of another text.

    Before a run's first evaluation it may.
    """
    if not history:
        return True
    last, epoch = history[-1], row.get("epoch")
    if not isinstance(epoch, (int, float)):
        return False
    return last.step == 0 or math.isclose(epoch * last.step, last.epoch * row["step"], rel_tol=PACE)


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
