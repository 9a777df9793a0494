"""The weights of a CharRNN with all that can be computed beforehand folded into them: see `charrnn.inference.stepper`.

Products and means are taken in float64 and rounded once. What is only put in order and scaled by powers of two, as the
large recurrent weights are, stays float32: that is as exact, and a sample's first character waits for every copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from charrnn.arrays import Doubles, Floats, Singles
from charrnn.config import ModelConfig

RECURRENT_SCALES = {"lstm": (0.5, 0.5, 0.5, 1), "gru": (0.5, 0.5, 0.5), "rnn": (1,), "rnn-relu": (1,)}
"""What the rows of each gate's W_hh are multiplied by, gates in the stepper's order."""

INPUT_SCALES = {**RECURRENT_SCALES, "gru": (0.5, 0.5, 1)}
"""What those of W_xh and b are multiplied by, likewise: a GRU's reset gate halves what it resets alone."""

GATE_ORDER = {"lstm": (0, 1, 3, 2), "gru": (0, 1, 2), "rnn": (0,), "rnn-relu": (0,)}
"""The stepper's order of the gates: an LSTM's candidate last, beside its cell."""

STATE_SCALES = {"lstm": 0.5, "gru": 1.0, "rnn": 1.0, "rnn-relu": 1.0}
"""h over what the stepper holds for it: an LSTM's is left twice too large."""


class FoldedWeights:
    """A model's weights, with all that needs no state multiplied in.

    Reader r is layer r, or the head for r = num_layers; it reads the sum of its sources' outputs (-1: the embedding).

    Attributes:
        tables: for each layer and then the head what is known before any layer has run: a row for each character,
            or one row where it does not depend on it.
        matrices: for each layer what is multiplied with its h: rows of its own W_hh, then of all that read it, then,
            with normalisation, the mean.
        rows_by_reader: for each layer, who has which rows of that product.
    """

    def __init__(self, config: ModelConfig, weights: Mapping[str, Singles]) -> None:
        self.config = config
        self._weights = weights
        layers = range(config.num_layers)
        sources: list[set[int]] = [{-1}]  # of each reader
        for layer in layers:
            sources.append({layer} | (sources[layer] if config.is_residual(layer) else set()))
        self.tables = [self._table(reader, own) for reader, own in enumerate(sources)]
        self.matrices, self.rows_by_reader = [], []
        for layer in layers:
            readers = [reader for reader in range(layer + 1, len(sources)) if layer in sources[reader]]
            matrix, places = self._matrix(layer, readers)
            self.matrices.append(matrix)
            self.rows_by_reader.append(places)

    def _table(self, reader: int, sources: set[int]) -> Singles:
        weight, bias = self._reading(reader)
        below = [source for source in sources if source >= 0 and self.config.layer_norm]
        constant = bias + sum(weight @ self._exact(f"norms.{layer}.bias") for layer in below)
        if -1 not in sources:
            return np.asarray(constant, dtype=np.float32)
        return np.asarray(self._exact("embedding.weight") @ weight.T + constant, dtype=np.float32)

    def _matrix(self, layer: int, readers: list[int]) -> tuple[Singles, dict[int, slice]]:
        config = self.config
        to_h = STATE_SCALES[config.cell]
        recurrent = self._weights[f"layers.{layer}.weight_hh"]
        blocks = _arrange(recurrent, config.cell, [scale * to_h for scale in RECURRENT_SCALES[config.cell]])
        places, row = {}, len(recurrent)
        for reader in readers:
            weight, _ = self._reading(reader)
            if config.layer_norm:
                weight = weight * self._exact(f"norms.{layer}.weight")
                weight -= weight.mean(axis=1, keepdims=True)
            blocks.append(weight * to_h)
            places[reader] = slice(row, row + len(weight))
            row += len(weight)
        if config.layer_norm:
            blocks.append(np.full((1, config.hidden_size), to_h / config.hidden_size))
        return np.concatenate(blocks, dtype=np.float32, casting="same_kind"), places

    def _reading(self, reader: int) -> tuple[Floats, Floats]:
        """The weight and the bias that a layer reads its input with, or the head, with what it recalls."""
        if reader == self.config.num_layers:
            parts = ("head", "recall") if self.config.recall else ("head",)
            weight, bias = (
                np.concatenate([self._exact(f"{part}.{name}") for part in parts]) for name in ("weight", "bias")
            )
            return weight, bias
        cell = self.config.cell
        weight, bias = (
            np.concatenate(_arrange(self._exact(f"layers.{reader}.{name}"), cell, INPUT_SCALES[cell]))
            for name in ("weight_ih", "bias")
        )
        return weight, bias

    def half_bias_hn(self, layer: int) -> Singles:
        """Half of a GRU's b_hn, shape (H,); of other cells, which have none, nothing."""
        return np.float32(0.5) * self._weights.get(f"layers.{layer}.bias_hn", np.empty(0, dtype=np.float32))

    def _exact(self, name: str) -> Doubles:
        """A weight to compute with."""
        return self._weights[name].astype(np.float64)


def _arrange(weight: Floats, cell: str, scales: Sequence[float]) -> list[Floats]:
    """A weight's gates, blocks of its rows, in the stepper's order and scaled."""
    blocks = np.split(weight, len(scales))
    return [blocks[gate] * scale for gate, scale in zip(GATE_ORDER[cell], scales, strict=True)]
