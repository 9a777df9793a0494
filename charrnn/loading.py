"""The model that a command samples from: a checkpoint's, alone or mixed with others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from charrnn.arrays import Singles
from charrnn.errors import ConfigError
from charrnn.inference.engine import Engine
from charrnn.storage.archive import Checkpoint, read_checkpoint
from charrnn.text.encoder import CharEncoder

if TYPE_CHECKING:
    from charrnn.generation.sampling import SamplingModel

SMALLEST_SHARE = 1e-9
"""The smallest share of the first model in a mixture; anything less is a rounding error of 0."""


@dataclass(frozen=True)
class Other:
    """A model that is mixed into another.

    Attributes:
        path: path of its checkpoint.
        contents: contents of that checkpoint.
        share: its weight in the mixture, between 0 and 1.
    """

    path: str
    contents: Checkpoint
    share: float


def read_others(first: Checkpoint, mix: Sequence[str]) -> list[Other]:
    """Read the models that are mixed into a first one.

    Args:
        first: the checkpoint that they are mixed into.
        mix: each with its share, as `OTHER.pt:0.3`.

    Raises:
        ConfigError: a share is not between 0 and 1, the shares leave nothing for the first model, or a model's unit
            differs from the first's.
        CheckpointError: a checkpoint cannot be read.
    """
    shares = [_parse_share(entry) for entry in mix]
    total = sum(share for _, share in shares)
    if 1 - total < SMALLEST_SHARE:
        raise ConfigError(f"the shares in --mix sum to {total:g}, which leaves nothing for the first model")
    others = []
    for path, share in shares:
        contents = read_checkpoint(path)
        if (unit := contents.text_options.unit) != first.text_options.unit:
            raise ConfigError(f"--mix {path} writes {unit}s and the first model {first.text_options.unit}s")
        others.append(Other(path, contents, share))
    return others


def load_for_sampling(
    contents: Checkpoint, others: Sequence[Other] = (), device: str = "cpu"
) -> tuple[SamplingModel, CharEncoder]:
    """Build the model to sample from; return it with its encoder.

    On the CPU, unless others are mixed in, the model keeps only the folded weights: `Engine.forward` does not work.

    Args:
        contents: contents of the first checkpoint.
        others: models that are mixed into it, on the CPU only; see `read_others`.
        device: "cpu", or "cuda" for torch, which takes seconds to import.

    Raises:
        ConfigError: the device is not available.
    """
    if device == "cuda":
        assert not others, "refused before"
        from charrnn.network.torch_engine import TorchCharRNN

        weights = sampling_weights(contents.weights, contents.encoder)
        return TorchCharRNN(contents.model, weights, device, contents.line_end_id), contents.encoder
    if not others:
        return _writer(contents, keeps_weights=False), contents.encoder
    from charrnn.generation.mixing import MixedModel, Part

    rest = 1 - sum(other.share for other in others)
    pairs = [(contents, rest), *((other.contents, other.share) for other in others)]
    mixed = MixedModel([Part(_writer(one, keeps_weights=True), one.encoder, share) for one, share in pairs])
    return mixed, mixed.encoder


def sampling_weights(weights: Mapping[str, Singles], encoder: CharEncoder) -> Mapping[str, Singles]:
    """Return the weights with a head bias of -inf for the unknown id, so that it is never drawn."""
    if encoder.unknown_id is None:
        return weights
    closed = {name: weights[name].copy() for name in weights if name.endswith("head.bias")}  # of every member
    for bias in closed.values():
        bias[encoder.unknown_id] = -np.inf
    return {**weights, **closed}


def _writer(contents: Checkpoint, *, keeps_weights: bool) -> Engine:
    weights = sampling_weights(contents.weights, contents.encoder)
    return Engine(contents.model, weights, contents.line_end_id, keeps_weights=keeps_weights)


def _parse_share(entry: str) -> tuple[str, float]:
    path, _, share = entry.rpartition(":")
    try:
        value = float(share)
    except ValueError:
        value = 0.0
    if not path or not 0 < value < 1:
        raise ConfigError(f"--mix is {entry!r}; write it as other.pt:0.3, with a share between 0 and 1")
    return path, value
