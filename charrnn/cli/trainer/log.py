"""A training's log: one JSON object per report, in a file that a resumed run goes on with.

Each line names its training, so that no other goes on with it. It is written before the checkpoint that comes after
it, so that whatever moment a process is killed at, every evaluation that the checkpoint knows of stands in the log;
what the checkpoint does not know of is cut off when the run goes on from it, and written anew.
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

from charrnn.cli.common.made import begins_as_log
from charrnn.cli.trainer.replaced_log import NO_LINE, ReplacedLog, last_run
from charrnn.cli.trainer.request import Request
from charrnn.cli.trainer.retyping import way_to_begin
from charrnn.cli.trainer.trouble import Trouble
from charrnn.disk import sync
from charrnn.errors import OutputError
from charrnn.metrics import finite_or_none
from charrnn.storage.origin import Origin
from charrnn.storage.outputs import names_beside, replace_file

EVALUATED = re.compile(rb'"step": [1-9].*"val_loss": [^n]')
"""What a line of a log has that reports an evaluation after a step: a loss, and not null."""


def job_of(path: Path) -> str:
    """The job whose processes began a log; empty where that is none or unknown."""
    try:
        with path.open("rb") as file:
            return str(json.loads(file.readline())["job"])
    except (OSError, *NO_LINE):
        return ""


def open_log(
    request: Request, origin: Origin, tell: Callable[[str], None], *, step: int, is_evaluated: bool
) -> TrainingLog | None:
    """Open the log, where there is to be one.

    Args:
        request: that may name one.
        origin: of the run.
        tell: see `TrainingLog`.
        step: after which it goes on; 0 where it begins.
        is_evaluated: see `TrainingLog`.

    Raises:
        OutputError: see `TrainingLog`; or it is that of the run whose weights another one begins with in its file.
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
    """A file that lines are added to; a line that cannot be written is kept until it can.

    Args:
        path: of the file; it is made where it is not there.
        origin: of the run, whose name and those of the runs that it has branched off from stand in its lines.
        after_step: the step that the run goes on after: later lines are cut off, with a last line that is torn.
        is_evaluated: whether the run knows what it was worth after that step; else a line that says so is later too.
        replaced: names of runs whose lines are cut off too.
        keeps: whether so are all but those of the run and of what it comes from, and what is there is kept, as
            `ReplacedLog` does it, until `settle` is called.
        tell: called with what the user should know: that it cannot be written, once a minute, and that it can again.

    Attributes:
        notice: what is to be known of it as it is gone on with, such as what is missing; empty where that is nothing.

    Raises:
        OutputError: the file cannot be written, or is something else than this run's log.
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
        self._path, self._run, self._trouble = path, origin.run, Trouble(tell)
        self._pending, self._missing_from = b"", 0
        self._before = ReplacedLog(path)
        kept, aside = _Kept(), None
        try:
            self._before.bring_back(origin.run)
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
        """Add a line; what JSON has no word for, such as infinity, becomes null."""
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
        """Have the lines on the disk before the checkpoint that knows of them, as far as that can be done."""
        with contextlib.suppress(OSError), self._open() as file:
            sync(file.fileno())

    def settle(self) -> None:
        """Take note that the checkpoint is one of this run: what stood there before is needed no more."""
        self._before.let_go()

    @property
    def lost(self) -> str:
        """What is missing if nothing more is written, and why; empty where all is there."""
        if not self._pending:
            return ""
        return f"{self._trouble.failure}: its lines from step {self._missing_from:,} on are missing"

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


@dataclass(frozen=True)
class _Kept:
    """What stays of a log.

    Attributes:
        end: bytes of it.
        step: of its last line.
        run: that wrote it; empty where there is none.
        begins_later: whether nothing is kept because the log's first line is of this run, but of a later step, or
            because it has no whole line, as after a power cut.
        cuts_parent: whether the first line that goes is one of a run that this one comes from.
    """

    end: int = 0
    step: int = 0
    run: str = ""
    begins_later: bool = False
    cuts_parent: bool = False


def _put_aside(path: Path) -> str:
    """Rename a log of a training that has evaluated steps, and so has saved, where another is to begin; say so.

    One that was killed before has left nothing to go on with, and its log is replaced. What is no log stays.
    """
    try:
        if not (begins_as_log(path) and EVALUATED.search(path.read_bytes())):
            return ""
        kept = _free_name(path)
        path.rename(kept)
    except OSError:  # told by whoever opens it
        return ""
    return f"{path}: is kept as {kept}"


def _told_of(kept: _Kept, after_step: int, aside: Path | None, *, is_branch: bool) -> str:
    """What is to be known of a log that is gone on with after a step; nothing where it is a run's own and whole."""
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
    """Keep beside it what a log was that may be a run's own, and no copy, where another is to begin amid it."""
    kept = _free_name(path)
    replace_file(kept, lambda file: file.write(data))
    return kept


def _free_name(path: Path) -> Path:
    """Where a log can be kept beside its path."""
    return next(name for name in names_beside(path, "before") if not os.path.lexists(name))


def _is_of(run: str | None, path: Path) -> bool:
    """Whether a log is there whose last line is of that run."""
    try:
        return last_run(path.read_bytes()) == run
    except OSError:  # told by whoever opens it, if it is there
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
    """Find the lines that stay: of a run's own steps up to `after_step`, and of its parents' up to where it left them.

    Later lines of its direct parent are cut off if the run begins here with a copy of the parent's log; otherwise they
    are refused as another training's, unless these are to be replaced.
    """
    kept, limits = _Kept(), dict(zip(origin.parents, origin.left_at, strict=True))
    begins = after_step in origin.left_at[:1]
    while (line_end := data.find(b"\n", kept.end)) >= 0:
        try:
            row = json.loads(data[kept.end : line_end])
            run, step = row["run"], row["step"]
            is_unknown = step == after_step and not is_evaluated and row.get("val_loss") is not None
            is_later, is_theirs = step > after_step or is_unknown, step > limits.get(run, step)
        except NO_LINE:
            raise OutputError(f"{path}: is not the log of a training; give another file with --log") from None
        is_replaced = run != origin.run and (run in replaced or (overwrites and run not in limits))
        is_copied = begins and kept.end and run in origin.parents[:1]
        if not is_replaced and ((is_theirs and not is_copied) or run not in (origin.run, *limits)):
            raise OutputError(f"{path}: is the log of another training; give another file with --log")
        if is_later or is_theirs or (is_replaced and run not in limits):
            begins_later = run == origin.run and not (kept.end or begins)
            return replace(kept, begins_later=begins_later, cuts_parent=run in limits)
        kept = _Kept(line_end + 1, step, run)
    return replace(kept, begins_later=not (kept.end or begins))
