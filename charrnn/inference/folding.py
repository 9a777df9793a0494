"""The weights of a CharRNN with all that can be computed beforehand folded into them: see `charrnn.inference.stepper`.

Products and means are taken in float64 and rounded once. What is only put in order and scaled by powers of two, as the
large recurrent weights are, stays float32: that is as exact, and a sample's first character waits for every copy.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping

import numpy as np

from charrnn.arrays import Doubles, Singles
from charrnn.config import ModelConfig

RECURRENT_SCALES = {"lstm": (0.5, 0.5, 0.5, 1), "gru": (0.5, 0.5, 0.5), "rnn": (1,), "rnn-relu": (1,)}
"""What the rows of each gate's W_hh are multiplied by, gates in the stepper's order."""

INPUT_SCALES = {**RECURRENT_SCALES, "gru": (0.5, 0.5, 1)}
"""What those of W_xh and b are multiplied by, likewise: a GRU's reset gate halves what it resets alone."""

GATE_ORDER = {"lstm": (0, 1, 3, 2), "gru": (0, 1, 2), "rnn": (0,), "rnn-relu": (0,)}
"""The stepper's order of the gates: an LSTM's candidate last, beside its cell."""

STATE_SCALES = {"lstm": 0.5, "gru": 1.0, "rnn": 1.0, "rnn-relu": 1.0}
"""h over what the stepper holds for it: an LSTM's is left twice too large."""


ROWS = 64
"""Rows of a weight that are computed with at once: in float64 a whole one would take twice its place."""


class FoldedWeights:
    """A model's weights, with all that needs no state multiplied in.

    Reader r is layer r, or the head for r = num_layers; it reads the sum of its sources' outputs (-1: the embedding).

    Args:
        config: the model's shape.
        weights: by name; the large ones are taken out of it, each as soon as it is folded in.

    Attributes:
        tables: for each layer and then the head what is known before any layer has run: a row for each character,
            or one row where it does not depend on it.
        matrices: for each layer what is multiplied with its h: rows of its own W_hh, then of all that read it, then,
            with normalisation, the mean.
        rows_by_reader: for each layer, who has which rows of that product.
        half_biases_hn: for each layer half of a GRU's b_hn, shape (H,); of other cells, which have none, nothing.
    """

    def __init__(self, config: ModelConfig, weights: MutableMapping[str, Singles]) -> None:
        self.config = config
        self._weights = weights
        layers = range(config.num_layers)
        sources: list[set[int]] = [{-1}]  # of each reader
        for layer in layers:
            sources.append({layer} | (sources[layer] if config.is_residual(layer) else set()))
        self.tables = [self._table(reader, own) for reader, own in enumerate(sources)]
        self._let_go(0)
        self.matrices, self.rows_by_reader = [], []
        for layer in layers:
            readers = [reader for reader in range(layer + 1, len(sources)) if layer in sources[reader]]
            matrix, places = self._matrix(layer, readers)
            self.matrices.append(matrix)
            self.rows_by_reader.append(places)
            self._let_go(layer + 1)  # no layer above is among its sources
        none = np.empty(0, dtype=np.float32)
        self.half_biases_hn = [np.float32(0.5) * weights.get(f"layers.{layer}.bias_hn", none) for layer in layers]

    def _table(self, reader: int, sources: set[int]) -> Singles:
        below = [source for source in sources if source >= 0 and self.config.layer_norm]
        offsets = [self._exact(f"norms.{layer}.bias") for layer in below]
        embedding = self._exact("embedding.weight") if -1 in sources else None
        shape = () if embedding is None else (len(embedding),)
        table = np.empty((*shape, self._num_rows(reader)), dtype=np.float32)
        for rows, weight, bias in self._pieces(reader):
            constant = bias + sum(weight @ offset for offset in offsets)
            table[..., rows] = constant if embedding is None else embedding @ weight.T + constant
        return table

    def _matrix(self, layer: int, readers: list[int]) -> tuple[Singles, dict[int, slice]]:
        config = self.config
        to_h = STATE_SCALES[config.cell]
        places, end = {}, len(self._weights[f"layers.{layer}.bias"])
        for reader in readers:
            places[reader] = slice(end, end := end + self._num_rows(reader))
        matrix = np.empty((end + config.layer_norm, config.hidden_size), dtype=np.float32)
        self._fill_recurrent(layer, matrix)
        for reader in readers:
            for rows, weight, _ in self._pieces(reader):
                if config.layer_norm:
                    weight *= self._exact(f"norms.{layer}.weight")
                    weight -= weight.mean(axis=1, keepdims=True)
                matrix[places[reader]][rows] = weight * to_h
        matrix[end:] = to_h / config.hidden_size
        return matrix, places

    def _fill_recurrent(self, layer: int, matrix: Singles) -> None:
        """Move a layer's W_hh into the first rows of a matrix."""
        cell, width = self.config.cell, self.config.hidden_size
        blocks = _arrange(self._weights.pop(f"layers.{layer}.weight_hh"), cell)
        for number, (block, scale) in enumerate(zip(blocks, RECURRENT_SCALES[cell], strict=True)):
            np.multiply(block, scale * STATE_SCALES[cell], out=matrix[number * width : (number + 1) * width])

    def _pieces(self, reader: int) -> Iterator[tuple[slice, Doubles, Doubles]]:
        """What a layer reads its input with, or the head: some rows, their weight and their bias, to compute with."""
        end = 0
        for weight, bias, scale in self._blocks(reader):
            for first in range(0, len(bias), ROWS):
                own = slice(first, first + ROWS)
                exact = bias[own].astype(np.float64) * scale
                yield slice(end, end := end + len(exact)), weight[own].astype(np.float64) * scale, exact

    def _blocks(self, reader: int) -> list[tuple[Singles, Singles, float]]:
        """The same as a weight, a bias and what they are multiplied by: of each gate, or of head and recall."""
        if reader == self.config.num_layers:
            parts = ("head", "recall") if self.config.recall else ("head",)
            return [(self._weights[f"{part}.weight"], self._weights[f"{part}.bias"], 1) for part in parts]
        cell = self.config.cell
        weights, biases = (_arrange(self._weights[f"layers.{reader}.{name}"], cell) for name in ("weight_ih", "bias"))
        return list(zip(weights, biases, INPUT_SCALES[cell], strict=True))

    def _num_rows(self, reader: int) -> int:
        return sum(len(bias) for _, bias, _ in self._blocks(reader))

    def _let_go(self, reader: int) -> None:
        """Forget the large weight of a layer or the head, which is folded in."""
        is_head = reader == self.config.num_layers
        del self._weights["head.weight" if is_head else f"layers.{reader}.weight_ih"]

    def _exact(self, name: str) -> Doubles:
        """A weight to compute with."""
        return self._weights[name].astype(np.float64)


def _arrange(weight: Singles, cell: str) -> list[Singles]:
    """A weight's gates, blocks of its rows, in the stepper's order."""
    blocks = np.split(weight, len(GATE_ORDER[cell]))
    return [blocks[gate] for gate in GATE_ORDER[cell]]
