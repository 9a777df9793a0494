"""How texts are read into a corpus: what is asked for of files, alphabet and cache, beside `TextOptions`."""

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
        options: from bytes to characters.
        separator: what stands between documents.
        val_texts: paths of texts that are held out; none: the end of what is read is.
        include: patterns of files in folders that are read; none: all.
        exclude: patterns of those that are not.
        outputs: files that are no part of a folder's text, wherever they lie.
        is_made: whether a file in a folder was made by a training, and is no text whatever it holds; None: none is.
        min_count: times that a character must stand in the text to get an id of its own; None: chosen.
        max_vocab: characters with ids of their own, at most, the commonest; None: chosen.
        encoder: the alphabet, where it is decided already.
        beginning: flags that begin a training from this model's weights, told where the text has other characters.
        known: an alphabet whose characters have ids in any case; None: there is none.
        cache: where many ids are kept; None: they are held in memory.
        length: bytes, decompressed, that are read of each document at most; None: all.
        sha256: of the bytes that they are to have, of which alone ids are made; None: any.
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
    beginning: str = "--init-from"
    known: CharEncoder | None = None
    cache: Cache | None = None
    length: int | None = None
    sha256: str | None = None

    @property
    def is_settled(self) -> bool:
        """Whether the alphabet is decided already: a model learned from the text, which is to be given so again."""
        return self.encoder is not None
