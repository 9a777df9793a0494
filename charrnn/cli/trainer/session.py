"""Run one `charrnn train` from the encoded corpus to the final checkpoint: start or resume, show, save, stop.

`charrnn.training.loop` does the training itself and depends on nothing here.
"""

from __future__ import annotations

import sys

import torch
import typer

from charrnn.cli.trainer.announce import announcement, doubt, farewell, next_steps, settings
from charrnn.cli.trainer.cpu_load import OtherLoad
from charrnn.cli.trainer.fine_tuning import start_fine_tuning
from charrnn.cli.trainer.log import TrainingLog, open_log
from charrnn.cli.trainer.machine import settle_precision_again
from charrnn.cli.trainer.prepared_run import PreparedRun, start_run
from charrnn.cli.trainer.remarks import warnings
from charrnn.cli.trainer.request import Request
from charrnn.cli.trainer.resources import check_space, refuse_full_memory, translate_out_of_memory
from charrnn.cli.trainer.resume_run import resume_run
from charrnn.cli.trainer.run_saver import RunSaver
from charrnn.cli.trainer.signals import TrainingSignals
from charrnn.cli.trainer.suggested_commands import command_to_go_on
from charrnn.cli.trainer.waiting import has_viewer, waiting
from charrnn.display.plain import Display, JsonDisplay, JsonWarnings, MuteDisplay, PlainDisplay, report_fields
from charrnn.errors import DivergenceError, LostRankError
from charrnn.generation.samples import sample_text
from charrnn.inference.engine import Engine
from charrnn.loading import sampling_weights
from charrnn.metrics import Report
from charrnn.paths import as_argument
from charrnn.text.corpus import Corpus
from charrnn.training.clock import CLOCK
from charrnn.training.loop import first_report, give_up, train
from charrnn.training.ranks import Ranks
from charrnn.training.timetable import expected_seconds
from charrnn.training.torchrun import read_place
from charrnn.training.validation import measure_cold

SAMPLE_LENGTH = 240
"""Characters in a sample that is shown during training."""

LAST_WORDS = 10.0
"""Seconds to wait for a running save before warning that another process is gone; torchrun kills after 30."""


def train_on(request: Request, corpus: Corpus, signals: TrainingSignals, ranks: Ranks, other_load: OtherLoad) -> None:
    """Start or resume a run as requested, and train to the end.

    Args:
        request: whose output was checked.
        corpus: its texts, encoded.
        signals: stop the training.
        ranks: the processes that train together.
        other_load: the other programs on the cores, watched since before PyTorch was loaded.

    Raises:
        CharRNNError: the request cannot be carried out, the training diverged, or its last save failed.
        typer.Exit: stopped by a signal, after saving.
    """
    with translate_out_of_memory(request), _make_display(request, corpus.encoder.unit, ranks, signals) as display:
        with waiting(request, ranks, "measuring this machine"):
            prepared = _prepare(request, corpus, other_load, ranks)
        if ranks.is_first and not _is_kept(request, prepared):
            check_space(request.path, prepared.run)
        session = Session(request, prepared, display)
        display.begin(announcement(prepared), settings(prepared))
        for told in warnings(prepared) if request.quiet else []:
            display.warn(told)
        if told := doubt(prepared.run):
            tell = display.note if request.resume_or_start else display.warn  # a script that runs again expects it
            tell(f"{request.path}: {told}")
        session.train(signals)
    if ranks.is_first and request.speaks_plainly:
        display.note(farewell(prepared.run, prepared.corpus.encoder.unit))
        if has_viewer(request):
            display.write(next_steps(as_argument(str(request.path))))


