"""Finds the text that a checkpoint learned from, and splits it into its training and held-out parts.

A checkpoint stores a text's name, size and SHA-256, and which files of folders were read, but not the text. The text is
searched for among the files of `candidate_files`, and accepted only if it is identical to the byte. If a file begins
with the text and goes on, as a log does that has grown, its beginning is used.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from charrnn.arrays import Ids
from charrnn.cli.common.training_outputs import is_made_by_training
from charrnn.cli.inspector.candidate_files import (
    LARGEST_SOUGHT,
    PACKED,
    candidates,
    find_candidate_files,
    is_of_several,
    is_packed,
    places_of,
    places_of_held_out,
    require_usable,
    without_network_paths,
)
from charrnn.errors import CacheError, CorpusError, ForeignTextError
from charrnn.escape import one_line
from charrnn.paths import STDIN_NAME, name_of
from charrnn.storage.archive import Checkpoint
from charrnn.text.cache import Cache, check_sound, own_folder
from charrnn.text.corpus import Corpus, read_corpus
from charrnn.text.documents import begins_as
from charrnn.text.read_options import ReadOptions
from charrnn.wording import without_advice


@dataclass(frozen=True)
class FoundText:
    """A checkpoint's own text.

    Attributes:
        label: the path where it was found; for several files, the first path and the number of the others.
        train: the part that the model learned from, encoded, shape (num_chars,).
        held_out: the held-out part, likewise.
    """

    label: str
    train: Ids
    held_out: Ids


def find_text(checkpoint: Checkpoint, checkpoint_path: str, given: str | None = None) -> FoundText | None:
    """Find the text that a checkpoint learned from.

    Args:
        checkpoint: the checkpoint.
        checkpoint_path: its path; the text may be nearby.
        given: path of the text from the user; if given, no other place is searched.

    Returns:
        The text in its two parts; None if it is not found.

    Raises:
        CorpusError: the given file cannot be read, or is another text.
    """
    if given is not None:
        return _given_text(checkpoint, checkpoint_path, given)
    return _sought_text(checkpoint, checkpoint_path)


def describe_absence(checkpoint: Checkpoint, checkpoint_path: str) -> str:
    """Say why the text was not found without --corpus, and what to do."""
    name = one_line(checkpoint.corpus.name)
    if checkpoint.origin.val_texts:
        return f"{name}, or what --val-text named, has not been found as it was; --corpus FILE gives both as one"
    if checkpoint.corpus.name == STDIN_NAME:
        return "its text came from standard input; --corpus FILE gives it"
    if checkpoint.corpus.bytes > LARGEST_SOUGHT:
        return f"{name} is too large to be read unasked; --corpus names it"
    if is_of_several(checkpoint):
        return f"{name} and the others have not all been found as they were; --corpus FILE gives all as one file"
    there = next(filter(os.path.exists, places_of(checkpoint, checkpoint_path)), None)
    if there is None:
        return f"{name} has not been found; --corpus says where it is"
    return _describe_other(there, checkpoint)


def _describe_other(place: str, checkpoint: Checkpoint) -> str:
    """Say why the file or folder at a candidate path is not accepted as the text, and what to do."""
    if os.path.isdir(place):
        mend = "--corpus names it if it is the same, or a file with all that was read of it, in its order"
        return f"{one_line(place)}{one_line(_why_not_taken(place, checkpoint))}; {mend}"
    with contextlib.suppress(CorpusError):
        if is_packed(place):
            return f"{one_line(place)} is compressed, which is not read unasked; --corpus names it"
    return f"{one_line(place)} has changed, or is another text; --corpus says where the text is"


def _why_not_taken(folder: str, checkpoint: Checkpoint) -> str:
    """Why a folder is not accepted as the text, as a continuation of its name."""
    try:
        packed = find_candidate_files([folder], [], checkpoint).packed
    except CorpusError as error:
        return f": {without_advice(str(error)).removeprefix(f'{folder}: ')}"
    if packed:
        which = f"{packed[0]} and {len(packed) - 1:,} more are" if packed[1:] else f"{packed[0]} is"
        return f" is a folder in which {which} {PACKED.why}"
    return " is a folder with other text than was read"


def _given_text(checkpoint: Checkpoint, checkpoint_path: str, given: str) -> FoundText:
    """The text at the path that the user gives; --val-text files are read from their old paths, or it has them too."""
    can_be_read_again = os.path.isfile(given) or os.path.isdir(given)  # a pipe can be read only once
    cache = _cache(checkpoint) if can_be_read_again else None
    corpus = None
    if checkpoint.origin.val_texts and can_be_read_again:
        with contextlib.suppress(CorpusError):  # the files at the old paths may have changed
            held_out = find_candidate_files([], places_of_held_out(checkpoint, checkpoint_path), checkpoint).held_out
            corpus = _read([given], held_out, checkpoint, cache=cache)
    corpus = corpus or _read([given], (), checkpoint, has_grown=_has_grown([given], checkpoint), cache=cache)
    if corpus is None:
        was_more = is_of_several(checkpoint) or any(map(os.path.isdir, places_of(checkpoint, checkpoint_path)))
        what = "all that was read of it, in its order, as one file"
        raise CorpusError(
            f"{name_of(given)}: is not the text that {name_of(checkpoint_path)} learned from, which is "
            f"{one_line(checkpoint.corpus.name)} of {checkpoint.corpus.bytes:,} bytes; give "
            f"{what if was_more or checkpoint.origin.val_texts else 'that one'}"
        )
    return _split(checkpoint, corpus, given)


def _sought_text(checkpoint: Checkpoint, checkpoint_path: str) -> FoundText | None:
    """Search the candidate paths for the text; the first match is used."""
    if checkpoint.corpus.bytes > LARGEST_SOUGHT:
        return None
    held_out = places_of_held_out(checkpoint, checkpoint_path)
    for paths in candidates(checkpoint, checkpoint_path):
        with contextlib.suppress(CorpusError):  # unreadable: try the next
            if (corpus := _read_sought(paths, held_out, checkpoint)) is not None:
                more = f" and {len(paths) - 1} more" if paths[1:] else ""
                return _split(checkpoint, corpus, paths[0] + more)
    return None


def _read_sought(paths: Sequence[str], held_out: Sequence[str], checkpoint: Checkpoint) -> Corpus | None:
    """Read candidate files if their total size is that of the text, or if one file has grown since."""
    if _has_grown([*paths, *held_out], checkpoint):
        return _read(paths, held_out, checkpoint, has_grown=True)
    found = find_candidate_files(paths, held_out, checkpoint)
    return _read(found.learned, found.held_out, checkpoint) if found.may_be(checkpoint) else None


def _read(
    paths: Sequence[str],
    val_texts: Sequence[str],
    checkpoint: Checkpoint,
    *,
    has_grown: bool = False,
    cache: Cache | None = None,
) -> Corpus | None:
    """Read candidate files and --val-text files with the checkpoint's options; None if they are another text."""
    origin = checkpoint.origin
    require_usable(checkpoint)
    reading = ReadOptions(
        options=checkpoint.text_options,
        encoder=checkpoint.encoder,
        separator=origin.separator,
        val_texts=tuple(val_texts),
        include=tuple(origin.include),
        exclude=tuple(origin.exclude),
        is_made=is_made_by_training,
        sha256=checkpoint.corpus.sha256,
        length=checkpoint.corpus.bytes if has_grown else None,
    )
    try:
        corpus = read_corpus(paths, replace(reading, cache=cache))
        check_sound(corpus.ids, len(corpus.encoder))
    except CacheError:  # a failure of the cache must not matter
        corpus = read_corpus(paths, reading)
    except ForeignTextError:
        return None
    return corpus if corpus.counts == checkpoint.corpus.counts else None


def _cache(checkpoint: Checkpoint) -> Cache | None:
    """The cache for large texts, as in training; None after --no-cache, or if the user has no cache folder.

    A checkpoint may be untrusted: the cache folder that it names is only read, never written.
    """
    origin = checkpoint.origin
    named = without_network_paths([path for path in [origin.cache] if path and "\0" not in path])
    folder = own_folder()
    return None if origin.no_cache or folder is None else Cache(folder, tuple(map(Path, named)))


def _has_grown(texts: Sequence[str], checkpoint: Checkpoint) -> bool:
    """Whether `texts` is one file that begins with the text."""
    return len(texts) == 1 and begins_as(texts[0], checkpoint.corpus.bytes, checkpoint.corpus.sha256)


def _split(checkpoint: Checkpoint, corpus: Corpus, label: str) -> FoundText:
    train, held_out = corpus.split_for(checkpoint.train_config)
    return FoundText(label, train, held_out)
