"""A checkpoint's header: all but its tensors' values, checked before a byte of a weight is read.

A header that passes can be shown and computed with: every number is finite and of a sane size, every field is present
and of its type, and every weight has the shape that the config asks for.
"""

from __future__ import annotations

import itertools
import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from charrnn.config import ModelConfig, TrainConfig, config_from_dict
from charrnn.errors import CheckpointError, ConfigError
from charrnn.metrics import HistoryRow
from charrnn.shapes import parameter_shapes
from charrnn.storage.origin import CorpusFacts, Origin
from charrnn.storage.unpickling import StoredTensor
from charrnn.text.encoder import CharEncoder
from charrnn.text.options import BYTE, TextOptions

FORMAT = "charrnn"
FORMAT_VERSION = 1
"""The version that is written, and the latest that can be read."""

SECTIONS: dict[str, type] = {
    "model": dict, "characters": str, "has_unknown": bool, "text": dict, "weights": dict, "history": list,
    "corpus": dict, "origin": dict, "made": dict, "training": dict,
}  # fmt: skip
"""The sections that every checkpoint has beside its format and version, and their types."""

LAST_BYTE = "\xff"
"""The highest byte, as a code point."""

LARGEST_NUMBER = 2**63
"""Counts are below this: torch has no larger integers."""


@dataclass(frozen=True)
class Header:
    """A checkpoint's sections; `read_header` puts a `StoredTensor` in the place of each tensor.

    Attributes:
        model: the model's config.
        encoder: of the alphabet.
        text_options: how text becomes characters.
        weights: of the shapes that the model asks for, by name.
        history: one row per evaluation.
        corpus: facts about the training text.
        origin: where its training comes from.
        made: versions, machine, command and time.
        training: the state from which training resumes, of which only the summary is checked.
    """

    model: ModelConfig
    encoder: CharEncoder
    text_options: TextOptions
    weights: dict[str, Any]
    history: list[HistoryRow]
    corpus: CorpusFacts
    origin: Origin
    made: dict[str, str]
    training: dict[str, Any]


def read_header(contents: Any, path: str) -> Header:
    """Check a checkpoint, except for its tensors' values and its training state, and build a `Header` of it.

    Args:
        contents: the file's unpickled content, with a `StoredTensor` in the place of each tensor.
        path: of the file, for the message.

    Raises:
        CheckpointError: a check fails.
    """
    if not isinstance(contents, dict) or contents.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a charrnn checkpoint; give a file that `charrnn train` wrote")
    version = contents.get("format_version")
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: format version {reprlib.repr(version):.20}, and this charrnn reads up to {FORMAT_VERSION}; "
            "install a later charrnn"
        )
    try:
        return _read_sections(contents)
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}; the file is damaged, or a later charrnn wrote it") from None


def is_count(value: Any) -> bool:
    """Whether a value from a file is a non-negative integer that is not too large for torch."""
    return type(value) is int and 0 <= value < LARGEST_NUMBER


def _read_sections(contents: Mapping[str, Any]) -> Header:
    for name, expected in SECTIONS.items():
        if not isinstance(contents.get(name), expected):
            raise ConfigError(f"{name} is missing, or is not a {expected.__name__}")
    model = config_from_dict(ModelConfig, contents["model"])
    text_options = config_from_dict(TextOptions, contents["text"])
    made, training = contents["made"], contents["training"]
    if not all(isinstance(value, str) for pair in made.items() for value in pair):
        raise ConfigError("made has something that is not text")
    if text_options.lines and model.recall:
        raise ConfigError("lines that are kept apart are recalled")
    encoder = _read_alphabet(contents["characters"], contents["has_unknown"], model, text_options)
    corpus = _read_corpus(contents["corpus"], model.vocab_size)
    origin = config_from_dict(Origin, contents["origin"])
    _check_training(training)
    history = _read_history(contents["history"], training["step"])
    _check_weights(model, contents["weights"])
    return Header(
        model=model,
        encoder=encoder,
        text_options=text_options,
        weights=contents["weights"],
        history=history,
        corpus=corpus,
        origin=origin,
        made=made,
        training=training,
    )


def _read_alphabet(characters: str, has_unknown: bool, model: ModelConfig, text_options: TextOptions) -> CharEncoder:
    if text_options.lines and "\n" not in characters:
        raise ConfigError("lines are kept apart and there is no line feed to end them")
    if not characters:
        raise ConfigError("there are no characters")
    if len(characters) + has_unknown != model.vocab_size:
        raise ConfigError(f"{len(characters)} characters where the config asks for {model.vocab_size - has_unknown}")
    if text_options.unit == BYTE and max(characters) > LAST_BYTE:
        raise ConfigError("characters are more than bytes")
    if any(left >= right for left, right in itertools.pairwise(characters)):
        raise ConfigError("characters are not in code-point order")
    return CharEncoder(characters, text_options.unit, has_unknown)


def _read_corpus(corpus: Mapping[str, Any], vocab_size: int) -> CorpusFacts:
    types = {"name": str, "characters": int, "bytes": int, "sha256": str, "counts": list}
    if {key: type(value) for key, value in corpus.items()} != types:
        raise ConfigError(f"corpus has other fields than {', '.join(types)}")
    counts = corpus["counts"]
    if len(counts) != vocab_size or not all(is_count(number) for number in counts):
        raise ConfigError("corpus has counts that are not those of its characters")
    if not (is_count(corpus["characters"]) and is_count(corpus["bytes"])):
        raise ConfigError("corpus has a size that is not a count")
    return CorpusFacts(**corpus)


def _read_history(history: list[Any], steps_made: int) -> list[HistoryRow]:
    names = {field.name for field in fields(HistoryRow)}
    last_step = -1
    for row in history:
        if not isinstance(row, dict) or set(row) != names:
            raise ConfigError("history has a row with missing or unknown fields")
        if not all(_is_number(value) for value in row.values()):
            raise ConfigError("history has a row with something that is not a number")
        if not is_count(row["step"]) or row["step"] <= last_step:
            raise ConfigError("history has steps that do not rise")
        last_step = row["step"]
    if last_step > steps_made:  # the rows that a resumed run adds must have later steps
        raise ConfigError(f"history has step {last_step:,}, and training made {steps_made:,}")
    return [HistoryRow(**row) for row in history]


def _check_training(training: Mapping[str, Any]) -> None:
    if not is_count(training.get("step")) or not _is_number(training.get("seconds")):
        raise ConfigError("training has no step or no seconds")
    cold_loss = training.get("cold_loss")
    if cold_loss is not None and not _is_number(cold_loss):
        raise ConfigError("training has a loss in cold windows that is not a number")
    config_from_dict(TrainConfig, training.get("config"))


def _check_weights(config: ModelConfig, weights: Mapping[Any, Any]) -> None:
    expected = parameter_shapes(config)
    if set(weights) != set(expected):
        names = ", ".join(sorted(str(name) for name in set(weights) ^ set(expected))[:4])
        raise ConfigError(f"weights missing or unknown: {names:.200}")
    for name, shape in expected.items():
        tensor = weights[name]
        if not isinstance(tensor, StoredTensor) or tensor.dtype != np.float32:
            raise ConfigError(f"{name} is not a float32 tensor")
        if tensor.shape != shape:
            raise ConfigError(f"{name} has shape {tensor.shape} where the config asks for {shape}")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and abs(value) < LARGEST_NUMBER
