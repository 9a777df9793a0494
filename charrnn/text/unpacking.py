"""Recognising how a file is compressed by its first bytes, and decompressing it."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import importlib
import io
import lzma
import re
import zlib
from collections.abc import Callable
from functools import partial
from typing import IO, Any, cast

from charrnn.errors import UnpackingError

CHUNK = 1 << 18
"""Bytes to read at once, few enough for the processor's cache."""

PACKED_CHUNK = 1 << 10
"""Compressed bytes to unpack at once: four bytes of Zstandard may become 128 KiB, which come all at once."""

LARGEST_WINDOW = 31
"""Base-2 logarithm of Zstandard's window in bytes: the most of `zstd --long`, above the libraries' default limit."""

DAMAGE = (gzip.BadGzipFile, EOFError, zlib.error)
"""Exceptions that a damaged file raises."""

HEAD_BYTES = 16
"""First bytes of a file that tell how it is compressed."""

_KINDS = {
    "gzip": rb"\x1f\x8b\x08",
    "bzip2": rb"BZh[1-9](1AY&SY|\x17rE8P\x90)",
    "xz": rb"\xfd7zXZ\x00",
    "Zstandard": rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18",
}
"""Magic numbers of compressed files. bzip2: a text may begin with "BZh1", so the mark of the first block, or of the end
in an empty file, must follow. Zstandard: an ordinary frame, or a skippable one."""


def compression_of(head: bytes) -> str | None:
    """The compression of a file, by its first bytes; None if not recognised."""
    return next((kind for kind, beginning in _KINDS.items() if re.match(beginning, head)), None)


def decompressed(file: IO[bytes], name: str) -> contextlib.AbstractContextManager[Any]:
    """A reader of the decompressed bytes of a file that may be compressed.

    Raises:
        UnpackingError: no library here can unpack it.
    """
    kind = compression_of(file.read(HEAD_BYTES))
    file.seek(0)
    if kind is None:
        return contextlib.nullcontext(file)
    if kind == "gzip":
        return cast(contextlib.AbstractContextManager[Any], gzip.open(file))
    return io.BufferedReader(UnpackingReader(file, *_find_unpacker(kind, name)), CHUNK)


class UnpackingReader(io.RawIOBase):
    """Decompresses all streams of a file compressed by bzip2, xz or Zstandard.

    A stream may be followed by another one, or by zeros, which xz uses as padding. If anything else follows, or the
    file ends within a stream, it is damaged; the libraries' own readers would drop the rest without an error.

    Args:
        file: the compressed bytes.
        begin: makes a decompressor of one stream, such as a `bz2.BZ2Decompressor`.
        damage: the exception that the decompressor raises for invalid data.
    """

    def __init__(self, file: IO[bytes], begin: Callable[[], Any], damage: type[Exception]) -> None:
        self._file = file
        self._begin = begin
        self._damage = damage
        self._unpacker: Any = None
        self._packed, self._plain = b"", memoryview(b"")

    def readable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def readinto(self, buffer: Any) -> int:
        """See `io.RawIOBase`.

        Raises:
            EOFError: the file is damaged, or ends too early.
        """
        while not self._plain:
            if self._unpacker is None and not self._find_stream():
                return 0
            self._plain = memoryview(self._unpack())
        size = min(len(buffer), len(self._plain))
        buffer[:size], self._plain = self._plain[:size], self._plain[size:]
        return size

    def _find_stream(self) -> bool:
        """Go on to the next stream, if there is one."""
        packed = self._packed.lstrip(b"\0")
        while not packed:
            piece = self._file.read(PACKED_CHUNK)
            if not piece:
                return False
            packed = piece.lstrip(b"\0")
        self._packed, self._unpacker = packed, self._begin()
        return True

    def _unpack(self) -> bytes:
        if self._unpacker.needs_input and not self._packed:
            self._packed = self._file.read(PACKED_CHUNK)
            if not self._packed:
                raise EOFError
        try:
            plain: bytes = self._unpacker.decompress(self._packed, CHUNK)
        except self._damage as error:
            raise EOFError(str(error)) from None
        self._packed = b""
        if self._unpacker.eof:
            self._packed, self._unpacker = self._unpacker.unused_data, None
        return plain


class _ZstandardFrame:
    """Wraps the zstandard library's decompressor of one frame in the interface of Python's; ignores `max_length`."""

    needs_input = True

    def __init__(self, library: Any) -> None:
        self._unpacker = library.ZstdDecompressor(max_window_size=1 << LARGEST_WINDOW).decompressobj()

    @property
    def eof(self) -> bool:
        return bool(self._unpacker.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._unpacker.unused_data)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return bytes(self._unpacker.decompress(data))


def _find_unpacker(kind: str, name: str) -> tuple[Callable[[], Any], type[Exception]]:
    """The decompressor for a kind of compression, and the exception that it raises for invalid data.

    Raises:
        UnpackingError: neither Python's own Zstandard module (from 3.14 on) nor the zstandard library is there.
    """
    if kind == "bzip2":
        return bz2.BZ2Decompressor, OSError
    if kind == "xz":
        return partial(lzma.LZMADecompressor, lzma.FORMAT_XZ), lzma.LZMAError
    for module in ("compression.zstd", "zstandard"):
        with contextlib.suppress(ImportError):
            library = importlib.import_module(module)
            if module == "zstandard":
                return partial(_ZstandardFrame, library), library.ZstdError
            how = {library.DecompressionParameter.window_log_max: LARGEST_WINDOW}
            return partial(library.ZstdDecompressor, options=how), library.ZstdError
    raise UnpackingError(
        f"{name}: compressed by Zstandard, which needs a library: pip install zstandard, or unpack it with zstd -d"
    )
