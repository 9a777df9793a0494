"""Ids of large texts on disk: memory-mapped, and found again by a hash of what they were made from.

A file holds only the ids. Its name is a hash of the text's bytes, of everything else that decides the ids, and of the
user, so that two users can share a folder. The file is written under a temporary name, synced and renamed, so that it
is there whole or not at all, even after a power cut. Files not used for `KEPT_DAYS` are deleted whenever another is
written; files with other names in the folder are not touched.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import re
import stat
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.arrays import Ids
from charrnn.disk import sync
from charrnn.errors import CacheError, ConfigError

PIECE = 1 << 22
"""Ids of a mapped text to read at once, before their memory is released."""

KEPT_DAYS = 30
ABANDONED_DAYS = 1
"""Age from which on a half-written file is certain to have no writer any more."""

_SUFFIX, _UNFINISHED = ".ids", ".tmp"
_KEY_DIGITS = 40
_OWN = re.compile(rf"[0-9a-f]{{{_KEY_DIGITS}}}{re.escape(_SUFFIX)}(?P<unfinished>\..+{re.escape(_UNFINISHED)})?")
_DAY = 86400.0


@dataclass(frozen=True)
class Cache:
    """A folder of encoded texts.

    Attributes:
        folder: where files are written and found; created on the first write, readable by the user only, as are the
            files. None if the user has no home folder: then nothing can be written.
        others: more folders in which files are found but not written.
    """

    folder: Path | None
    others: tuple[Path, ...] = ()

    def find(self, key: str, num_ids: int, dtype: np.dtype[Any]) -> Ids | None:
        """Map the ids that were kept under a key; None if there are none, or the file is not whole and the user's."""
        for folder in filter(None, (self.folder, *self.others)):
            path = folder / f"{key}{_SUFFIX}"
            with contextlib.suppress(OSError, ValueError):  # an impossible name counts as missing
                os.utime(path)  # marks the file as used today; fails in a read-only folder
            with contextlib.suppress(OSError, ValueError):
                if _is_trusted(path, num_ids * dtype.itemsize):
                    return np.memmap(path, dtype=dtype, mode="r", shape=(num_ids,))
        return None

    def keep(self, key: str, pieces: Iterable[Ids], dtype: np.dtype[Any]) -> Ids:
        """Write ids under a key and map them.

        Raises:
            CacheError: the folder cannot be written to, or the disk is full.
            ConfigError: there is no folder.
        """
        folder = self.folder or default_folder()
        path = folder / f"{key}{_SUFFIX}"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _tidy(folder)
            _write(pieces, dtype, path)
            return np.memmap(path, dtype=dtype, mode="r")
        except OSError as error:
            raise CacheError(
                f"{folder}: the encoded text cannot be kept here ({error.strerror}); "
                "choose another folder with --cache, or keep it in memory with --no-cache"
            ) from None


def _write(pieces: Iterable[Ids], dtype: np.dtype[Any], path: Path) -> None:
    """Write ids to a file that is put at its path only once it is whole."""
    with contextlib.ExitStack() as cleanup:
        # a random name instead of the process id, which may be the same in containers that share a folder
        with tempfile.NamedTemporaryFile(
            prefix=f"{path.name}.", suffix=_UNFINISHED, dir=path.parent, delete=False
        ) as file:
            unfinished = Path(file.name)
            cleanup.callback(_remove, unfinished)
            for piece in pieces:
                file.write(piece.astype(dtype, copy=False).data)
            file.flush()
            sync(file.fileno())
        _put_in_place(unfinished, path)


def _tidy(folder: Path) -> None:
    """Delete cached files that were not used for long or never finished, and no other files."""
    for path in folder.iterdir():
        if own := _OWN.fullmatch(path.name):
            days = ABANDONED_DAYS if own["unfinished"] else KEPT_DAYS
            with contextlib.suppress(OSError):  # another process may have deleted it
                if path.stat().st_mtime < time.time() - days * _DAY:
                    path.unlink()


def _remove(unfinished: Path) -> None:
    with contextlib.suppress(OSError):  # renamed already if all went well
        unfinished.unlink()


def _put_in_place(unfinished: Path, path: Path) -> None:
    """Rename the finished file, unless an equal one exists: over a network, processes that map it would lose it."""
    size = unfinished.stat().st_size
    if _is_trusted(path, size):
        return
    try:
        os.replace(unfinished, path)
    except PermissionError:  # Windows, where another training made the same ids meanwhile and has them mapped
        if not _is_trusted(path, size):
            raise


def _is_trusted(path: Path, size: int) -> bool:
    """Whether a file has this size and is the user's: others can choose its name, its content and the folder's mode.

    A network file system that shows another owner cannot be told from a folder of that owner: nothing is trusted there.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    is_own = os.name == "nt" or found.st_uid == os.geteuid()
    return stat.S_ISREG(found.st_mode) and found.st_size == size and is_own


def release_pages(ids: Ids) -> None:
    """Release the memory of a mapped text's pages that were read; they are read again when needed.

    The system would release them too, but only when memory is short, and until then they count as the process's memory.
    Does nothing with ids that are not mapped from a file, or on systems without MADV_DONTNEED.
    """
    base: Any = ids
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        with contextlib.suppress(OSError):  # the memory is locked
            base.madvise(mmap.MADV_DONTNEED)


def check_sound(ids: Ids, vocab_size: int) -> None:
    """Check all ids that are mapped from a file; ids in memory are sound.

    Raises:
        CacheError: an id is not below the alphabet's size, so the file was damaged or changed.
    """
    if not isinstance(ids, np.memmap):
        return
    for place in range(0, len(ids), PIECE):
        if int(ids[place : place + PIECE].max()) >= vocab_size:
            raise CacheError(f"{ids.filename}: this encoded text is damaged; delete it, and the text is encoded again")
        release_pages(ids)


def is_kept(path: Path) -> bool:
    """Whether a file's name is that of a cached text, finished or not."""
    return _OWN.fullmatch(path.name) is not None


def cache_key(**what: Any) -> str:
    """Hash everything that decides the ids, given as JSON values, together with the user."""
    user = os.getuid() if hasattr(os, "getuid") else None
    return hashlib.sha256(json.dumps([user, what], sort_keys=True).encode()).hexdigest()[:_KEY_DIGITS]


def default_folder() -> Path:
    """The user's cache folder by the platform's convention.

    Raises:
        ConfigError: the user has no home folder.
    """
    if sys.platform == "darwin":
        return _home() / "Library" / "Caches" / "charrnn"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or _home() / "AppData" / "Local") / "charrnn" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or _home() / ".cache") / "charrnn"


def own_folder() -> Path | None:
    """Like `default_folder`, but None if the user has no home folder."""
    with contextlib.suppress(ConfigError):
        return default_folder()
    return None


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # no HOME, and a user id without an account
        raise ConfigError(
            "no home folder to keep encoded texts in; give a folder with --cache, or --no-cache"
        ) from None
