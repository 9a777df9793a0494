"""The checkpoint of a running training: when to save, what to store, and what is left after a failure."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from typing import Any

import numpy as np
import torch

from charrnn import __version__
from charrnn.cli.common.cores import allotted_cores
from charrnn.cli.trainer.background_saver import BackgroundSaver
from charrnn.cli.trainer.log import TrainingLog
from charrnn.cli.trainer.placing import Placer, step_of
from charrnn.cli.trainer.prepared_run import PreparedRun
from charrnn.cli.trainer.request import Request
from charrnn.cli.trainer.suggested_commands import command_line
from charrnn.display.plain import Display
from charrnn.errors import SaveError
from charrnn.escape import shell_quoted
from charrnn.storage.header import Header
from charrnn.storage.origin import CorpusFacts
from charrnn.training import checkpoint
from charrnn.training.recovery import ensure_finite, restore_best
from charrnn.training.run import FINISH_SECONDS


class RunSaver:
    """Saves a run, and tells what its file holds.

    Every process has its own saver and calls it in the same order; only the first writes.

    Args:
        request: with the path of the checkpoint.
        prepared: the run, and what is saved with it.
        log: the run's log, if this process writes one; each save settles it.
        display: shows failed saves, and those that a user asked for.
    """

    def __init__(self, request: Request, prepared: PreparedRun, log: TrainingLog | None, display: Display) -> None:
        self._prepared = prepared
        self._run = prepared.run
        self._ranks = prepared.run.ranks
        self._path = request.path
        self._log = log
        self._display = display
        # Each process of a new run has generated its own name.
        self._name = self._ranks.broadcast(lambda: prepared.origin.run)
        self._sound_step = 0 if self._run.health.tries else self._run.step  # a run may resume amid a divergence
        saved_step = (self._run.step or None) if request.is_in_place else None
        self._background = BackgroundSaver(
            Placer(request.path, self._name, request.found, saved_step or 0),
            request.options["save_every"],
            display.warn,
            before_save=None if log is None else log.sync,
            after_save=None if log is None else log.settle,
            writes=self._ranks.is_first,
            saved_step=saved_step,
        )

    @property
    def saved_step(self) -> int | None:
        """The step of the checkpoint on disk, as far as this process knows; None if nothing was saved."""
        return self._background.saved_step

    @property
    def has_saved(self) -> bool:
        """Whether a checkpoint exists, at its path or beside it, as far as this process knows."""
        return self.saved_step is not None or self._background.unplaced is not None

    @property
    def is_due(self) -> bool:
        """Whether a save is due on this rank without an evaluation, and none is under way."""
        self._background.poll()
        return self._background.is_due(evaluated=False)

    def save_first(self) -> None:
        """Save a branch before its first step, and tell all ranks that it is saved."""
        self._save()
        self._background.wait()
        self._agree()

    def save_if_due(self, *, evaluated: bool) -> None:
        """Start a save if one is due on any rank, and take note of a save that has finished.

        Args:
            evaluated: whether an evaluation has just been made.
        """
        if self._agree(self._background.is_due(evaluated=evaluated)):
            self._save()
        self._background.poll()

    def save_now(self) -> None:
        """Save as a signal asked for, wait for the file to be complete, and say so."""
        self._save()
        self._background.wait()
        if not self._background.failure:
            self._display.note(f"saved after step {self._run.step:,}")

    def save_at_the_end(self, what: str) -> None:
        """Save for the last time.

        Args:
            what: why this is the last save, in words.

        Raises:
            SaveError: this save failed, or lines of the log could not be written.
        """
        self._save()
        failed, lost = self.finish(), "" if self._log is None else self._log.lost
        # All wait for the first, which torchrun would kill 30 seconds after the others ended, and fail if it fails.
        (some_failed,) = self._ranks.all_reduce_max(bool(failed or lost))
        if some_failed and lost and not failed:
            raise SaveError(f"{what} and saved as {self._path}, but {lost}")
        if some_failed:
            told = "; ".join(filter(None, [failed, lost])) or "the first process could not save it"
            raise SaveError(f"{what}, but {told}; {self.what_is_kept()}")

    def keep_the_best(self) -> str:
        """After a divergence, save the run at its best weights, and return what the file holds.

        If it is saved at them, or as this session began it, after them, it stays as it is.
        """
        best = self._run.best
        failed = self._agree(bool(self.finish()))
        if best is None:
            return self._ranks.broadcast(self._told_of_the_last)
        if failed or self.saved_step != max(best.step, self._sound_step):
            restore_best(self._run)
            self._save()
        self.finish()
        return self._ranks.broadcast(self._told_of_the_best)

    def is_done(self, within: float) -> bool:
        """Wait up to `within` seconds for a save under way; return whether none is left."""
        return self._background.is_done(within)

    def finish(self) -> str:
        """Wait for a save under way, which would be lost with the process; return why it failed, or an empty string."""
        self._background.wait(is_last=True)
        return self._background.failure

    def what_is_kept(self, flag: str = "--resume") -> str:
        """Say what the file holds, and how to go on from it.

        Only the first process knows of the last save; the others may know of an earlier one. The first reads the file,
        since its folder may have been moved or deleted meanwhile. The others read it only if they know of no save,
        since they may be on the same host.

        Args:
            flag: to resume from the file.
        """
        step, unplaced = self._background.saved_step, self._background.unplaced
        if step is None and not self._ranks.is_first:
            step = step_of(self._path, self._name)
        if unplaced is not None and step_of(unplaced, self._name) is not None:
            return f"go on with --resume-from {shell_quoted(str(unplaced))} and another --out"
        if step is None:
            return "nothing was saved before" if self._ranks.is_first else "this process knows of no save"
        if not self._ranks.is_first:
            return f"{self._path} holds step {step:,} or a later one; go on with {flag}"
        held = step_of(self._path, self._name)
        if held is None:
            return f"{self._path}, which was saved after step {step:,}, {self._whereabouts()}"
        return f"{self._path} is as it was after step {held:,}; go on with {flag}"

    def _whereabouts(self) -> str:
        """What is known of a path that no longer holds the checkpoint saved there."""
        try:
            os.stat(self._path)
        except (FileNotFoundError, NotADirectoryError):
            return "is gone"
        except OSError as error:  # such as a folder without permission, or a network share that is gone
            return f"cannot be looked at ({error.strerror})"
        return "is another file now"

    def _save(self) -> None:
        """Start writing the checkpoint; reserve as much of the time limit for the final save as the last save took."""
        ensure_finite(self._run)
        training = self._run.state_dict()
        self._background.save(lambda: self._snapshot(training), self._run.step)
        (seconds,) = self._ranks.all_reduce_max(self._background.seconds)
        self._run.finish_seconds = FINISH_SECONDS + seconds

    def _snapshot(self, training: dict[str, Any]) -> dict[str, Any]:
        run, corpus = self._run, self._prepared.corpus
        header = Header(
            model=run.model.config,
            encoder=corpus.encoder,
            text_options=corpus.options,
            weights=run.best_weights or run.model.state_dict(),
            history=run.history,
            corpus=CorpusFacts(corpus.name, len(corpus.ids), corpus.num_bytes, corpus.sha256, corpus.counts),
            origin=self._prepared.origin,
            made=_provenance(self._ranks.launches, self._prepared.begun_by),
            training=training,
        )
        return checkpoint.snapshot(header, weights_stay=bool(run.best_weights))

    def _told_of_the_best(self) -> str:
        if self._background.unplaced is not None:
            return f"; {self._background.failure}; {self.what_is_kept()}"
        if self._background.failure:
            return f", and the best weights could not be saved: {self._background.failure}"
        return f"; {self._path} keeps the best so far"

    def _told_of_the_last(self) -> str:
        """What is saved of a run that was never evaluated, and that diverges again if it is resumed unchanged."""
        kept = self.what_is_kept("--force-resume") if self.has_saved else ""
        return "".join(f"; {told}" for told in (self._background.failure, kept) if told)

    def _agree(self, answer: bool = False) -> bool:
        """Whether any rank says yes; the same exchange, at every report, tells all ranks which step is saved."""
        found, step = self._ranks.all_reduce_max(answer, -1 if self.saved_step is None else self.saved_step)
        self._background.saved_step = None if step < 0 else int(step)
        return bool(found)


def _provenance(launches: frozenset[str], begun_by: str) -> dict[str, str]:
    """What a checkpoint stores of how it was made; see `Place` for `launches` and `PreparedRun` for `begun_by`."""
    command = command_line()
    return {
        "charrnn": __version__,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": str(allotted_cores()),
        "command": command,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **({"begun_by": begun_by} if begun_by not in ("", command) else {}),
        **({"job": "/".join(sorted(launches))} if launches else {}),
    }
