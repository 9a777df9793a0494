"""Short commands, each in a process of its own that can be killed, forked from one that has imported all modules.

Importing them takes most of the time of such a command. Otherwise the commands are like those that a user starts.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT, Finished, clean_environment

from charrnn.text import corpus
from charrnn.training import loop
from charrnn.training.run import TrainingRun

OWN = ("charrnn.cli.train", "charrnn.__main__")
"""Modules that each process imports itself: a training counts its time from the import of `charrnn.cli.train`."""


@functools.cache
def server() -> ForkServerContext:
    """Start the process that all others are forked from, once.

    numpy has one thread in it, as in a training: it reads the number when it is imported, and sums depend on it.
    """
    context = multiprocessing.get_context("forkserver")
    files = (path.relative_to(ROOT).with_suffix("").parts for path in (ROOT / "charrnn").rglob("*.py"))
    modules = {".".join(parts).removesuffix(".__init__") for parts in files}
    context.set_forkserver_preload(["processes", *sorted(modules.difference(OWN))])
    with pytest.MonkeyPatch.context() as changes:
        changes.setenv("OPENBLAS_NUM_THREADS", "1")
        for name in ("OMP_NUM_THREADS", "PYTEST_XDIST_WORKER"):  # as `clean_environment` has it: torch has read it too
            changes.delenv(name, raising=False)
        changes.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        forkserver.ensure_running()
    return context


class Training:
    """A running `charrnn train verse.txt`.

    Args:
        folder: to run in.
        arguments: of the command, after the text.
        prepare: called first in the process; must be at the top level of its module.
        threads: of the training.

    Attributes:
        process: with its `pid`.
    """

    def __init__(
        self, folder: Path, *arguments: object, prepare: Callable[[], None] | None = None, threads: int = 1
    ) -> None:
        self._streams = tempfile.mkdtemp(dir=folder.parent)
        for name in ("stdout", "stderr"):
            self._stream(name).touch()
        words = ["charrnn", "train", "verse.txt", "--threads", str(threads), *map(str, arguments)]
        self.process = server().Process(
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
        """Wait until stderr has all of some words; fails when the training ends before."""
        end = time.monotonic() + seconds
        while True:
            lives, told = self.process.is_alive(), self.stderr  # in this order: it may write and end between the two
            if all(word in told for word in words):
                return
            assert time.monotonic() < end, f"{words} not in: {told}"
            assert lives, told
            time.sleep(0.01)

    def kill(self, signal_number: int) -> None:
        os.kill(self.process.pid, signal_number)

    def wait(self, seconds: float = 120.0) -> int:
        """Wait for its end; return the exit code, negative for the signal that killed it."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, "it goes on for too long"
        return self.process.exitcode


def train(folder: Path, *arguments: object, **options: Any) -> Training:
    """Run a whole training, with the options of `Training`; `process.exitcode` is its exit code."""
    training = Training(folder, *arguments, **options)
    training.wait()
    return training


FIRST_STEP = "first step"


def tell_first_step() -> None:
    """Let a training write `FIRST_STEP` to stderr as its first step begins: until then a signal ends it unsaved."""
    take_step = loop.take_step

    def take_first(run: TrainingRun) -> object:
        loop.take_step = take_step
        print(FIRST_STEP, file=sys.stderr, flush=True)
        return take_step(run)

    loop.take_step = take_first


def slow_steps() -> None:
    """Slow a training down, so that it does not end before a test is done with it."""
    take_step = loop.take_step
    loop.take_step = lambda run: (time.sleep(0.001), take_step(run))


