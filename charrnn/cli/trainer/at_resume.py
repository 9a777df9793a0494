"""What `--resume` and `--init-from` do with every training option."""

from __future__ import annotations

from dataclasses import fields
from enum import Enum, auto

from charrnn.text.options import TextOptions


class AtResume(Enum):
    """What becomes of an option at a resume.

    Attributes:
        END: says when the training ends; a new end replaces the old one, of whatever kind.
        FREE: may be changed.
        UNKEPT: not stored in the checkpoint; holds for one command.
        FORCED: stays, unless `--force-resume` changes it.
        FORCED_PLACE: like FORCED; a change invalidates the position in the text.
        FORCED_RATE: like FORCED; a change invalidates the cuts of the learning rate made so far.
        SHAPE: determines the shapes of the weights; cannot be changed, and `--init-from` keeps it.
        TEXT: determines the characters; cannot be changed.
        ALPHABET: has chosen the alphabet, which a resume cannot change; `--init-from` extends the alphabet by it.
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
"""Every option, in the order of the flags; the other parameters of `train` control input, output and messages."""


def options_of(*kinds: AtResume) -> tuple[str, ...]:
    """Names of the options of the given kinds."""
    return tuple(name for name, kind in AT_RESUME.items() if kind in kinds)


ENDS = options_of(AtResume.END)
MAY_CHANGE = options_of(AtResume.END, AtResume.FREE)
UNKEPT = options_of(AtResume.UNKEPT)
MODEL_SHAPE = options_of(AtResume.SHAPE)
FIXED = options_of(AtResume.SHAPE, AtResume.TEXT)
"""Options that `--force-resume` cannot change either: the weights or the characters depend on them."""

PLACES = options_of(AtResume.FORCED_PLACE)
"""Options whose change invalidates the position in the text."""

RATES = options_of(AtResume.FORCED_RATE)
"""Options whose change invalidates the cuts of the learning rate made so far."""

KEPT = options_of(AtResume.FORCED, AtResume.FORCED_PLACE, AtResume.FORCED_RATE, AtResume.SHAPE, AtResume.TEXT)
"""Options that must equal those of the checkpoint; `--force-resume` may change some of them."""
