"""The request as it takes effect: checked, and a resume after a restart or where --resume-or-start finds a run."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import Path

from charrnn.cli.trainer.checking import check_output, check_texts
from charrnn.cli.trainer.log import job_of
from charrnn.cli.trainer.placing import ExistingFile, find_later, find_unplaced, identify
from charrnn.cli.trainer.request import Request
from charrnn.cli.trainer.suggested_commands import command_line
from charrnn.display.messages import write_warning
from charrnn.errors import CheckpointError, ConfigError
from charrnn.escape import shell_quoted
from charrnn.paths import STDIN, name_of
from charrnn.storage.archive import read_checkpoint
from charrnn.training.torchrun import Place


def settle(request: Request, place: Place) -> Request:
    """Check the request; after a restart by torchrun, turn it into a resume of the checkpoint that this job saved.

    The result records what lies at the output now: only that may be replaced, not what is put there later.

    Torchrun restarts all processes with the same flags after one of them died or a host has joined. The run then
    resumes from a checkpoint of the same job, whatever the flags say about resuming or overwriting; a checkpoint of
    an earlier job does not count, even under the same name. The same command with --resume and --init-from continues
    the run that it began.

    Raises:
        OutputError: the output must not or cannot be written.
        CorpusError: a text does not exist, or is a checkpoint.
        CheckpointError: the checkpoint to resume from does not exist.
        ConfigError: the flags contradict each other, standard input was read before the restart, or a later save lies
            beside the checkpoint.
    """
    is_own = _has_written(place, request.path)
    if request.resume_or_start:
        request = _resumed_or_started(request)
    if STDIN in request.all_texts and (place.restarts or is_own):
        raise ConfigError(f"{name_of(STDIN)}: was read before the restart; give a file where processes may restart")
    if is_own:
        request = replace(
            request, resume=True, resume_from=None, init_from=None, force=False, overwrite=False, explicit={},
            reading=replace(request.reading, min_count=None, max_vocab=None),
        )  # fmt: skip
    elif place.restarts and request.log is not None and not (request.resume or request.overwrite):
        log = Path(request.log)
        if job_of(log) in place.launches:  # from before the restart; nothing was saved
            log.unlink()
    if request.is_in_place and request.init_from is not None and _began_so(request):
        reading = replace(request.reading, min_count=None, max_vocab=None)  # for characters new to that model
        request = replace(request, init_from=None, reading=reading)
    check_texts(request)
    check_output(request)
    found = identify(request.path)
    if request.is_in_place and (told := _told_of_later(request, found)):
        if not (is_own or place.restarts):  # after a restart nobody is there to act on an error
            raise ConfigError(f"{told}, or move it away")
        write_warning(told, as_json=request.as_json)
    return replace(request, found=found)


def _resumed_or_started(request: Request) -> Request:
    """Turn --resume-or-start into a resume if the checkpoint exists, else into a start that may overwrite.

    Raises:
        ConfigError: another flag also says what to do with a checkpoint; or a checkpoint that could not be put at its
            path lies beside it.
    """
    others = [
        (request.resume_from is not None, "--resume-from"), (request.force, "--force-resume"),
        (request.resume, "--resume"), (request.overwrite, "--overwrite"),
    ]  # fmt: skip  # the first two resume as well, so that they come first
    if told := next((flag for is_given, flag in others if is_given), None):
        raise ConfigError(f"--resume-or-start finds out by itself whether a training goes on; give it or {told}")
    path = request.path
    if os.path.exists(path) and os.path.getsize(path):
        return replace(request, resume=True)
    if beside := find_unplaced(path):
        typed = f"--resume-from {shell_quoted(str(beside))} --out {shell_quoted(str(path))}"
        raise ConfigError(
            f"{beside}: holds a training that could not be saved as {path}; move it there, or give {typed}"
        )
    return replace(request, overwrite=True)


def _told_of_later(request: Request, found: ExistingFile) -> str:
    """Say that a later save of the training lies beside its checkpoint; empty if none does."""
    if found.run is None or (later := find_later(request.path, found.run, found.step)) is None:
        return ""
    beside, step = later
    return (
        f"{beside}: holds this training after step {step:,}, which could not be saved as {request.path}; go on from "
        f"there with --resume-from {shell_quoted(str(beside))} --out {shell_quoted(str(request.path))} --overwrite"
    )


def _began_so(request: Request) -> bool:
    """Whether the training at the output began with weights of the run that --init-from names.

    Compares runs, not paths: a path depends on the working directory, and may hold another model by now.
    """
    with contextlib.suppress(CheckpointError):  # reported when the run resumes from it
        origin = read_checkpoint(str(request.path)).origin
        if not os.path.isfile(request.source) or request.source.samefile(request.path):  # it is gone, or replaced
            return str(request.source) == origin.init_from
        return read_checkpoint(str(request.source)).origin.run == origin.init_run
    return False


def _has_written(place: Place, path: Path) -> bool:
    """Whether the checkpoint at `path` was written by this job before a restart.

    A restart count of 0 is no proof against it: a host does not count restarts caused by other hosts. In that case the
    stored command must also be the same, since a script may have torchrun start several trainings in turn.
    """
    if not place.launches:
        return False
    try:
        made = read_checkpoint(str(path)).made
    except CheckpointError:
        return False
    is_same = place.restarts > 0 or made.get("command") == command_line()
    return is_same and not place.launches.isdisjoint(made.get("job", "").split("/"))
