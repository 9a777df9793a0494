"""Recognising a file by its first bytes: plain text, a document that holds more than text, or no text at all."""

from __future__ import annotations

import re
from collections.abc import Mapping

from charrnn.errors import DecodingError
from charrnn.text.options import TextOptions
from charrnn.text.unpacking import compression_of

ZIP = b"PK\x03\x04"
"""First bytes of a zip archive, and so of every checkpoint."""

DOCUMENTS = {
    ZIP: "a zip archive, as Word, LibreOffice and EPUB write",
    b"\xd0\xcf\x11\xe0": "an old Word document",
    b"%PDF-": "a PDF document",
    b"{\\rtf": "a rich-text document",
}
"""Documents that hold more than plain text, by their first bytes."""

_FIRST_IN_DOCUMENTS = (b"[Content_Types].xml", b"_rels/.rels", b"mimetype")
_ZIP_NAME, _ZIP_NAME_SIZE = 30, slice(26, 28)
"""Offset of the first file's name in a zip archive, and where the name's length is stored."""

_NO_TEXTS = {
    b"\x89PNG": "a picture (PNG)",
    b"\xff\xd8\xff": "a picture (JPEG)",
    b"GIF8": "a picture (GIF)",
    b"BM": "a picture (BMP)",
    b"RIFF": "sound, a film or a picture (RIFF)",
    b"ID3": "sound (MP3)",
    b"\xff\xfb": "sound (MP3)",
    b"OggS": "sound (Ogg)",
    b"fLaC": "sound (FLAC)",
    b"\x7fELF": "a program (ELF)",
    b"\xcf\xfa\xed\xfe": "a program (Mach-O)",
    b"MZ": "a program for Windows",
    b"SQLite format 3": "a database (SQLite)",
}
"""Files that are no text, by their first bytes; a NUL byte soon after distinguishes each from a text."""

PACKED = {
    b"Rar!\x1a\x07": "packed by RAR",
    b"7z\xbc\xaf\x27\x1c": "packed by 7-Zip",
    b"\x04\x22\x4d\x18": "compressed by LZ4",
    b"\x1f\x9d": "compressed by compress (.Z)",
}
"""Files that must be unpacked by hand, by their first bytes."""

_NUL_WITHIN = 32
"""First bytes of such a file, among which there is a NUL."""

_TAR_MARK, _IN_TAR = slice(257, 262), b"ustar"

LOG_BEGINNING = b'{"run": "000000000000", "step": '
"""Beginning of every line of a training's log, with the training's own name in the place of the zeros."""

_LOG_BEGINNING = re.compile(LOG_BEGINNING.replace(b"0" * 12, b"[0-9a-f]{12}").replace(b"{", rb"\{", 1))

_HTML_BEGINNING = re.compile(
    r"\s*(<\?xml[^>]*>\s*)?(<!--((?!-->).)*-->\s*)*<(!doctype\s+html|html)[\s>]", re.IGNORECASE | re.DOTALL
)

GIVE_TEXT = "give a text file"
"""Advice on a file that is no text."""

LONGEST_OBJECT = 100_000_000
"""Most bytes in the JSON header of a safetensors file, a limit of the safetensors library."""

LONGEST_HEAD = _TAR_MARK.stop
"""First bytes of a file that suffice to recognise it."""


def holds_weights(head: bytes) -> bool:
    """Whether a file begins like safetensors: eight bytes with the length of a JSON header, then that header."""
    return len(head) > 8 and int.from_bytes(head[:8], "little") <= LONGEST_OBJECT and head[8:10] == b'{"'


def holds_log(head: bytes) -> bool:
    """Whether a file is a training's log by its first bytes."""
    return _LOG_BEGINNING.match(head) is not None


def begins_html(text: str) -> bool:
    """Whether a text is HTML by its first characters."""
    return _HTML_BEGINNING.match(text) is not None


def kind_without_text(head: bytes) -> str:
    """Name the kind of a file that holds no text, such as a picture, by its first bytes; empty if not recognised."""
    if b"\0" not in head[:_NUL_WITHIN]:
        return ""
    if head[4:8] == b"ftyp":
        return "a film or sound (MP4)"
    return _by_beginning(head, _NO_TEXTS)


def document_kind(head: bytes) -> str:
    """Name the kind of a document, such as one of Word, by its first bytes; empty if it is none.

    A zip archive counts as a document only if its first file is typical of one: a checkpoint is a zip archive too.
    """
    is_other_zip = head.startswith(ZIP) and first_in_zip(head) not in _FIRST_IN_DOCUMENTS
    return "" if is_other_zip else _by_beginning(head, DOCUMENTS)


def first_in_zip(head: bytes) -> bytes:
    """The name of the first file in a zip archive, by the archive's first bytes."""
    return head[_ZIP_NAME:][: int.from_bytes(head[_ZIP_NAME_SIZE], "little")]


def refuse_document(head: bytes, name: str, options: TextOptions, *, is_settled: bool) -> None:
    """Refuse a file that is no plain text by its first unpacked bytes, if invalid bytes are errors too.

    A file that is compressed twice is refused whatever `options.errors` is, except in UTF-16 and UTF-32.

    Raises:
        DecodingError: the file is no plain text, or compressed twice.
    """
    # in a wide encoding the magic numbers may be ordinary characters
    if not options.is_wide and (packed := compression_of(head)):
        raise DecodingError(f"{name}: is compressed twice; unpack it once (what comes then is still so, by {packed})")
    if options.errors != "strict":
        return
    if head[_TAR_MARK] == _IN_TAR:
        raise DecodingError(f"{name}: is a tar archive; unpack it (tar -xf) and give the folder")
    if holds_weights(head):
        raise DecodingError(f"{name}: holds the weights of a model (safetensors), not text; {GIVE_TEXT}")
    if not options.is_wide and (nothing := kind_without_text(head)):
        raise DecodingError(f"{name}: is {nothing}, not text; {GIVE_TEXT}")
    if not options.is_wide and (packed := _by_beginning(head, PACKED)):
        raise DecodingError(f"{name}: is {packed}; unpack it")
    if kind := _by_beginning(head, DOCUMENTS):
        encoding = options.encoding if is_settled else "UTF-8"
        unpack = "unpack it (unzip) or, if it is a document, " if head.startswith(ZIP) else ""
        raise DecodingError(f"{name}: is {kind}, not plain text; {unpack}save it as that, in {encoding}")


def _by_beginning(head: bytes, kinds: Mapping[bytes, str]) -> str:
    """The kind whose first bytes a file begins with; empty if there is none."""
    return next((kind for beginning, kind in kinds.items() if head.startswith(beginning)), "")
