"""Lines of text from a file or a pipe, as they come: a line is handed on as soon as it is there."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from charrnn.errors import CorpusError
from charrnn.text.options import BYTE, PLAIN, TextOptions
from charrnn.text.sources import STDIN

_PIECE = 1 << 18
_BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"


def read_lines(path: str, options: TextOptions = PLAIN) -> Iterator[list[str]]:
    """Decode line by line, in constant memory; only a line feed ends a line.

    Args:
        path: of the file, or "-" for standard input.
        options: its encoding, in which a line feed must be the one byte that it is in ASCII.

    Yields:
        The whole lines that were there, one or more, each with its line feed; the last may lack one.

    Raises:
        CorpusError: the file is missing or unreadable, or a line is not in its encoding; those before were given.
    """
    if codecs.lookup(options.encoding).name == "utf-8-sig":  # the mark is left out in any case
        options = replace(options, encoding="utf-8")
    if "\n".encode(options.encoding) != b"\n":
        raise CorpusError(f"{path}: in {options.encoding} a line feed is more than a byte; pass it through iconv")
    if path == STDIN:
        yield from _split(sys.stdin.buffer, "standard input", options)
        return
    try:
        with open(path, "rb") as file:
            yield from _split(file, path, options)
    except IsADirectoryError:
        raise CorpusError(f"{path}: is a folder; give a text file") from None
    except FileNotFoundError:
        raise CorpusError(f"{path}: no such file; give a text file, or - for standard input") from None
    except PermissionError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror})") from None


def _split(file: BinaryIO, name: str, options: TextOptions) -> Iterator[list[str]]:
    number, unfinished = 1, []
    # read1: what there is, and no waiting until it is much
    while piece := file.read1(_PIECE):  # type: ignore[attr-defined]  # all buffered files have it
        whole, feed, rest = piece.rpartition(b"\n")
        if not feed:
            unfinished.append(piece)
            continue
        lines = b"".join([*unfinished, whole]).split(b"\n")
        yield from _decode([line + b"\n" for line in lines], number, name, options)
        number, unfinished = number + len(lines), [rest]
    if last := b"".join(unfinished):
        yield from _decode([last], number, name, options)


def _decode(lines: list[bytes], number: int, name: str, options: TextOptions) -> Iterator[list[str]]:
    """Decode lines, of which the first has that number; those before a bad one are handed on."""
    encoding, errors = options.encoding, "surrogateescape" if options.unit == BYTE else options.errors
    texts: list[str] = []
    for line in lines:
        try:
            texts.append(line.decode(encoding, errors))
        except UnicodeDecodeError as error:
            if texts:
                yield texts
            bad = line[error.start : error.end].hex(" ")
            raise CorpusError(
                f"{name}: line {number + len(texts):,} is not valid {encoding.upper()} at byte {error.start} "
                f"(0x{bad}); if it is Latin-1, pass it through `iconv -f latin1 -t utf8`"
            ) from None
    if number == 1:
        texts[0] = texts[0].removeprefix(_BOM)
    yield texts
