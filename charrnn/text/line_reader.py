"""Reading lines of text from a file or a pipe, each as soon as it is there."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import BinaryIO

from charrnn.errors import CorpusError
from charrnn.paths import STDIN, name_of
from charrnn.text.advice import OTHER_ENCODING, advice_on_nulls, advice_on_utf8, told_of_wide_mark
from charrnn.text.decoding import BOM
from charrnn.text.kinds import refuse_document
from charrnn.text.misread import Doubt, FirstLook, no_doubt
from charrnn.text.options import BYTE, PLAIN, TextOptions
from charrnn.text.unpacking import CHUNK, compression_of, decompressed
from charrnn.text.unreadable import require_file, translate_read_errors

FIRST_PIECE = 1 << 13
"""Bytes of the first read, few so that the first lines come soon; each further read takes twice as many."""

_SHIFTING = ("iso2022", "hz", "utf-7")
"""Stateful encodings, in which the meaning of a line's bytes may depend on the lines before."""

_AFTER = b"\n\n"
"""Appended to a line, after its line feed, while it is decoded: after a character that is cut off, a decoder takes the
line feed for its next byte, and sees that it is invalid only when all four bytes are there."""


def read_lines(
    path: str,
    options: TextOptions = PLAIN,
    *,
    is_tolerant: bool = False,
    advance: Callable[[int], None] = lambda more: None,
    doubt: Doubt = no_doubt,
    watch: Callable[[Iterable[bytes]], Iterable[bytes]] = iter,
) -> Iterator[list[str]]:
    """Decode a text line by line, in constant memory except for the longest line; only a line feed ends a line.

    Args:
        path: of the file, which may be compressed, or "-" for standard input, which may not.
        options: its encoding, which must be stateless and encode a line feed as the ASCII byte.
        is_tolerant: whether invalid bytes become surrogates instead of errors.
        advance: called after each group of lines with the number of further bytes read, before unpacking.
        doubt: told of a text that seems to be misread.
        watch: sees the bytes, unpacked, as `Meter.watch` does.

    Yields:
        The complete lines that are there, one or more, each with its line feed; the last may lack one.

    Raises:
        CorpusError: the file is missing or unreadable, or a line is not in its encoding; those before were given.
    """
    if options.codec == "utf-8-sig":  # the mark is removed in any case
        options = replace(options, encoding="utf-8")
    name = name_of(path)
    if not _has_lines(options):
        told = f"is read as {options.encoding}, whose lines cannot be read one by one"
        raise CorpusError(f"{name}: {told}; convert it to UTF-8 (iconv), and give --encoding utf-8")
    require_file(path)
    look = FirstLook(name, doubt, options)
    with (
        translate_read_errors(name),
        contextlib.nullcontext(sys.stdin.buffer) if path == STDIN else open(path, "rb") as file,
    ):
        is_raw, place = path == STDIN or not file.seekable(), 0  # the kind of a pipe cannot be examined first
        with contextlib.nullcontext(file) if is_raw else decompressed(file, path) as plain:
            for lines in _split(watch(_pieces(plain)), name, options, look, is_tolerant=is_tolerant, is_raw=is_raw):
                yield lines
                if not is_raw:
                    before, place = place, file.tell()
                    advance(place - before)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    size = FIRST_PIECE
    # read1 returns what is there, without waiting for `size` bytes
    while piece := file.read1(size):  # type: ignore[attr-defined]  # all buffered files have it
        size = min(2 * size, CHUNK)
        yield piece


def _split(
    pieces: Iterable[bytes], name: str, options: TextOptions, look: FirstLook, *, is_tolerant: bool, is_raw: bool
) -> Iterator[list[str]]:
    number, decoded = 1, replace(options, errors="surrogateescape") if is_tolerant else options
    unfinished: list[bytes] = []
    for piece in pieces:
        if number == 1 and not unfinished:
            _refuse_no_text(piece, name, options, is_raw=is_raw)
        whole, feed, rest = piece.rpartition(b"\n")
        if not feed:
            unfinished.append(piece)
            continue
        lines = b"".join([*unfinished, whole]).split(b"\n")
        yield from _decode([line + b"\n" for line in lines], number, name, decoded, look)
        number, unfinished = number + len(lines), [rest]
    if last := b"".join(unfinished):
        yield from _decode([last], number, name, decoded, look)


def _has_lines(options: TextOptions) -> bool:
    return "\n".encode(options.encoding) == b"\n" and not options.codec.startswith(_SHIFTING)


def _refuse_no_text(head: bytes, name: str, options: TextOptions, *, is_raw: bool) -> None:
    """Refuse by its first bytes what is not text with lines; `is_raw` bytes, those of a pipe, were not unpacked."""
    if is_raw and (kind := compression_of(head)):
        raise CorpusError(f"{name}: compressed by {kind}; pass it through a program that unpacks it, such as zcat")
    if options.unit != BYTE:
        refuse_document(head, name, options, is_settled=True)
        if told := told_of_wide_mark(head, options):
            raise CorpusError(f"{name}: {told}")


def _decode(lines: list[bytes], number: int, name: str, options: TextOptions, look: FirstLook) -> Iterator[list[str]]:
    """Decode lines, the first of which has this number; the lines before an invalid one are yielded first."""
    encoding, errors = options.encoding, "surrogateescape" if options.unit == BYTE else options.errors
    texts: list[str] = []
    for place, line in enumerate(lines, number):
        after = _AFTER if line.endswith(b"\n") else b""
        try:
            text = (line + after).decode(encoding, errors)
        except UnicodeDecodeError as error:
            if texts:
                yield texts
            bad = line[error.start : error.end].hex(" ")
            advice = advice_on_nulls(line, is_settled=True) if place == 1 else ""
            advice = advice or advice_on_utf8(error, options, line) or OTHER_ENCODING
            raise CorpusError(
                f"{name}: line {place:,} is not valid {encoding.upper()} at byte {error.start} (0x{bad}); {advice}"
            ) from None
        text = text[: len(text) - len(after)]
        look.take(line, text)
        texts.append(text.removeprefix(BOM) if place == 1 and options.unit != BYTE else text)
    yield texts
