"""The weights of a model: their names, shapes and number, as they follow from its config.

This is the one description of them that the torch model, the numpy engine, the checkpoint's check and the parameter
count share.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from charrnn.cell_types import CELLS
from charrnn.config import CONTEXTS, ModelConfig

Weight = TypeVar("Weight")

MODULES = ("embedding", "layers", "norms", "head", "recall")
"""A network's parts, in the order in which it has them."""

MOMENTS = {
    "adamw": ("step", "exp_avg", "exp_avg_sq"),
    "adam": ("step", "exp_avg", "exp_avg_sq"),
    "rmsprop": ("step", "square_avg"),
    "sgd": ("momentum_buffer",),
}
"""What each optimizer remembers of a weight, by torch's names; all but the steps have the weight's shape."""


def parameter_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Give the shape of every weight of a model, by name, in the order in which they are applied.

    Those of an ensemble are its members', each under the member's name.
    """
    if config.members > 1:
        own = parameter_shapes(config.member)
        return {member_name(number, name): shape for number in range(config.members) for name, shape in own.items()}
    cell, hidden = CELLS[config.cell], config.hidden_size
    rows = len(cell.blocks) * hidden
    shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (config.vocab_size, config.embedding_dim)}
    for layer in range(config.num_layers):
        shapes[f"layers.{layer}.weight_ih"] = (rows, config.input_size(layer))
        shapes[f"layers.{layer}.weight_hh"] = (rows, hidden)
        shapes[f"layers.{layer}.bias"] = (rows,)
        if cell.resets:
            shapes[f"layers.{layer}.bias_hn"] = (hidden,)
        if config.layer_norm:
            shapes[f"norms.{layer}.weight"] = (hidden,)
            shapes[f"norms.{layer}.bias"] = (hidden,)
    shapes["head.weight"] = (config.vocab_size, hidden)
    shapes["head.bias"] = (config.vocab_size,)
    if config.recall:
        shapes["recall.weight"] = (len(CONTEXTS), hidden)
        shapes["recall.bias"] = (len(CONTEXTS),)
    return shapes


def decays(name: str, shape: Sequence[int]) -> bool:
    """Whether weight decay is applied to a weight: to matrices alone, and not to the embedding."""
    return len(shape) > 1 and not name.startswith("embedding")


def optimized_shapes(config: ModelConfig) -> list[tuple[int, ...]]:
    """Give the shapes of one member's weights as its optimizer numbers them.

    Those that decay come first, and of these as of the others each part's as the network has them.
    """
    shapes = parameter_shapes(config.member)
    held = sorted(shapes.items(), key=lambda item: MODULES.index(item[0].partition(".")[0]))  # which keeps their order
    return [shape for _, shape in sorted(held, key=lambda item: not decays(*item))]


def member_name(number: int, name: str) -> str:
    """What a member's weight is called in its ensemble."""
    return f"members.{number}.{name}"


def member_weights(config: ModelConfig, weights: Mapping[str, Weight], number: int) -> dict[str, Weight]:
    """Pick one member's weights, under their own names, out of an ensemble's."""
    if config.members == 1:
        return dict(weights)
    return {name: weights[member_name(number, name)] for name in parameter_shapes(config.member)}


def each_member(
    config: ModelConfig, weights: Mapping[str, Weight]
) -> Iterator[tuple[int, ModelConfig, dict[str, Weight]]]:
    """For each member of an ensemble: its first layer's number among those of all, its shape and its own weights."""
    for number in range(config.members):
        yield number * config.num_layers, config.member, member_weights(config, weights, number)


def count_parameters(config: ModelConfig) -> int:
    """Count the trainable values of a model."""
    return sum(math.prod(shape) for shape in parameter_shapes(config).values())


def training_cost(config: ModelConfig) -> float:
    """Floating-point operations to train on one character: 6 for each weight of the recurrent and output matrices."""
    matrices = [
        shape for name, shape in parameter_shapes(config).items() if len(shape) == 2 and "embedding" not in name
    ]
    weights: int = sum(math.prod(shape) for shape in matrices)
    return 6.0 * weights
