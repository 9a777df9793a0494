"""A copy of the log that a training replaces, kept until the training has saved its own checkpoint.

With --overwrite the log is replaced at once, but the checkpoint only by the first save. A training killed in between
leaves the old checkpoint, and a run that resumes from it needs the old log.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path

from charrnn.storage.outputs import replace_file

NO_LINE = (ValueError, TypeError, KeyError, RecursionError)
"""Exceptions that parsing raises for a line that is not a log's."""


def last_run(data: bytes) -> str:
    """The run named in a log's last complete line; empty if there is none."""
    last = data[: data.rfind(b"\n") + 1].splitlines()[-1:]
    try:
        run = json.loads(last[0])["run"] if last else ""
    except NO_LINE:  # reported when the log is opened
        return ""
    return run if isinstance(run, str) and re.fullmatch("[0-9a-f]{12}", run) else ""


class LogBackup:
    """The copy of a replaced log, in a hidden file named after the run that wrote the log's last line.

    Args:
        path: of the log; its folder exists.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._target = path, Path(os.path.realpath(path))
        self._may_be_there = True

    def keep(self) -> None:
        """Copy an existing log; if that fails, as on a full disk, the log is replaced without a copy."""
        with contextlib.suppress(OSError):
            data = self._path.read_bytes()
            if run := last_run(data):
                replace_file(self._kept(run), lambda file: file.write(data))

    def restore(self, run: str) -> None:
        """Restore the copy of the log of a run that resumes: the training that replaced it was never saved.

        Raises:
            OSError: the log cannot be restored; the copy stays.
        """
        kept = self._kept(run)
        if not os.path.exists(kept):
            return
        if not self._path.exists() or last_run(self._path.read_bytes()) != run:
            data = kept.read_bytes()
            replace_file(self._path, lambda file: file.write(data))
        kept.unlink()

    def discard(self) -> None:
        """Remove the copies for all runs, and temporary files of killed processes: the log's own run is saved."""
        if not self._may_be_there:
            return
        self._may_be_there = False
        name = re.escape(f".{self._target.name}.")
        pattern = re.compile(rf"{name}[0-9a-f]{{12}}\.old|\.?{name}([0-9a-f]{{12}}\.old\.)?\d+\.tmp")
        with contextlib.suppress(OSError):  # the folder is gone, or read-only by now
            for file in self._target.parent.iterdir():
                if pattern.fullmatch(file.name):
                    file.unlink()

    def _kept(self, run: str) -> Path:
        return self._target.with_name(f".{self._target.name}.{run}.old")
