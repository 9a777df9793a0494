"""Build a resumed run from a checkpoint and a corpus: unchanged, or with changes by --force-resume."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from charrnn.cli.common.cores import allotted_cores
from charrnn.cli.trainer.cpu_load import OtherLoad
from charrnn.cli.trainer.fine_tuning import start_fine_tuning
from charrnn.cli.trainer.machine import choose_device, measure, set_up_torch
from charrnn.cli.trainer.prepared_run import PreparedRun, begin
from charrnn.cli.trainer.reading import check_same, is_same_text
from charrnn.cli.trainer.request import Request
from charrnn.cli.trainer.resume_changes import LEARNED_HELD_OUT, changes_of, check_resume, has_changed, overlaps
from charrnn.cli.trainer.resume_policy import ENDS, MAY_CHANGE, ResumePolicy, options_of
from charrnn.cli.trainer.resume_state import restore
from charrnn.cli.trainer.threads import ThreadKeeper, default_threads
from charrnn.config import ModelConfig, TrainConfig
from charrnn.hyperparameters import (
    FEWEST_BY_TIME,
    MOST_EVALUATIONS,
    choose_evaluations,
    choose_patience,
    choose_rewind_after,
    choose_weight_decay,
    peak_rate,
)
from charrnn.limits import flag_name
from charrnn.paths import has_no_name
from charrnn.storage.archive import Checkpoint, read_checkpoint
from charrnn.storage.origin import Origin
from charrnn.text.corpus import Corpus
from charrnn.training.precision import crawls_in
from charrnn.training.ranks import ALONE, Ranks
from charrnn.training.run import TrainingRun
from charrnn.wording import listed

MOST_THREADS = 4
"""Limit on threads for each core, since a checkpoint may hold any number."""


def resume_run(request: Request, corpus: Corpus, other_load: OtherLoad, ranks: Ranks = ALONE) -> PreparedRun:
    """Rebuild the run that a checkpoint holds; the flags may move its end, and change more with --force-resume.

    With --force-resume and another text, a new run begins with the checkpoint's weights.

    Raises:
        CheckpointError: the checkpoint cannot be read, or learned from another text.
        ConfigError: a flag does not fit the stored run.
    """
    path = str(request.source)
    stored = ranks.broadcast(lambda: read_checkpoint(path, with_training=True))
    if not request.force:
        check_same(stored, corpus, request)
    check_resume(stored, request)  # again: --val-text may have changed `val_fraction`
    changes = changes_of(stored, request.explicit)
    model, config = _change(stored, changes, request, corpus)
    if not is_same_text(stored.corpus, corpus):
        prepared = start_fine_tuning(request, corpus, other_load, ranks)
        return replace(prepared, reason=listed(prepared.reason, _told_of_alphabet(request)))
    if any(map(has_no_name, request.all_texts)):
        corpus = replace(corpus, name=stored.corpus.name)
    config, told_of_device = _settle(_take_what_may_change(config, request.explicit), stored, request.explicit, ranks)
    set_up_torch(config.threads, repeatable=config.deterministic and config.device == "cuda")
    pieces = corpus.split_for(config)
    run = begin(model, config, request, corpus, pieces, ranks)
    restore(run, stored, corpus, set(changes), path)
    _move_end(run, stored.train_config)
    reason, origin = _reason(run, stored, request, changes, told_of_device), _origin(run, stored, request)
    keeper = ThreadKeeper(asdict(config), other_load, is_fixed=origin.threads_given or ranks.world_size > 1)
    speed, told_of_speed = measure(run, keeper)
    return PreparedRun(
        run=run,
        corpus=corpus,
        pieces=pieces,
        chars_per_second=speed,
        reason=listed(reason, told_of_speed),
        keeper=keeper,
        origin=origin,
        wanted_precision=run.config.precision,
        begun_by=stored.made.get("begun_by") or _first_command(stored.made.get("command", "")),
        differs=bool(changes) or has_changed(run.config, stored.train_config, *ENDS, "patience"),
    )


def _settle(
    config: TrainConfig, stored: Checkpoint, explicit: Mapping[str, Any], ranks: Ranks
) -> tuple[TrainConfig, str]:
    """Fit device, precision and threads to this machine; return also a message about idle GPUs, or an empty string."""
    before = stored.train_config.device
    wanted = explicit.get("device", "cpu" if before == "cpu" else "auto")  # a GPU if there is one
    device, told = choose_device(wanted, ranks)
    config = _settle_precision(replace(config, device=device), stored, explicit)
    return _settle_threads(config, stored, explicit, ranks), told


def _move_end(run: TrainingRun, before: TrainConfig) -> None:
    """Schedule the evaluations anew if the end has moved; the same end again changes nothing."""
    if has_changed(run.config, before, *ENDS):
        run.pace.stale, run.pace.lowest = 0, math.inf
        run.config = replace(run.config, evaluations=_evaluations(run, before.time_limit))
    if has_changed(run.config, before, *ENDS, "evaluate_every"):
        run.config = _with_evaluations_counted_anew(run, before)


def _reason(
    run: TrainingRun, stored: Checkpoint, request: Request, changes: Mapping[str, Any], told_of_device: str
) -> str:
    """Say at which step a run resumes, and what has changed."""
    before, now = stored.train_config, run.config
    told = [f"going on after step {run.step:,}, epoch {run.epoch:.2f}", _moved(now, before), told_of_device]
    if (world := _world_before(stored)) != run.ranks.world_size:
        told.append(f"processes: {run.ranks.world_size}, before {world}, with new random numbers for dropout")
    elif now.threads < before.threads and "threads" not in request.explicit:
        told.append(f"threads: {now.threads}, before {before.threads} (fewer cores are free): not bit for bit")
    forced = [f"{flag_name(name)} {value}" for name, value in changes.items()]
    if overlaps(before, now):
        forced.append(LEARNED_HELD_OUT)
    if forced:
        told.append(f"forced: {', '.join(forced)}")
    return listed(*told, _told_of_alphabet(request))


def _origin(run: TrainingRun, stored: Checkpoint, request: Request) -> Origin:
    """The origin of a resumed run: from this request and from its beginning; a branch gets a new name.

    If the text has no name this time, as from standard input, the stored paths are kept.
    """
    before, new = stored.origin, request.new_origin()
    stays = before.threads_given and _world_before(stored) == run.ranks.world_size  # else chosen anew
    is_given = "threads" in request.explicit or stays
    if request.is_in_place:
        new = replace(new, run=before.run, parents=before.parents, left_at=before.left_at)
    else:
        new = replace(new, parents=[before.run, *before.parents], left_at=[stored.step, *before.left_at])
    if any(map(has_no_name, request.all_texts)):
        new = replace(
            new, texts=before.texts, val_texts=before.val_texts, include=before.include, exclude=before.exclude,
            separator=before.separator,
        )  # fmt: skip
    learned_held_out = before.learned_held_out or overlaps(stored.train_config, run.config)
    return replace(
        new, init_from=before.init_from, init_run=before.init_run, learned=before.learned,
        learned_held_out=learned_held_out, threads_given=is_given,
        precision_given=_is_precision_given(run.config, stored, request.explicit),
    )  # fmt: skip


def _first_command(command: str) -> str:
    """The stored command, if it began the run; empty if it resumed the run.

    For files of an older charrnn, which stored only the last command.
    """
    flags = {word.partition("=")[0] for word in command.split()}
    return "" if flags & {"--resume", "--resume-from", "--force-resume"} else command


def _change(
    stored: Checkpoint, changes: Mapping[str, Any], request: Request, corpus: Corpus
) -> tuple[ModelConfig, TrainConfig]:
    """The stored configs with the changes made by --force-resume."""
    if not request.force:
        return stored.model, stored.train_config
    config = _replace_fields(stored.train_config, changes)
    config = replace(config, val_spread=config.val_spread and not corpus.num_held_out)
    if "optimizer" in changes:
        rate, decay = peak_rate(config.optimizer, stored.model, math.inf), choose_weight_decay(config.optimizer)
        own = {"learning_rate": rate, "weight_decay": decay}
        config = replace(config, **{name: own[name] for name in own.keys() - request.explicit.keys()})
    return _replace_fields(stored.model, changes), config


def _world_before(stored: Checkpoint) -> int:
    """How many processes trained the stored run."""
    others = stored.training.get("other_ranks", [])
    return 1 + (len(others) if isinstance(others, list) else 0)


def _settle_threads(config: TrainConfig, stored: Checkpoint, explicit: Mapping[str, Any], ranks: Ranks) -> TrainConfig:
    """Keep the stored number of threads, or fewer if this machine has fewer cores and no user has set the number.

    The number is chosen anew if the number of processes has changed; and, unless a user has set it, on every process
    but the first, which may be on another host: the checkpoint has only the first one's.
    """
    threads, is_asked = config.threads, "threads" in explicit
    here = default_threads(ranks.local_world_size)

    def were_chosen() -> bool:  # as far as the first process can tell
        is_same_host = stored.made.get("cores") == str(allotted_cores())
        return stored.origin.threads_given or (is_same_host and threads != here)

    is_fixed = is_asked or ranks.broadcast(were_chosen)
    if not is_asked and (_world_before(stored) != ranks.world_size or not (is_fixed or ranks.is_first)):
        threads = here
    elif not (is_fixed or stored.made.get("cores") == str(allotted_cores())):
        threads = min(threads, here)
    return replace(config, threads=threads if is_asked else min(threads, MOST_THREADS * (os.cpu_count() or 1)))


def _moved(config: TrainConfig, before: TrainConfig) -> str:
    """Say why a run cannot resume bit for bit on this machine; empty if it can."""
    if config.device != before.device:
        return f"on {config.device}, before {before.device}: not bit for bit as it would have gone on there"
    if config.precision == "auto":
        return f"without {before.precision}, which this machine lacks: not bit for bit as it would have gone on"
    return ""


def _told_of_alphabet(request: Request) -> str:
    """Say that --force-resume ignores flags that choose an alphabet, since the weights depend on the stored one."""
    given = [
        flag_name(name) for name in options_of(ResumePolicy.ALPHABET) if name in request.explicit and request.force
    ]
    return f"with the alphabet as it was, whatever {' and '.join(given)} would choose" if given else ""


def _replace_fields(config: Any, changes: Mapping[str, Any]) -> Any:
    return replace(config, **{name: changes[name] for name in changes.keys() & asdict(config).keys()})


def _take_what_may_change(config: TrainConfig, explicit: Mapping[str, Any]) -> TrainConfig:
    """The config with the explicit options of `MAY_CHANGE`; a new end replaces the old one, of whatever kind."""
    changes = {name: value for name, value in explicit.items() if name in MAY_CHANGE}
    if any(name in changes for name in ENDS):
        changes = {**dict.fromkeys(ENDS), **changes}
    return replace(config, **changes)


def _evaluations(run: TrainingRun, limit_before: float | None) -> int:
    """The number of evaluations of a run with a new end.

    With an end by steps, as many as a run that had this end from the start. With a time limit, at the same intervals
    in seconds as before, taken from the past evaluations if there was no time limit, and not fewer than before.
    """
    limit = run.config.time_limit
    if limit is not None:
        before = run.config.evaluations
        made, seconds = (before, limit_before) if limit_before else (len(run.history), max(run.seconds, 1.0))
        return round(min(MOST_EVALUATIONS, max(made * limit / seconds, before, FEWEST_BY_TIME)))
    assert run.planned_steps is not None, "something ends it"
    trained = run.planned_steps * run.lanes.chars_per_window
    return choose_evaluations(trained, run.config.num_evaluated(len(run.val_ids)))


def _with_evaluations_counted_anew(run: TrainingRun, before: TrainConfig) -> TrainConfig:
    """The config with the number of evaluations without a gain that fits how close together they are now.

    A patience that was chosen before is chosen anew too; one that was given stays.
    """
    config = run.config
    is_chosen = config.patience == before.patience == choose_patience(before.rewind_after)
    planned = run.planned_steps or (run.step - run.first_step) / max(run.progress, 1e-9)
    given_patience = None if is_chosen else config.patience
    rewind_after = choose_rewind_after(
        planned, config.evaluations, config.evaluate_every, run.lanes.windows_per_epoch, given_patience
    )
    patience = choose_patience(rewind_after) if is_chosen else config.patience
    return replace(config, rewind_after=rewind_after, patience=patience)


def _settle_precision(config: TrainConfig, stored: Checkpoint, explicit: Mapping[str, Any]) -> TrainConfig:
    """Set the precision to "auto", to be measured anew, on another device or on one that is slow in the stored one.

    A precision that a user has set stays, however slow it is here: the run goes on as it would have.
    """
    if _is_precision_given(config, stored, explicit):
        return config
    is_open = config.device != stored.train_config.device or crawls_in(config.precision, config.device)
    return replace(config, precision="auto") if is_open else config


def _is_precision_given(config: TrainConfig, stored: Checkpoint, explicit: Mapping[str, Any]) -> bool:
    """Whether a user has set the precision: now, or before for the same device."""
    if "precision" in explicit:
        return bool(explicit["precision"] != "auto")
    return stored.origin.precision_given and config.device == stored.train_config.device
