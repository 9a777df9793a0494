"""Documents that are read whole as text, and the question whether one is text at all."""

from __future__ import annotations

from contextlib import closing

from charrnn.errors import DamagedError, DecodingError
from charrnn.text.decoding import TextPreparer, decode_document
from charrnn.text.options import BYTE, CHARACTER, PLAIN, TextOptions
from charrnn.text.sources import Document, find_documents, require_file


def read_text(path: str, options: TextOptions | None = None) -> str:
    """Read a file, or standard input for "-", as text, whole, for a model that there is.

    Raises:
        CorpusError: the file is missing, unreadable or not in its encoding.
    """
    require_file(path)
    options = options or PLAIN
    preparer = TextPreparer(options)
    with closing(find_documents([path])) as found:
        document = found.documents[0]
        decoded = decode_document(document.chunks(), document.name, options, is_settled=True)
        pieces = [preparer.feed(text) for text in decoded]
    text = "".join([*pieces, preparer.feed("", final=True)])
    return text if options.unit == CHARACTER else text.encode("latin-1").decode("utf-8", "surrogateescape")


def is_text(document: Document, options: TextOptions) -> bool:
    """Whether a document is one in its encoding and holds no NUL character, as texts do not.

    Where the unit is the byte, all are that are not damaged.

    Raises:
        CorpusError: it cannot be read.
    """
    chunks = document.chunks()
    try:
        texts = decode_document(chunks, document.name, options)
        return all("\0" not in text or options.unit == BYTE for text in texts)
    except (DecodingError, DamagedError):
        return False
