"""What `charrnn train` says before and after."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.cli.trainer.checking import is_made_by_training
from charrnn.cli.trainer.launch import PASSES_SHARE, Launch
from charrnn.config import EVALUATION_SHARE, TrainConfig
from charrnn.escape import as_typed, quoted
from charrnn.metrics import COLD_WINDOW
from charrnn.shapes import count_parameters
from charrnn.text.cache import KEPT_DAYS
from charrnn.text.corpus import Corpus
from charrnn.text.decoding import SCRIPTS
from charrnn.text.encoder import Ids
from charrnn.text.options import CHARACTER
from charrnn.text.places import count_lines
from charrnn.text.splitting import count_known
from charrnn.training.run import TrainingRun
from charrnn.wording import describe_known, describe_loss, describe_model, format_seconds, number_of

MANY_CONTROLS = 0.05
"""Share of a text above which C1 controls are no misread quotation marks: the encoding is another."""

FEW, ENOUGH = 5_000, 100_000
"""Characters to train on below which no style is learned, and those that are a good beginning; of what is held out a
tenth of the former is needed to judge by."""

FEW_LINES = 100
"""Lines below which no style is learned, where each is a text of its own; of these `FEW` are a good beginning."""

NAMED = 3
"""Files left out that are named."""

SEE = "; give one alone to see what is wrong with it"
"""How to find out why a file was left out that is none of a training's."""


def announcement(launch: Launch) -> list[str]:
    """Say what was found and what was chosen, one line each."""
    model = launch.run.model.config
    return [
        *_describe_corpus(launch),
        f"model: {describe_model(model)}; {count_parameters(model):,} parameters, {launch.reason}",
        describe_training(launch),
    ]


def describe_training(launch: Launch) -> str:
    """Say how the model is trained, until when, and what computes."""
    run, config = launch.run, launch.run.config
    return (
        f"training: {_end(config)}, {number_of(config.batch_size, 'lane')}, windows of {config.seq_len}, "
        f"{config.optimizer} at {_rate(run)}; {config.device}, {config.precision}, "
        f"{_processes(run.ranks.world_size)}{_threads(launch.keeper.at_work, config.threads)}; "
        f"{_duration(run, launch.chars_per_second)}"
    )


def settings(launch: Launch) -> dict[str, Any]:
    """Say for programs what is learned from, what the model's shape is, and how it is trained."""
    run, corpus = launch.run, launch.corpus
    return {
        "step": run.step,
        "corpus": corpus.name,
        "characters": len(corpus.ids),
        "distinct": corpus.num_distinct,
        "files": corpus.num_documents,
        "left_out": list(corpus.skipped),
        "parameters": count_parameters(run.model.config),
        "model": asdict(run.model.config),
        "training": asdict(run.config),
    }


def warnings(launch: Launch) -> list[str]:
    """Say of the text what should be known where nothing else is announced, one line each."""
    corpus = launch.corpus
    return list(filter(None, [_unread(corpus), "" if launch.run.step else _told_of_utf8(corpus)]))


def _threads(now: int, most: int) -> str:
    return f"{now} of {number_of(most, 'thread')}" if now < most else number_of(most, "thread")


def _describe_corpus(launch: Launch) -> list[str]:
    """The text, and what a reader should know of what became of it."""
    corpus, run = launch.corpus, launch.run
    lines = [
        _describe_pieces(launch),
        _told_of_cache(corpus),
        _told_of_rare(corpus, is_fresh=not run.history),  # else its alphabet is of a text before, or has that in it
        _told_of_known_lines(launch),
    ]
    if corpus.skipped:
        why = f"no {corpus.options.encoding} text, damaged, unreadable, a link to nothing or made by a training"
        is_made = all(is_made_by_training(Path(name)) for name in corpus.skipped)
        lines.append(_left_out(corpus.skipped, why, mend="" if is_made else SEE))
    if not run.history:  # else it goes on, or begins with weights that have learned from another text
        lines += _too_little(corpus, launch.pieces)
    if not run.step:  # else it was told when the run began, and what mends it would be refused now
        lines.append(corpus.told_of_patterns)
        lines += _doubts(corpus) if corpus.options.unit == CHARACTER else []
    return list(filter(None, lines))


