"""Finding again the text that a checkpoint learned from, and the piece of it that was held out.

A checkpoint remembers a text's name, size and sha256, not the text. It is looked for where it was when the training
began, in the current folder and beside the checkpoint, and is taken only if it is the same to the byte; of a file that
begins with it and goes on, as a log does that has grown, the beginning is.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from charrnn.errors import CacheError, ConfigError, CorpusError, ForeignTextError
from charrnn.escape import quoted
from charrnn.paths import STDIN_NAME, name_of
from charrnn.storage.archive import Checkpoint
from charrnn.text.cache import Cache, check_sound, default_folder
from charrnn.text.corpus import Corpus, read_corpus
from charrnn.text.documents import begins_as
from charrnn.text.encoder import Ids
from charrnn.text.read_options import ReadOptions

LARGEST_SOUGHT = 1 << 26
"""Bytes of a text that is looked for unasked: a larger one takes too long to read for a glance at a card."""


@dataclass(frozen=True)
class FoundText:
    """A checkpoint's own text.

    Attributes:
        path: where it was found; of several, that of the first, and how many more there are.
        train: the piece that the model learned from, encoded, shape (num_chars,).
        held_out: the rest, likewise.
    """

    path: str
    train: Ids
    held_out: Ids


def find_text(checkpoint: Checkpoint, checkpoint_path: str, given: str | None = None) -> FoundText | None:
    """Find the text that a checkpoint learned from.

    Args:
        checkpoint: what remembers it.
        checkpoint_path: beside which it may lie.
        given: where the user says that it is; elsewhere is not looked then.

    Returns:
        The text in its two pieces; None where it is nowhere.

    Raises:
        CorpusError: the given file cannot be read, or is another text.
    """
    if given is not None:
        return _given_text(checkpoint, checkpoint_path, given)
    return _sought_text(checkpoint, checkpoint_path)


def describe_absence(checkpoint: Checkpoint, checkpoint_path: str) -> str:
    """Say why a text is not found where nobody says that it is, and what to do."""
    name = quoted(checkpoint.corpus.name)
    if _val_texts(checkpoint, checkpoint_path):
        return f"{name}, or what --val-text named, is not where it was, or has changed; --corpus FILE gives both as one"
    if checkpoint.corpus.name == STDIN_NAME:
        return "its text came from standard input; --corpus FILE gives it"
    if any(map(os.path.isdir, _places(checkpoint, checkpoint_path))):  # Path.is_dir fails where it may not look
        return f"{name} is a folder; --corpus FILE gives all that was read of it, in its order, as one file"
    if checkpoint.corpus.bytes > LARGEST_SOUGHT:
        return f"{name} is too large to be read unasked; --corpus FILE asks for it"
    if _named_together(checkpoint):
        return (
            f"not all of {name} and the others are where they were, as they were; --corpus FILE gives all as one file"
        )
    return f"{name} is not where it was, or has changed; --corpus FILE says where it is"


def _given_text(checkpoint: Checkpoint, checkpoint_path: str, given: str) -> FoundText:
    """The text where the user says that it is; what was held out by name lies where it was, or stands in it too."""
    val_texts, is_file = _val_texts(checkpoint, checkpoint_path), os.path.isfile(given)
    cache = _cache(checkpoint) if is_file else None  # a pipe can be read once
    corpus = None
    if val_texts and is_file:
        with contextlib.suppress(CorpusError):  # what lies there may be another by now
            corpus = _read([given], val_texts, checkpoint, cache=cache)
    corpus = corpus or _read([given], (), checkpoint, has_grown=_has_grown([given], checkpoint), cache=cache)
    if corpus is None:
        was_more = any(map(os.path.isdir, _places(checkpoint, checkpoint_path))) or _named_together(checkpoint)
        what = "all that was read of it, in its order, as one file" if was_more or val_texts else "that one"
        raise CorpusError(
            f"{given}: is not the text that {name_of(checkpoint_path)} learned from, which is "
            f"{quoted(checkpoint.corpus.name)} of {checkpoint.corpus.bytes:,} bytes; give {what}"
        )
    return _split(checkpoint, corpus, given)


def _sought_text(checkpoint: Checkpoint, checkpoint_path: str) -> FoundText | None:
    """The text where nobody says that it is, in the first of the places in which it lies."""
    if checkpoint.corpus.bytes > LARGEST_SOUGHT:
        return None
    val_texts = _val_texts(checkpoint, checkpoint_path)
    for paths in _candidates(checkpoint, checkpoint_path):
        with contextlib.suppress(CorpusError):  # unreadable: not it
            if (corpus := _read_sought(paths, val_texts, checkpoint)) is not None:
                more = f" and {len(paths) - 1} more" if paths[1:] else ""
                return _split(checkpoint, corpus, paths[0] + more)
    return None


def _read_sought(paths: Sequence[str], val_texts: Sequence[str], checkpoint: Checkpoint) -> Corpus | None:
    """Read what may be the text, if its files are as large as it was, or it is one that has grown since."""
    texts = [*paths, *val_texts]
    has_grown = _has_grown(texts, checkpoint)
    if not has_grown and not _have_size(texts, checkpoint):
        return None
    return _read(paths, val_texts, checkpoint, has_grown=has_grown)


def _read(
    paths: Sequence[str],
    val_texts: Sequence[str],
    checkpoint: Checkpoint,
    *,
    has_grown: bool = False,
    cache: Cache | None = None,
) -> Corpus | None:
    """Read a text as the checkpoint's was, and what was held out by name; None if it is another."""
    if not all(os.path.isfile(text) and os.path.getsize(text) for text in val_texts):
        return None
    reading = ReadOptions(
        options=checkpoint.text,
        encoder=checkpoint.encoder,
        val_texts=tuple(val_texts),
        sha256=checkpoint.corpus.sha256,
        length=checkpoint.corpus.bytes if has_grown else None,
    )
    try:
        corpus = read_corpus(paths, replace(reading, cache=cache))
        check_sound(corpus.ids, len(corpus.encoder))
    except CacheError:  # it must not matter
        corpus = read_corpus(paths, reading)
    except ForeignTextError:
        return None
    return corpus if corpus.counts == checkpoint.corpus.counts else None


