"""The log of a training that begins or goes on, as it was asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from charrnn.cli.trainer.request import Request
from charrnn.display.log import TrainingLog
from charrnn.errors import CheckpointError
from charrnn.metrics import HistoryRow
from charrnn.storage.archive import read_checkpoint
from charrnn.training.run import TrainingRun


def open_log(request: Request, run: TrainingRun, tell: Callable[[str], None]) -> TrainingLog | None:
    """Open the log, where there is to be one.

    Args:
        request: that may name one.
        run: that it tells of, at the step after which it goes on.
        tell: see `TrainingLog`.

    Raises:
        OutputError: see `TrainingLog`.
    """
    if request.log is None:
        return None
    is_anew = request.overwrite and (not run.step or _was_written_with(request.path, request.log))
    return TrainingLog(
        Path(request.log),
        after_step=-1 if is_anew else run.step,
        history=() if is_anew else run.history or _history_before(request),
        was_named=partial(_was_named, request, request.log, run.step),
        tell=tell,
    )


def _history_before(request: Request) -> Sequence[HistoryRow]:
    """The evaluations that a run had which goes on without them, as where another share of the text is held out now."""
    return read_checkpoint(str(request.source)).history if request.resume else ()


def _was_named(request: Request, log: str, step: int) -> bool:
    """Whether the command that has written the checkpoint to go on from wrote to the same log of the same run."""
    is_other = request.resume_from is not None or (request.force and not step)  # a branch, and one on another text
    return request.resume and not is_other and _was_written_with(request.source, log)


def _was_written_with(path: Path, log: str) -> bool:
    """Whether there is a checkpoint at a path, and its command names a log."""
    with contextlib.suppress(CheckpointError):  # none is there, or a damaged one that is to be replaced
        return log in read_checkpoint(str(path)).given("--log")
    return False
