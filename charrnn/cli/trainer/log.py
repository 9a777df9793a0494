"""A training's log: one JSON object per report, in a file to which a resumed run appends.

Each line names its run, so that no other run appends to the file. Lines are written before the checkpoint that covers
them: whenever a process is killed, the log has every evaluation that the checkpoint has. Lines later than the
checkpoint are cut off when the run resumes from it, and written again.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path
from typing import Any

from charrnn.cli.common.training_outputs import begins_as_log
from charrnn.cli.trainer.log_backup import NO_LINE, LogBackup, last_run
from charrnn.cli.trainer.repeated_failure import RepeatedFailure
from charrnn.cli.trainer.request import Request
from charrnn.cli.trainer.suggested_commands import way_to_begin
from charrnn.disk import sync
from charrnn.errors import OutputError
from charrnn.metrics import finite_or_none
from charrnn.storage.origin import Origin
from charrnn.storage.outputs import free_name_beside, replace_file

EVALUATED = re.compile(rb'"step": [1-9].*"val_loss": [^n]')
"""Matches a log line that reports an evaluation after a step: its validation loss is not null."""


def job_of(path: Path) -> str:
    """The torchrun job that began a log; empty if there was none, or it is unknown."""
    try:
        with path.open("rb") as file:
            return str(json.loads(file.readline())["job"])
    except (OSError, *NO_LINE):
        return ""


def open_log(
    request: Request, origin: Origin, tell: Callable[[str], None], *, step: int, is_evaluated: bool
) -> TrainingLog | None:
    """Open the log that the request names; None if it names none.

    Args:
        request: with the path of the log.
        origin: of the run.
        tell: see `TrainingLog`.
        step: after which the run goes on; 0 for a new run.
        is_evaluated: see `TrainingLog`.

    Raises:
        OutputError: see `TrainingLog`; or the log belongs to the run whose weights this new run begins with, and whose
            checkpoint it is to replace.
    """
    if request.log is None:
        return None
    path = Path(request.log)
    if request.overwrite:
        if request.resume_or_start and (told := _put_aside(path)):
            tell(f"{told}, for its checkpoint is not at {request.path}")
        replaced = [request.found.run] if request.found.run else []
        return TrainingLog(
            path, origin, after_step=step, is_evaluated=is_evaluated, replaced=replaced, keeps=True, tell=tell
        )
    if request.is_in_place and origin.init_run == request.found.run and _is_of(origin.init_run, path):
        raise OutputError(
            f"{path}: is the log of the training whose checkpoint this one is to replace; give "
            f"{way_to_begin(request)}, which replaces both, or another file with --log"
        )
    return TrainingLog(path, origin, after_step=step, is_evaluated=is_evaluated, tell=tell)


class TrainingLog:
    """A file to which lines are appended; a line that cannot be written is kept in memory until it can.

    Args:
        path: of the file; created if it does not exist.
        origin: of the run; the lines of the file carry its name, or the name of a run that it has branched off from.
        after_step: the step after which the run goes on: later lines are cut off, and so is an incomplete last line.
        is_evaluated: whether the run has an evaluation after that step; if not, the line of one is cut off too.
        replaced: names of runs whose lines are cut off too.
        keeps: whether to cut off the lines of all runs but this one and those that it comes from, and to keep a copy
            of the old log, see `LogBackup`, until `settle` is called.
        tell: called with messages for the user: that the log cannot be written, once a minute, and that it can again.

    Attributes:
        notice: what the user should know of the log as the run resumes, such as missing steps; empty for nothing.

    Raises:
        OutputError: the file cannot be written, or is not this run's log.
    """

    def __init__(
        self,
        path: Path,
        origin: Origin,
        *,
        after_step: int,
        is_evaluated: bool = True,
        replaced: Sequence[str] = (),
        keeps: bool = False,
        tell: Callable[[str], object] = lambda told: None,
    ) -> None:
        self.notice = ""
        self._path = path
        self._run = origin.run
        self._trouble = RepeatedFailure(tell)
        self._pending, self._missing_from = b"", 0
        self._before = LogBackup(path)
        kept, aside = _Kept(), None
        try:
            self._before.restore(origin.run)
            if path.exists():
                data = path.read_bytes()
                kept = _find_kept(data, path, origin, after_step, replaced, overwrites=keeps, is_evaluated=is_evaluated)
                aside = _copy_aside(data, path) if kept.cuts_parent and not keeps else None
            if keeps:
                self._before.keep()
            with self._open() as file:
                file.truncate(kept.end)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror}); give another file with --log") from None
        told = _told_of(kept, after_step, aside, is_branch=kept.run in origin.parents)
        self.notice = f"{path}: {told}" if told else ""

    def write(self, fields: Mapping[str, Any]) -> None:
        """Append a line; infinity and NaN become null."""
        plain = {key: finite_or_none(value) if isinstance(value, float) else value for key, value in fields.items()}
        line = json.dumps({"run": self._run, **plain}, allow_nan=False)
        if not self._pending:
            self._missing_from = fields["step"]
        self._pending += line.encode() + b"\n"
        try:
            with self._open() as file:
                self._append(file)
        except OSError as error:
            self._trouble.begin(f"{self._path}: the log cannot be written ({error.strerror})")
            return
        self._pending = b""
        self._trouble.end(f"{self._path}: the log is written again, and nothing of it is missing")

    def sync(self) -> None:
        """Flush the lines to the disk before the checkpoint that covers them; a failure is ignored."""
        with contextlib.suppress(OSError), self._open() as file:
            sync(file.fileno())

    def settle(self) -> None:
        """Drop the copy of the replaced log, since the checkpoint is now one of this run."""
        self._before.discard()

    @property
    def lost(self) -> str:
        """Which lines could not be written, and why; empty if all were written."""
        if not self._pending:
            return ""
        return f"{self._trouble.failure}: its lines from step {self._missing_from:,} on are missing"

    def _open(self) -> FileIO:
        """Open the file for each write: it may have been deleted."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)  # Windows would write line ends of its own
        return open(os.open(self._path, flags, 0o666), "r+b", buffering=0)

    def _append(self, file: FileIO) -> None:
        end = file.seek(0, os.SEEK_END)
        try:
            written = 0
            while written < len(self._pending):
                written += file.write(self._pending[written:])
        except OSError:
            file.truncate(end)  # leaves no incomplete line
            raise


