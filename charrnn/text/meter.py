"""Counting and hashing the bytes of a text, to check that a second pass reads the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator

Progress = Callable[[int], None]
"""Called now and then with the bytes read so far, in all passes. A large text is read twice; pipes and folders once
more before that."""


class Meter:
    """Counts and hashes the bytes that pass through `watch`.

    Args:
        progress: called after every chunk; None for no calls.

    Attributes:
        sizes: bytes of each document, and of each separator between two of them, in the first pass.
    """

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress or (lambda done: None)
        self._first = hashlib.sha256()
        self._hash: hashlib._Hash | None = self._first
        self._seen, self._place = 0, 0
        self.sizes: list[int] = []

    @property
    def num_bytes(self) -> int:
        """Number of bytes in the first pass."""
        return sum(self.sizes)

    @property
    def sha256(self) -> str:
        """Hash of the bytes of the first pass, in hexadecimal."""
        return self._first.hexdigest()

    @property
    def is_same(self) -> bool:
        """Whether the last pass had the bytes of the first."""
        assert self._hash is not None, "they were to be compared"
        return self._hash.digest() == self._first.digest()

    def advance(self, more: int) -> None:
        """Report bytes to `progress`; `watch` does so for those that it passes on."""
        self._seen += more
        self._progress(self._seen)

    def begin_again(self, *, compares: bool) -> None:
        """Begin another pass, in which each document is cut at its size in the first, since it may have grown.

        Args:
            compares: whether `is_same` will be asked for.
        """
        self._hash, self._place = hashlib.sha256() if compares else None, 0

    def watch(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Pass on the bytes of the next document or separator."""
        is_first = self._hash is self._first
        place = self._place
        size = 0
        self._place += 1
        for chunk in chunks:
            if not is_first:
                chunk = chunk[: self.sizes[place] - size]
            if not chunk:
                break
            size += len(chunk)
            if self._hash is not None:
                self._hash.update(chunk)
            self.advance(len(chunk))
            yield chunk
        if is_first:
            self.sizes.append(size)