def _cache(checkpoint: Checkpoint) -> Cache | None:
    """Where large texts are mapped from, as in training; None where that was not to be, or the user has no such folder.

    A checkpoint may come from anyone: in a folder that it names nothing is kept, only found.
    """
    origin = checkpoint.origin
    named = _at_home([path for path in [origin.cache] if path and "\0" not in path])
    with contextlib.suppress(ConfigError):
        return None if origin.no_cache else Cache(default_folder(), tuple(map(Path, named)))
    return None


def _candidates(checkpoint: Checkpoint, checkpoint_path: str) -> Iterator[list[str]]:
    """What may be the text: a file alone, in each of its places, or all those that the training named, together."""
    yield from ([str(path)] for path in _places(checkpoint, checkpoint_path))
    if several := _named_together(checkpoint):
        yield several


def _places(checkpoint: Checkpoint, checkpoint_path: str) -> Iterator[Path]:
    """Where it may be: as the training had it, here, and beside the checkpoint."""
    name = checkpoint.corpus.name
    yield from (Path(text) for text in _at_home(checkpoint.origin.texts[:1]) if Path(text).name == name)
    for local in _at_home([name]):
        yield Path(local)
        yield Path(checkpoint_path).parent / local


def _named_together(checkpoint: Checkpoint) -> list[str]:
    """The paths of the texts that a training learned from one behind the other; none of one alone."""
    texts = checkpoint.origin.texts
    return _at_home(texts) if len(texts) > 1 else []


def _val_texts(checkpoint: Checkpoint, checkpoint_path: str) -> list[str]:
    """Paths of the texts that were held out by name: as the training had them, here, or beside it."""
    beside = Path(checkpoint_path).parent
    places = (
        [*_at_home([path]), Path(path).name, str(beside / Path(path).name)] for path in checkpoint.origin.val_texts
    )
    return [next(filter(os.path.isfile, each), each[0]) for each in places]


def _at_home(paths: Sequence[str]) -> list[str]:
    """Those for which Windows asks no other machine: a checkpoint may come from anyone, and must not name one to it."""
    return [path for path in paths if not path.replace("\\", "/").startswith("//")]


def _have_size(texts: Sequence[str], checkpoint: Checkpoint) -> bool:
    """Whether these are ordinary files of its size: a checkpoint may come from anyone, and name what it likes.

    What the system makes as it is read has no size, and may never end. Where each line is a text of its own, a line
    that one of several leaves open was ended by a byte of nobody's.
    """
    paths, most_added = [*map(Path, texts)], len(texts) - 1 if checkpoint.text.lines else 0
    try:
        sizes = [path.stat().st_size for path in paths]
        lacking = checkpoint.corpus.bytes - sum(sizes)
        return all(path.is_file() for path in paths) and min(sizes) > 0 and 0 <= lacking <= most_added
    except (OSError, ValueError):  # ValueError: a NUL byte in the name
        return False


def _has_grown(texts: Sequence[str], checkpoint: Checkpoint) -> bool:
    """Whether this is one file that begins with the text and goes on."""
    return len(texts) == 1 and begins_as(texts[0], checkpoint.corpus.bytes, checkpoint.corpus.sha256)


def _split(checkpoint: Checkpoint, corpus: Corpus, path: str) -> FoundText:
    config = checkpoint.train_config
    train, held_out = corpus.split(config.val_fraction, spread=config.val_spread)
    return FoundText(path, train, held_out)
