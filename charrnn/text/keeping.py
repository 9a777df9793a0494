"""Input that can be read only once, such as standard input: copied to be read again, or read as it comes."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from charrnn.errors import CorpusError
from charrnn.text.unpacking import CHUNK, HEAD_BYTES

HELD_BYTES = 64 << 20
"""Most bytes that are held in memory; a longer input goes to a temporary file."""


def keep(stream: BinaryIO, name: str, folder: Path | None, advance: Callable[[int], None]) -> IO[bytes]:
    """Copy a stream to its end, in memory or, if it is large, to a temporary file, so that it can be read repeatedly.

    Args:
        stream: input that can be read only once.
        name: of the text, for messages.
        folder: folder of the temporary file, created if missing; None for the system's temporary folder.
        advance: told the size of each chunk in bytes.

    Raises:
        CorpusError: the copy cannot be written.
        OSError: the stream cannot be read.
    """
    place, is_over = None if folder is None else str(folder), False
    with contextlib.ExitStack() as closed_if_it_fails:
        kept = closed_if_it_fails.enter_context(tempfile.SpooledTemporaryFile(HELD_BYTES, dir=place))
        while not is_over:  # ends at the first short chunk: a terminal would wait for a second end of file
            chunk = stream.read(CHUNK)
            is_over = len(chunk) < CHUNK
            with _keeping(name, folder):
                if folder is not None and kept.tell() + len(chunk) > HELD_BYTES:
                    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                kept.write(chunk)
            advance(len(chunk))
        closed_if_it_fails.pop_all()
    return cast(IO[bytes], kept)


class Pipe(io.RawIOBase):
    """A pipe read as it comes: a read returns what is there instead of waiting for more, except at the beginning.

    Args:
        stream: input that can be read only once.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._head = self._left = stream.read(HEAD_BYTES)
        is_over = len(self._head) < HEAD_BYTES  # a terminal would wait for a second end of file
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
        """Go back to the beginning; works only while no more than the first `HEAD_BYTES` were read."""
        self._left = self._head
        return 0


@contextlib.contextmanager
def _keeping(name: str, folder: Path | None) -> Iterator[None]:
    """Turn errors in writing the copy of a pipe into a `CorpusError`."""
    try:
        yield
    except OSError as error:
        mend = "choose another folder with --cache" if folder else "let TMPDIR name another folder"
        place = folder or tempfile.tempdir or "a temporary folder"  # there may be none that can be written to
        raise CorpusError(f"{name}: cannot be kept in {place} while it is read ({error.strerror}); {mend}") from None
