"""Candidate files for a checkpoint's training text: where it may be, and which of the files there may be read.

A checkpoint stores paths as they were typed, but not the working directory of that run. A path is therefore tried from
the current directory, from the checkpoint's folder and from a few folders above that, which finds a text whose folder
is a neighbour of the checkpoint's.

A checkpoint may be untrusted and name any file or folder. Only ordinary files are read, limited in number and in total
size. Files that the system generates on reading, such as those of /proc, have size 0 and may never end: they are not
opened. Compressed files are not unpacked.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from charrnn.cli.common.training_outputs import is_made_by_training
from charrnn.errors import CorpusError
from charrnn.storage.archive import Checkpoint
from charrnn.surrogates import SURROGATE, to_bytes
from charrnn.text.documents import why_no_text
from charrnn.text.left_out import MADE, Cause
from charrnn.text.options import CHARACTER
from charrnn.text.sources import Document, Found, find_documents
from charrnn.text.unreadable import translate_read_errors

NUM_ABOVE = 3
"""Number of folders above the checkpoint's own from which paths are tried."""

LARGEST_SOUGHT = 1 << 26
"""Most bytes of a text that is searched for without --corpus: a larger one takes too long to read for a card."""

MOST_ENTRIES = 20_000
"""Most files and folders, at any depth, in all folders that are searched without --corpus."""

MOST_FORMS, LONGEST_PATTERNS = 100, 1 << 16
"""Limits on an untrusted checkpoint's patterns: on the number of their forms, and on the characters of all forms
together. Each `**/` doubles a pattern's forms, and every file is matched against all forms."""

PACKED = Cause("compressed, which is not read unasked")


@dataclass(frozen=True)
class CandidateFiles:
    """Files that may hold a text.

    Attributes:
        learned: paths of the training files, in order.
        held_out: paths of the --val-text files, in order.
        num_bytes: total size of all of them.
        packed: paths of compressed files in folders, which are left out.
    """

    learned: list[str]
    held_out: list[str]
    num_bytes: int
    packed: list[str]

    def may_be(self, checkpoint: Checkpoint) -> bool:
        """Whether the files, with separators, have the total size of the checkpoint's text.

        With --lines, reading adds a line feed after a file that does not end in one, except the last.
        """
        num_files = len(self.learned) + len(self.held_out)
        num_joins = max(0, len(self.learned) - 1) + max(0, len(self.held_out) - 1)
        lacking = checkpoint.corpus.bytes - self.num_bytes - num_joins * len(to_bytes(checkpoint.origin.separator))
        return bool(self.learned) and 0 <= lacking <= (num_files - 1 if checkpoint.text_options.lines else 0)


def candidates(checkpoint: Checkpoint, checkpoint_path: str) -> list[list[str]]:
    """Lists of paths that may be the text: one file or folder each, then all paths of the training together."""
    alone = [[place] for place in places_of(checkpoint, checkpoint_path)]
    if not is_of_several(checkpoint):
        return alone
    texts = without_network_paths(checkpoint.origin.texts)
    together = (tuple(str(Path(root, text)) for text in texts) for root in _roots(checkpoint_path))
    return [*alone, *map(list, dict.fromkeys(together))]


def places_of(checkpoint: Checkpoint, checkpoint_path: str) -> list[str]:
    """Candidate paths of the text, or of the first of several; a text from standard input has a name only."""
    name = checkpoint.corpus.name
    typed = next((text for text in checkpoint.origin.texts[:1] if Path(text).name in (name, "", "..")), name)
    return _places(typed, name, checkpoint_path)


def places_of_held_out(checkpoint: Checkpoint, checkpoint_path: str) -> list[str]:
    """Paths of the --val-text files, each the first candidate that exists, else the first of all."""
    each = (_places(text, Path(text).name, checkpoint_path) for text in checkpoint.origin.val_texts)
    return [next(filter(os.path.exists, places), places[0]) for places in each if places]


def is_of_several(checkpoint: Checkpoint) -> bool:
    """Whether the training text was several files or folders, joined."""
    return len(checkpoint.origin.texts) > 1


def without_network_paths(paths: Sequence[str]) -> list[str]:
    """The paths without network (UNC) paths: an untrusted checkpoint must not make Windows contact a host."""
    return [path for path in paths if not path.replace("\\", "/").startswith("//")]