def run_command(
    arguments: list[str],
    *,
    cwd: Path,
    env: dict[str, str],
    timeout: float,
    input: str | bytes | None = None,
    text: bool = False,
    errors: str = "strict",
    prepare: Callable[[], None] | None = None,
) -> Finished:
    """Run the command line to its end, as `subprocess.run` does with both streams captured.

    Args:
        arguments: of the command line.
        cwd: the folder to run it in.
        env: all of its environment.
        timeout: in seconds.
        input: what it reads from a pipe; without any, standard input is empty.
        text: whether input and output are text, in UTF-8, not bytes.
        errors: how such text is encoded and decoded.
        prepare: called first in the process; must be at the top level of its module.

    Raises:
        subprocess.TimeoutExpired: It took longer.
    """
    with tempfile.TemporaryDirectory() as streams:
        for name in ("stdout", "stderr"):
            Path(streams, name).touch()
        reader, writer = server().Pipe(duplex=False) if input else (None, None)
        words = ["charrnn", *arguments]
        process = server().Process(
            target=_run, args=(cwd, streams, words, env, prepare, reader)
        )  # no daemon: it may fork
        process.start()
        if reader is not None and writer is not None and input is not None:
            reader.close()
            _write(writer, input.encode("utf-8", errors) if isinstance(input, str) else input)
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(arguments, timeout)
        written = [Path(streams, name).read_bytes() for name in ("stdout", "stderr")]
    shown = [io.TextIOWrapper(io.BytesIO(each), "utf-8", errors).read() for each in written] if text else written
    return Finished(arguments, process.exitcode, *shown)


def map_all() -> None:
    """Map every text from a file, as if it were large."""
    corpus.MAPPED_BYTES = 1


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    """The last weights of a training, from its checkpoint."""
    return torch.load(path, weights_only=True)["training"]["weights"]


def call(function: Callable[..., Any], *arguments: object) -> Any:
    """Call a function, which is at the top level of its module, in a process of its own; return its result."""
    receiver, sender = server().Pipe(duplex=False)
    process = server().Process(target=_answer, args=(sender, function, arguments), daemon=True)
    process.start()
    sender.close()
    with receiver:
        answer = receiver.recv()
    process.join()
    return answer


def _answer(sender: Connection, function: Callable[..., Any], arguments: tuple[object, ...]) -> None:
    sender.send(function(*arguments))


def _write(pipe: Connection, data: bytes) -> None:
    """Write bytes to a pipe, as far as they are read, and close it."""
    with pipe, contextlib.suppress(BrokenPipeError), open(pipe.fileno(), "wb", buffering=0, closefd=False) as file:
        left = memoryview(data)
        while left:
            left = left[file.write(left) :]


def _run(
    folder: Path,
    streams: str,
    words: list[str],
    environment: dict[str, str],
    prepare: Callable[[], None] | None,
    stdin: Connection | None = None,
) -> None:
    os.environ.clear()
    os.environ.update({"OPENBLAS_NUM_THREADS": "1", **environment})  # as numpy has it here by now
    os.chdir(folder)
    if stdin is not None:
        os.dup2(stdin.fileno(), 0)
        stdin.close()
        sys.stdin = open(0, encoding="utf-8")  # noqa: SIM115
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(Path(streams, name), os.O_WRONLY), descriptor)
    sys.stdout, sys.stderr = open(1, "w", encoding="utf-8"), open(2, "w", encoding="utf-8")  # noqa: SIM115
    sys.argv = words
    if prepare is not None:
        prepare()
    from charrnn.cli import main

    main()


SMALL = ["--hidden-size", 16, "--batch-size", 4, "--seq-len", 16, "--precision", "float32"]
FOUR_STEPS = [*SMALL, "--max-steps", 4]
ENDLESS = ["--max-steps", 10**8]


def step_of(path):
    return torch.load(path, weights_only=True)["training"]["step"]


def wait_until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def contents(folder):
    """What the checkpoint in a folder holds."""
    return torch.load(folder / "verse.pt", weights_only=True)


def steps(folder):
    """The steps that the log in a folder has."""
    return [json.loads(line)["step"] for line in (folder / "verse.log").read_text().splitlines()]


def stop_in_step(last):
    """Send a training a signal during a step; each step is reported."""
    take_step = loop.take_step

    def take_and_stop(run):
        found = take_step(run)
        if run.step == last:
            os.kill(os.getpid(), signal.SIGTERM)
        return found

    loop.take_step = take_and_stop


def assert_same_weights(folder, one, other):
    torch.testing.assert_close(weights_of(folder / one), weights_of(folder / other), rtol=0, atol=0)


def all_but_the_clock(path):
    """Everything of a checkpoint that a resumed run must have in common with a straight one."""
    contents = torch.load(path, weights_only=True)
    training = contents["training"]
    for row in contents["history"]:
        del row["seconds"]
    timed = {"seconds", "evaluation_seconds", "pace", "config"}
    kept = {name: value for name, value in training.items() if name not in timed}
    return {"weights": contents["weights"], "history": contents["history"], "training": kept}
