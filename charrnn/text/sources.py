"""Where text comes from: files in the order given, folders walked in sorted order, standard input, compressed or not.

Every source becomes a `Document` that can be opened twice, since encoding a large text takes two passes; standard input
is copied for this (`charrnn.text.keeping`).
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import IO, BinaryIO

from charrnn.errors import ConfigError, CorpusError
from charrnn.paths import STDIN, Identity, folded, identity, is_hidden_below, name_of, real
from charrnn.text.globs import Patterns
from charrnn.text.keeping import keep
from charrnn.text.left_out import GONE, LINKED, Cause, LeftOut, Missed
from charrnn.text.unpacking import CHUNK, HEAD_BYTES, compression_of, decompressed
from charrnn.text.unreadable import nothing_found, translate_read_errors, translate_read_errors_of_found
from charrnn.text.walking import PathFiles, files_below, without_repeats

Hold = Callable[[BinaryIO, str], IO[bytes]]
"""Wraps a pipe, given with its name, as a file: a copy that can be read again, or one that is read as it comes."""


@dataclass(frozen=True)
class Document:
    """One input text.

    Attributes:
        name: what messages call it.
        path: of its file; None for a pipe.
        kept: the file that `Hold` made of a pipe; None for a file.
    """

    name: str
    path: Path | None
    kept: IO[bytes] | None = None

    def is_packed(self) -> bool:
        """Whether it is compressed.

        Raises:
            CorpusError: it is gone or unreadable.
        """
        with translate_read_errors_of_found(self.name), self._open() as file:
            return compression_of(file.read(HEAD_BYTES)) is not None

    def signature(self) -> tuple[int, int, int] | None:
        """A file's inode, size and modification time, to detect changes; None for a pipe.

        Raises:
            CorpusError: the file is gone.
        """
        if self.path is None:
            return None
        with translate_read_errors_of_found(self.name):
            found = self.path.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns

    def chunks(self) -> Iterator[bytes]:
        """Read the document from its beginning, decompressed.

        Raises:
            CorpusError: it is gone or unreadable.
            UnpackingError: it is compressed, and damaged or of a kind that no library here unpacks.
        """
        with translate_read_errors_of_found(self.name), self._open() as file, decompressed(file, self.name) as plain:
            while chunk := plain.read(CHUNK):
                yield chunk

    def _open(self) -> contextlib.AbstractContextManager[IO[bytes]]:
        if self.kept is None:
            assert self.path is not None, "a document is kept or has a path"
            return open(self.path, "rb")
        self.kept.seek(0)
        return contextlib.nullcontext(self.kept)


@dataclass(frozen=True)
class Found:
    """What the paths on the command line lead to.

    Attributes:
        documents: in order.
        skipped: what is left out of folders, and why.
        held_out_from: index of the first document that is given as held out; None if none is.
        told_of_patterns: message about patterns that matched nothing; empty if all matched.
    """

    documents: list[Document]
    skipped: list[LeftOut]
    held_out_from: int | None
    told_of_patterns: str

    def close(self) -> None:
        """Close the copies of pipes."""
        for document in self.documents:
            if document.kept is not None:
                document.kept.close()


@contextlib.contextmanager
def opened(path: str, hold: Hold) -> Iterator[Document]:
    """Open a file, standard input for "-", or another pipe, such as a shell's <(...).

    Args:
        path: of the file or pipe.
        hold: makes a file of a pipe; if it is no copy, it can be read only within the context.

    Raises:
        CorpusError: the path is missing or unreadable.
    """
    name = name_of(path)
    with translate_read_errors(name):
        if path == STDIN:
            yield Document(name, None, hold(sys.stdin.buffer, name))
        elif Path(path).is_file():
            yield Document(name, Path(path))
        else:
            with open(path, "rb") as pipe:
                yield Document(name, None, hold(pipe, name))


def require_texts(paths: Sequence[str]) -> None:
    """Refuse paths that do not exist, before a pipe is read or anything is written.

    Raises:
        CorpusError: a file or a folder is not there, or its name is empty.
        ConfigError: standard input is named twice.
    """
    if paths.count(STDIN) > 1:
        raise ConfigError("- stands for standard input, which can be read once; give it once")
    if "" in paths:
        raise CorpusError("a text's name is empty; give a file, a folder, or - for standard input")
    for path in filter(STDIN.__ne__, paths):
        with translate_read_errors(path):
            Path(path).stat()


def find_documents(
    paths: Sequence[str],
    *,
    held_out: Sequence[str] = (),
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    outputs: Sequence[Path] = (),
    copies_in: Path | None = None,
    may_repeat: bool = False,
    why_not: Callable[[Document], Cause | None] = lambda document: None,
    advance: Callable[[int], None] = lambda more: None,
) -> Found:
    """Find all documents that the paths name.

    Args:
        paths: files, folders, and "-" for standard input, in order.
        held_out: likewise the paths to hold out; their documents come last, and are left out of folders in `paths`.
        include: patterns of the files to read in folders, see `Patterns`; none: all.
        exclude: patterns of the files not to read in folders.
        outputs: files that are left out wherever they lie in a folder, as results of the training.
        copies_in: folder for the copies of large pipes; None for the system's temporary folder.
        may_repeat: whether two paths may lead to one file even if none is held out, as when a training is resumed.
        why_not: why a document in a folder is left out; None if it is read.
        advance: told how many bytes of a pipe were copied.

    Raises:
        CorpusError: a path is missing or unreadable, is in `held_out` too, or has nothing to read; or two paths lead to
            one file that may not repeat, and `held_out` is empty.
        ConfigError: standard input is named twice.
    """
    require_texts([*paths, *held_out])
    patterns = Patterns(include, exclude)
    hold = partial(keep, folder=copies_in, advance=advance)
    walks = [_walk(path, patterns, outputs) for path in paths]
    held_out_walks = [_walk(path, patterns, outputs) for path in held_out]
    held_out_files = _identities(held_out) | {identity(link) for walk in held_out_walks for link in walk.links}
    named = _identities([*paths, *held_out])
    documents, skipped = list[Document](), list[LeftOut]()
    known = set[Identity]()

    def add(walk: PathFiles, kept_out: Set[Identity]) -> None:
        found, left_out = _documents_at(walk, kept_out, hold, patterns, why_not)
        if len(paths) > 1 and not held_out and not may_repeat:
            _refuse_known(found, known)
        documents.extend(found)
        skipped.extend(left for left in left_out if not _is_read_otherwise(left, named, patterns))

    for walk in without_repeats(walks):
        add(walk, held_out_files)
    held_out_from = len(documents) if held_out else None
    for walk in without_repeats(held_out_walks):
        add(walk, set())
    return Found(
        documents=documents,
        skipped=[*dict.fromkeys(skipped)],  # two paths may lead through one folder
        held_out_from=held_out_from,
        told_of_patterns=patterns.told_of_idle,
    )


def _identities(paths: Sequence[str]) -> set[Identity]:
    return {identity(path) for path in paths if path != STDIN}


def _walk(path: str, patterns: Patterns, outputs: Sequence[Path]) -> PathFiles:
    if path == STDIN or not os.path.isdir(path):
        return PathFiles(path, [Path(path)] if path != STDIN else [])
    missed = Missed()
    made = set(map(identity, outputs))
    names = {folded(output.name) for output in outputs}
    found = files_below(Path(path), patterns, missed)
    files = [file for file in found if folded(file.name) not in names or identity(file) not in made]
    return PathFiles(path, files, [file for file in files if file.is_symlink()], missed)


def _documents_at(
    walk: PathFiles,
    kept_out: Set[Identity],
    hold: Hold,
    patterns: Patterns,
    why_not: Callable[[Document], Cause | None],
) -> tuple[list[Document], list[LeftOut]]:
    """The documents that one path leads to, and what is left out of its folder; see `find_documents`."""
    path, missed = walk.path, walk.missed
    if path != STDIN and not _outside([Path(path)], kept_out):
        raise CorpusError(f"{path}: is to be learned from and held out with --val-text; give it once")
    if missed is None:
        with opened(path, hold) as document:
            return [document], []
    files = _outside(walk.files, kept_out)
    if walk.files and not files:
        raise CorpusError(f"{path}: all its files are held out with --val-text; give another, or hold out fewer")
    documents = _texts_among(files, why_not, missed)
    if not documents and walk.had_repeats and not files:
        raise CorpusError(f"{path}: all its files are links to what is read anyway; leave it out")
    if not documents:
        beside = "beside links to what is read anyway, " if walk.had_repeats else ""
        raise CorpusError(f"{path}: {beside}{nothing_found(path, patterns, missed)}")
    return documents, missed.files


def _texts_among(files: Sequence[Path], why_not: Callable[[Document], Cause | None], missed: Missed) -> list[Document]:
    """The documents that are text; adds the others to `missed`.

    Those include files that are gone after the check, since reading many takes long.
    """
    texts = list[Document]()
    for document in (Document(str(file), file) for file in files):
        with missed.noting(document.name):
            if cause := why_not(document):
                missed.add(document.name, cause)
            else:
                texts.append(document)
    gone = {document.name for document in texts if not os.path.exists(document.name)}
    for name in sorted(gone):
        missed.add(name, GONE)
    return [document for document in texts if document.name not in gone]


def _refuse_known(documents: Sequence[Document], known: set[Identity]) -> None:
    """Refuse files that an earlier path has led to, and add the others to `known`."""
    files = {identity(document.path): document.name for document in documents if document.path is not None}
    if twice := [name for file, name in files.items() if file in known]:
        raise CorpusError(
            f"{twice[0]}: is given twice, so that what is held out would be learned from; give it once, or hold "
            "another text out with --val-text"
        )
    known.update(files)


def _is_read_otherwise(left: LeftOut, read: Set[Identity], patterns: Patterns) -> bool:
    """Whether the target of a link to a folder is read anyway, by its own path or as part of another folder."""
    if left.cause != LINKED:
        return False
    target = real(left.name)
    roots = [root for root in target.parents if identity(root) in read]
    return identity(target) in read or not all(_is_left_out(root, target.relative_to(root), patterns) for root in roots)


def _is_left_out(root: Path, inner: Path, patterns: Patterns) -> bool:
    """Whether a folder below one that is read, or a folder around it, is hidden or excluded by the patterns."""
    folders = (inner, *inner.parents[:-1])
    return is_hidden_below(root, inner) or any(patterns.leave_out(folder, is_folder=True) for folder in folders)


def _outside(files: Sequence[Path], others: Set[Identity]) -> Sequence[Path]:
    """The files that neither are in `others` nor lie in a folder in `others`."""
    if not others:
        return files
    is_one = cache(lambda path: identity(path) in others)  # cached, as many files share a folder
    return [file for file in files if identity(file) not in others and not any(map(is_one, real(file).parents))]
