"""Join the processes of a training, let one of them report errors, and end each of them."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

import typer

from charrnn.cli.trainer.signals import TrainingSignals
from charrnn.display.messages import write_error
from charrnn.errors import CharRNNError, DivergenceError, LostRankError, SaveError
from charrnn.garbage import paused_gc
from charrnn.training.ranks import Ranks
from charrnn.training.torchrun import Place


@contextlib.contextmanager
def joined(place: Place, signals: TrainingSignals, *, as_json: bool = False) -> Iterator[Ranks]:
    """Join the process group of a training; an error is reported by one process only, in one line.

    A process that fails alone on a GPU exits without leaving the group: NCCL would wait for the others, which still
    exchange gradients with it. Its exit is what tells them.

    Args:
        place: of this process.
        signals: held back while the group is loaded.
        as_json: report errors as JSON.

    Raises:
        typer.Exit: an error occurred and was reported; or all processes have stopped together.
    """
    if place.world_size == 1:
        alone = Ranks()
        alone.launches = place.launches
        yield alone
        return
    with signals.held_back(), paused_gc():
        from charrnn.training.group import DistributedRanks

    group, are_together = DistributedRanks(place), False
    try:
        group.meet()
        yield group
        are_together = True
    except typer.Exit:  # by a signal, at which all stop after the same step
        are_together = True
        raise
    except CharRNNError as error:
        are_together = isinstance(error, (DivergenceError, SaveError))  # raised on all, after the same step
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


@contextlib.contextmanager
def exiting_at_once() -> Iterator[None]:
    """End this process of several right after the body, with the exit code that it would have had.

    An orderly exit of Python ends PyTorch's threads as well, which on rare occasions aborts the process; its launcher
    would take the job for a failed one after all was saved. An error that is still to be reported is passed on.
    """
    code = 0
    try:
        yield
    except typer.Exit as end:
        code = end.exit_code
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # its reader may be gone
            stream.flush()
    os._exit(code)


def _tell_once(error: CharRNNError, group: Ranks, as_json: bool) -> None:
    """Report an error unless another process has; at once, since torchrun kills the other processes after an exit."""
    if group.may_speak():
        where = "" if group.is_first else f"process {group.rank + 1} of {group.world_size} (rank {group.rank}): "
        write_error(f"{where}{error}", as_json=as_json)
