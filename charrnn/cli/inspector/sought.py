"""What may be read of the paths in a checkpoint, which may come from anyone and name any file or folder.

That is ordinary files, as many as are soon walked through, and no more bytes than are soon read. What the system makes
as it is read has no size, and may never end: it is not opened. Nothing is unpacked.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from charrnn.cli.common.made import is_made_by_training
from charrnn.errors import CorpusError
from charrnn.storage.archive import Checkpoint
from charrnn.surrogates import SURROGATE, to_bytes
from charrnn.text.documents import why_no_text
from charrnn.text.left_out import MADE, Cause
from charrnn.text.options import CHARACTER
from charrnn.text.sources import Document, Found, find_documents
from charrnn.text.unreadable import read_errors_told

LARGEST_SOUGHT = 1 << 26
"""Bytes of a text that is looked for unasked: a larger one takes too long to read for a glance at a card."""

MOST_ENTRIES = 20_000
"""Files and folders, at any depth, that there may be in all folders together that are looked into unasked."""

MOST_FORMS, LONGEST_PATTERNS = 100, 1 << 16
"""Limits on a stranger's patterns: their number, and their characters in all, each pattern counted in all of its forms.
Each `**/` in it doubles these, and every file is tried against all of them."""

PACKED = Cause("compressed, which is not read unasked")


@dataclass(frozen=True)
class Sought:
    """Files that may hold a text.

    Attributes:
        learned: paths of those that were learned from, in order.
        held_out: likewise of those that were held out by name.
        num_bytes: of all together.
        packed: paths of what is compressed in folders, which is left out.
    """

    learned: list[str]
    held_out: list[str]
    num_bytes: int
    packed: list[str]

    def may_be(self, checkpoint: Checkpoint) -> bool:
        """Whether they are as large as its text, with what stood between files.

        Where each line is a text of its own, a line that one of several leaves open was ended by a byte of nobody's.
        """
        num_files = len(self.learned) + len(self.held_out)
        num_joins = max(0, len(self.learned) - 1) + max(0, len(self.held_out) - 1)
        lacking = checkpoint.corpus.bytes - self.num_bytes - num_joins * len(to_bytes(checkpoint.origin.separator))
        return bool(self.learned) and 0 <= lacking <= (num_files - 1 if checkpoint.text_options.lines else 0)


def seek(paths: Sequence[str], held_out: Sequence[str], checkpoint: Checkpoint) -> Sought:
    """Find the files that some paths lead to, as the training found them.

    An empty file of a folder is the system's own: it stands for what is not to be opened.

    Args:
        paths: of files and folders that were learned from.
        held_out: likewise of those that were held out by name.
        checkpoint: what remembers which files of folders were read, and how.

    Raises:
        CorpusError: one is not there, is no ordinary file or folder, or holds more than is read unasked.
    """
    origin = checkpoint.origin
    require_usable(checkpoint)
    if sum(1 << pattern.count("**/") for pattern in (*origin.include, *origin.exclude)) > MOST_FORMS:
        raise CorpusError("its files are chosen by more patterns than are tried unasked")
    visit = _limit(MOST_ENTRIES, "files and folders that are looked through unasked")
    for path in (*paths, *held_out):
        _require_ordinary(path, visit)
    advance = _limit(LARGEST_SOUGHT, "bytes that are read unasked")
    found = find_documents(
        paths,
        held_out=held_out,
        include=origin.include,
        exclude=origin.exclude,
        may_repeat=True,
        why_not=lambda document: _why_not(document, checkpoint, advance),
    )
    sizes = {document.name: _size_of(document.name) for document in found.documents}
    counts_empty = bool(origin.separator) or checkpoint.text_options.lines  # else nothing comes of an empty file
    learned, last = (
        [path if sizes[path] else os.devnull for path in piece if sizes[path] or counts_empty]
        for piece in _split(found)
    )
    packed = [left.name for left in found.skipped if left.cause == PACKED]
    return Sought(learned, last, sum(sizes[document.name] for document in found.documents), packed)


def require_usable(checkpoint: Checkpoint) -> None:
    """Refuse patterns that would take for ever to be matched, and a separator that is no text, as no training has them.

    Raises:
        CorpusError: it has some.
    """
    origin = checkpoint.origin
    if checkpoint.text_options.unit == CHARACTER and SURROGATE.search(origin.separator):
        raise CorpusError("what the checkpoint says of the texts cannot be followed: its separator is no text")
    if sum(len(pattern) << pattern.count("**/") for pattern in (*origin.include, *origin.exclude)) > LONGEST_PATTERNS:
        raise CorpusError("what the checkpoint says of the texts cannot be followed: its patterns are too many")


def is_packed(path: str) -> bool:
    """Whether a path is that of an ordinary file that is compressed.

    Raises:
        CorpusError: it cannot be read.
    """
    return os.path.isfile(path) and _size_of(path) > 0 and Document(path, Path(path)).is_packed()


def _split(found: Found) -> tuple[list[str], list[str]]:
    """The paths of what was learned from, and of what was held out by name."""
    paths = [document.name for document in found.documents]
    place = len(paths) if found.held_out_from is None else found.held_out_from
    return paths[:place], paths[place:]


def _require_ordinary(path: str, visit: Callable[[int], None]) -> None:
    """Refuse what is neither a file with something in it, as it is on the disk, nor a folder that is soon seen.

    Args:
        path: of it.
        visit: told of each file and folder that is seen.
    """
    visit(1)
    if os.path.isdir(path):
        _walk(path, visit)
    elif not (os.path.isfile(path) and _size_of(path)) or is_packed(path):
        raise CorpusError(f"{path}: is no ordinary file")


def _walk(folder: str, visit: Callable[[int], None]) -> None:
    """See all that is in a folder, as far as it may be seen, but for what is in hidden folders and behind links."""
    folders = [folder]
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                visit(1)
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                    folders.append(entry.path)


def _why_not(document: Document, checkpoint: Checkpoint, advance: Callable[[int], None]) -> Cause | None:
    """Why a document in a folder is left out, as in the training; None where it is read, or empty and not opened."""
    path = document.name
    if not _size_of(path):
        return None
    if is_packed(path):
        return PACKED
    return MADE if is_made_by_training(Path(path)) else why_no_text(document, checkpoint.text_options, advance)


def _size_of(path: str) -> int:
    with read_errors_told(path):
        return os.path.getsize(path)


def _limit(most: int, what: str) -> Callable[[int], None]:
    """What is told of each part of some work, and lets no more be done than so much of it."""
    left = most

    def advance(more: int) -> None:
        nonlocal left
        left -= more
        if left < 0:
            raise CorpusError(f"holds more than the {most:,} {what}")

    return advance
