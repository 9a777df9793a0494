"""The names, shapes and number of a model's weights, derived from its config.

The torch model, the numpy engine, the checkpoint's check and the parameter count all share this description.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from charrnn.cell_types import CELLS
from charrnn.config import CONTEXTS, ModelConfig

Weight = TypeVar("Weight")

MODULES = ("embedding", "layers", "norms", "head", "recall")
"""A network's modules, in the order in which they are registered."""

MOMENTS = {
    "adamw": ("step", "exp_avg", "exp_avg_sq"),
    "adam": ("step", "exp_avg", "exp_avg_sq"),
    "rmsprop": ("step", "square_avg"),
    "sgd": ("momentum_buffer",),
}
"""The state that each optimizer keeps of a weight, by torch's names; all but "step" have the weight's shape."""


def parameter_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Give the shape of every weight of a model, by name, in the order in which the weights are applied.

    For an ensemble these are the weights of all members, named by `member_name`.
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
    """Whether weight decay is applied to a weight: only to matrices, except the embedding."""
    return len(shape) > 1 and not name.startswith("embedding")


def optimized_shapes(config: ModelConfig) -> list[tuple[int, ...]]:
    """Give the shapes of one member's weights in the order in which its optimizer numbers them.

    The weights with decay come first, then the others, each group in the order of `MODULES`.
    """
    shapes = parameter_shapes(config.member)
    held = sorted(shapes.items(), key=lambda item: MODULES.index(item[0].partition(".")[0]))  # a stable sort
    return [shape for _, shape in sorted(held, key=lambda item: not decays(*item))]


def member_name(number: int, name: str) -> str:
    """The name of a member's weight in its ensemble."""
    return f"members.{number}.{name}"


def member_weights(config: ModelConfig, weights: Mapping[str, Weight], number: int) -> dict[str, Weight]:
    """Pick one member's weights out of an ensemble's, by their names without the member's prefix."""
    if config.members == 1:
        return dict(weights)
    return {name: weights[member_name(number, name)] for name in parameter_shapes(config.member)}


def each_member(
    config: ModelConfig, weights: Mapping[str, Weight]
) -> Iterator[tuple[int, ModelConfig, dict[str, Weight]]]:
    """For each member of an ensemble: the index of its first layer among all layers, its config and its weights."""
    for number in range(config.members):
        yield number * config.num_layers, config.member, member_weights(config, weights, number)


def count_parameters(config: ModelConfig) -> int:
    """Count the trainable values of a model."""
    return sum(math.prod(shape) for shape in parameter_shapes(config).values())


def training_cost(config: ModelConfig) -> float:
    """FLOPs to train on one character: 6 for each weight of the matrices, the embedding excepted."""
    matrices = [
        shape for name, shape in parameter_shapes(config).items() if len(shape) == 2 and "embedding" not in name
    ]
    weights: int = sum(math.prod(shape) for shape in matrices)
    return 6.0 * weights
