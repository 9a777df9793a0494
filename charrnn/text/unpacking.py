"""What a file is compressed by, which its first bytes tell, and its plain bytes."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import importlib
import io
import lzma
import re
import zlib
from typing import IO, Any, cast

from charrnn.errors import CorpusError

CHUNK = 1 << 18
"""Bytes to read at once: what is made of them stays in the processor's cache."""

PACKED_CHUNK = 1 << 10
"""Bytes of Zstandard's to unpack at once: four may stand for 128 KiB, and what a piece becomes comes all at once."""

DAMAGE = (gzip.BadGzipFile, EOFError, lzma.LZMAError, zlib.error)
"""What a damaged file leads to; bz2's is an OSError without a number."""

HEAD_BYTES = 16
"""Bytes that tell what packed a file."""

_KINDS = {
    "gzip": rb"\x1f\x8b\x08",
    "bzip2": rb"BZh[1-9](1AY&SY|\x17rE8P\x90)",
    "xz": rb"\xfd7zXZ\x00",
    "Zstandard": rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18",
}
"""How files begin that are compressed; of bzip2 the first block or, of an empty one, the end is a part of that, since a
text may well begin with "BZh"; of Zstandard's the second is that of a frame to pass over."""


def compression_of(head: bytes) -> str | None:
    """What packed a file, by its first bytes; None for nothing that is known."""
    return next((kind for kind, beginning in _KINDS.items() if re.match(beginning, head)), None)


def decompressed(file: IO[bytes], name: str) -> contextlib.AbstractContextManager[Any]:
    """A reader of the plain bytes of a file that may be compressed.

    Raises:
        CorpusError: what can unpack it is not there.
    """
    kind = compression_of(file.read(HEAD_BYTES))
    file.seek(0)
    if kind is None:
        return contextlib.nullcontext(file)
    if kind == "Zstandard":
        return io.BufferedReader(ZstandardReader(file, name), CHUNK)
    openers: dict[str, Any] = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}
    return cast(contextlib.AbstractContextManager[Any], openers[kind](file))


class ZstandardReader(io.RawIOBase):
    """The plain bytes of a file compressed by Zstandard, of all its frames.

    One that ends within a frame, which the libraries' own readers take for whole, is damaged.

    Args:
        file: the compressed bytes.
        name: of the file, for the message.

    Raises:
        CorpusError: neither Python's own library, from 3.14 on, nor zstandard is at hand.
    """

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file, self._library = file, _find_library(name)
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
            self._packed = self._packed or self._file.read(PACKED_CHUNK)
            if not self._packed:
                if self._unpacker is not None:
                    raise EOFError
                return 0
            self._plain = memoryview(self._unpack())
        size = min(len(buffer), len(self._plain))
        buffer[:size], self._plain = self._plain[:size], self._plain[size:]
        return size

    def _unpack(self) -> bytes:
        if self._unpacker is None:
            unpacker = self._library.ZstdDecompressor()  # zstandard's makes one for each frame; Python's own is one
            self._unpacker = unpacker.decompressobj() if hasattr(unpacker, "decompressobj") else unpacker
        try:
            plain: bytes = self._unpacker.decompress(self._packed)
        except self._library.ZstdError as error:
            raise EOFError(str(error)) from None
        self._packed = b""
        if self._unpacker.eof:
            self._packed, self._unpacker = self._unpacker.unused_data, None
        return plain


def _find_library(name: str) -> Any:
    for module in ("compression.zstd", "zstandard"):
        with contextlib.suppress(ImportError):
            return importlib.import_module(module)
    raise CorpusError(
        f"{name}: compressed by Zstandard, which needs a library: pip install zstandard, or unpack it by zstd -d"
    )
