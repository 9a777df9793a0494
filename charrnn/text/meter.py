"""What the bytes of a text were, and whether they are the same when it is read again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator

Progress = Callable[[int], None]
"""Called now and then with the bytes read so far. A large text is read twice; pipes and folders once before that."""


class Meter:
    """Watches bytes on their way: how many they are, and their hash.

    Args:
        progress: told of every chunk, if anyone wants to know.

    Attributes:
        sizes: bytes of each document, and of each piece of text between two of them, in the first pass.
    """

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress or (lambda done: None)
        self._first = hashlib.sha256()
        self._hash: hashlib._Hash | None = self._first
        self._seen, self._place = 0, 0
        self.sizes: list[int] = []

    @property
    def num_bytes(self) -> int:
        """Of the first pass."""
        return sum(self.sizes)

    @property
    def sha256(self) -> str:
        """Of the bytes of the first pass, in hexadecimal."""
        return self._first.hexdigest()

    @property
    def is_same(self) -> bool:
        """Whether the last pass had the bytes of the first."""
        assert self._hash is not None, "they were to be compared"
        return self._hash.digest() == self._first.digest()

    def advance(self, more: int) -> None:
        """Tell of bytes that are read, but not watched."""
        self._seen += more
        self._progress(self._seen)

    def begin_again(self, *, compares: bool) -> None:
        """Begin another pass, of which each document ends where it ended in the first: it may have grown since.

        Args:
            compares: whether `is_same` will be asked for.
        """
        self._hash, self._place = hashlib.sha256() if compares else None, 0

    def watch(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Hand on the next document's bytes."""
        is_first, place, size = self._hash is self._first, self._place, 0
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
