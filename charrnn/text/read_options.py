"""How texts are read into a corpus: options of files, alphabet and cache, beside `TextOptions`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from charrnn.text.cache import Cache
from charrnn.text.encoder import CharEncoder
from charrnn.text.options import TextOptions


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How texts are read.

    Attributes:
        options: how bytes become characters.
        separator: text put between documents.
        val_texts: paths of texts to hold out; none: part of what is read is held out.
        include: patterns of files to read in folders; none: all.
        exclude: patterns of files not to read in folders.
        outputs: files that are left out of folders, wherever they lie.
        is_made: whether a training wrote a file in a folder, which is then left out; None: no file.
        min_count: times that a character must occur in the text to get an id of its own; None: chosen.
        max_vocab: most characters that get an id of their own, the commonest; None: chosen.
        encoder: the alphabet, if it is fixed already.
        start_flags: flags that start a training from the model's weights, suggested if the text has other characters.
        known: an alphabet whose characters get ids in any case; None: no such alphabet.
        cache: where large encoded texts are kept; None: in memory.
        length: most bytes to read of each document, decompressed; None: all.
        sha256: hash that the bytes read must have; None: any.
    """

    options: TextOptions = field(default_factory=TextOptions)
    separator: str = ""
    val_texts: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    outputs: tuple[Path, ...] = ()
    is_made: Callable[[Path], bool] | None = None
    min_count: int | None = None
    max_vocab: int | None = None
    encoder: CharEncoder | None = None
    start_flags: str = "--init-from"
    known: CharEncoder | None = None
    cache: Cache | None = None
    length: int | None = None
    sha256: str | None = None

    @property
    def is_settled(self) -> bool:
        """Whether the alphabet is fixed already: a model has learned from the text, which must be the same again."""
        return self.encoder is not None
