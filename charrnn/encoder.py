"""Characters to ids and back: the one thing that train, sample and inspect share.

A character is a Unicode code point. Ids are ranks in code-point order, so the alphabet alone, one string, restores
the encoder. No file is read here and nothing is repaired: what is unknown is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.errors import UnknownCharacterError

Ids = NDArray[np.unsignedinteger[Any]]


class CharEncoder:
    """A bijection between the characters of an alphabet and the ids 0 to V - 1.

    Args:
        characters: the alphabet; sorted here, each character counted once.
    """

    def __init__(self, characters: str) -> None:
        self.characters = "".join(sorted(set(characters)))

    def __len__(self) -> int:
        return len(self.characters)

    def __contains__(self, character: str) -> bool:
        return character in self._alphabet

    @property
    def dtype(self) -> np.dtype[Any]:
        """The narrowest unsigned type that holds every id."""
        return np.min_scalar_type(max(len(self) - 1, 0))

    def encode(self, text: str) -> Ids:
        """Turn text into ids, shape (num_chars,), of the narrowest unsigned type.

        Raises:
            UnknownCharacterError: the text holds characters that are not in the alphabet.
        """
        points = code_points(text)
        ids = self._table.take(points, mode="clip")
        if (ids < 0).any():
            unknown = from_code_points(points[ids < 0])
            raise UnknownCharacterError("".join(dict.fromkeys(unknown)), len(self))
        return ids.astype(self.dtype)

    def decode(self, ids: Ids | Sequence[int]) -> str:
        """Turn ids, shape (num_chars,), into text."""
        return from_code_points(self._points[np.asarray(ids, dtype=np.intp)])

    @cached_property
    def _points(self) -> NDArray[np.uint32]:
        return code_points(self.characters)

    @cached_property
    def _table(self) -> NDArray[np.int32]:
        """Id of every code point up to one past the alphabet's last, which stands for all beyond; -1: unknown."""
        last = int(self._points[-1]) if len(self) else -1
        table = np.full(last + 2, -1, dtype=np.int32)
        table[self._points] = np.arange(len(self), dtype=np.int32)
        return table

    @cached_property
    def _alphabet(self) -> frozenset[str]:
        return frozenset(self.characters)


def code_points(text: str) -> NDArray[np.uint32]:
    """Turn text into its code points, shape (num_chars,); lone surrogates pass."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def from_code_points(points: NDArray[np.uint32]) -> str:
    """Turn code points, shape (num_chars,), into text; lone surrogates pass."""
    return points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
