"""The log of a training that begins or goes on, as it was asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

from charrnn.cli.trainer.request import Request
from charrnn.display.log import TrainingLog
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
    return TrainingLog(
        Path(request.log),
        after_step=run.step,
        history=() if request.overwrite and not run.step else run.history,
        was_named=partial(_was_named, request, request.log),
        tell=tell,
    )


def _was_named(request: Request, log: str) -> bool:
    """Whether the command that has written the checkpoint to go on from wrote to the same log."""
    if not request.resume or request.resume_from is not None:  # a branch has a log of its own
        return False
    words = read_checkpoint(str(request.source)).command
    return f"--log={log}" in words or ("--log", log) in pairwise(words)
