"""The checkpoint's format, and a reader for it that needs neither torch nor trust.

A checkpoint is a standard `torch.save` zip file, version 1, which `torch.load(path, weights_only=True)` opens too:
one dict of plain dicts, lists, strings, numbers and tensors.

    format            "charrnn"
    format_version    1
    model             the fields of `ModelConfig`
    characters        the alphabet, one string in code-point order: an id is a place in it
    text              how text becomes characters: {"unit": "character", "encoding": "utf-8", "newline": "keep"}
    weights           the best weights by validation loss, float32, named as `parameter_shapes` names them
    history           one row of the fields of `HistoryRow` per evaluation
    corpus            {"name", "characters", "bytes", "sha256", "counts": how often each character stands in it}
    made              {"charrnn", "torch", "numpy", "python", "platform", "command", "created"}
    training          what it takes to go on: see `TrainingRun.state_dict`

`charrnn.tensorfile` reads the zip file, `charrnn.checkpoint` writes it. What is checked here is what it says: version,
fields and their types, and that the weights' shapes are those that the config asks for, before any is read.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from charrnn.config import ModelConfig, config_from_dict, parameter_shapes
from charrnn.encoder import CharEncoder
from charrnn.errors import CheckpointError, ConfigError
from charrnn.metrics import HistoryRow, best_row
from charrnn.tensorfile import DAMAGE, StoredTensor, TensorFile, drop_tensors, read_tensors

FORMAT = "charrnn"
FORMAT_VERSION = 1
SECTIONS = (
    "format", "format_version", "model", "characters", "text", "weights", "history", "corpus", "made", "training",
)  # fmt: skip
CORPUS_FIELDS = {"name": str, "characters": int, "bytes": int, "sha256": str, "counts": list}


@dataclass(frozen=True)
class CorpusFacts:
    """What a checkpoint remembers of the text it learned from; see the module's table."""

    name: str
    characters: int
    bytes: int
    sha256: str
    counts: list[int]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's contents.

    Attributes:
        model: the model's shape.
        encoder: of the alphabet.
        text: how text becomes characters.
        weights: the best weights by validation loss, or the last ones where none was evaluated yet.
        history: one row per evaluation.
        corpus: what the model learned from.
        made: versions, machine, command and time.
        training: what it takes to go on, or empty where only the weights were asked for.
    """

    model: ModelConfig
    encoder: CharEncoder
    text: dict[str, Any]
    weights: dict[str, NDArray[np.float32]]
    history: list[HistoryRow]
    corpus: CorpusFacts
    made: dict[str, str]
    training: dict[str, Any]

    @property
    def best(self) -> HistoryRow | None:
        """The evaluation that `weights` come from."""
        return best_row(self.history)


def read_checkpoint(path: str, *, with_training: bool = False) -> Checkpoint:
    """Read a checkpoint without torch.

    Args:
        path: of the file.
        with_training: read the training state too, tensors as numpy arrays; otherwise only its plain values, and
            of the tensors none but the best weights.

    Raises:
        CheckpointError: the file is missing, damaged, of a foreign kind or of a later format version.
    """
    if Path(path).is_dir():
        raise CheckpointError(f"{path}: is a folder; give a checkpoint that `charrnn train` wrote")
    try:
        with open(path, "rb") as file:
            return _read_stream(file, path, with_training)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file; `charrnn train TEXT` writes one") from None
    except PermissionError:
        raise CheckpointError(f"{path}: may not be read; check its permissions") from None


def _read_stream(file: BinaryIO, path: str, with_training: bool) -> Checkpoint:
    try:
        with TensorFile(file) as stored:
            header = _check_header(stored.load_structure(), path)
            weights = read_tensors(stored, header["weights"])
            training = header["training"]
            header["training"] = read_tensors(stored, training) if with_training else drop_tensors(training)
    except DAMAGE as error:
        if isinstance(error, PermissionError):
            raise
        raise CheckpointError(
            f"{path}: not a whole charrnn checkpoint ({_one_line(error)}); it is damaged or of another kind, "
            "use a copy or train again"
        ) from None
    return _build(header, weights)


def _check_header(header: Any, path: str) -> dict[str, Any]:
    """Check all that is not a tensor's content, before a byte of a weight is read."""
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a charrnn checkpoint; give a file that `charrnn train` wrote")
    version = header.get("format_version")
    if type(version) is not int or version > FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: format version {version!r:.20}, and this charrnn reads up to {FORMAT_VERSION}; "
            "install a later charrnn"
        )
    try:
        _check_sections(header)
        config = config_from_dict(ModelConfig, header["model"])
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}; the file is damaged") from None
    if len(header["characters"]) != config.vocab_size:
        raise CheckpointError(
            f"{path}: {len(header['characters'])} characters where the config asks for {config.vocab_size}; "
            "the file is damaged"
        )
    _check_shapes(config, header["weights"], path)
    return header


def _check_sections(header: Mapping[str, Any]) -> None:
    missing = [name for name in SECTIONS if name not in header]
    if missing:
        raise ConfigError(f"no {', '.join(missing)}")
    types = {"characters": str, "text": dict, "weights": dict, "history": list, "made": dict, "training": dict}
    for name, expected in types.items():
        if not isinstance(header[name], expected):
            raise ConfigError(f"{name} is a {type(header[name]).__name__} where a {expected.__name__} belongs")
    characters = header["characters"]
    if any(left >= right for left, right in itertools.pairwise(characters)):
        raise ConfigError("characters are not in code-point order")
    corpus = header["corpus"]
    if not isinstance(corpus, dict) or {key: type(value) for key, value in corpus.items()} != CORPUS_FIELDS:
        raise ConfigError(f"corpus has other fields than {', '.join(CORPUS_FIELDS)}")
    row_fields = {field.name for field in fields(HistoryRow)}
    for row in header["history"]:
        if not isinstance(row, dict) or set(row) != row_fields:
            raise ConfigError("history has a row with missing or unknown fields")
        if not all(type(value) in (int, float) for value in row.values()):
            raise ConfigError("history has a row with something that is no number")
    if not all(isinstance(value, str) for pair in header["made"].items() for value in pair):
        raise ConfigError("made has something that is no text")


def _check_shapes(config: ModelConfig, weights: Mapping[str, Any], path: str) -> None:
    """Check the weights against the config, which nothing has been built from yet."""
    expected = parameter_shapes(config)
    if set(weights) != set(expected):
        names = ", ".join(sorted(str(name) for name in set(weights) ^ set(expected))[:4])
        raise CheckpointError(f"{path}: weights missing or unknown: {names:.200}; the file is damaged")
    for name, shape in expected.items():
        tensor = weights[name]
        if not isinstance(tensor, StoredTensor) or tensor.dtype != np.float32:
            raise CheckpointError(f"{path}: {name} is no float32 tensor; the file is damaged")
        if tensor.shape != shape:
            raise CheckpointError(
                f"{path}: {name} has shape {tensor.shape} where the config asks for {shape}; the file is damaged"
            )


def _build(header: Mapping[str, Any], weights: dict[str, NDArray[np.float32]]) -> Checkpoint:
    return Checkpoint(
        model=config_from_dict(ModelConfig, header["model"]),
        encoder=CharEncoder(header["characters"]),
        text=header["text"],
        weights=weights,
        history=[HistoryRow(**row) for row in header["history"]],
        corpus=CorpusFacts(**header["corpus"]),
        made=header["made"],
        training=header["training"],
    )


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:120]
