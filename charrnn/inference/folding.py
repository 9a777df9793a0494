"""The weights of a CharRNN with all that can be precomputed folded into them: see `charrnn.inference.stepper`.

Products and means are computed in float64 and rounded once. Weights that are only reordered and scaled by powers of
two, as the large recurrent ones, stay float32: that is as exact, and every copy delays a sample's first character.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping

import numpy as np

from charrnn.arrays import Doubles, Singles
from charrnn.cell_types import CELLS, Cell
from charrnn.config import ModelConfig
from charrnn.inference.cell_updates import state_scale

ROWS = 64
"""Rows of a weight that are converted to float64 at a time: a whole weight would take twice its memory."""

EMBEDDING = -1
"""The embedding as a source, where layers are numbered from 0."""

MOST_FOLDED = 512
"""The largest alphabet for which the head is folded into each of its sources, if it has several."""


class FoldedWeights:
    """A model's weights, with everything that does not depend on the hidden state multiplied out.

    Consumer c is layer c, or the head for c = num_layers: it takes the sum of its sources' outputs. Sources are layers,
    and the `EMBEDDING`.

    Folded into each of its sources, the head has a row for each character in each of them; with the embedding that is a
    table of V * V. So with a large alphabet the sources are summed first, and the head is multiplied once.

    Args:
        config: the model's shape.
        weights: by name; the large ones are removed from it, each as soon as it is folded in.

    Attributes:
        tables: for each consumer, its input before any layer has run: a row for each character, or a single row if it
            does not depend on the character.
        matrices: for each layer, what is multiplied with its h: the rows of its own W_hh, then of all its consumers,
            then, with layer normalisation, a row for the mean.
        rows_by_consumer: for each layer, the rows of that product that belong to each consumer.
        head: the weight that the head's summed input is multiplied with, shape (R, H), and its bias, shape (R,); None
            if the head is folded into its sources.
        half_biases_hn: for each layer, half of a GRU's b_hn, shape (H,); empty for other cells.
    """

    def __init__(self, config: ModelConfig, weights: MutableMapping[str, Singles]) -> None:
        self.config = config
        self.head: tuple[Singles, Singles] | None = None
        self._weights = weights
        layers = range(config.num_layers)
        sources: list[set[int]] = [{EMBEDDING}]  # of each consumer
        for layer in layers:
            sources.append({layer} | (sources[layer] if config.is_residual(layer) else set()))
        if config.vocab_size > MOST_FOLDED and len(sources[-1]) > 1:
            self.head = self._whole_head()
        self.tables = [self._table(consumer, own) for consumer, own in enumerate(sources)]
        self._let_go(0)
        self.matrices, self.rows_by_consumer = [], []
        for layer in layers:
            consumers = [consumer for consumer in range(layer + 1, len(sources)) if layer in sources[consumer]]
            matrix, places = self._matrix(layer, consumers)
            self.matrices.append(matrix)
            self.rows_by_consumer.append(places)
            self._let_go(layer + 1)  # no layer above is among its sources
        none = np.empty(0, dtype=np.float32)
        self.half_biases_hn = [np.float32(0.5) * weights.get(f"layers.{layer}.bias_hn", none) for layer in layers]

    def _whole_head(self) -> tuple[Singles, Singles]:
        weights, biases, _ = zip(*self._blocks(self.config.num_layers), strict=True)
        return np.concatenate(weights), np.concatenate(biases)

    def _table(self, consumer: int, sources: set[int]) -> Singles:
        below = [source for source in sources if source != EMBEDDING and self.config.layer_norm]
        offsets = [self._exact(f"norms.{layer}.bias") for layer in below]
        embedding = self._exact("embedding.weight") if EMBEDDING in sources else None
        shape = () if embedding is None else (len(embedding),)
        table = np.empty((*shape, self._num_rows(consumer)), dtype=np.float32)
        for rows, weight, bias in self._pieces(consumer):
            constant = bias + sum(weight @ offset for offset in offsets)
            table[..., rows] = constant if embedding is None else embedding @ weight.T + constant
        return table

    def _matrix(self, layer: int, consumers: list[int]) -> tuple[Singles, dict[int, slice]]:
        config = self.config
        to_h = state_scale(config.cell)
        places, end = {}, len(self._weights[f"layers.{layer}.bias"])
        for consumer in consumers:
            first, end = end, end + self._num_rows(consumer)
            places[consumer] = slice(first, end)
        matrix = np.empty((end + config.layer_norm, config.hidden_size), dtype=np.float32)
        self._fill_recurrent(layer, matrix)
        for consumer in consumers:
            for rows, weight, _ in self._pieces(consumer):
                if config.layer_norm:
                    weight *= self._exact(f"norms.{layer}.weight")
                    weight -= weight.mean(axis=1, keepdims=True)
                matrix[places[consumer]][rows] = weight * to_h
        matrix[end:] = to_h / config.hidden_size
        return matrix, places

    def _fill_recurrent(self, layer: int, matrix: Singles) -> None:
        """Move a layer's W_hh, reordered and scaled, into the first rows of a matrix."""
        cell, width = CELLS[self.config.cell], self.config.hidden_size
        blocks = _arrange(self._weights.pop(f"layers.{layer}.weight_hh"), cell)
        scales = _scales(cell, 0.5 if cell.resets else 1)  # the update resets by 1 + tanh, twice the gate
        for number, (block, scale) in enumerate(zip(blocks, scales, strict=True)):
            own = slice(number * width, (number + 1) * width)
            np.multiply(block, scale * state_scale(self.config.cell), out=matrix[own])

    def _pieces(self, consumer: int) -> Iterator[tuple[slice, Doubles, Doubles]]:
        """A consumer's input weight and bias in float64, scaled, a few rows at a time.

        Yields:
            The slice of rows, their weights, shape (R, H) or (R, E), and their biases, shape (R,).
        """
        above = 0  # rows of the blocks before
        for weight, bias, scale in self._blocks(consumer):
            for first in range(0, len(bias), ROWS):
                last = min(first + ROWS, len(bias))
                exact_weight = weight[first:last].astype(np.float64) * scale
                exact_bias = bias[first:last].astype(np.float64) * scale
                yield slice(above + first, above + last), exact_weight, exact_bias
            above += len(bias)

    def _blocks(self, consumer: int) -> list[tuple[Singles, Singles, float]]:
        """A consumer's weights, biases and the factors to scale them by: one for each gate, or for head and recall."""
        if consumer == self.config.num_layers:
            if self.head is not None:
                width = self.config.hidden_size
                return [(np.eye(width, dtype=np.float32), np.zeros(width, dtype=np.float32), 1)]
            parts = ("head", "recall") if self.config.recall else ("head",)
            return [(self._weights[f"{part}.weight"], self._weights[f"{part}.bias"], 1) for part in parts]
        cell = CELLS[self.config.cell]
        weights, biases = (_arrange(self._weights[f"layers.{consumer}.{name}"], cell) for name in ("weight_ih", "bias"))
        return list(zip(weights, biases, _scales(cell, 1), strict=True))

    def _num_rows(self, consumer: int) -> int:
        return sum(len(bias) for _, bias, _ in self._blocks(consumer))

    def _let_go(self, consumer: int) -> None:
        """Drop the input weight of a layer or the head, once it is folded in."""
        is_head = consumer == self.config.num_layers
        del self._weights["head.weight" if is_head else f"layers.{consumer}.weight_ih"]

    def _exact(self, name: str) -> Doubles:
        """A weight in float64."""
        return self._weights[name].astype(np.float64)


def _arrange(weight: Singles, cell: Cell) -> list[Singles]:
    """A weight's blocks of rows in the stepper's order: gates first, which puts an LSTM's candidate beside its cell."""
    named = zip(cell.blocks, np.split(weight, len(cell.blocks)), strict=True)
    return [rows for _, rows in sorted(named, key=lambda block: block[0] not in cell.gates)]


def _scales(cell: Cell, of_candidate: float) -> list[float]:
    """The factor of each block, in the order of `_arrange`: for a gate, the half inside its sigmoid's tanh(x / 2)."""
    return [0.5] * len(cell.gates) + [of_candidate] * (len(cell.blocks) - len(cell.gates))
