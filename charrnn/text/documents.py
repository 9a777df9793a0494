"""Reading whole documents as text, and checking whether a document is text at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import IO, cast

from charrnn.errors import DecodingError, UnpackingError
from charrnn.text.advice import OTHER_ENCODING
from charrnn.text.decoding import decode_document, prepare
from charrnn.text.keeping import Pipe
from charrnn.text.kinds import GIVE_TEXT
from charrnn.text.left_out import NO_MEND, NULS, Cause, cause_in
from charrnn.text.misread import CONTINUING, Doubt, no_doubt
from charrnn.text.options import BYTE, CHARACTER, TextOptions
from charrnn.text.sources import Document, find_documents, opened
from charrnn.text.unpacking import CHUNK
from charrnn.text.unreadable import require_file, translate_read_errors

TO_A_NUL = 1_000
"""A text has more than this many characters per NUL: a log may hold a few NULs where the power failed."""


ByteFilter = Callable[[Iterable[bytes]], Iterable[bytes]]
"""Passes on a document's bytes, as `Meter.watch` does."""


def read_text(
    path: str,
    options: TextOptions,
    *,
    doubt: Doubt = no_doubt,
    takes_nulls: bool = True,
    watch: ByteFilter = iter,
) -> str:
    """Read a whole file, or standard input for "-", as text for an existing model.

    Args:
        path: of the file.
        options: how it is read.
        doubt: told of a text that seems to be misread.
        takes_nulls: see `read_in_each`.
        watch: sees the bytes, unpacked.

    Raises:
        CorpusError: the file is missing, unreadable or not in its encoding.
    """
    return next(read_in_each(path, options, [options.encoding], doubt=doubt, takes_nulls=takes_nulls, watch=watch))


def read_beginning(path: str, options: TextOptions, length: int, *, doubt: Doubt = no_doubt) -> tuple[str, bool]:
    """Read a text as `read_text` does, up to a length in characters, without waiting for more of a pipe.

    Returns:
        The beginning of the text, and whether it is the whole text.

    Raises:
        CorpusError: as in `read_text`.
    """
    require_file(path)
    pieces, read = list[str](), 0
    with opened(path, lambda stream, name: cast(IO[bytes], Pipe(stream))) as document:
        for piece in decode_document(document.chunks(), document.name, options, mend=OTHER_ENCODING, doubt=doubt):
            pieces.append(piece)
            read += len(piece) if options.unit == CHARACTER else _num_begun(piece)
            if read > length:
                break
    text = _prepared(pieces, options)
    return text[:length], max(read, len(text)) <= length


def read_in_each(
    path: str,
    options: TextOptions,
    encodings: Sequence[str],
    *,
    doubt: Doubt = no_doubt,
    takes_nulls: bool = True,
    watch: ByteFilter = iter,
) -> Iterator[str]:
    """Read a file as `read_text` does, in each of several encodings in which it can be read.

    Args:
        path: of the file.
        options: how it is read, except for its encoding.
        encodings: the encodings to try, at least one.
        doubt: told of a text that seems to be misread.
        takes_nulls: whether to accept a text with so many NUL characters that it seems to be misread.
        watch: sees the bytes, unpacked, each time they are read.

    Yields:
        The text in one encoding after another, lazily, so that a large text need not be held in several at once.

    Raises:
        CorpusError: the file is missing, unreadable or valid in no encoding; the message is about the first.
        ConfigError: there is no such encoding, or the unit is the byte, which has none.
    """
    require_file(path)
    was_read, refusals = False, []
    with contextlib.closing(find_documents([path])) as found:
        for reading in map(options.in_encoding, encodings):
            try:
                text = _read(found.documents[0], reading, doubt, watch)
                if not takes_nulls:
                    _refuse_nulls(text, found.documents[0].name, reading)
                yield text
                was_read = True
            except DecodingError as error:
                refusals.append(error)
    if not was_read:
        raise refusals[0]


def begins_as(path: str, num_bytes: int, sha256: str) -> bool:
    """Whether a regular file is longer than `num_bytes` and these first bytes have this hash, as a log that has grown.

    Raises:
        CorpusError: the file cannot be read.
    """
    return os.path.isfile(path) and os.path.getsize(path) > num_bytes and _hash(path, num_bytes) == sha256


def why_no_text(
    document: Document, options: TextOptions, advance: Callable[[int], None] = lambda more: None
) -> Cause | None:
    """Why a document in a folder is no text; None if it is valid in its encoding and has hardly any NUL characters.

    Where the unit is the byte, every document is text that can be unpacked.

    Args:
        document: read until it proves to be no text, or to its end.
        options: its encoding.
        advance: told the size of each chunk in bytes.

    Raises:
        CorpusError: the document cannot be read.
    """
    try:
        num_chars = num_nulls = 0
        for text in decode_document(_told(document.chunks(), advance), document.name, options, is_alone=False):
            num_chars += len(text)
            num_nulls += text.count("\0")
    except (DecodingError, UnpackingError) as error:
        cause = cause_in(error, document.name)
        return replace(cause, mend=NO_MEND) if cause.mend == GIVE_TEXT else cause
    has_many = num_nulls > 0 and num_nulls * TO_A_NUL >= num_chars
    return NULS if has_many and options.unit != BYTE else None


def _num_begun(piece: str) -> int:
    """A lower bound on the characters in UTF-8 bytes: a stray continuation byte is one too, but is not counted."""
    return len(piece.encode("latin-1").translate(None, CONTINUING))


def _read(document: Document, options: TextOptions, doubt: Doubt, watch: ByteFilter) -> str:
    pieces = decode_document(watch(document.chunks()), document.name, options, mend=OTHER_ENCODING, doubt=doubt)
    return _prepared(pieces, options)


def _refuse_nulls(text: str, name: str, options: TextOptions) -> None:
    """Refuse a text that is valid in its encoding but has so many NUL characters that it is probably misread.

    A stray NUL is accepted, since no flag would let a short text with one pass.
    """
    if options.unit != BYTE and _has_nulls_of_wide(text):
        told = f"read as {options.encoding.upper()}, it has many NUL characters, as UTF-16 and UTF-32 have then"
        raise DecodingError(f"{name}: {told}; {OTHER_ENCODING}")


def _has_nulls_of_wide(text: str) -> bool:
    """Whether NUL characters are as frequent, or stand beside blanks as often, as in misread UTF-16 or UTF-32."""
    num_blanks = text.count(" ") + text.count("\n")
    at_blanks = max(text.count(" \0") + text.count("\n\0"), text.count("\0 ") + text.count("\0\n"))
    return 4 * text.count("\0") > len(text) or (at_blanks > 1 and 2 * at_blanks > num_blanks)


def _prepared(pieces: Iterable[str], options: TextOptions) -> str:
    """Join and prepare a whole text; where the unit is the byte, its bytes are decoded as UTF-8."""
    text = prepare("".join(pieces), options)
    return text if options.unit == CHARACTER else text.encode("latin-1").decode("utf-8", "surrogateescape")


def _hash(path: str, num_bytes: int) -> str:
    """The sha256 of a file's first bytes, in hexadecimal."""
    left, seen = num_bytes, hashlib.sha256()
    with translate_read_errors(path), open(path, "rb") as file:
        while left and (chunk := file.read(min(left, CHUNK))):
            seen.update(chunk)
            left -= len(chunk)
    return seen.hexdigest()


def _told(chunks: Iterator[bytes], advance: Callable[[int], None]) -> Iterator[bytes]:
    for chunk in chunks:
        advance(len(chunk))
        yield chunk
