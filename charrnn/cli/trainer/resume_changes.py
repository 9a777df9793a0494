"""Compare the options of a training with those of a checkpoint, and refuse changes that are not allowed or not forced.

Refusing needs the checkpoint alone, and so comes before a text is read: that may take long, or be possible only once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from charrnn.cli.trainer.request import Request
from charrnn.cli.trainer.resume_policy import FIXED, KEPT, MODEL_SHAPE
from charrnn.cli.trainer.suggested_commands import way_to_begin
from charrnn.config import TrainConfig
from charrnn.errors import CheckpointError, ConfigError
from charrnn.limits import flag_name
from charrnn.storage.archive import Checkpoint
from charrnn.text.options import TextOptions

LEARNED_HELD_OUT = "so that some of what is held out was learned from before"


def trained_with(stored: Checkpoint) -> dict[str, Any]:
    """Every option that a checkpoint was trained with, by name."""
    return {**asdict(stored.text_options), **asdict(stored.model), **asdict(stored.train_config)}


def changes_of(stored: Checkpoint, explicit: Mapping[str, Any]) -> dict[str, Any]:
    """The explicit options in `KEPT` that differ from those the checkpoint was trained with."""
    before = trained_with(stored)
    return {name: value for name, value in explicit.items() if name in KEPT and not _is_same(name, value, before[name])}


def has_changed(config: TrainConfig, before: TrainConfig, *names: str) -> bool:
    """Whether any of the named options differs between two configs."""
    return any(getattr(config, name) != getattr(before, name) for name in names)


def overlaps(before: TrainConfig, now: TrainConfig) -> bool:
    """Whether some of the text that `now` holds out was learned from by a training that held out as in `before`."""
    is_other = has_changed(now, before, "val_fraction", "val_spread", "val_bounded")
    is_spread = before.val_spread or now.val_spread  # lines from all over the text, others for another share
    return now.holds_out and (
        not before.holds_out or now.val_fraction > before.val_fraction or (is_spread and is_other)
    )


def check_resume(stored: Checkpoint, request: Request) -> None:
    """Refuse to resume an exported checkpoint, or with flags that do not fit the stored run.

    Raises:
        CheckpointError: the checkpoint was exported, without the training state.
        ConfigError: an option is changed without --force-resume, or cannot be changed at all.
    """
    path, changes = str(request.source), changes_of(stored, request.explicit)
    if not stored.can_go_on:
        raise CheckpointError(
            f"{path}: was exported without what it takes to go on; resume the checkpoint that it comes from, or begin "
            f"a training with its weights by {way_to_begin(request)}"
        )
    if "recall_dropout" in changes and not stored.model.recall:
        raise ConfigError(
            f"--recall-dropout hides what is recalled, and the model in {path} recalls nothing; leave it out"
        )
    if request.force:
        _check_forced(changes, path)
    elif changes:
        before = trained_with(stored)
        told = [_contrast(name, value, before[name], request) for name, value in changes.items()]
        forced = "" if changes.keys() & FIXED else ", or see --force-resume"
        raise ConfigError(f"{', '.join(told)}; leave it out to go on, or begin another run with --out{forced}")


def check_fine_tuning(stored: Checkpoint, request: Request) -> None:
    """Refuse to begin with weights whose shape, or whose recall, does not fit the flags.

    Raises:
        ConfigError: they do not fit, or a layer of one unit is normalised.
    """
    path, shape = str(request.source), asdict(stored.model)
    if request.explicit.get("lines", stored.text_options.lines) and stored.model.recall:
        raise ConfigError(  # before the check of --recall, which may have been given only because of --lines
            f"--lines keeps lines apart, and the model in {path} recalls what stood before; leave --lines out, or "
            "begin with a model that was itself trained with --lines or with --recall 0"
        )
    changed = [name for name in MODEL_SHAPE if request.explicit.get(name, shape[name]) != shape[name]]
    if changed:
        asked = ", ".join(f"{flag_name(name)} is {request.explicit[name]}" for name in changed)
        was = ", ".join(str(shape[name]) for name in changed)
        raise ConfigError(
            f"{asked}, and the weights in {path} were made for {was}; leave {'them' if changed[1:] else 'it'} out"
        )
    if stored.model.hidden_size == 1 and stored.model.layer_norm:
        raise ConfigError(f"{path}: its layers have one unit, normalised, which makes a constant of it; train again")


def _is_same(name: str, value: Any, before: Any) -> bool:
    """Whether a flag asks for the stored value; an encoding has several names."""
    if name == "encoding":
        return TextOptions(encoding=value).codec == TextOptions(encoding=before).codec
    return value in (before, "auto")


def _contrast(name: str, value: Any, before: Any, request: Request) -> str:
    path = request.source
    if isinstance(value, bool):
        return f"{path} was trained with{'out' if value else ''} {flag_name(name)}"
    if name == "val_fraction" and request.reading.val_texts:
        return f"--val-text holds out {value:.3g} of the text, and {path} was trained with {before:.3g} of it held out"
    return f"{flag_name(name)} is {value} and {path} was trained with {before}"


def _check_forced(changes: Mapping[str, Any], path: str) -> None:
    names = [flag_name(name) for name in changes if name in FIXED]
    if names:
        raise ConfigError(
            f"{', '.join(names)}: cannot be changed, since the weights in {path} depend on it; leave it out, "
            "or begin another run with --out"
        )
