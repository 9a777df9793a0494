"""The configs of a model and of its training: every option with its range and, if it has one, its fixed default.

Options whose best value depends on the text or the machine have no default here: `charrnn.suggest` chooses them.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from charrnn.cell_types import CELLS
from charrnn.errors import ConfigError
from charrnn.limits import Range, check_choice, check_range

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

CONTEXTS = (1, 2, 3, 5, 8, 16)
"""The context lengths that `charrnn.recall` looks up, each at most twice the one before. They are part of the
checkpoint's format, since a model learns how far to trust each of them."""

FARTHEST = 1 << 15
"""The largest distance back, in characters, that `ModelConfig.recall` may set."""

EVALUATION_SHARE = 0.04
"""Share of the training time that evaluations may take."""

MOST_EVALUATED = 1_000_000
"""Most characters of the held-out piece that are evaluated by default: more would take long and tell little more."""

EVALUATED_SHARE = 0.1
"""Share of the text that evaluations read where nothing is held out."""

CODE_POINTS = 0x110000
"""Number of code points in Unicode."""

LAYER_NORM_EPSILON = 1e-5
"""Added to the variance in layer normalisation; torch's default."""

CHOICES: dict[str, tuple[str, ...]] = {
    "cell": tuple(CELLS),
    "optimizer": ("adamw", "adam", "rmsprop", "sgd"),
    "precision": ("auto", "float32", "bfloat16", "float16"),
    "device": ("auto", "cpu", "cuda"),
    "unit": ("character", "byte"),
    "errors": ("strict", "replace", "surrogateescape"),
    "newline": ("keep", "lf"),
    "normalize": ("none", "nfc", "nfkc"),
}

RANGES: dict[str, Range] = {
    "vocab_size": Range(1, CODE_POINTS),
    "hidden_size": Range(1, 65536),
    "num_layers": Range(1, 64),
    "members": Range(1, 64),
    "recall": Range(0, FARTHEST),
    "embedding_dim": Range(1, 65536),
    "dropout": Range(0, 1, open_high=True),
    "input_dropout": Range(0, 1, open_high=True),
    "recall_dropout": Range(0, 1, open_high=True),
    "state_reset": Range(0, 1, open_high=True),
    "batch_size": Range(1, 65536),
    "seq_len": Range(1, 65536),
    "stretch": Range(0, 1e15),
    "epochs": Range(0, 1e9, open_low=True),
    "max_steps": Range(1, 1e15),
    "time_limit": Range(1, 1e9),
    "learning_rate": Range(0, 1000, open_low=True),
    "final_learning_rate": Range(0, 1),
    "warmup_steps": Range(0, 1e9),
    "beta2": Range(0, 1, open_high=True),
    "weight_decay": Range(0, 1000),
    "grad_clip": Range(0, 1e9),
    "val_fraction": Range(0, 1, open_high=True),
    "evaluations": Range(1, 1e9),
    "evaluate_every": Range(1, 1e15),
    "evaluated": Range(1, 1e15),
    "patience": Range(1, 1e15),
    "rewind_after": Range(1, 1e15),
    "seed": Range(0, 2**63 - 1),
    "threads": Range(1, 1024),
    "sample_every": Range(0, 1e9),
    "report_every": Range(1, 1e9),
    "min_count": Range(1, 1e15),
    "max_vocab": Range(1, CODE_POINTS),
    "save_every": Range(0.1, 1e9),
}


