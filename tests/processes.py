"""Many short trainings, each in a process of its own that can be killed: forked from one that has imported torch.

To import it takes most of the time of such a training. Otherwise they are as those that a user starts.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from conftest import clean_environment

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["charrnn.cli.trainer.session"])


class Training:
    """A `charrnn train verse.txt` under way, with one thread.

    Args:
        folder: to run in.
        arguments: of the command, behind the text.
        prepare: called first inside the process, at the top level of its module.

    Attributes:
        process: with its `pid`.
    """

    def __init__(self, folder: Path, *arguments: object, prepare: Callable[[], None] | None = None) -> None:
        self._streams = tempfile.mkdtemp(dir=folder.parent)
        for name in ("stdout", "stderr"):
            self._stream(name).touch()
        words = ["charrnn", "train", "verse.txt", "--threads", "1", *map(str, arguments)]
        self.process = _context.Process(
            target=_run, args=(folder, self._streams, words, clean_environment(), prepare), daemon=True
        )
        self.process.start()

    @property
    def stdout(self) -> str:
        return self._stream("stdout").read_text(encoding="utf-8")

    @property
    def stderr(self) -> str:
        return self._stream("stderr").read_text(encoding="utf-8")

    def _stream(self, name: str) -> Path:
        return Path(self._streams, name)

    def wait_for(self, *words: str, seconds: float = 60.0) -> None:
        """Wait until all of some words stand on stderr."""
        end = time.monotonic() + seconds
        while not all(word in self.stderr for word in words):
            assert time.monotonic() < end, f"{words} not in: {self.stderr}"
            assert self.process.is_alive(), self.stderr
            time.sleep(0.01)

    def kill(self, signal_number: int) -> None:
        os.kill(self.process.pid, signal_number)

    def wait(self, seconds: float = 120.0) -> int:
        """Wait for its end; the exit code, or less than 0 for the signal that killed it."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, "it goes on for too long"
        return self.process.exitcode


def train(folder: Path, *arguments: object, prepare: Callable[[], None] | None = None) -> Training:
    """Run a whole training; the exit code stands in `process.exitcode`."""
    training = Training(folder, *arguments, prepare=prepare)
    training.wait()
    return training


def run_command(folder: Path, arguments: list[str], seconds: float) -> tuple[int, bytes, bytes]:
    """Run the command line to its end, without input: its exit code, and what it wrote to stdout and stderr."""
    with tempfile.TemporaryDirectory() as streams:
        for name in ("stdout", "stderr"):
            Path(streams, name).touch()
        process = _context.Process(
            target=_run, args=(folder, streams, ["charrnn", *arguments], clean_environment(), None), daemon=True
        )
        process.start()
        process.join(seconds)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(arguments, seconds)
        return process.exitcode, Path(streams, "stdout").read_bytes(), Path(streams, "stderr").read_bytes()


def _run(
    folder: Path, streams: str, words: list[str], environment: dict[str, str], prepare: Callable[[], None] | None
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(Path(streams, name), os.O_WRONLY), descriptor)
    sys.stdout, sys.stderr = open(1, "w", encoding="utf-8"), open(2, "w", encoding="utf-8")  # noqa: SIM115
    sys.argv = words
    if prepare is not None:
        prepare()
    from charrnn.cli import main

    main()