def _describe_pieces(launch: Launch) -> str:
    corpus, run = launch.corpus, launch.run
    training, held_out = map(len, launch.pieces)
    evaluated = run.config.num_evaluated(len(run.val_ids))
    files = f" in {corpus.num_documents:,} files" if corpus.num_documents > 1 else ""
    which = f"the {held_out:,} of {quoted(corpus.val_name)}" if corpus.val_name else f"the last {held_out:,}"
    which = f"{held_out:,} in lines from all over it" if run.config.val_spread else which
    some = f", of which {evaluated:,} are evaluated" if evaluated < held_out else ""
    return (
        f"{quoted(corpus.name)}: {len(corpus.ids):,} {corpus.options.unit}s{files}, {corpus.num_distinct:,} distinct; "
        f"{training:,} to train on, {which} held out{some}"
    )


def _told_of_cache(corpus: Corpus) -> str:
    if not isinstance(corpus.ids, np.memmap):
        return ""
    return (
        f"kept encoded in {quoted(os.path.dirname(str(corpus.ids.filename)))}, {corpus.ids.nbytes / 1e6:,.0f} MB, for "
        f"{KEPT_DAYS} days after its last use; --no-cache holds it in memory"
    )


def _told_of_rare(corpus: Corpus, *, is_fresh: bool) -> str:
    """How many characters have no id of their own; nothing where all have."""
    if not (corpus.encoder.has_unknown and corpus.counts[-1]):
        return ""
    rare = corpus.num_distinct - sum(times > 0 for times in corpus.counts[:-1])
    why = "too rare to be learned" if is_fresh else "too rare or new to the model"
    flags = "; --min-count and --max-vocab decide" if is_fresh else ""
    return (
        f"{number_of(rare, corpus.options.unit)} {why} ({corpus.counts[-1] / len(corpus.ids):.2%} of the text) "
        f"share one id, which is never written{flags}"
    )


def _told_of_known_lines(launch: Launch) -> str:
    """How many lines that are held out are learned from too; nothing where none are, or lines are no texts."""
    corpus = launch.corpus
    known = describe_known(*count_known(*launch.pieces, corpus.encoder)) if corpus.line_feed is not None else ""
    mend = f"leave them out of {quoted(corpus.name)}" if corpus.val_name else "sort -u leaves each line once"
    return f"{known}; {mend}" if known else ""


def _unread(corpus: Corpus) -> str:
    """Name the files of folders that were left out and are none of a training's; nothing where there are none."""
    names = [name for name in corpus.skipped if not is_made_by_training(Path(name))]
    return (
        _left_out(names, f"no {corpus.options.encoding} text, damaged, unreadable or a link to nothing", mend=SEE)
        if names
        else ""
    )


def _told_of_utf8(corpus: Corpus) -> str:
    """Name the texts that are valid UTF-8 and are read in another encoding, which may be a model's; empty without."""
    if not corpus.misread:
        return ""
    name, *others = corpus.misread
    named = f"{quoted(name)} and {number_of(len(others), 'other text')} are" if others else f"{quoted(name)}: is"
    return f"{named} valid UTF-8, and read as {corpus.options.encoding}; give --encoding utf-8 if that is what is meant"


def _left_out(names: Sequence[str], why: str, *, mend: str) -> str:
    named = ", ".join(map(quoted, names[:NAMED]))
    more = ", ... (--json names all)" if len(names) > NAMED else ""
    return f"{number_of(len(names), 'file')} left out, {why}: {named}{more}{mend}"


def _too_little(corpus: Corpus, pieces: tuple[Ids, Ids]) -> list[str]:
    """What to know of a text that is too short."""
    sizes, unit, few, enough = [*map(len, pieces)], corpus.options.unit, FEW, ENOUGH
    if corpus.line_feed is not None and sizes[0] < ENOUGH:
        sizes, unit, few, enough = [count_lines(piece, corpus.line_feed) for piece in pieces], "line", FEW_LINES, FEW
    training, held_out = sizes
    if training >= few:
        return []
    judged = f", and {held_out:,} held out too few to judge by" if 10 * held_out < few else ""
    are = "is" if training == 1 else "are"
    return [f"{number_of(training, unit)} {are} too few to learn a style from{judged}; {enough:,} are a good beginning"]


def _doubts(corpus: Corpus) -> list[str]:
    """Characters that seldom belong in a text, and what may have brought them there."""

    def times(characters: str) -> int:
        return sum(corpus.counts[corpus.encoder.characters.index(c)] for c in characters if c in corpus.encoder)

    lines = [_told_of_utf8(corpus)]
    if returns := times("\r"):
        lines.append(f"{number_of(returns, 'carriage return')} kept as characters; --newline lf makes all line ends LF")
    if nulls := times("\0"):
        lines.append(
            f"{number_of(nulls, 'NUL character')} kept; of a text in UTF-16, --encoding utf-16-le or -be leaves none"
        )
    if controls := times("".join(map(chr, range(0x80, 0xA0)))):
        share = controls / len(corpus.ids)
        told = "where these should be quotation marks and dashes, --encoding windows-1252 reads them as such"
        if share > MANY_CONTROLS:
            told = (
                f"{share:.0%} of the text, whose --encoding is probably another, such as utf-8, windows-1252, {SCRIPTS}"
            )
        lines.append(f"{number_of(controls, 'control character')} of U+0080 to U+009F kept; {told}")
    if escapes := times("\x1b"):
        told = "where ESC $ and ESC ( stand, --encoding iso2022_jp reads Japanese"
        lines.append(f"{number_of(escapes, 'escape character')} kept, of a terminal's colours as a rule; {told}")
    return lines


