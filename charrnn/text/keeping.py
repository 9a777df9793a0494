"""What can be read only once, such as standard input: kept so that it can be read again, or read as it comes."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO

from charrnn.errors import CorpusError
from charrnn.text.unpacking import CHUNK, HEAD_BYTES

HELD_BYTES = 64 << 20
"""Bytes that are held in memory; more go to a temporary file."""


def keep(stream: BinaryIO, name: str, folder: Path | None, advance: Callable[[int], None]) -> IO[bytes]:
    """Read a stream to its end, for one who reads it more than once: in memory or, where it is large, from the disk.

    Args:
        stream: what can be read once.
        name: of the text, for the message.
        folder: where a large one is kept, made if it is not there; None for the system's temporary one.
        advance: told of each piece how many bytes it has.

    Raises:
        CorpusError: it cannot be kept there.
        OSError: the stream cannot be read.
    """
    held = io.BytesIO()
    while held.tell() <= HELD_BYTES:
        wanted = min(CHUNK, HELD_BYTES + 1 - held.tell())
        held.write(chunk := stream.read(wanted))
        advance(len(chunk))
        if len(chunk) < wanted:  # the end: a terminal would wait for another one
            return held
    with contextlib.ExitStack() as closed_if_it_fails:
        with _keeping(name, folder):
            if folder is not None:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            kept = closed_if_it_fails.enter_context(tempfile.TemporaryFile(dir=folder))
            with held.getbuffer() as view:  # let go of here, or the write that fails would hold on to it
                kept.write(view)
        while chunk := stream.read(CHUNK):
            with _keeping(name, folder):
                kept.write(chunk)
            advance(len(chunk))
        closed_if_it_fails.pop_all()
    return kept


class Pipe(io.RawIOBase):
    """What can be read only once, as it comes: no more of it is waited for than is there, but at its beginning.

    Args:
        stream: what can be read once.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._head = self._left = stream.read(HEAD_BYTES)
        is_over = len(self._head) < HEAD_BYTES  # a terminal would wait for another end
        self._stream: Any = io.BytesIO() if is_over else stream

    def readable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def readinto(self, buffer: Any) -> int:
        """See `io.RawIOBase`."""
        piece = self._left[: len(buffer)] or self._stream.read1(len(buffer))
        self._left = self._left[len(piece) :]
        buffer[: len(piece)] = piece
        return len(piece)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go back to the beginning, as long as no more was read than what tells by what it is compressed."""
        self._left = self._head
        return 0


@contextlib.contextmanager
def _keeping(name: str, folder: Path | None) -> Iterator[None]:
    """Turn what can go wrong with the copy of a pipe into one line."""
    try:
        yield
    except OSError as error:
        mend = "choose another folder with --cache" if folder else "let TMPDIR name another folder"
        place = folder or tempfile.tempdir or "a temporary folder"  # there may be none that can be written to
        raise CorpusError(f"{name}: cannot be kept in {place} while it is read ({error.strerror}); {mend}") from None