def check_options(options: Mapping[str, Any]) -> None:
    """Check every option that has a range or choices; None stands for "not given".

    Raises:
        ConfigError: a value is out of its range or not one of its choices.
    """
    given = {name: value for name, value in options.items() if value is not None}
    for name, value in given.items():
        if name in RANGES:
            check_range(name, value, RANGES[name])
        if name in CHOICES:
            check_choice(name, value, CHOICES[name])


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The architecture of a CharRNN: together with the weights, all that is needed to compute it.

    Attributes:
        vocab_size: V, the number of ids: one per character, plus one that all rare characters share, if any.
        cell: recurrent cell, a key of `charrnn.cell_types.CELLS`.
        hidden_size: H, units of each recurrent layer.
        num_layers: L, number of stacked recurrent layers.
        embedding_dim: E, width of a character's embedding.
        dropout: share of values dropped during training before each layer but the first and before the output layer.
        input_dropout: share of the input characters that are hidden from the network during training.
        residual: add a layer's input to its output wherever their widths are equal.
        layer_norm: normalise each layer's output (Ba, Kiros, Hinton 2016, https://arxiv.org/abs/1607.06450).
        members: networks of this shape that are trained independently and whose predictions are averaged.
        recall: how many characters back `charrnn.recall` looks for earlier occurrences of the last few; 0: no recall.
        recall_dropout: share of the recalled forecasts that are hidden during training.

    Raises:
        ConfigError: a value is out of its range.
    """

    vocab_size: int
    cell: str
    hidden_size: int
    num_layers: int
    embedding_dim: int
    dropout: float = 0.0
    input_dropout: float = 0.0
    residual: bool = True
    layer_norm: bool = True
    members: int = 1
    recall: int = 0
    recall_dropout: float = 0.6

    def __post_init__(self) -> None:
        check_options(asdict(self))

    def input_size(self, layer: int) -> int:
        """Width of a layer's input: E for the first, H for the others."""
        return self.hidden_size if layer else self.embedding_dim

    @property
    def train_loss_is_comparable(self) -> bool:
        """Whether the training loss can be compared with the validation loss.

        It cannot where training is the harder task: with dropout, with hidden forecasts, or with several members, which
        train alone but predict together.
        """
        hides_forecasts = self.recall > 0 and self.recall_dropout > 0
        return self.members == 1 and not (self.dropout or self.input_dropout or hides_forecasts)

    def is_residual(self, layer: int) -> bool:
        """Whether a layer's input is added to its output."""
        return self.residual and self.input_size(layer) == self.hidden_size

    @property
    def member(self) -> ModelConfig:
        """The config of one member."""
        return replace(self, members=1)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a model is trained.

    Attributes:
        batch_size: B, the number of lanes, the parts of the text that are read in parallel.
        seq_len: most characters of a window of truncated BPTT.
        stretch: approximate number of consecutive characters that a lane reads before it jumps to another place; 0: it
            reads straight through.
        epochs: passes over the training piece after which training ends; None: no such limit.
        max_steps: optimizer updates after which training ends; None: no such limit.
        time_limit: seconds of wall-clock time after which the whole command ends; None: no such limit.
        learning_rate: the rate before warm-up and decay are applied. The actual peak is slightly lower, since the decay
            starts during the warm-up.
        final_learning_rate: share of `learning_rate` towards which the rate decays, linearly in the training's
            progress; the last step does not quite reach it.
        warmup_steps: steps during which the rate is also multiplied by a factor that rises linearly and is 1 from the
            next step on.
        optimizer: one of `CHOICES["optimizer"]`.
        beta2: decay of the second moment of Adam and AdamW, and of RMSprop's mean square.
        weight_decay: applied to matrices only, not to biases, normalisation or the embedding. It is decoupled from the
            gradient in adamw and part of the gradient in the others, for which this default is far too large.
        grad_clip: largest norm of the gradient over all of a member's parameters; larger ones are scaled down to it.
            0: no clipping.
        val_fraction: share of the text held out for validation, at its end unless `val_spread` is set; 0: nothing is
            held out, and the losses are over text that is trained on too.
        val_spread: whether held-out lines are taken from all over the text, where each line is a text of its own.
        val_bounded: whether lines longer than `val_fraction` of the text are never held out; has no effect where at
            least half of the lines are that long.
        evaluations: number of evaluations on the held-out piece; `charrnn.hyperparameters.spacing` spaces them.
        evaluate_every: steps between two evaluations, whatever they cost; None: `evaluations` and the clock decide.
        evaluated: most characters of the held-out piece that an evaluation counts, in pieces from all over it.
        patience: evaluations without a better loss after which training ends; None: no such limit.
        rewind: whether training returns to the best weights, with a lower rate, when evaluations bring no gain.
        rewind_after: how many in a row that takes.
        state_reset: share of the lanes whose hidden state is zeroed before each window, so that the model also learns
            to start a text.
        seed: of the initial weights, of dropout and of the stretches' order.
        precision: dtype of a step's matrix products: "float32", "bfloat16" or, on a GPU, "float16"; "auto" until one of
            them is chosen. Weights are always float32.
        device: "cpu" or "cuda".
        deterministic: whether a GPU's results are reproducible; a CPU's always are.
        threads: processor threads of torch.

    Raises:
        ConfigError: a value is out of its range, or no limit ends the training.
    """

    batch_size: int
    seq_len: int
    stretch: int = 0
    epochs: float | None = None
    max_steps: int | None = None
    time_limit: float | None = None
    learning_rate: float
    final_learning_rate: float = 0.02
    warmup_steps: int = 100
    optimizer: str = "adamw"
    beta2: float = 0.99
    weight_decay: float = 0.01
    grad_clip: float = 1.0
    val_fraction: float = 0.1
    val_spread: bool = False
    val_bounded: bool = False
    evaluations: int = 12
    evaluate_every: int | None = None
    evaluated: int = MOST_EVALUATED
    patience: int | None = None
    rewind: bool = True
    rewind_after: int = 3
    state_reset: float = 0.02
    seed: int = 0
    precision: str = "float32"
    device: str = "cpu"
    deterministic: bool = False
    threads: int = 1

    @property
    def holds_out(self) -> bool:
        """Whether the losses are over text that is not trained on."""
        return self.val_fraction > 0

    @property
    def val_share(self) -> float:
        """Share of the text that the losses are over, before `evaluated` bounds it."""
        return self.val_fraction or EVALUATED_SHARE

    def num_evaluated(self, held_out: int) -> int:
        """Approximate number of characters that an evaluation counts, given how many are held out."""
        return min(held_out, self.evaluated)

    def __post_init__(self) -> None:
        check_options(asdict(self))
        if self.epochs is None and self.max_steps is None and self.time_limit is None:
            raise ConfigError("nothing ends the training; give --epochs, --max-steps or --time")


Config = TypeVar("Config", bound="DataclassInstance")


def config_from_dict(config_type: type[Config], values: Any) -> Config:
    """Build a config from untrusted plain values, such as those of a file.

    Args:
        config_type: a dataclass, which checks the values' ranges itself.
        values: should be a dict by field name, but may be anything.

    Raises:
        ConfigError: not a dict, a field is missing, unknown or of the wrong type, or a value is out of its range.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{config_type.__name__} is a {type(values).__name__} where a dict belongs")
    expected = {field.name: str(field.type) for field in fields(config_type)}
    needed = {field.name for field in fields(config_type) if field.default is field.default_factory is MISSING}
    # Fields with a default may be missing: a file of an earlier version lacks what was added since.
    if not needed <= set(values) <= set(expected):
        names = ", ".join(sorted(map(str, (needed - set(values)) | (set(values) - set(expected)))))
        raise ConfigError(f"{config_type.__name__} has missing or unknown fields: {names:.100}")
    for name, value in values.items():
        if not _has_type(value, expected[name]):
            raise ConfigError(f"{config_type.__name__}.{name} is {reprlib.repr(value)} where {expected[name]} belongs")
    return config_type(**values)


def _has_type(value: Any, annotation: str) -> bool:
    """Check a plain value against an annotation such as "float | None" or "list[str]"; a bool is not a number."""
    names = [name.strip() for name in annotation.split("|")]
    if value is None:
        return "None" in names
    if type(value) is list:
        return any(name.startswith("list[") and all(_has_type(item, name[5:-1]) for item in value) for name in names)
    return type(value).__name__ in names or ("float" in names and type(value) is int)
