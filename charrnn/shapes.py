"""The weights of a model: their names, shapes and number, as they follow from its config.

This is the one description of them that the torch model, the numpy engine, the checkpoint's check and the parameter
count share.
"""

from __future__ import annotations

import math

from charrnn.config import GATES, ModelConfig


def parameter_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Give the shape of every weight of a model, by name, in the order in which they are applied."""
    hidden, gates = config.hidden_size, GATES[config.cell]
    shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (config.vocab_size, config.embedding_dim)}
    for layer in range(config.num_layers):
        shapes[f"layers.{layer}.weight_ih"] = (gates * hidden, config.input_size(layer))
        shapes[f"layers.{layer}.weight_hh"] = (gates * hidden, hidden)
        shapes[f"layers.{layer}.bias"] = (gates * hidden,)
        if config.cell == "gru":
            shapes[f"layers.{layer}.bias_hn"] = (hidden,)
        if config.layer_norm:
            shapes[f"norms.{layer}.weight"] = (hidden,)
            shapes[f"norms.{layer}.bias"] = (hidden,)
    shapes["head.weight"] = (config.vocab_size, hidden)
    shapes["head.bias"] = (config.vocab_size,)
    return shapes


def count_parameters(config: ModelConfig) -> int:
    """Count the trainable values of a model."""
    return sum(math.prod(shape) for shape in parameter_shapes(config).values())
