"""Encoding texts as ids, in bounded memory, and what a checkpoint stores about them.

The first pass reads the bytes, hashes them and counts the characters. A second turns them into ids, in memory or, if
there are many, in a memory-mapped file that later runs reuse (`charrnn.text.cache`). Where reading is more than
decoding UTF-8, the first pass keeps a text that is not large, and no second is needed. `charrnn.training.lanes` turns
ids into training windows.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from charrnn.arrays import Ids
from charrnn.config import EVALUATED_SHARE, TrainConfig
from charrnn.errors import CorpusError, ForeignTextError
from charrnn.paths import STDIN_NAME, has_no_name, real
from charrnn.text.alphabet import counts_by_id, settle_alphabet
from charrnn.text.cache import cache_key
from charrnn.text.char_counter import CharCounter, Counts
from charrnn.text.documents import why_no_text
from charrnn.text.encoder import CharEncoder, code_points, line_feed_id
from charrnn.text.left_out import MADE, Cause, LeftOut
from charrnn.text.meter import Meter, Progress
from charrnn.text.options import BYTE, TextOptions
from charrnn.text.read_options import ReadOptions
from charrnn.text.sources import Document, Found, find_documents
from charrnn.text.splitting import MIN_PIECE, split_end, split_lines
from charrnn.text.stream import TextStream

MAPPED_BYTES = 64 << 20
"""An encoded text of at least this many bytes is memory-mapped from a file."""

RULES = 4
"""Version of the rules by which bytes become ids: raised when a text may get other ids, to invalidate cached ones."""


@dataclass(frozen=True)
class Corpus:
    """An encoded text.

    Attributes:
        name: the first path's name without its folders; "stdin" for standard input and for a shell's <(...), whose own
            name is a number.
        ids: shape (num_chars,), values in [0, V).
        encoder: of the alphabet of the whole text, including the held-out piece.
        counts: how often each character occurs in the text, by id, shape (V,).
        num_bytes: number of bytes read, decompressed.
        sha256: hash of those bytes, in hexadecimal.
        options: how bytes became characters.
        num_documents: number of documents read.
        skipped: what was left out of folders, see `Found`.
        num_distinct: number of distinct characters, including those too rare for an id.
        val_name: name of the first text given as held out, formed like `name`; empty if none is given.
        num_held_out: characters at the end that belong to such texts; 0 if `split` chooses what to hold out.
        told_of_patterns: message about patterns that matched nothing; empty if all matched.
        misread: names of documents that seem to be misread, each with the likelier encoding.
        html: names of documents that begin as HTML does.
        endings: file extensions of the documents, such as .txt, and how many have each, the commonest first.
    """

    name: str
    ids: Ids
    encoder: CharEncoder
    counts: list[int]
    num_bytes: int
    sha256: str
    options: TextOptions
    num_documents: int
    skipped: Sequence[LeftOut]
    num_distinct: int
    val_name: str = ""
    num_held_out: int = 0
    told_of_patterns: str = ""
    misread: Mapping[str, str] = field(default_factory=dict)
    html: Sequence[str] = ()
    endings: Mapping[str, int] = field(default_factory=dict)

    @property
    def line_end_id(self) -> int | None:
        """The id that ends a line, where each line is a text of its own; else None."""
        return line_feed_id(self.encoder, self.options)

    @property
    def mean_line(self) -> float | None:
        """Mean length of a line in characters, including its line feed, where each line is a text of its own."""
        return None if self.line_end_id is None else len(self.ids) / max(1, self.counts[self.line_end_id])

    @property
    def is_spread(self) -> bool:
        """Whether to hold out lines from all over the text instead of those at its end.

        True where each line is a text of its own: lists are usually sorted, and the end of a sorted list is unlike the
        rest. False if the text is too large to copy, or if a text is given as held out.
        """
        return self.line_end_id is not None and not self.num_held_out and self.ids.nbytes < MAPPED_BYTES

    def split_for(self, config: TrainConfig) -> tuple[Ids, Ids]:
        """Split the text as a training with these options does, see `split`."""
        return self.split(config.val_fraction, spread=config.val_spread, bounded=config.val_bounded)

    def split(self, val_fraction: float, *, spread: bool = False, bounded: bool = False) -> tuple[Ids, Ids]:
        """Split the text into a training piece and a held-out piece, between lines where each is a text of its own.

        Args:
            val_fraction: share of the characters to hold out, or of the lines if `spread`; 0 trains on the whole text,
                and the piece that the default share would hold out is only evaluated.
            spread: whether both pieces consist of lines from all over the text, in their order, where lines are texts;
                otherwise the held-out piece is the end.
            bounded: see `split_lines`.

        Raises:
            CorpusError: a piece would be too short to predict anything.
        """
        if not val_fraction:
            return self.ids, self.split(EVALUATED_SHARE, spread=spread, bounded=bounded)[1]
        if spread and self.line_end_id is not None:
            return split_lines(self.ids, val_fraction, self.line_end_id, self.name, bounded=bounded)
        return split_end(self.ids, val_fraction, self.line_end_id, self.name)


def read_corpus(paths: Sequence[str], reading: ReadOptions | None = None, progress: Progress | None = None) -> Corpus:
    """Read and encode files, folders, and standard input for "-".

    Raises:
        CorpusError: a text is missing, unreadable, empty or not in its encoding.
        ForeignTextError: the text has characters that the given alphabet lacks, or does not have the expected hash.
        ConfigError: standard input is named twice, or the flags leave no alphabet.
    """
    reading, meter = reading or ReadOptions(), Meter(progress)
    found = find_documents(
        paths,
        held_out=reading.val_texts,
        include=reading.include,
        exclude=reading.exclude,
        outputs=reading.outputs,
        copies_in=reading.cache.folder if reading.cache else None,
        may_repeat=reading.is_settled,
        why_not=lambda document: _why_not(document, reading, meter),
        advance=meter.advance,
    )
    with closing(found):
        return _read_found(found, _name(paths[0]), reading, meter)


def _why_not(document: Document, reading: ReadOptions, meter: Meter) -> Cause | None:
    """Why a file in a folder is left out of the text; None if it is read."""
    assert document.path is not None, "it lies in a folder"
    is_made = reading.is_made is not None and reading.is_made(document.path)
    return MADE if is_made else why_no_text(document, reading.options, meter.advance)


def _read_found(found: Found, name: str, reading: ReadOptions, meter: Meter) -> Corpus:
    stream = TextStream(found, reading, meter)
    counter = _count(stream)
    counts, num_learned = counter.counts, stream.num_learned
    _refuse_short(counts, num_learned, name, reading)
    _refuse_without_lines(counts, name, reading)
    encoder = settle_alphabet(counts, name, reading)
    if reading.sha256 not in (None, meter.sha256):
        raise ForeignTextError(f"{name}: is another text")
    return Corpus(
        name=name,
        ids=_encode(stream, encoder, counter, reading, meter),
        encoder=encoder,
        counts=counts_by_id(counts, encoder),
        num_bytes=meter.num_bytes,
        sha256=meter.sha256,
        options=reading.options,
        num_documents=len(found.documents),
        skipped=found.skipped,
        num_distinct=int(np.count_nonzero(counts)),
        val_name=_name(reading.val_texts[0]) if reading.val_texts else "",
        num_held_out=int(counts.sum()) - num_learned if reading.val_texts else 0,
        told_of_patterns=found.told_of_patterns,
        misread=stream.misread,
        html=[*stream.html],
        endings=dict(Counter(Path(document.name).suffix for document in found.documents).most_common()),
    )


def _count(stream: TextStream) -> CharCounter:
    """Make the first pass: count the characters, and keep the text if it is costly to read and not large."""
    counter = CharCounter(MAPPED_BYTES if stream.is_costly else 0)
    for text in stream.read():
        counter.add(code_points(text))
    return counter


def _refuse_short(counts: Counts, num_learned: int, name: str, reading: ReadOptions) -> None:
    """Refuse an empty text, and too short a piece to predict anything where the held-out text is given by name."""
    if reading.val_texts and min(num_learned, int(counts.sum()) - num_learned) < MIN_PIECE:
        which = name if num_learned < MIN_PIECE else _name(reading.val_texts[0])
        raise CorpusError(f"{which}: fewer than {MIN_PIECE} characters; give a longer text")
    if not counts.any():
        raise CorpusError(f"{name}: no characters; give a text to learn from")


def _refuse_without_lines(counts: Counts, name: str, reading: ReadOptions) -> None:
    """Refuse a text without line feeds where each line is to be a text of its own."""
    if not reading.options.lines or counts[ord("\n")]:
        return
    if reading.is_settled:
        raise ForeignTextError(f"{name}: no line feed, and the model learned line by line; give a text of lines")
    mend = "leave it out" if reading.known is None else "give a text of lines"  # --lines may come from the model
    if counts[ord("\r")]:
        as_bytes = r"turn its carriage returns into line feeds first (tr '\r' '\n')"
        is_bytes = reading.options.unit == BYTE
        mend = as_bytes if is_bytes else "give --newline lf, which makes line ends of carriage returns"
    raise CorpusError(f"{name}: no line feed, and --lines needs lines; {mend}")


def _encode(stream: TextStream, encoder: CharEncoder, counter: CharCounter, reading: ReadOptions, meter: Meter) -> Ids:
    """Encode the text, from what the first pass kept or by a second pass, in memory or, if large, in the cache."""
    kept, num_chars = counter.ids(encoder), int(counter.counts.sum())
    if kept is not None:
        return kept
    pieces = (encoder.look_up(code_points(text)) for text in stream.read_again(num_chars))
    if reading.cache is None or num_chars * encoder.dtype.itemsize < MAPPED_BYTES:
        return _gather(pieces, num_chars, encoder)
    key = cache_key(
        **({"learned": stream.num_learned} if reading.val_texts else {}),  # normalising stops at the cut
        sha256=meter.sha256,
        sizes=meter.sizes,
        text={**asdict(reading.options), "encoding": reading.options.codec},
        rules=RULES,
        python=sys.version_info[:2],  # whose decoders and Unicode tables may differ
        characters=encoder.characters,
        has_unknown=encoder.has_unknown,
    )
    known = reading.cache.find(key, num_chars, encoder.dtype)
    return known if known is not None else reading.cache.keep(key, pieces, encoder.dtype)


def _gather(pieces: Iterator[Ids], num_chars: int, encoder: CharEncoder) -> Ids:
    ids, position = np.empty(num_chars, dtype=encoder.dtype), 0
    for piece in pieces:
        ids[position : position + len(piece)] = piece
        position += len(piece)
    return ids


def _name(path: str) -> str:
    """The name of a text; for a folder given as "." or "..", the real name of that folder."""
    if has_no_name(path):
        return STDIN_NAME
    name = Path(path).name
    return (real(path).name if name in ("", "..") else name) or path
