"""Recognises files that trainings write, which never belong to a training text."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from charrnn.storage.archive import begins_as_checkpoint
from charrnn.text.cache import is_kept
from charrnn.text.kinds import LOG_BEGINNING, holds_log


def is_made_by_training(path: Path) -> bool:
    """Whether a file is a checkpoint, log or encoded text of any training, or receives this process's output.

    False for a file that cannot be read; whoever reads it reports the error.
    """
    with contextlib.suppress(OSError):
        if is_kept(path) or _is_written_by_this_process(path) or begins_as_checkpoint(path):
            return True
        return path.stat().st_size >= len(LOG_BEGINNING) and begins_as_log(path)
    return False


def begins_as_log(path: Path) -> bool:
    """Whether a file is a log by its first line, which may be incomplete or empty."""
    with path.open("rb") as file:
        head = file.read(len(LOG_BEGINNING))
    return holds_log(head + LOG_BEGINNING[len(head) :])


def _is_written_by_this_process(path: Path) -> bool:
    """Whether stdout or stderr is redirected to a file, such as `nohup.out`."""
    there = path.stat()
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):  # closed by the caller
            if os.path.samestat(os.fstat(descriptor), there):
                return True
    return False