@dataclass(frozen=True)
class _Kept:
    """The part of a log that is kept.

    Attributes:
        end: its length in bytes.
        step: of its last line.
        run: that wrote its last line; empty if no line is kept.
        begins_later: whether nothing is kept because the log's first line is of this run, but of a later step, or
            because the log has no complete line, as after a power cut.
        cuts_parent: whether the first line that is cut off belongs to a run that this one branched off from.
    """

    end: int = 0
    step: int = 0
    run: str = ""
    begins_later: bool = False
    cuts_parent: bool = False


def _put_aside(path: Path) -> str:
    """Rename the log of another training that has evaluated, and so has saved; return a message, empty if not renamed.

    A training that was killed before it evaluated left no checkpoint, and its log is replaced. A file that is not a log
    stays.
    """
    try:
        if not (begins_as_log(path) and EVALUATED.search(path.read_bytes())):
            return ""
        kept = free_name_beside(path, "before")
        path.rename(kept)
    except OSError:  # reported when the log is opened
        return ""
    return f"{path}: is kept as {kept}"


def _told_of(kept: _Kept, after_step: int, aside: Path | None, *, is_branch: bool) -> str:
    """The notice for a run that resumes with a log; empty if the log is complete and the run's own."""
    told = ""
    if after_step and kept.end and kept.step < after_step:
        told = (
            f"ends with step {kept.step:,}, and the run goes on after step {after_step:,}; what lies between is not in "
            "it, as after a resume without --log"
        )
    elif after_step and kept.begins_later:
        told = f"begins after step {after_step:,}; what came before is not in it"
    elif is_branch:
        told = f"goes on from here with this run{'' if aside else '; the one that it comes from needs another log now'}"
    whole = f"as it was, for the one that it comes from, it is kept as {aside}" if aside else ""
    return "; ".join(filter(None, [told, whole]))


def _copy_aside(data: bytes, path: Path) -> Path:
    """Copy a parent run's log beside itself before a branch cuts it: it may be the only one that the parent has."""
    kept = free_name_beside(path, "before")
    replace_file(kept, lambda file: file.write(data))
    return kept


def _is_of(run: str | None, path: Path) -> bool:
    """Whether the last line of the log at `path` is of that run."""
    try:
        return last_run(path.read_bytes()) == run
    except OSError:  # not there, or reported when the log is opened
        return False


def _find_kept(
    data: bytes,
    path: Path,
    origin: Origin,
    after_step: int,
    replaced: Sequence[str],
    *,
    overwrites: bool,
    is_evaluated: bool,
) -> _Kept:
    """Find the lines to keep: the run's own up to `after_step`, and those of each parent up to where it branched off.

    Later lines of the direct parent are cut off if the run branches off now, with a copy of the parent's log; otherwise
    they are refused as another training's, unless that training is to be replaced.
    """
    kept, limits = _Kept(), dict(zip(origin.parents, origin.left_at, strict=True))
    left_now = origin.parents[:1] if after_step in origin.left_at[:1] else []  # what the run branches off from
    while (line_end := data.find(b"\n", kept.end)) >= 0:
        try:
            row = json.loads(data[kept.end : line_end])
            run, step = row["run"], row["step"]
            is_unknown = step == after_step and not is_evaluated and row.get("val_loss") is not None
            is_later = step > after_step or is_unknown
            is_foreign = step > limits.get(run, step) or run not in (origin.run, *limits)
        except NO_LINE:
            if overwrites and not after_step:  # a log torn by a power cut, and nothing of it is to be kept
                break
            raise OutputError(f"{path}: is not the log of a training; give another file with --log") from None
        is_replaced = run in replaced or (overwrites and run not in limits)
        is_copied = run in left_now and kept.end > 0
        if is_foreign and not (is_replaced or is_copied):
            raise OutputError(f"{path}: is the log of another training; give another file with --log")
        if is_later or is_foreign:
            begins_later = run == origin.run and not (kept.end or left_now)
            return replace(kept, begins_later=begins_later, cuts_parent=run in limits)
        kept = _Kept(line_end + 1, step, run)
    return replace(kept, begins_later=not (kept.end or left_now))
