"""Reading a text and turning it into ids, with what a checkpoint remembers of it.

The text is strict UTF-8; a byte-order mark at its start is left out and nothing else is changed, line ends included.
How the ids become training windows is the matter of `charrnn.lanes`.
"""

from __future__ import annotations

import hashlib
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from charrnn.encoder import CharEncoder, Ids, code_points, from_code_points
from charrnn.errors import CorpusError

STDIN = "-"
MIN_PIECE = 2
"""Characters that either piece of a split must have: one to read and one to predict."""

_CHUNK = 1 << 22
_BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"


@dataclass(frozen=True)
class Corpus:
    """An encoded text.

    Attributes:
        name: the file's name without its folders, or "stdin".
        ids: shape (num_chars,), values in [0, V).
        encoder: of the alphabet of the whole text, its held-out piece included.
        counts: how often each character stands in the text, by id, shape (V,).
        num_bytes: size of the file as it was read.
        sha256: of those bytes, in hexadecimal.
    """

    name: str
    ids: Ids
    encoder: CharEncoder
    counts: list[int]
    num_bytes: int
    sha256: str

    def split(self, val_fraction: float) -> tuple[Ids, Ids]:
        """Cut the text in two: the first piece to train on, the rest, contiguous, held out.

        Raises:
            CorpusError: a piece would be too short to predict anything.
        """
        held_out = max(MIN_PIECE, round(len(self.ids) * val_fraction))
        if len(self.ids) < held_out + MIN_PIECE:
            raise CorpusError(
                f"{self.name}: {_count(len(self.ids), 'character')}, but at least {held_out + MIN_PIECE} "
                "are needed to train and to validate; give a longer text"
            )
        return self.ids[:-held_out], self.ids[-held_out:]


def read_corpus(path: str) -> Corpus:
    """Read and encode a file, or standard input for "-".

    Raises:
        CorpusError: the file is missing, unreadable, empty or not UTF-8.
    """
    data = read_bytes(path)
    name = "stdin" if path == STDIN else Path(path).name
    text = decode_text(data, name if path == STDIN else path)
    if not text:
        raise CorpusError(f"{path if path != STDIN else name}: no characters; give a text to learn from")
    ids, encoder, counts = _encode_alphabet(text)
    return Corpus(name, ids, encoder, counts, len(data), hashlib.sha256(data).hexdigest())


def read_text(path: str) -> str:
    """Read a file, or standard input for "-", as text.

    Raises:
        CorpusError: the file is missing, unreadable or not UTF-8.
    """
    return decode_text(read_bytes(path), "stdin" if path == STDIN else path)


def read_bytes(path: str) -> bytes:
    """Read a file, or standard input for "-", whole.

    Raises:
        CorpusError: the file is missing or cannot be read.
    """
    try:
        return sys.stdin.buffer.read() if path == STDIN else Path(path).read_bytes()
    except IsADirectoryError:
        raise CorpusError(f"{path}: is a folder; give a text file") from None
    except FileNotFoundError:
        raise CorpusError(f"{path}: no such file; give a text file, or - for standard input") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise CorpusError(f"{path}: cannot be read ({reason})") from None


def decode_text(data: bytes, name: str) -> str:
    """Decode strict UTF-8 and leave out one leading byte-order mark.

    Raises:
        CorpusError: the bytes are not UTF-8; the message gives the place.
    """
    try:
        return data.decode("utf-8").removeprefix(_BOM)
    except UnicodeDecodeError as error:
        bad = data[error.start : error.end].hex(" ")
        encoding = ("UTF-16", "utf-16") if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ("Latin-1", "latin1")
        source, copy = shlex.quote(name), shlex.quote(f"{Path(name).stem}-utf8.txt")
        raise CorpusError(
            f"{name}: not valid UTF-8 at byte {error.start} (0x{bad}); if it is {encoding[0]}, convert it: "
            f"iconv -f {encoding[1]} -t utf8 {source} > {copy}"
        ) from None


def _encode_alphabet(text: str) -> tuple[Ids, CharEncoder, list[int]]:
    """Encode a text by its own alphabet, in chunks: four bytes a character are held for a chunk only."""
    chunks = [text[start : start + _CHUNK] for start in range(0, len(text), _CHUNK)]
    points = np.unique(np.concatenate([np.unique(code_points(chunk)) for chunk in chunks]))
    encoder = CharEncoder(from_code_points(points))
    ids = np.empty(len(text), dtype=encoder.dtype)
    counts = np.zeros(len(encoder), dtype=np.int64)
    for index, chunk in enumerate(chunks):
        encoded = encoder.encode(chunk)
        ids[index * _CHUNK : index * _CHUNK + len(chunk)] = encoded
        counts += np.bincount(encoded, minlength=len(encoder))
    return ids, encoder, counts.tolist()


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
