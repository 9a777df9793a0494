"""Build a run that is ready to train from a request and a corpus; `resume_run` builds runs that are resumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from charrnn.arrays import Ids
from charrnn.budget import TYPICAL_FLOPS
from charrnn.cli.trainer.cpu_load import OtherLoad
from charrnn.cli.trainer.machine import choose_device, measure, measure_flops, set_up_torch
from charrnn.cli.trainer.plan import Plan
from charrnn.cli.trainer.request import Request
from charrnn.cli.trainer.resources import check_memory
from charrnn.cli.trainer.threads import ThreadKeeper, default_threads
from charrnn.config import ModelConfig, TrainConfig
from charrnn.storage.origin import Origin
from charrnn.suggest import Suggestion, suggest
from charrnn.text.corpus import Corpus
from charrnn.text.counted_places import take_lines
from charrnn.text.places import count_lines
from charrnn.training.ranks import ALONE, Ranks
from charrnn.training.run import TrainingRun
from charrnn.wording import format_epochs, listed, number_of


@dataclass(frozen=True, kw_only=True)
class PreparedRun:
    """A run that is ready to train.

    Attributes:
        run: its state.
        corpus: the texts, encoded.
        pieces: the training piece and the held-out piece of the corpus.
        chars_per_second: training speed, measured in a few trial steps.
        reason: for the announcement: why this model was chosen, or what has changed since the checkpoint.
        keeper: adjusts the number of threads.
        origin: where the run comes from.
        wanted_precision: the precision asked for; "auto" for the fastest with the current number of threads.
        plan: reviews the chosen hyperparameters under way; None for a run that keeps them as they are.
        begun_by: for a resumed run, the command that began it; empty if unknown, or if this process begins the run.
        differs: whether the end, the patience or a forced option differs from those in the checkpoint.
    """

    run: TrainingRun
    corpus: Corpus
    pieces: tuple[Ids, Ids]
    chars_per_second: float
    reason: str
    keeper: ThreadKeeper
    origin: Origin
    wanted_precision: str
    plan: Plan | None = None
    begun_by: str = ""
    differs: bool = False


def start_run(
    request: Request, corpus: Corpus, other_load: OtherLoad, ranks: Ranks = ALONE, *, rate_factor: float = 1.0
) -> PreparedRun:
    """Set up a new run; `suggest` chooses what the flags leave open.

    Args:
        request: with every option.
        corpus: the texts, encoded.
        other_load: the other programs on the cores.
        ranks: the processes that train together.
        rate_factor: factor on the learning rate, if no flag sets it.

    Raises:
        ConfigError: a flag does not fit the text or the machine.
        CorpusError: the text is too short.
    """
    device, told_of_device = choose_device(request.options["device"], ranks)
    options = {**request.options, "device": device}
    options["threads"] = options["threads"] or default_threads(ranks.local_world_size)
    is_alone = ranks.world_size == 1
    keeper = ThreadKeeper(options, other_load, is_fixed=request.options["threads"] is not None or not is_alone)
    set_up_torch(options["threads"], repeatable=options["deterministic"] and options["device"] == "cuda")
    flops = TYPICAL_FLOPS
    if options["time_limit"] is not None:
        (flops,) = ranks.all_reduce_sum(measure_flops(options, len(corpus.encoder), keeper))
    is_spread = corpus.is_spread
    pieces = corpus.split(options["val_fraction"], spread=is_spread, bounded=is_spread)
    chosen = _suggest(options, corpus, pieces[0], flops, request, ranks)
    training = replace(chosen.training, val_spread=is_spread, val_bounded=is_spread)
    if options["learning_rate"] is None:
        training = replace(training, learning_rate=rate_factor * training.learning_rate)
    run = begin(chosen.model, training, request, corpus, pieces, ranks)
    learned = number_of(len(pieces[0]), corpus.options.unit)
    speed, told_of_speed = measure(run, keeper)
    chosen_for = f"chosen for about {format_epochs(chosen.epochs)} epochs of {learned}"
    reason = listed(chosen_for, told_of_device, told_of_speed)
    return PreparedRun(
        run=run,
        corpus=corpus,
        pieces=pieces,
        chars_per_second=speed,
        reason=reason,
        keeper=keeper,
        origin=request.new_origin(),
        wanted_precision=options["precision"],
        plan=Plan(chosen.epochs, request.options, rate_factor) if is_alone else None,
    )


def begin(
    model: ModelConfig, config: TrainConfig, request: Request, corpus: Corpus, pieces: tuple[Ids, Ids], ranks: Ranks
) -> TrainingRun:
    """Build a run before its first step.

    Raises:
        TooLargeError: there is too little memory for it.
    """
    check_memory(model, config, request, ranks)
    train_ids, val_ids = pieces
    if corpus.line_end_id is not None:
        val_ids = take_lines(val_ids, corpus.line_end_id, config.evaluated)
    return TrainingRun.start(
        model, config, train_ids, val_ids, started_at=request.started, line_end_id=corpus.line_end_id, ranks=ranks
    )


def _suggest(
    options: Mapping[str, Any], corpus: Corpus, train_ids: Ids, flops: float, request: Request, ranks: Ranks
) -> Suggestion:
    """Choose what the options leave open, for this text and so many FLOP/s."""
    num_lines = None
    if corpus.line_end_id is not None and not options["batch_size"]:
        num_lines = count_lines(train_ids, corpus.line_end_id)
    return suggest(
        options,
        num_chars=len(corpus.ids),
        vocab_size=len(corpus.encoder),
        train_chars=len(train_ids),
        flops=flops,
        mean_line=corpus.mean_line,
        num_lines=num_lines,
        processes=ranks.world_size,
        elapsed=ranks.now() - request.started,
    )
