"""How far the reading of a text is, and what its bytes were."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

Progress = Callable[[int], None]
"""Told, now and then, how many bytes were read; each byte is read twice."""


class Meter:
    """What is learned of the bytes on their way: how many they are, and their hash.

    Args:
        progress: told of every chunk, if anyone wants to know.
    """

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress or (lambda done: None)
        self._hash = hashlib.sha256()
        self._seen = 0
        self.num_bytes = 0

    @property
    def sha256(self) -> str:
        """Of the bytes of the first pass, in hexadecimal."""
        return self._hash.hexdigest()

    def hash(self, chunk: bytes) -> None:
        """Take a chunk of the first pass."""
        self._hash.update(chunk)
        self.num_bytes += len(chunk)
        self.see(chunk)

    def see(self, chunk: bytes) -> None:
        """Take a chunk of any pass."""
        self._seen += len(chunk)
        self._progress(self._seen)
