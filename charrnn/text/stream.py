"""Several documents as one text that can be read twice, with the same result or an error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from charrnn.errors import CorpusError
from charrnn.surrogates import to_bytes
from charrnn.text.decoding import TextPreparer, decode_document
from charrnn.text.kinds import begins_html
from charrnn.text.meter import Meter
from charrnn.text.options import BYTE, CHARACTER, PLAIN
from charrnn.text.read_options import ReadOptions
from charrnn.text.sources import Found
from charrnn.text.unreadable import CHANGED


class TextStream:
    """Several documents, prepared and joined.

    Where each line is a text of its own, a line feed is added between documents if the former ends without one.

    Args:
        found: the documents; before the first that is given as held out, preparing starts anew without a separator.
        reading: how they are read; if the alphabet is fixed, messages must not suggest flags that change it.
        meter: sees every byte.

    Attributes:
        num_learned: characters before the documents given as held out, known after `read`.
        misread: names of documents that seem to be misread, each with the likelier encoding, known after `read`.
        html: names of documents that begin as HTML does, known after `read`.
    """

    def __init__(self, found: Found, reading: ReadOptions, meter: Meter) -> None:
        self._documents, self._held_out_from = found.documents, found.held_out_from
        self._options = reading.options
        self._separator = reading.separator
        self._length = reading.length
        self._meter = meter
        settled = f"the model reads {self._options.encoding}, so it has not learned from this; iconv converts"
        self._mend = settled if reading.is_settled else ""
        self._signatures = self._sign()
        self.num_learned = 0
        self.misread: dict[str, str] = {}  # a document may be read again
        self.html: dict[str, None] = {}  # an ordered set

    @property
    def is_costly(self) -> bool:
        """Whether reading is slow: a document is compressed, in another encoding, or changed by an option."""
        is_plain = replace(self._options, unit=CHARACTER, lines=False, encoding=self._options.codec) == PLAIN
        return not is_plain or any(document.is_packed() for document in self._documents)

    def read(self) -> Iterator[str]:
        """Read the whole text, in pieces.

        Raises:
            CorpusError: a document cannot be read or is not in its encoding.
        """
        self.num_learned = 0
        for number, text in self._read_numbered():
            if self._held_out_from is None or number < self._held_out_from:
                self.num_learned += len(text)
            yield text

    def read_again(self, num_chars: int) -> Iterator[str]:
        """Read the text once more, each document up to its size in the first pass.

        If a file's signature has changed since the first pass, the hashes of both passes are compared; if it changes
        during this pass, a third pass is read and compared.

        Args:
            num_chars: length of the text in the first pass; no more characters are yielded.

        Raises:
            CorpusError: the text has changed.
        """
        has_changed = self._sign() != self._signatures
        self._meter.begin_again(compares=has_changed)
        left = num_chars
        for text in self.read():
            left -= len(text)
            if left < 0:
                break
            yield text
        is_same = self._meter.is_same if has_changed else self._sign() == self._signatures or self._is_still_the_same()
        if left or not is_same:
            raise CorpusError(CHANGED)

    def _read_numbered(self) -> Iterator[tuple[int, str]]:
        """Pieces of text, each with its document's number; a separator belongs to the document before."""
        preparer, encoding = TextPreparer(self._options), "latin-1" if self._options.unit == BYTE else "utf-8"
        last = ""
        for number, document in enumerate(self._documents):
            between = self._separator if number and number != self._held_out_from else ""
            if last == "\r" and between.startswith("\n") and self._options.newline == "lf":
                between = "\n" + between  # the CR and one LF are a single line end
            if self._options.lines and last not in ("", "\n") and not between.startswith(("\n", "\r\n")):
                between = "\n" + between
            last = between[-1:] or last
            for chunk in self._meter.watch([to_bytes(between)]):
                yield number - 1, preparer.feed(chunk.decode(encoding))
            if number == self._held_out_from:
                yield number - 1, preparer.feed("", final=True)
                preparer = TextPreparer(self._options)
            chunks = document.chunks()
            chunks = self._meter.watch(chunks if self._length is None else _first_of(chunks, self._length))
            is_alone = len(self._documents) == 1
            texts = decode_document(
                chunks, document.name, self._options, mend=self._mend, is_alone=is_alone, doubt=self._note
            )
            for text in self._look_for_html(texts, document.name):
                last = text[-1:] or last
                yield number, preparer.feed(text)
        yield len(self._documents) - 1, preparer.feed("", final=True)

    def _look_for_html(self, texts: Iterable[str], name: str) -> Iterator[str]:
        """Hand on the pieces of a document, and note its name where they begin as HTML."""
        pieces = filter(None, texts)
        first = next(pieces, "")
        if begins_html(first):
            self.html[name] = None
        yield first
        yield from pieces

    def _note(self, name: str, likely: str) -> None:
        self.misread[name] = likely

    def _is_still_the_same(self) -> bool:
        """Read and compare the bytes of the first pass once more: a log may merely have grown."""
        self._meter.begin_again(compares=True)
        try:
            for _ in self.read():
                pass
        except CorpusError:  # the text is cut within a character, or another one altogether
            return False
        return self._meter.is_same

    def _sign(self) -> list[tuple[int, int, int] | None]:
        return [document.signature() for document in self._documents]


def _first_of(chunks: Iterable[bytes], length: int) -> Iterator[bytes]:
    """The first `length` bytes of the chunks, or all if there are fewer."""
    left = length
    for chunk in chunks:
        yield chunk[:left]
        left -= len(chunk)
        if left <= 0:
            break
