"""A CharRNN that reads one text, or many side by side, character by character, with as little work as possible.

The equations are those of `numpy_network`, with everything that can be precomputed folded into the weights:

- the contribution of an embedding is looked up by character;
- the weights of all consumers of a layer's output (the layer itself a step later, the layers above, the head) form one
  matrix, so that a layer costs one product; layer normalisation's gain and centring are in that matrix too, its offset
  is in the tables, and only its division is left;
- the halves of sigmoid(x) = (1 + tanh(x / 2)) / 2 are in the weights, so that all gates share one tanh.

The rest works in place, on preallocated arrays. Many texts lie side by side as columns, shape (..., N), so that each
gate is a block of whole rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from charrnn.arrays import Ids, Singles
from charrnn.cell_types import CELLS
from charrnn.config import LAYER_NORM_EPSILON, ModelConfig
from charrnn.inference.cell_updates import make_update, state_scale
from charrnn.inference.folding import FoldedWeights
from charrnn.inference.recall_logits import add_raised
from charrnn.recall import NO_FORECAST, Forecasts


class Stepper:
    """Texts that are read character by character.

    Args:
        config: the model's shape.
        folded: its weights.
        num_texts: N; None for one text, without that axis.
        reset_id: an id that is always read from a zero state, or None.
    """

    def __init__(self, config: ModelConfig, folded: FoldedWeights, num_texts: int | None, reset_id: int | None) -> None:
        self._config, self._folded, self._recalls = config, folded, config.recall > 0
        self._reset_id = -1 if reset_id is None else reset_id
        self._columns = np.arange(num_texts or 0)
        columns = () if num_texts is None else (num_texts,)
        self._layers = [_Layer(config, folded, layer, columns) for layer in range(config.num_layers)]
        consumers = range(config.num_layers + 1)
        *self._gather, self._score = [_gatherer(folded, consumer, self._layers, columns) for consumer in consumers]
        scores = self._score(0 if num_texts is None else np.zeros_like(self._columns))  # later calls reuse this array
        self._logits, self._raised = scores[: config.vocab_size], scores[config.vocab_size :]
        self._all_logits = self._logits.reshape(-1)
        if num_texts is None:  # changing one logit through a memoryview costs half of what it does through numpy
            self._each_logit = self._logits.data.cast("B").cast("f")

    def read_one(self, character: int, recalled: Sequence[int] = ()) -> Singles:
        """Read the next character of the one text.

        Args:
            character: its id.
            recalled: for a model that recalls, the forecasts of the following character, one for each context.

        Returns:
            Logits of the following character, shape (V,), valid until the next call.
        """
        if character == self._reset_id:
            for layer in self._layers:
                layer.forget(...)
        for layer, gather in zip(self._layers, self._gather, strict=True):
            layer.step(gather(character))
        self._score(character)
        if self._recalls:
            logits = self._each_logit
            for forecast, raised in zip(recalled, self._raised.tolist(), strict=True):
                if forecast != NO_FORECAST:
                    logits[forecast] += raised
        return self._logits

    def read_many(self, ids: Ids, recalled: Forecasts | None = None) -> Singles:
        """Read the next character of each text.

        Args:
            ids: of these characters, shape (N,).
            recalled: for a model that recalls, the forecasts of the following characters, shape (N, C).

        Returns:
            Logits of the following characters, shape (N, V), valid until the next call.
        """
        self._advance(ids)
        if recalled is not None:
            is_known = recalled.T != NO_FORECAST
            places = recalled.T * len(self._columns) + self._columns
            np.add.at(self._all_logits, places[is_known], self._raised[is_known])  # forecasts may name the same id
        return self._logits.T

    def read_window(self, windows: Ids, recalled: Forecasts | None) -> Singles:
        """Read the next window of each text.

        Args:
            windows: ids, shape (T, N).
            recalled: for a model that recalls, the forecasts after each character, shape (T, N, C); else None.

        Returns:
            Logits after each character, shape (T, N, V).
        """
        logits = np.empty((*windows.shape, len(self._logits)), dtype=np.float32)
        raised = np.empty((*windows.shape, len(self._raised)), dtype=np.float32)
        for place, ids in enumerate(windows):
            self._advance(ids)
            logits[place], raised[place] = self._logits.T, self._raised.T
        if recalled is not None:
            add_raised(logits, raised, recalled)
        return logits

    def selected(self, rows: Ids | None) -> Stepper:
        """Return independent copies of the rows named, each as often as `rows` names it; None: of the one text."""
        stepper = Stepper(self._config, self._folded, None if rows is None else len(rows), self._reset_id)
        for layer, own in zip(stepper._layers, self._layers, strict=True):
            for values, of_all in zip(layer.memory, own.memory, strict=True):
                values[:] = of_all if rows is None else of_all[:, rows]
        return stepper

    def _advance(self, ids: Ids) -> None:
        """Update the state and the logits, before recall, with the next character of each text, shape (N,)."""
        if self._reset_id >= 0 and (begins := ids == self._reset_id).any():
            for layer in self._layers:
                layer.forget((slice(None), begins))
        for layer, gather in zip(self._layers, self._gather, strict=True):
            layer.step(gather(ids))
        self._score(ids)


def _gatherer(
    folded: FoldedWeights, consumer: int, layers: list[_Layer], columns: tuple[int, ...]
) -> Callable[[Any], Singles]:
    """Make the function that sums up all inputs of a consumer: a layer, or the head, numbered num_layers."""
    table = folded.tables[consumer]
    parts = [layer.contributions[consumer] for layer in layers[:consumer] if consumer in layer.contributions]
    total = np.empty((table.shape[-1], *columns), dtype=np.float32)
    by_character = table.ndim == 2
    if columns:
        table = np.ascontiguousarray(table.T) if by_character else np.repeat(table[:, None], columns[0], axis=1)
    add, take, dot = np.add, np.take, np.dot

    def gather(characters: Any) -> Singles:
        if not by_character:
            known = table
        elif columns:
            known = take(table, characters, axis=1, out=total, mode="clip")
        else:
            known = table[characters]
        if not parts:
            return known
        add(known, parts[0], total)
        for part in parts[1:]:
            add(total, part, total)
        return total

    if folded.head is None or consumer < len(layers):
        return gather
    weight, bias = folded.head
    scores = np.empty((len(bias), *columns), dtype=np.float32)
    biases = bias.reshape(-1, *(1 for _ in columns))

    def score(characters: Any) -> Singles:
        dot(weight, gather(characters), scores)
        return add(scores, biases, scores)

    return score


class _Layer:
    """A layer's state and the product of its weights with it.

    Attributes:
        contributions: the layer's contribution to each of its consumers, by consumer: views of the product.
        memory: all arrays that carry over to the next character, shape (.,) or (., N).
        step: reads inputs of shape (G * H,) or (G * H, N) and updates all arrays in place.
    """

    def __init__(self, config: ModelConfig, folded: FoldedWeights, layer: int, columns: tuple[int, ...]) -> None:
        matrix = folded.matrices[layer]
        product = np.zeros((len(matrix), *columns), dtype=np.float32)
        rows = len(CELLS[config.cell].blocks) * config.hidden_size
        self.contributions = {consumer: product[place] for consumer, place in folded.rows_by_consumer[layer].items()}
        hidden = np.zeros((config.hidden_size, *columns), dtype=np.float32)
        update, kept = make_update(config.cell, product[:rows], hidden, folded.half_biases_hn[layer])
        self.memory = [product, hidden, *kept]
        multiply = _product(matrix, hidden, product, rows, config)

        def step(inputs: Singles) -> None:
            update(inputs)
            multiply()

        self.step = step

    def forget(self, place: Any) -> None:
        """Reset to the zero state: one text with `...`, some of many with an index into arrays of shape (., N)."""
        for values in self.memory:
            values[place] = 0


def _product(matrix: Singles, hidden: Singles, product: Singles, rows: int, config: ModelConfig) -> Callable[[], None]:
    """Make the function that multiplies a layer's matrix with its h, and normalises the rows that consumers take.

    With layer normalisation, these rows are divided by the standard deviation of h.
    """
    dot, multiply, sqrt = np.dot, np.multiply, math.sqrt
    if not config.layer_norm:

        def multiply_alone() -> None:
            dot(matrix, hidden, product)

        return multiply_alone
    read, epsilon = product[rows:-1], LAYER_NORM_EPSILON
    if not CELLS[config.cell].is_bounded:
        return _product_of_unbounded(matrix, hidden, product, read)
    to_mean_square = state_scale(config.cell) ** 2 / config.hidden_size

    def normalise_one() -> None:
        dot(matrix, hidden, product)
        mean = product.item(-1)
        variance = float(dot(hidden, hidden)) * to_mean_square - mean * mean
        multiply(read, 1 / sqrt(max(variance, 0.0) + epsilon), read)

    averaging = np.full(config.hidden_size, to_mean_square, dtype=np.float32)

    def normalise_many() -> None:
        dot(matrix, hidden, product)
        mean = product[-1]
        variance = averaging @ (hidden * hidden) - mean * mean
        multiply(read, 1 / np.sqrt(np.maximum(variance, 0) + np.float32(epsilon)), read)

    return normalise_one if hidden.ndim == 1 else normalise_many


def _product_of_unbounded(matrix: Singles, hidden: Singles, product: Singles, read: Singles) -> Callable[[], None]:
    """As `_product` with layer normalisation, for an unbounded h: here the variance is computed about the mean.

    With a large h, the mean square minus the squared mean would lose nearly all digits in float32.
    """
    dot, multiply, subtract, sqrt = np.dot, np.multiply, np.subtract, np.sqrt
    averaging = np.full(len(hidden), 1 / len(hidden), dtype=np.float32)
    squares, epsilon = np.empty_like(hidden), np.float32(LAYER_NORM_EPSILON)

    def normalise() -> None:
        dot(matrix, hidden, product)
        subtract(hidden, product[-1], squares)
        multiply(squares, squares, squares)
        multiply(read, 1 / sqrt(dot(averaging, squares) + epsilon), read)

    return normalise
