"""The processes of one training, from their meeting to their parting: who speaks, and what a new life goes on from."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import typer

from charrnn.cli.trainer.checking import check_output, check_texts
from charrnn.cli.trainer.log import job_of
from charrnn.cli.trainer.placing import Occupant, find_later, find_unplaced, look_at
from charrnn.cli.trainer.request import Request
from charrnn.cli.trainer.retyping import command_line
from charrnn.cli.trainer.signals import TrainingSignals
from charrnn.display.outlet import write_error, write_warning
from charrnn.errors import CharRNNError, CheckpointError, ConfigError, DivergenceError, LostRankError, SaveError
from charrnn.escape import as_typed
from charrnn.garbage import loading_modules
from charrnn.paths import STDIN, name_of
from charrnn.storage.archive import read_checkpoint
from charrnn.training.ranks import Ranks
from charrnn.training.torchrun import Place


@contextlib.contextmanager
def joined(place: Place, signals: TrainingSignals, *, as_json: bool = False) -> Iterator[Ranks]:
    """Be one of the processes that train together; whatever goes wrong, one of them says so, in one line.

    One that failed alone on a GPU does not leave the group: NCCL would wait for the others, which still exchange
    gradients with it. Its exit tells them.

    Args:
        place: of this process.
        signals: that stop it.
        as_json: say so for programs.

    Raises:
        typer.Exit: something went wrong, and was told; or all have stopped together.
    """
    if place.world_size == 1:
        alone = Ranks()
        alone.launches = place.launches
        yield alone
        return
    with signals.held_back(), loading_modules():
        from charrnn.training.group import Group

    group, are_together = Group(place), False
    try:
        group.meet()
        yield group
        are_together = True
    except typer.Exit:  # by a signal, which all of them heed after the same step
        are_together = True
        raise
    except CharRNNError as error:
        are_together = isinstance(error, (DivergenceError, SaveError))  # which all of them meet after the same step
        _tell_once(error, group, as_json)
        raise typer.Exit(error.exit_code) from None
    except (RuntimeError, MemoryError, OSError) as error:
        if trouble := group.peer_failure(error):
            lost = LostRankError(trouble)
            _tell_once(lost, group, as_json)
            raise typer.Exit(lost.exit_code) from None
        if group.may_speak():
            raise
        raise typer.Exit(1) from None
    finally:
        if are_together or not group.uses_nccl:
            group.leave()


def _tell_once(error: CharRNNError, group: Ranks, as_json: bool) -> None:
    """Tell an error, where nobody has told one yet: at once, since torchrun ends what outlives another process."""
    if group.may_speak():
        where = "" if group.is_first else f"process {group.rank + 1} of {group.world_size} (rank {group.rank}): "
        write_error(f"{where}{error}", as_json=as_json)


def settle(request: Request, place: Place) -> Request:
    """Check the request; after a restart by torchrun, turn it into a resume of what this job saved before.

    What lies at the output then is what may be replaced: anything else comes there later.

    Torchrun starts all processes again, with the same flags, after one of them died or a host has come. A checkpoint
    that the same job has written is then gone on from, whatever the flags say of resuming or overwriting; one of an
    earlier job, though its name may be the same, is none. Who starts the same command again, with --resume, means what
    it has begun.

    Raises:
        OutputError: the output must not or cannot be written.
        CorpusError: a text is a checkpoint.
        ConfigError: the flags contradict each other, standard input was read in the life before, or a later save lies
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
        if job_of(log) in place.launches:  # of the life before, which saved nothing
            log.unlink()
    if request.is_in_place and request.init_from is not None and _began_so(request):
        reading = replace(request.reading, min_count=None, max_vocab=None)  # of what was new to that model
        request = replace(request, init_from=None, reading=reading)
    check_texts(request)
    check_output(request)
    found = look_at(request.path)
    if request.is_in_place and (told := _told_of_later(request, found)):
        if not (is_own or place.restarts):  # a restart has nobody who could follow that
            raise ConfigError(f"{told}, or move it away")
        write_warning(told, as_json=request.as_json)
    return replace(request, found=found)


def _resumed_or_started(request: Request) -> Request:
    """The request of a command that is given again until its training is done, whatever has ended it.

    Raises:
        ConfigError: it says in another way, too, what is to be done with a checkpoint; or one lies beside its path.
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
        typed = f"--resume-from {as_typed(str(beside))} --out {as_typed(str(path))}"
        raise ConfigError(
            f"{beside}: holds a training that could not be saved as {path}; move it there, or give {typed}"
        )
    return replace(request, overwrite=True)


def _told_of_later(request: Request, found: Occupant) -> str:
    """Say of which later step a save of the training lies beside its checkpoint, whose lines a log may have too."""
    if found.run is None or (later := find_later(request.path, found.run, found.step)) is None:
        return ""
    beside, step = later
    return (
        f"{beside}: holds this training after step {step:,}, which could not be saved as {request.path}; go on from "
        f"there with --resume-from {as_typed(str(beside))} --out {as_typed(str(request.path))} --overwrite"
    )


def _began_so(request: Request) -> bool:
    """Whether the output is of a training that began with weights of the same run as is asked for.

    A path says less: it depends on the folder that one is in, and another model may lie there by now.
    """
    with contextlib.suppress(CheckpointError):  # told by whoever goes on from it
        origin = read_checkpoint(str(request.path)).origin
        if not os.path.isfile(request.source) or request.source.samefile(request.path):  # it is gone, or replaced
            return str(request.source) == origin.init_from
        return read_checkpoint(str(request.source)).origin.run == origin.init_run
    return False


def _has_written(place: Place, path: Path) -> bool:
    """Whether a checkpoint is there that an earlier life of this job has written.

    Not all lives are counted: a host whose own processes are well does not, when others come or go. Where none was, it
    is one of the same command: a script may have torchrun start several trainings in turn.
    """
    if not place.launches:
        return False
    try:
        made = read_checkpoint(str(path)).made
    except CheckpointError:
        return False
    is_same = place.restarts > 0 or made.get("command") == command_line()
    return is_same and not place.launches.isdisjoint(made.get("job", "").split("/"))
