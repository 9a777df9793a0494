"""The log that a training replaces, kept beside it until its own checkpoint is saved.

With --overwrite the log begins anew at once, and the checkpoint is replaced by the first save. Whoever is killed in
between leaves the old checkpoint, and a run that goes on from that needs its own log.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path

from charrnn.storage.outputs import replace_file

NO_LINE = (ValueError, TypeError, KeyError, RecursionError)
"""What reading a line raises that is none of a log's."""


def last_run(data: bytes) -> str:
    """The run of a log's last line that is whole; empty where there is none."""
    last = data[: data.rfind(b"\n") + 1].splitlines()[-1:]
    try:
        run = json.loads(last[0])["run"] if last else ""
    except NO_LINE:  # which whoever reads it tells
        return ""
    return run if isinstance(run, str) and re.fullmatch("[0-9a-f]{12}", run) else ""


class ReplacedLog:
    """What stood at a log's path before; it is kept by the name of the run that wrote its last line.

    Args:
        path: of the log; its folder is there.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._target = path, Path(os.path.realpath(path))
        self._may_be_there = True

    def keep(self) -> None:
        """Copy what is there, if anything is and if it can be: on a full disk it is replaced all the same."""
        with contextlib.suppress(OSError):
            data = self._path.read_bytes()
            if run := last_run(data):
                replace_file(self._kept(run), lambda file: file.write(data))

    def bring_back(self, run: str) -> None:
        """Put back what is kept for a run that goes on: what has replaced it was never saved.

        Raises:
            OSError: it cannot be done; it is still kept.
        """
        kept = self._kept(run)
        if not os.path.exists(kept):
            return
        if not self._path.exists() or last_run(self._path.read_bytes()) != run:
            data = kept.read_bytes()
            replace_file(self._path, lambda file: file.write(data))
        kept.unlink()

    def let_go(self) -> None:
        """Remove what is kept for any run, or was about to be as its process was killed: the log's own run is saved."""
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
