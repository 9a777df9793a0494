"""What `--resume` and `--init-from` do with every training option."""

from __future__ import annotations

from dataclasses import fields
from enum import Enum, auto

from charrnn.text.options import TextOptions


class ResumePolicy(Enum):
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


RESUME_POLICY: dict[str, ResumePolicy] = {
    "cell": ResumePolicy.SHAPE,
    "hidden_size": ResumePolicy.SHAPE,
    "num_layers": ResumePolicy.SHAPE,
    "members": ResumePolicy.SHAPE,
    "embedding_dim": ResumePolicy.SHAPE,
    "residual": ResumePolicy.SHAPE,
    "layer_norm": ResumePolicy.SHAPE,
    "recall": ResumePolicy.SHAPE,
    "epochs": ResumePolicy.END,
    "max_steps": ResumePolicy.END,
    "time_limit": ResumePolicy.END,
    "patience": ResumePolicy.FREE,
    "batch_size": ResumePolicy.FORCED_PLACE,
    "seq_len": ResumePolicy.FORCED_PLACE,
    "stretch": ResumePolicy.FORCED_PLACE,
    "state_reset": ResumePolicy.FORCED,
    "dropout": ResumePolicy.FORCED,
    "input_dropout": ResumePolicy.FORCED,
    "recall_dropout": ResumePolicy.FORCED,
    "learning_rate": ResumePolicy.FORCED_RATE,
    "warmup_steps": ResumePolicy.FORCED,
    "final_learning_rate": ResumePolicy.FORCED,
    "optimizer": ResumePolicy.FORCED_RATE,
    "beta2": ResumePolicy.FORCED,
    "weight_decay": ResumePolicy.FORCED,
    "grad_clip": ResumePolicy.FORCED,
    "val_fraction": ResumePolicy.FORCED_PLACE,
    "evaluate_every": ResumePolicy.FREE,
    "rewind": ResumePolicy.FREE,
    "seed": ResumePolicy.FORCED_PLACE,
    **{field.name: ResumePolicy.TEXT for field in fields(TextOptions)},
    "min_count": ResumePolicy.ALPHABET,
    "max_vocab": ResumePolicy.ALPHABET,
    "device": ResumePolicy.FREE,
    "precision": ResumePolicy.FORCED,
    "deterministic": ResumePolicy.FREE,
    "threads": ResumePolicy.FREE,
    "save_every": ResumePolicy.UNKEPT,
    "sample_every": ResumePolicy.UNKEPT,
    "report_every": ResumePolicy.UNKEPT,
}
"""Every option, in the order of the flags; the other parameters of `train` control input, output and messages."""


def options_of(*kinds: ResumePolicy) -> tuple[str, ...]:
    """Names of the options of the given kinds."""
    return tuple(name for name, kind in RESUME_POLICY.items() if kind in kinds)


ENDS = options_of(ResumePolicy.END)
MAY_CHANGE = options_of(ResumePolicy.END, ResumePolicy.FREE)
UNKEPT = options_of(ResumePolicy.UNKEPT)
MODEL_SHAPE = options_of(ResumePolicy.SHAPE)
FIXED = options_of(ResumePolicy.SHAPE, ResumePolicy.TEXT)
"""Options that `--force-resume` cannot change either: the weights or the characters depend on them."""

PLACES = options_of(ResumePolicy.FORCED_PLACE)
"""Options whose change invalidates the position in the text."""

RATES = options_of(ResumePolicy.FORCED_RATE)
"""Options whose change invalidates the cuts of the learning rate made so far."""

KEPT = options_of(
    ResumePolicy.FORCED, ResumePolicy.FORCED_PLACE, ResumePolicy.FORCED_RATE, ResumePolicy.SHAPE, ResumePolicy.TEXT
)
"""Options that must equal those of the checkpoint; `--force-resume` may change some of them."""