def find_candidate_files(paths: Sequence[str], held_out: Sequence[str], checkpoint: Checkpoint) -> CandidateFiles:
    """Find the files under some paths as the training did.

    A file of size 0 is replaced by `os.devnull`, as it must not be opened.

    Args:
        paths: training files and folders.
        held_out: --val-text files and folders.
        checkpoint: has the options by which files of folders are chosen and read.

    Raises:
        CorpusError: a path does not exist, is not a regular file or folder, or exceeds the limits.
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
    counts_empty = bool(origin.separator) or checkpoint.text_options.lines  # otherwise an empty file adds nothing
    learned, last = (
        [path if sizes[path] else os.devnull for path in piece if sizes[path] or counts_empty]
        for piece in _split(found)
    )
    packed = [left.name for left in found.skipped if left.cause == PACKED]
    return CandidateFiles(learned, last, sum(sizes[document.name] for document in found.documents), packed)


def require_usable(checkpoint: Checkpoint) -> None:
    """Refuse patterns that would take too long to match and a separator that is not text; no training stores either.

    Raises:
        CorpusError: the checkpoint has such patterns or such a separator.
    """
    origin = checkpoint.origin
    if checkpoint.text_options.unit == CHARACTER and SURROGATE.search(origin.separator):
        raise CorpusError("what the checkpoint says of the texts cannot be followed: its separator is no text")
    if sum(len(pattern) << pattern.count("**/") for pattern in (*origin.include, *origin.exclude)) > LONGEST_PATTERNS:
        raise CorpusError("what the checkpoint says of the texts cannot be followed: its patterns are too many")


def is_packed(path: str) -> bool:
    """Whether a path is an ordinary, compressed file.

    Raises:
        CorpusError: the file cannot be read.
    """
    return os.path.isfile(path) and _size_of(path) > 0 and Document(path, Path(path)).is_packed()


def _places(typed: str, name: str, checkpoint_path: str) -> list[str]:
    here, beside, *above = _roots(checkpoint_path)
    found = [Path(root, text) for text in without_network_paths([typed]) for root in (here, beside, *above)]
    near = [Path(root, text) for text in without_network_paths([name]) for root in (here, beside)]
    return list(dict.fromkeys(map(str, [*found[:1], *near, *found[1:]])))


def _roots(checkpoint_path: str) -> list[Path]:
    """The folders from which paths are tried: the current one, the checkpoint's, and those above that."""
    beside = Path(checkpoint_path).parent
    return [Path(), *(beside.joinpath(*[os.pardir] * height) for height in range(NUM_ABOVE + 1))]


def _split(found: Found) -> tuple[list[str], list[str]]:
    """The paths of the training files and of the --val-text files."""
    paths = [document.name for document in found.documents]
    place = len(paths) if found.held_out_from is None else found.held_out_from
    return paths[:place], paths[place:]


def _require_ordinary(path: str, visit: Callable[[int], None]) -> None:
    """Refuse a path that is neither an ordinary, non-empty, uncompressed file nor a folder within the limits.

    Args:
        path: the path.
        visit: called for each file and folder.
    """
    visit(1)
    if os.path.isdir(path):
        _walk(path, visit)
    elif not (os.path.isfile(path) and _size_of(path)) or is_packed(path):
        raise CorpusError(f"{path}: is not a regular file")


def _walk(folder: str, visit: Callable[[int], None]) -> None:
    """Visit everything in a folder, except the contents of symbolic links and of folders whose names begin with a dot.

    So at least what a training reads is visited; what only the system hides is visited too.
    """
    folders = [folder]
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                visit(1)
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                    folders.append(entry.path)


def _why_not(document: Document, checkpoint: Checkpoint, advance: Callable[[int], None]) -> Cause | None:
    """Why a file in a folder is left out, as in training, or for being compressed; None if it is read or empty."""
    path = document.name
    if not _size_of(path):
        return None
    if is_packed(path):
        return PACKED
    return MADE if is_made_by_training(Path(path)) else why_no_text(document, checkpoint.text_options, advance)


def _size_of(path: str) -> int:
    with translate_read_errors(path):
        return os.path.getsize(path)


def _limit(most: int, what: str) -> Callable[[int], None]:
    """A counter to call with each amount of work; it raises CorpusError when the total exceeds the limit."""
    left = most

    def advance(more: int) -> None:
        nonlocal left
        left -= more
        if left < 0:
            raise CorpusError(f"holds more than the {most:,} {what}")

    return advance
