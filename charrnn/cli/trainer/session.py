"""One `charrnn train`, from its encoded text to the checkpoint: start or go on, show, save, stop.

`charrnn.training.loop` trains and knows of none of this.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
import typer

from charrnn.cli.trainer.announce import announcement, doubt, farewell, next_steps, settings
from charrnn.cli.trainer.launch import Launch, settle_precision_again, start_run
from charrnn.cli.trainer.log import TrainingLog, open_log
from charrnn.cli.trainer.neighbours import Neighbours
from charrnn.cli.trainer.remarks import warnings
from charrnn.cli.trainer.request import Request
from charrnn.cli.trainer.resumption import resume_run
from charrnn.cli.trainer.room import refuse_full_memory
from charrnn.cli.trainer.saving import NoSaver, Saver, check_space, provenance
from charrnn.cli.trainer.signals import TrainingSignals
from charrnn.cli.trainer.transfer import begin_with_weights
from charrnn.cli.trainer.waiting import has_viewer, waiting
from charrnn.display.plain import Display, JsonDisplay, JsonWarnings, MuteDisplay, PlainDisplay, report_fields
from charrnn.errors import DivergenceError, LostRankError, SaveError
from charrnn.generation.unprompted import write_sample
from charrnn.inference.numpy_ensemble import build_engine
from charrnn.loading import sampling_weights
from charrnn.metrics import Report
from charrnn.storage.origin import CorpusFacts
from charrnn.text.corpus import Corpus
from charrnn.training import checkpoint
from charrnn.training.clock import CLOCK
from charrnn.training.loop import REWIND_AFTER, train
from charrnn.training.ranks import Ranks
from charrnn.training.recovery import ensure_finite, restore_best, take_trouble
from charrnn.training.run import FINISH_SECONDS
from charrnn.training.torchrun import read_place

SAMPLE_LENGTH = 240
"""Characters that are shown of what the model writes by now."""


def train_on(request: Request, corpus: Corpus, signals: TrainingSignals, ranks: Ranks, neighbours: Neighbours) -> None:
    """Begin or go on as a request says, and train to the end.

    Args:
        request: with an output that may be written.
        corpus: its texts, encoded.
        signals: that stop the training.
        ranks: the processes that train together.
        neighbours: the other programs on the cores, watched for some time already.

    Raises:
        CharRNNError: the request cannot be carried out, the training diverged, or its last save failed.
        typer.Exit: stopped by a signal, after saving.
    """
    with _make_display(request, corpus.encoder.unit, ranks, signals) as display:
        with waiting(request, ranks, "measuring this machine"):
            begin = resume_run if request.resume else start_run if request.init_from is None else begin_with_weights
            launch = begin(request, corpus, neighbours, ranks)
        if ranks.is_first and not (launch.run.finished and request.is_in_place):  # which writes nothing
            check_space(request.path, launch.run)
        session = Session(request, launch, display)
        display.begin(announcement(launch), settings(launch))
        for told in warnings(launch) if request.quiet else []:
            display.warn(told)
        if told := doubt(launch.run):
            display.warn(f"{request.path}: {told}")
        session.train(signals)
    if ranks.is_first and request.speaks_plainly:
        display.write(farewell(launch.run, launch.corpus.encoder.unit))
        if has_viewer(request):
            display.write(next_steps(request.printed))


class Session:
    """The loop around the training: shows every report, saves, and stops when a signal asks for it.

    Of several processes each has one, and all go through it alike; the first alone shows, logs and writes.
    """

    def __init__(self, request: Request, launch: Launch, display: Display) -> None:
        self._run = run = launch.run
        self._request = request
        self._corpus, self._origin = launch.corpus, launch.origin
        self._ranks = run.ranks
        self._display = display
        self._keeper, self._plan = launch.keeper, launch.plan
        self._saver = NoSaver()
        self._log: TrainingLog | None = None
        if self._ranks.is_first:
            self._log = open_log(request, launch.origin, run.step, display.warn)
            then = (lambda: None) if self._log is None else self._log.settle
            self._saver = Saver(request.path, request.options["save_every"], display.warn, then)
        self._saver.saved_step = run.step or None if request.is_in_place else None
        self._wanted_precision = launch.wanted_precision
        self._precisions = {torch.get_num_threads(): run.config.precision}
        self._evaluations = 0
        self._rewinds = run.rewinds
        self._job = "".join(read_place().launches)
        sample_every = request.options["sample_every"]
        self._sample_every = 1 if sample_every is None else sample_every

    def train(self, signals: TrainingSignals) -> None:
        """Train to the end, or until a signal.

        Raises:
            DivergenceError: the numbers went wrong too often.
            SaveError: the training is over and the last save failed.
            LostRankError, TooLargeError: another process of this training is gone, or memory ran out after a save.
            typer.Exit: a signal asked for it, and the checkpoint is saved.
        """
        if self._log is not None and self._log.notice:
            self._display.warn(self._log.notice)
        if self._run.finished:
            if self._saver.saved_step is None:  # it comes from another file
                self._save_at_the_end("the training was done before")
            self._display.finished(self._run.step)
        signals.under_way = True
        try:
            if self._run.step and self._saver.saved_step is None and not self._run.finished:
                self._save()  # a branch: its file says its name before its log does
                self._saver.wait()
                self._let_know(False)
            for report in train(self._run, self._request.options["report_every"]):
                self._handle(report)
                if not report.is_last and self._keeper.look(self._run.model):
                    settle_precision_again(self._run, self._wanted_precision, self._precisions)
                for told in (self._tell_of_rewind(report), self._keeper.tell(), self._plan.review(self._run, report)):
                    if told:
                        self._display.note(told)
                save_wanted, received = self._ranks.all_reduce_max(signals.save_wanted, signals.received)
                if save_wanted:
                    signals.save_wanted = False
                    self._save_now()
                if received and not report.is_last:
                    self._stop(int(received))
        except DivergenceError as error:
            self._warn_of(take_trouble(self._run))
            raise DivergenceError(f"{error}{self._keep_the_best()}") from None
        except (MemoryError, RuntimeError) as error:
            self._saver.wait(is_last=True)  # a save under way would be lost with the process
            self._warn_of(self._saver.failure)
            if trouble := self._ranks.peer_failure(error):
                raise LostRankError(f"{trouble}; {self._what_is_kept()}") from None
            if self._saver.saved_step is not None:
                refuse_full_memory(error, self._what_is_kept())
            raise

    def _handle(self, report: Report) -> None:
        self._warn_of(report.trouble)
        if self._log is not None:
            self._log.write(report_fields(report) | ({"job": self._job} if self._job else {}))
        if report.is_last:
            self._save_at_the_end("the training is done")
        elif self._let_know(self._saver.is_due(evaluated=report.val_loss is not None)):
            self._save()
        self._saver.poll()
        if report.val_loss is not None:
            self._evaluations += 1
            is_wanted = self._sample_every and self._evaluations % self._sample_every == 0
            spent = self._show_sample(report.step) if self._display.shows_samples and is_wanted else 0.0
            self._run.pace.seconds += self._ranks.all_reduce_max(spent)[0]  # all decide alike when to evaluate next
        self._display.update(report)

    def _warn_of(self, trouble: str) -> None:
        for line in trouble.splitlines():
            self._display.warn(line)

    def _tell_of_rewind(self, report: Report) -> str:
        """Say that training has gone back to its best weights, if it has just now; nothing where it ends."""
        if report.is_last or report.rewinds == self._rewinds:
            return ""
        self._rewinds = report.rewinds
        return (
            f"no gain in {REWIND_AFTER} evaluations: back to the weights of step {report.best_step:,}, with a lower "
            "learning rate"
        )

    def _save(self) -> None:
        """Begin to write the checkpoint, and keep as much of a time limit as the last one took."""
        ensure_finite(self._run)
        training = self._run.state_dict()
        self._saver.save(lambda: self._snapshot(training), self._run.step)
        (seconds,) = self._ranks.all_reduce_max(self._saver.seconds)
        self._run.finish_seconds = FINISH_SECONDS + seconds

    def _keep_the_best(self) -> str:
        """Save the best weights, where what is saved is older than they are; tell what the file holds then."""
        best = self._run.best
        if best is None:
            return ""
        failed, saved_step = self._last_save_failed(), self._saver.saved_step
        if failed or saved_step is None or saved_step < best.step:
            restore_best(self._run)
            self._save()
        if self._last_save_failed():
            return f", and the best weights could not be saved: {self._saver.failure}".removesuffix(": ")
        return f"; {self._request.path} keeps the best so far"

    def _last_save_failed(self) -> bool:
        """Wait for it, and let all ranks know."""
        self._saver.wait(is_last=True)
        return self._let_know(bool(self._saver.failure))

    def _let_know(self, answer: bool) -> bool:
        """Whether any rank says yes; all learn with it of which step the checkpoint is."""
        known = self._saver.saved_step
        found, step = self._ranks.all_reduce_max(answer, -1 if known is None else known)
        self._saver.saved_step = None if step < 0 else int(step)
        return bool(found)

    def _what_is_kept(self) -> str:
        if self._saver.saved_step is None:
            return "nothing was saved before"
        return f"{self._request.path} is as it was after step {self._saver.saved_step:,}; go on with --resume"

    def _snapshot(self, training: dict[str, Any]) -> dict[str, Any]:
        run, corpus = self._run, self._corpus
        return checkpoint.snapshot(
            model=run.model.config,
            encoder=corpus.encoder,
            text=corpus.options,
            weights=run.best_weights or run.model.state_dict(),
            weights_stay=bool(run.best_weights),
            history=run.history,
            corpus=CorpusFacts(corpus.name, len(corpus.ids), corpus.num_bytes, corpus.sha256, corpus.counts),
            origin=self._origin,
            made=provenance(self._ranks.launches),
            training=training,
        )

    def _save_now(self) -> None:
        """Save and say so: whoever asked wants to use the file."""
        self._save()
        self._saver.wait()
        if not self._saver.failure:
            self._display.note(f"saved after step {self._run.step:,}")

    def _save_at_the_end(self, what: str) -> None:
        self._save()
        self._saver.wait(is_last=True)
        failed, lost = self._saver.failure, "" if self._log is None else self._log.lost
        # All wait for the one that saves, which torchrun would end 30 seconds after the others, and fail with it.
        (some_failed,) = self._ranks.all_reduce_max(bool(failed or lost))
        if some_failed and lost and not failed:
            raise SaveError(f"{what} and saved as {self._request.path}, but {lost}")
        if some_failed:
            told = "; ".join(filter(None, [failed, lost])) or "the first process could not save it"
            raise SaveError(f"{what}, but {told}; {self._what_is_kept()}")

    def _show_sample(self, step: int) -> float:
        """Show what the model writes; give the seconds that it took, which are no training."""
        started = CLOCK.now()
        try:
            self._display.sample(step, self._sample(seed=step))
        except DivergenceError:  # of the scores alone; whether training can go on shows in its losses
            self._display.warn(f"after step {step:,} no sample can be shown: the model's scores are not numbers")
        return CLOCK.now() - started

    def _sample(self, seed: int) -> str:
        """Write a little with the weights as they are."""
        weights = {name: tensor.detach().cpu().numpy() for name, tensor in self._run.model.state_dict().items()}
        encoder = self._corpus.encoder
        engine = build_engine(self._run.model.config, sampling_weights(weights, encoder), self._corpus.line_feed)
        return write_sample(engine, encoder, self._corpus.counts, SAMPLE_LENGTH, seed=seed)

    def _stop(self, signal_number: int) -> None:
        self._save_at_the_end(f"stopped after step {self._run.step:,}")
        self._display.interrupted(self._run.step)
        self._display.close()  # so that what follows stands below it
        if self._ranks.is_first and self._request.speaks_plainly:
            again = self._request.again(self._ranks.world_size)
            self._display.write(f"stopped after step {self._run.step:,}, saved; go on with: {again}")
        raise typer.Exit(128 + signal_number)


def _make_display(request: Request, unit: str, ranks: Ranks, signals: TrainingSignals) -> Display:
    shows_samples = bool(request.options["sample_every"])

    def is_hurried() -> bool:
        return signals.asks

    display: Display
    if not ranks.is_first:
        display = MuteDisplay(sys.stderr)
    elif request.quiet:
        display = (JsonWarnings if request.as_json else Display)(sys.stderr, is_hurried=is_hurried)
    elif request.as_json:
        display = JsonDisplay(sys.stderr, str(request.path), shows_samples=shows_samples, is_hurried=is_hurried)
    elif has_viewer(request):
        from charrnn.display.console import LiveDisplay

        display = LiveDisplay(sys.stderr, is_hurried=is_hurried)
    else:
        display = PlainDisplay(sys.stderr, shows_samples=shows_samples, is_hurried=is_hurried)
    display.unit = unit
    return display
