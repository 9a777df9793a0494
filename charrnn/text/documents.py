"""Documents that are read whole as text, and the question whether one is text at all."""

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
from charrnn.text.misread import CONTINUING, Doubt
from charrnn.text.options import BYTE, CHARACTER, TextOptions
from charrnn.text.sources import Document, find_documents, opened
from charrnn.text.unpacking import CHUNK
from charrnn.text.unreadable import read_errors_told, require_file

TO_A_NUL = 1_000
"""Characters of a text, more than that to each that is NUL: a log has some where the power failed, and no text many."""


Watch = Callable[[Iterable[bytes]], Iterable[bytes]]
"""Hands on a document's bytes, as `Meter.watch` does."""


def read_text(
    path: str,
    options: TextOptions,
    *,
    doubt: Doubt = lambda name: None,
    takes_nulls: bool = True,
    watch: Watch = iter,
) -> str:
    """Read a file, or standard input for "-", as text, whole, for an existing model.

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


def read_beginning(
    path: str, options: TextOptions, length: int, *, doubt: Doubt = lambda name: None
) -> tuple[str, bool]:
    """Read a text as `read_text` does, up to a length in characters; of a pipe no more is waited for.

    Returns:
        The text, and whether that is all of it.

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


def _num_begun(piece: str) -> int:
    """How many characters begin among bytes, at least: what goes on with one in UTF-8 may be no text, and one each."""
    return len(piece.encode("latin-1").translate(None, CONTINUING))


def read_in_each(
    path: str,
    options: TextOptions,
    encodings: Sequence[str],
    *,
    doubt: Doubt = lambda name: None,
    takes_nulls: bool = True,
    watch: Watch = iter,
) -> Iterator[str]:
    """Read a file as `read_text` does, in each of several encodings, at least one, in which it can be read.

    Args:
        path: of the file.
        options: how it is read, but for its encoding.
        encodings: these.
        doubt: told of a text that seems to be misread.
        takes_nulls: whether a text with many NUL characters may be one that is not misread.
        watch: sees the bytes, unpacked, each time they are read.

    Yields:
        The text in one after another, each as it is asked for: a large one need not be held in all of them at once.

    Raises:
        CorpusError: the file is missing, unreadable or in none of them, as the first has it.
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


def _read(document: Document, options: TextOptions, doubt: Doubt, watch: Watch) -> str:
    pieces = decode_document(watch(document.chunks()), document.name, options, mend=OTHER_ENCODING, doubt=doubt)
    return _prepared(pieces, options)


def _refuse_nulls(text: str, name: str, options: TextOptions) -> None:
    """Refuse what is no text in its encoding, though valid in it: many of its characters are NUL.

    One that is astray is no reason: no flag would let a short text pass that has it.
    """
    if options.unit != BYTE and _has_nulls_of_wide(text):
        told = f"read as {options.encoding.upper()}, it has many NUL characters, as UTF-16 and UTF-32 have then"
        raise DecodingError(f"{name}: {told}; {OTHER_ENCODING}")


def _has_nulls_of_wide(text: str) -> bool:
    """Whether NUL characters are as many as where UTF-16 or UTF-32 is misread, or stand at most blanks, as there."""
    num_blanks = text.count(" ") + text.count("\n")
    at_blanks = max(text.count(" \0") + text.count("\n\0"), text.count("\0 ") + text.count("\0\n"))
    return 4 * text.count("\0") > len(text) or (at_blanks > 1 and 2 * at_blanks > num_blanks)


def _prepared(pieces: Iterable[str], options: TextOptions) -> str:
    """A whole text, changed as the options say; bytes, where these are the unit, stand in it as characters."""
    text = prepare("".join(pieces), options)
    return text if options.unit == CHARACTER else text.encode("latin-1").decode("utf-8", "surrogateescape")


def begins_as(path: str, num_bytes: int, sha256: str) -> bool:
    """Whether a file, and no pipe, begins with so many bytes of this hash, and goes on: a log that has grown since.

    Raises:
        CorpusError: it cannot be read.
    """
    return os.path.isfile(path) and os.path.getsize(path) > num_bytes and _hash(path, num_bytes) == sha256


def _hash(path: str, num_bytes: int) -> str:
    """The sha256 of a file's first bytes, in hexadecimal."""
    left, seen = num_bytes, hashlib.sha256()
    with read_errors_told(path), open(path, "rb") as file:
        while left and (chunk := file.read(min(left, CHUNK))):
            seen.update(chunk)
            left -= len(chunk)
    return seen.hexdigest()


def why_no_text(
    document: Document, options: TextOptions, advance: Callable[[int], None] = lambda more: None
) -> Cause | None:
    """Why a document in a folder is no text; None where it is one in its encoding and has hardly any NUL characters.

    Where the unit is the byte, all are that can be unpacked.

    Args:
        document: what is read, as far as is needed to tell.
        options: its encoding.
        advance: told of each piece how many bytes it has.

    Raises:
        CorpusError: it cannot be read.
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


def _told(chunks: Iterator[bytes], advance: Callable[[int], None]) -> Iterator[bytes]:
    for chunk in chunks:
        advance(len(chunk))
        yield chunk