class Session:
    """The loop around the training: shows every report, saves, and stops when a signal asks for it.

    Every process has its own session and takes the same path through it; only the first shows, logs and writes.
    """

    def __init__(self, request: Request, prepared: PreparedRun, display: Display) -> None:
        self._request = request
        self._prepared = prepared
        self._display = display
        self._run = run = prepared.run
        self._ranks = run.ranks
        self._log: TrainingLog | None = None
        if self._ranks.is_first:
            is_evaluated = run.pace.steps == 0
            self._log = open_log(request, prepared.origin, display.warn, step=run.step, is_evaluated=is_evaluated)
        self._saver = RunSaver(request, prepared, self._log, display)
        self._precisions = {torch.get_num_threads(): run.config.precision}
        self._evaluations = 0
        self._rewinds = run.rewinds
        self._job = "".join(read_place().launches)
        sample_every = request.options["sample_every"]
        self._sample_every = 1 if sample_every is None else sample_every

    def train(self, signals: TrainingSignals) -> None:
        """Train to the end, or until a signal.

        Raises:
            DivergenceError: the loss or the gradients went wrong too often.
            SaveError: the training is over and the last save failed.
            LostRankError: another process of this training is gone.
            TooLargeError: memory ran out after a save.
            typer.Exit: a signal stopped the training, and the checkpoint is saved.
        """
        self._begin()
        signals.under_way = True
        signals.keep_time_to_save(self._run.config.threads)  # the most that may run at once
        try:
            if self._run.step and self._saver.saved_step is None and not self._run.is_finished:
                self._saver.save_first()  # a branch: the checkpoint names the run before the log does
            for report in train(self._run, self._request.options["report_every"], lambda: self._is_asked(signals)):
                self._handle(report)
                if not report.is_last:  # else nothing is to come, and programs expect no line after it
                    self._adapt(report)
                    self._obey(signals)
        except DivergenceError as error:
            self._warn_of(self._run.health.trouble)
            self._tell(give_up(self._run, str(error)))
            raise DivergenceError(f"{error}{self._saver.keep_the_best()}") from None
        except (MemoryError, RuntimeError) as error:
            trouble = self._ranks.peer_failure(error)
            if trouble and not self._saver.is_done(within=LAST_WORDS):
                self._display.warn(f"{trouble}; a save is still under way")
            self._warn_of(self._saver.finish())
            if trouble:
                raise LostRankError(f"{trouble}; {self._saver.what_is_kept()}") from None
            if self._saver.has_saved:
                refuse_full_memory(error, self._saver.what_is_kept())
            raise

    def _begin(self) -> None:
        """Report what is known before the first step; save a finished run if its file does not hold all of it.

        A run that begins with the weights of another reports their evaluation. That alone is not worth a save.
        """
        if self._log is not None and self._log.notice:
            self._display.warn(self._log.notice)
        if self._run.is_finished:
            if not _is_kept(self._request, self._prepared):
                if self._run.cold_loss is None:
                    self._run.cold_loss = measure_cold(self._run)
                self._saver.save_at_the_end("the training was done before")
            self._display.finished(self._run.step)
        elif self._run.history and not self._run.step:
            self._tell(first_report(self._run, expected_seconds(self._run, self._prepared.chars_per_second)))

    def _handle(self, report: Report) -> None:
        """Log a report, save if that is due, and show the report."""
        self._warn_of(report.trouble)
        self._write_down(report)
        if report.is_last:
            self._saver.save_at_the_end("the training is done")
        else:
            self._saver.save_if_due(evaluated=report.val_loss is not None)
        if report.val_loss is not None:
            self._evaluations += 1
            is_wanted = self._sample_every and self._evaluations % self._sample_every == 0
            spent = self._show_sample(report.step) if self._display.shows_samples and is_wanted else 0.0
            self._run.pace.seconds += self._ranks.all_reduce_max(spent)[0]  # equal on all: they evaluate together
        self._display.update(report)

    def _tell(self, report: Report) -> None:
        """Log and show a report that does not follow a sound step, without a save."""
        self._write_down(report)
        self._display.update(report)

    def _write_down(self, report: Report) -> None:
        if self._log is not None:
            self._log.write(report_fields(report) | ({"job": self._job} if self._job else {}))

    def _show_sample(self, step: int) -> float:
        """Show a sample; return the seconds that this took, which do not count as training."""
        started = CLOCK.now()
        try:
            self._display.sample(step, self._sample(seed=step))
        except DivergenceError:  # of the logits; the losses show whether training can go on
            self._display.warn(f"after step {step:,} no sample can be shown: the model's scores are not numbers")
        return CLOCK.now() - started

    def _sample(self, seed: int) -> str:
        """Generate a short text with the current weights."""
        weights = {name: tensor.detach().cpu().numpy() for name, tensor in self._run.model.state_dict().items()}
        corpus = self._prepared.corpus
        engine = Engine(self._run.model.config, sampling_weights(weights, corpus.encoder), corpus.line_end_id)
        return sample_text(engine, corpus.encoder, corpus.counts, SAMPLE_LENGTH, seed=seed)

    def _adapt(self, report: Report) -> None:
        """Adapt threads, precision and hyperparameters to the current speed; show what has changed."""
        keeper, plan = self._prepared.keeper, self._prepared.plan
        if keeper.adjust(self._run.model):
            settle_precision_again(self._run, self._prepared.wanted_precision, self._precisions)
        for told in (
            self._tell_of_rewind(report),
            keeper.tell(report.seconds_left),
            plan.review(self._run, report) if plan else "",
        ):
            if told:
                self._display.note(told)

    def _tell_of_rewind(self, report: Report) -> str:
        """Say that training has just gone back to its best weights; empty if it has not."""
        if report.rewinds == self._rewinds:
            return ""
        self._rewinds = report.rewinds
        return (
            f"no gain in {self._run.config.rewind_after} evaluations: back to the weights of step "
            f"{report.best_step:,}, with a lower learning rate"
        )

    def _is_asked(self, signals: TrainingSignals) -> bool:
        """Whether a save or a stop is due on any rank, by a signal or by time, so that this step must be reported."""
        return any(self._ranks.all_reduce_max(signals.asks, self._saver.is_due))

    def _obey(self, signals: TrainingSignals) -> None:
        """Save or stop, if a signal to any rank asks for it."""
        save_wanted, received = self._ranks.all_reduce_max(signals.save_wanted, signals.received)
        if save_wanted:
            signals.save_wanted = False
            self._saver.save_now()
        if received:
            self._stop(int(received))

    def _stop(self, signal_number: int) -> None:
        self._saver.save_at_the_end(f"stopped after step {self._run.step:,}")
        self._display.interrupted(self._run.step)
        self._display.close()  # so that the next line is below it
        if self._ranks.is_first and self._request.speaks_plainly:
            again = command_to_go_on(self._request, self._ranks.world_size)
            self._display.write(f"stopped after step {self._run.step:,}, saved; go on with: {again}")
        raise typer.Exit(128 + signal_number)

    def _warn_of(self, trouble: str) -> None:
        for line in trouble.splitlines():
            self._display.warn(line)


def _prepare(request: Request, corpus: Corpus, other_load: OtherLoad, ranks: Ranks) -> PreparedRun:
    """The run of a checkpoint, a new one, or one that begins with the weights of another."""
    if request.resume:
        return resume_run(request, corpus, other_load, ranks)
    if request.init_from is None:
        return start_run(request, corpus, other_load, ranks)
    return start_fine_tuning(request, corpus, other_load, ranks)


def _is_kept(request: Request, prepared: PreparedRun) -> bool:
    """Whether a run is finished and its file already holds all of it, so that nothing is written."""
    run = prepared.run
    is_whole = not prepared.differs and (run.cold_loss is not None or run.line_end_id is not None)
    return run.is_finished and request.is_in_place and is_whole


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