def _processes(world: int) -> str:
    return "" if world == 1 else f"{world} processes of "


def _rate(run: TrainingRun) -> str:
    """The peak learning rate, and what has become of it in a run that goes on with less."""
    peak, factor = f"{run.config.learning_rate:g}", run.rate_share
    return peak if factor == 1 else f"{run.config.learning_rate * factor:.2g}, at first {peak}"


def _end(config: TrainConfig) -> str:
    ends = [number_of(config.epochs, "epoch")] if config.epochs is not None else []
    ends += [number_of(config.max_steps, "step")] if config.max_steps is not None else []
    ends += [format_seconds(config.time_limit)] if config.time_limit is not None else []
    return " or ".join(ends)


def _duration(run: TrainingRun, chars_per_second: float) -> str:
    if run.finished:
        return "nothing is left to do"
    seconds = []
    if run.config.time_limit is not None:
        seconds.append(run.config.time_limit - run.seconds)
    if run.total_steps is not None:
        passes = (run.total_steps - run.step) * run.lanes.chars_per_window / chars_per_second
        seconds.append(passes / (PASSES_SHARE + EVALUATION_SHARE) + _evaluations_left(run) * run.evaluation_seconds)
    return f"takes about {format_seconds(max(min(seconds), 0.0))}"


def _evaluations_left(run: TrainingRun) -> int:
    """How often a run is still evaluated that steps end, about; the one in cold windows takes as long as any other."""
    assert run.total_steps is not None, "steps end it"
    assert run.planned_steps is not None, "as above"
    apart = run.config.evaluate_every or math.ceil(run.planned_steps / run.config.evaluations)
    return math.ceil((run.total_steps - run.step) / apart) + (run.line_feed is None)


def doubt(run: TrainingRun) -> str:
    """Say why a run that is about to begin will not train, or for one step alone; nothing where it will."""
    limit = run.config.time_limit
    if run.is_out_of_patience:
        return (
            f"already at its end, {number_of(run.pace.stale, 'evaluation')} without a gain; give a larger --patience, "
            "or a larger --epochs, --max-steps or --time, to train on"
        )
    if run.finished:
        over = f": {format_seconds(run.seconds)} are over, and --time counts from the very start"
        used = over if run.ended_by == "time" else ""
        return f"already at its end{used}; give a larger --epochs, --max-steps or --time to train on"
    if run.progress < 1 or (run.pace.steps and run.step == run.total_steps):
        return ""
    if run.step:
        told = "the steps since its last evaluation are evaluated, and no more are made"
        if not run.pace.steps:
            told = "none of its evaluations is of what is held out now, so one step is made and evaluated"
        return f"already at its end: {told}; give a larger --epochs, --max-steps or --time to train on"
    assert limit is not None, "else there are steps to be made"
    return f"--time {format_seconds(limit)} is over before a step is made; one is, and no more; give a longer --time"


def next_steps(path: str) -> str:
    """Say what can be done with a checkpoint, whose path stands in a command as it is."""
    typed = as_typed(path)
    return f"`charrnn sample {typed}` writes text with it; `charrnn inspect {typed}` shows how good it is"


def farewell(run: TrainingRun, unit: str) -> str:
    """Say how well the finished run did, whose losses are of a character or a byte."""
    best = run.best
    assert best is not None, "a finished run has been evaluated"
    cold = "" if run.cold_loss is None else f"; {run.cold_loss:.4f} in cold windows of {COLD_WINDOW}"
    skipped = f"; {number_of(run.health.skipped, 'step')} skipped" if run.health.skipped else ""
    early = f"; ended early, {number_of(run.pace.stale, 'evaluation')} without a gain" if run.is_out_of_patience else ""
    idle = "" if best.step else ", that of the weights that it began with: nothing was gained"
    told = f"{idle}{cold}{skipped}{early}; {format_seconds(run.seconds)}"
    return f"best validation loss {describe_loss(best.val_loss, unit)}, step {best.step:,}{told}"
