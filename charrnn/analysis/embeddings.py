"""Similarity of characters to a model, from the rows of its embedding or of its output head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.arrays import Doubles

NEIGHBOURS = 5
"""Number of nearest neighbours listed for a character."""

_ROWS_AT_ONCE = 512


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
    neighbours: list[list[int]] = []
    similarities: list[list[float]] = []
    for first in range(0, len(unit), _ROWS_AT_ONCE):
        cosines = unit[first : first + _ROWS_AT_ONCE] @ unit.T
        cosines[np.arange(len(cosines)), first + np.arange(len(cosines))] = -np.inf
        order = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
        neighbours += order.tolist()
        similarities += np.take_along_axis(cosines, order, axis=1).tolist()
    return neighbours, similarities
