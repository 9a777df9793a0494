"""Similarity of characters to a model, from the rows of its embedding or of its output head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.arrays import Doubles

NEIGHBOURS = 5
"""Number of nearest neighbours listed for a character."""

_COSINES_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class EmbeddingMap:
    """Nearest neighbours of the characters, and a map in two dimensions.

    Attributes:
        neighbours: for each character the ids of the most similar ones, nearest first.
        similarities: cosine similarities of these, from -1 to 1.
        places: coordinates along the first two principal components, scaled to -1 to 1, shape (V, 2).
        explained: share of the variance that these two components explain.
    """

    neighbours: list[list[int]]
    similarities: list[list[float]]
    places: Doubles
    explained: float


def map_embeddings(embedding: NDArray[Any], count: int = NEIGHBOURS) -> EmbeddingMap:
    """Compare the rows of an embedding by cosine similarity, and project them by PCA.

    Args:
        embedding: a row for each character, shape (V, E).
        count: number of neighbours to list.
    """
    rows = embedding.astype(np.float64)
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    neighbours, similarities = _nearest(unit, min(count, len(rows) - 1))
    centred = unit - unit.mean(axis=0)
    left, strengths, _ = np.linalg.svd(centred, full_matrices=False)
    places = np.zeros((len(rows), 2))
    used = min(2, len(strengths))
    places[:, :used] = left[:, :used] * strengths[:used]
    places /= np.abs(places).max(axis=0).clip(min=1e-12)
    total = float((strengths**2).sum())
    explained = float((strengths[:2] ** 2).sum()) / total if total else 0.0
    return EmbeddingMap(neighbours, similarities, places, explained)


def _nearest(unit: Doubles, count: int) -> tuple[list[list[int]], list[list[float]]]:
    """Indices and cosines of the nearest rows of each row, computed in blocks, as an alphabet may be large."""
    neighbours = np.empty((len(unit), count), dtype=np.intp)
    similarities = np.empty((len(unit), count))
    rows_at_once = max(1, _COSINES_AT_ONCE // len(unit))
    for first in range(0, len(unit), rows_at_once):
        block = np.arange(first, min(first + rows_at_once, len(unit)))
        cosines = unit[block] @ unit.T
        last = block  # the row itself
        for nth in range(count):
            cosines[block - first, last] = -np.inf
            last = cosines.argmax(axis=1)
            neighbours[block, nth], similarities[block, nth] = last, cosines[block - first, last]
    return neighbours.tolist(), similarities.tolist()
