"""One `charrnn train` up to the point where it needs PyTorch, which takes seconds to load.

Errors in the working directory, an output, a checkpoint's name or a text are reported before that.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from charrnn.cli.common.streams import print_path
from charrnn.cli.trainer.cpu_load import OtherLoad
from charrnn.cli.trainer.effective_request import settle
from charrnn.cli.trainer.lock import locked_output
from charrnn.cli.trainer.process_group import exiting_at_once, joined
from charrnn.cli.trainer.reading import initial_reading, read_texts, stored_reading
from charrnn.cli.trainer.request import Request
from charrnn.cli.trainer.signals import TrainingSignals
from charrnn.cli.trainer.waiting import waiting
from charrnn.display.json_line import to_json
from charrnn.display.messages import PatientStream, error_line, write_warning
from charrnn.errors import NO_THREAD, ConfigError, TooLargeError, is_out_of_memory
from charrnn.garbage import paused_gc
from charrnn.text.cache import check_sound
from charrnn.text.read_options import ReadOptions
from charrnn.training.ranks import Ranks
from charrnn.training.torchrun import Place, read_place, told_of_no_rank


def require_working_directory() -> None:
    """Refuse to run in a deleted working directory, in which PyTorch's libraries abort the process.

    Raises:
        ConfigError: the working directory is gone.
    """
    try:
        os.getcwd()
    except FileNotFoundError:
        raise ConfigError("the working directory is gone; go to another with `cd`") from None


def run_training(request: Request) -> None:
    """Carry out a request, and print the checkpoint's path on stdout at the end.

    One of several processes does not return; see `exiting_at_once`.

    Raises:
        CharRNNError: the request cannot be carried out, the training diverged, or its last save failed.
        typer.Exit: stopped by a signal, after saving.
    """
    place = read_place()
    with exiting_at_once() if place.world_size > 1 else contextlib.nullcontext():
        _run(request, place)


def _run(request: Request, place: Place) -> None:
    """Train as one of the processes of a training, and print the path if this is the first."""
    if told := told_of_no_rank():
        write_warning(told, as_json=request.as_json)

    def tell() -> None:
        if place.rank == 0:
            _tell_of_early_stop(request)

    with TrainingSignals(is_launched=place.is_launched, tell=tell) as signals:
        try:
            with joined(place, signals, as_json=request.as_json) as ranks:
                request = _settled(request, place, ranks)
                _train(request, signals, ranks)
        except (KeyboardInterrupt, SystemExit):
            signals.tell_unsaved()
            raise
    if ranks.is_first and sys.__stdout__ is not None:  # None if stdout was closed
        try:
            print_path(str(request.path))
        except OSError as error:
            error.strerror = f"{error.strerror}; the checkpoint is saved as {request.path}"
            raise


def _settled(request: Request, place: Place, ranks: Ranks) -> Request:
    """The request as the first process has checked and completed it."""
    place = replace(place, restarts=max(place.restarts, ranks.restarts), launches=ranks.launches)
    settled = ranks.broadcast(lambda: settle(request, place))
    # the cache folder may differ from host to host
    return replace(settled, reading=replace(settled.reading, cache=request.reading.cache))


def _train(request: Request, signals: TrainingSignals, ranks: Ranks) -> None:
    """Read the texts, load PyTorch, and train.

    Raises:
        ConfigError: the threads cannot be started.
    """
    log = None if request.log is None else Path(request.log)
    with locked_output(request.path, log) if ranks.is_first else contextlib.nullcontext():
        corpus = read_texts(request, _reading(request, ranks), ranks)
        other_load = OtherLoad()  # only now: not counting a program that piped the text in
        with (
            waiting(request, ranks, "loading PyTorch"),
            signals.held_back(),
            _translate_import_memory_errors(),
            paused_gc(),
        ):
            from charrnn.cli.trainer.session import train_on

        try:
            train_on(request.holding_out(corpus), corpus, signals, ranks, other_load)
        except (IndexError, RuntimeError) as error:  # IndexError: an id outside the embedding table
            if isinstance(error, IndexError) or "device-side assert" in str(error):
                check_sound(corpus.ids, len(corpus.encoder))
            if NO_THREAD in str(error):
                raise ConfigError(
                    "no more threads can be started here; raise the limit (`ulimit -u`, or the container's on "
                    "processes), or use --threads 1"
                ) from None
            raise


@contextlib.contextmanager
def _translate_import_memory_errors() -> Iterator[None]:
    """Turn memory errors while PyTorch is loaded into an error of our own; no flag makes loading need less memory.

    Raises:
        TooLargeError: memory ran out.
    """
    try:
        yield
    except (MemoryError, ImportError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        raise TooLargeError(
            "memory ran out while PyTorch was loaded, before any training; close other programs, or raise the limit "
            "(`ulimit -v`, or the container's)"
        ) from None


def _tell_of_early_stop(request: Request) -> None:
    """Say that a signal came before the first step, so that nothing was saved; with --quiet too.

    The write does not wait for a reader of stderr that has stopped reading.
    """
    path, told = request.path, "stopped before a step was made; "
    told += f"{path} is as it was" if os.path.exists(path) else "nothing was saved"
    if request.as_json:
        kept = str(path) if request.is_in_place else None
        fields = {"step": None if request.resume else 0, "interrupted": True, "checkpoint": kept}
        line = to_json({"warning": told, **fields} if request.quiet else fields)
    else:
        line = error_line(told) if request.quiet else told
    PatientStream(sys.stderr, is_hurried=lambda: True).write(f"{line}\n")


def _reading(request: Request, ranks: Ranks) -> ReadOptions:
    if request.resume:
        return stored_reading(request, ranks)
    return request.reading if request.init_from is None else initial_reading(request, ranks)
