"""What a command computes with: a checkpoint's model as it reads, or as it writes, alone or mixed with others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from charrnn.errors import ConfigError
from charrnn.inference.numpy_ensemble import Engine, build_engine
from charrnn.storage.archive import Checkpoint, read_checkpoint
from charrnn.text.encoder import CharEncoder, line_feed_id

if TYPE_CHECKING:
    from charrnn.generation.sampling import StepModel

SMALLEST_SHARE = 1e-9
"""What must be left for the first model in a mixture: less is what rounding leaves of nothing."""

MIX_ON_GPU = "--mix runs on the CPU; leave --device out"

Weights = Mapping[str, NDArray[np.float32]]


def load_for_scoring(contents: Checkpoint) -> Engine:
    """The model as it reads a text that is there."""
    return build_engine(contents.model, contents.weights, _resets_at(contents))


def load_for_sampling(
    contents: Checkpoint,
    mix: Sequence[str] = (),
    device: str = "cpu",
    *,
    on_other: Callable[[str, Checkpoint], None] | None = None,
) -> tuple[StepModel, CharEncoder]:
    """The model as it writes, with the alphabet that it writes in.

    Args:
        contents: of the first checkpoint.
        mix: others with their shares, as `OTHER.pt:0.3`.
        device: "cpu", or "cuda" for torch, which takes seconds to import.
        on_other: is told of each of the others, by its path, once it is read.

    Raises:
        ConfigError: a share is not between 0 and 1, or the models, or the device and a mixture, do not go together.
        CheckpointError: another model cannot be read.
    """
    if mix and device == "cuda":
        raise ConfigError(MIX_ON_GPU)
    if device == "cuda":
        from charrnn.network.torch_engine import TorchCharRNN

        weights = sampling_weights(contents.weights, contents.encoder)
        return TorchCharRNN(contents.model, weights, device, _resets_at(contents)), contents.encoder
    if not mix:
        return _writer(contents), contents.encoder
    from charrnn.generation.mixing import MixedModel, Part

    shares = [_parse_share(entry) for entry in mix]
    rest = 1 - sum(share for _, share in shares)
    if rest < SMALLEST_SHARE:
        raise ConfigError(f"the shares in --mix sum to {1 - rest:g}, which leaves nothing for the first model")
    parts = [Part(_writer(contents), contents.encoder, rest)]
    for path, share in shares:
        other = read_checkpoint(path)
        if other.text.unit != contents.text.unit:
            raise ConfigError(f"--mix {path} writes {other.text.unit}s and the first model {contents.text.unit}s")
        if on_other is not None:
            on_other(path, other)
        parts.append(Part(_writer(other), other.encoder, share))
    mixed = MixedModel(parts)
    return mixed, mixed.encoder


def sampling_weights(weights: Weights, encoder: CharEncoder) -> Weights:
    """The weights of a model that never writes the mark for characters without an id."""
    if encoder.unknown_id is None:
        return weights
    closed = {name: weights[name].copy() for name in weights if name.endswith("head.bias")}  # of every member
    for bias in closed.values():
        bias[encoder.unknown_id] = -np.inf
    return {**weights, **closed}


def _writer(contents: Checkpoint) -> Engine:
    weights = sampling_weights(contents.weights, contents.encoder)
    return build_engine(contents.model, weights, _resets_at(contents))


def _resets_at(contents: Checkpoint) -> int | None:
    """The id that a model reads from a state of zeros: the line feed, where it learned line by line."""
    return line_feed_id(contents.encoder, contents.text)


def _parse_share(entry: str) -> tuple[str, float]:
    path, _, share = entry.rpartition(":")
    try:
        value = float(share)
    except ValueError:
        value = 0.0
    if not path or not 0 < value < 1:
        raise ConfigError(f"--mix is {entry!r}; write it as other.pt:0.3, with a share between 0 and 1")
    return path, value
