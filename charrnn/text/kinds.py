"""What a file is by its first bytes: a text, a text and much else as a document has it, or none."""

from __future__ import annotations

import re
from collections.abc import Mapping

from charrnn.errors import DecodingError
from charrnn.text.options import TextOptions
from charrnn.text.unpacking import compression_of

ZIP = b"PK\x03\x04"
"""How a zip archive begins, and so every checkpoint."""

DOCUMENTS = {
    ZIP: "a zip archive, as Word, LibreOffice and EPUB write",
    b"\xd0\xcf\x11\xe0": "an old Word document",
    b"%PDF-": "a PDF document",
    b"{\\rtf": "a rich-text document",
}
"""Files that hold a text and much else, by how they begin."""

_FIRST_IN_DOCUMENTS = (b"[Content_Types].xml", b"_rels/.rels", b"mimetype")
_ZIP_NAME, _ZIP_NAME_SIZE = 30, slice(26, 28)
"""Where in a zip archive the name of its first file stands, and how long that is."""

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
"""Files that are no text, by how they begin; a NUL byte soon after tells each from a text that begins alike."""

_NUL_WITHIN = 32
"""First bytes of such a file, of which one is NUL."""

_TAR_MARK, _IN_TAR = slice(257, 262), b"ustar"

LOG_BEGINNING = b'{"run": "000000000000", "step": '
"""Of every line of a training's log, with the training's own name in the place of the zeros."""

_LOG_BEGINNING = re.compile(LOG_BEGINNING.replace(b"0" * 12, b"[0-9a-f]{12}").replace(b"{", rb"\{", 1))

GIVE_TEXT = "give a text file"
"""What to do about a file that is no text."""

LONGEST_OBJECT = 100_000_000
"""Bytes of the JSON object that a file of safetensors begins with, at most, by its library."""

LONGEST_HEAD = _TAR_MARK.stop
"""Bytes that tell what a file is."""


def holds_weights(head: bytes) -> bool:
    """Whether a file is one of safetensors by its first bytes: the length of a JSON object, eight bytes, and that."""
    return len(head) > 8 and int.from_bytes(head[:8], "little") <= LONGEST_OBJECT and head[8:10] == b'{"'


def holds_log(head: bytes) -> bool:
    """Whether a file is a training's log by its first bytes."""
    return _LOG_BEGINNING.match(head) is not None


def kind_without_text(head: bytes) -> str:
    """What a file is that holds no text, such as a picture, by its first bytes; empty where they do not tell."""
    if b"\0" not in head[:_NUL_WITHIN]:
        return ""
    if head[4:8] == b"ftyp":
        return "a film or sound (MP4)"
    return _by_beginning(head, _NO_TEXTS)


def document_kind(head: bytes) -> str:
    """What a document is, such as one of Word, by its first bytes; empty where they are no document's.

    A zip archive is one if its first file is what documents begin with: a checkpoint is a zip archive too.
    """
    is_other_zip = head.startswith(ZIP) and first_in_zip(head) not in _FIRST_IN_DOCUMENTS
    return "" if is_other_zip else _by_beginning(head, DOCUMENTS)


def first_in_zip(head: bytes) -> bytes:
    """The name of the first file in a zip archive, by the archive's first bytes."""
    return head[_ZIP_NAME:][: int.from_bytes(head[_ZIP_NAME_SIZE], "little")]


def refuse_document(head: bytes, name: str, options: TextOptions, *, is_settled: bool) -> None:
    """Refuse a file that holds no text, or a text and much else, by its first plain bytes, unless any may be text.

    What is compressed is unpacked once and never taken for text, though any bytes may be.

    Raises:
        DecodingError: it is one.
    """
    # in a wide encoding such bytes may be any character
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
    if kind := _by_beginning(head, DOCUMENTS):
        encoding = options.encoding if is_settled else "UTF-8"
        unpack = "unpack it (unzip) or, if it is a document, " if head.startswith(ZIP) else ""
        raise DecodingError(f"{name}: is {kind}, not plain text; {unpack}save it as that, in {encoding}")


def _by_beginning(head: bytes, kinds: Mapping[bytes, str]) -> str:
    """The kind of a file that begins as one of some does; empty where it begins as none."""
    return next((kind for beginning, kind in kinds.items() if head.startswith(beginning)), "")
