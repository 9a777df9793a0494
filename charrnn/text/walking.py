"""Finding the files to read below a folder."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from charrnn.paths import Identity, identity, is_hidden, system_mark
from charrnn.text.globs import Patterns
from charrnn.text.left_out import BACKUP, BROKEN, ENDLESS, LINKED, Missed
from charrnn.text.unreadable import translate_read_errors, translate_read_errors_of_found

_LEADS_NOWHERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
_NOWHERE_ON_WINDOWS = {21, 123, 1921}
"""Windows errors: a missing drive, an invalid name, a link to itself."""

_JUNCTION = 0xA0000003
"""`stat.IO_REPARSE_TAG_MOUNT_POINT`, which Python defines on Windows only."""


@dataclass(frozen=True)
class PathFiles:
    """What one path on the command line leads to.

    Attributes:
        path: as given.
        files: the files of a folder, in order, or the single file at the path.
        links: those files of a folder that are links.
        missed: what is left out of a folder; None if the path is no folder.
        had_repeats: whether links to files that are read anyway were removed.
    """

    path: str
    files: Sequence[Path]
    links: Sequence[Path] = ()
    missed: Missed | None = None
    had_repeats: bool = False


def without_repeats(walks: Sequence[PathFiles]) -> list[PathFiles]:
    """Remove links in folders whose target is read anyway, by its own name or through an earlier link.

    A folder that is given twice keeps its links twice, like all its files.
    """
    if not any(walk.links for walk in walks):
        return list(walks)
    by_name = {identity(file) for walk in walks for file in set(walk.files).difference(walk.links)}
    first, once = dict[Identity, Path](), list[PathFiles]()
    for walk in walks:
        targets = {link: identity(link) for link in walk.links}
        repeated = {link for link, at in targets.items() if at in by_name or first.setdefault(at, link) != link}
        files = [file for file in walk.files if file not in repeated]
        once.append(replace(walk, files=files, had_repeats=bool(repeated)))
    return once


def files_below(root: Path, patterns: Patterns, missed: Missed) -> Iterator[Path]:
    """Find the files below a folder that the patterns choose, except hidden files and backups.

    The files are sorted by the parts of their paths.

    Args:
        root: the folder.
        patterns: matched with paths relative to the folder.
        missed: collects what is unreadable, a broken link, a link to a folder, no regular file or an editor's backup,
            and folders that are gone before they are listed.

    Raises:
        CorpusError: the folder itself cannot be read.
    """
    yield from _walk(root, root, patterns, missed)


def _walk(folder: Path, root: Path, patterns: Patterns, missed: Missed) -> Iterator[Path]:
    for entry in _entries_of(folder, root, missed):
        path = Path(entry.path)
        inner, is_linked = path.relative_to(root), _is_linked(entry)
        is_folder = is_linked or entry.is_dir(follow_symlinks=False)
        if is_hidden(entry) or patterns.leave_out(inner, is_folder=is_folder):
            continue
        if is_linked:  # may lead anywhere, even back here
            missed.add(str(path), LINKED, "folder")
        elif is_folder:
            yield from _walk(path, root, patterns, missed)
        elif patterns.take(inner) and _is_file(entry, str(path), missed):
            if patterns.leave_out_backup(inner):
                missed.add(str(path), BACKUP)
            else:
                yield path


def _entries_of(folder: Path, root: Path, missed: Missed) -> list[os.DirEntry[str]]:
    """A folder's entries, sorted by name; empty for a folder below the root that is unreadable or gone."""
    if folder == root:
        with translate_read_errors(str(root)):
            return _listed(root)
    with missed.noting(str(folder), "folder"), translate_read_errors_of_found(str(folder)):
        return _listed(folder)
    return []


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    return sorted(os.scandir(folder), key=lambda entry: entry.name)


def _is_linked(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a link to a folder, or a Windows junction, which `DirEntry.is_symlink` does not recognise."""
    return system_mark(entry, "st_reparse_tag") == _JUNCTION or (entry.is_symlink() and os.path.isdir(entry.path))


def _is_file(entry: os.DirEntry[str], name: str, missed: Missed) -> bool:
    """Whether an entry is a file, or a link to one; since Python 3.14 `Path.is_file` raises no error to report."""
    with missed.noting(name), translate_read_errors(name):
        try:
            if stat.S_ISREG(os.stat(entry.path).st_mode):
                return True
            missed.add(name, ENDLESS)
        except OSError as error:
            if error.errno not in _LEADS_NOWHERE and getattr(error, "winerror", None) not in _NOWHERE_ON_WINDOWS:
                raise
            if entry.is_symlink():  # else it is gone since it was listed
                missed.add(name, BROKEN)
    return False
