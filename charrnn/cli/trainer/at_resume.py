"""What every option of a training means to a run that goes on by `--resume`, or begins with weights of another."""

from __future__ import annotations

from dataclasses import fields
from enum import Enum, auto

from charrnn.text.options import TextOptions


class AtResume(Enum):
    """What becomes of an option.

    Attributes:
        END: it says when the training ends; a new end replaces the old one, of whatever kind.
        FREE: it may be given anew.
        UNKEPT: no checkpoint keeps it; it holds for one command.
        FORCED: it stays, unless `--force-resume` lets it be another.
        FORCED_PLACE: the same, and with another a place in the text means nothing any more.
        FORCED_RATE: the same, and with another the cuts of the learning rate mean nothing any more.
        SHAPE: weights are made for it; no force changes it, and `--init-from` keeps it.
        TEXT: characters are made by it; no force changes it.
        ALPHABET: it has chosen the alphabet, which no force changes; `--init-from` adds to it by this.
    """

    END = auto()
    FREE = auto()
    UNKEPT = auto()
    FORCED = auto()
    FORCED_PLACE = auto()
    FORCED_RATE = auto()
    SHAPE = auto()
    TEXT = auto()
    ALPHABET = auto()


AT_RESUME: dict[str, AtResume] = {
    "cell": AtResume.SHAPE,
    "hidden_size": AtResume.SHAPE,
    "num_layers": AtResume.SHAPE,
    "members": AtResume.SHAPE,
    "embedding_dim": AtResume.SHAPE,
    "residual": AtResume.SHAPE,
    "layer_norm": AtResume.SHAPE,
    "recall": AtResume.SHAPE,
    "epochs": AtResume.END,
    "max_steps": AtResume.END,
    "time_limit": AtResume.END,
    "patience": AtResume.FREE,
    "batch_size": AtResume.FORCED_PLACE,
    "seq_len": AtResume.FORCED_PLACE,
    "stretch": AtResume.FORCED_PLACE,
    "state_reset": AtResume.FORCED,
    "dropout": AtResume.FORCED,
    "input_dropout": AtResume.FORCED,
    "recall_dropout": AtResume.FORCED,
    "learning_rate": AtResume.FORCED_RATE,
    "warmup_steps": AtResume.FORCED,
    "final_learning_rate": AtResume.FORCED,
    "optimizer": AtResume.FORCED_RATE,
    "beta2": AtResume.FORCED,
    "weight_decay": AtResume.FORCED,
    "grad_clip": AtResume.FORCED,
    "val_fraction": AtResume.FORCED_PLACE,
    "evaluate_every": AtResume.FREE,
    "rewind": AtResume.FREE,
    "seed": AtResume.FORCED_PLACE,
    **{field.name: AtResume.TEXT for field in fields(TextOptions)},
    "min_count": AtResume.ALPHABET,
    "max_vocab": AtResume.ALPHABET,
    "device": AtResume.FREE,
    "precision": AtResume.FORCED,
    "deterministic": AtResume.FREE,
    "threads": AtResume.FREE,
    "save_every": AtResume.UNKEPT,
    "sample_every": AtResume.UNKEPT,
    "report_every": AtResume.UNKEPT,
}
"""Every option, in the order of the flags; the other parameters of `train` say what is read, written and told."""


def options_of(*kinds: AtResume) -> tuple[str, ...]:
    """The options of some kinds."""
    return tuple(name for name, kind in AT_RESUME.items() if kind in kinds)


ENDS = options_of(AtResume.END)
MAY_CHANGE = options_of(AtResume.END, AtResume.FREE)
UNKEPT = options_of(AtResume.UNKEPT)
MODEL_SHAPE = options_of(AtResume.SHAPE)
FIXED = options_of(AtResume.SHAPE, AtResume.TEXT)
"""Options that no force can change: the weights are made for them, or the characters are."""

PLACES = options_of(AtResume.FORCED_PLACE)
"""Options with another of which a place in the text means nothing any more."""

RATES = options_of(AtResume.FORCED_RATE)
"""Options with another of which the cuts of the learning rate mean nothing any more."""

KEPT = options_of(AtResume.FORCED, AtResume.FORCED_PLACE, AtResume.FORCED_RATE, AtResume.SHAPE, AtResume.TEXT)
"""Options that are to be as a checkpoint has them, unless force changes those that it can."""
