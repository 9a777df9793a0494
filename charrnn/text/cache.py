"""Ids of large texts on disk: mapped, so that they take no memory, and found again by what they were made from.

A file holds the ids alone, and its name is a hash of the text's bytes, of all that decides its ids, and of its user, so
that two users of one folder are not in each other's way. It is written beside its place, synced and renamed, so that it
is there whole or not at all, after a power cut too. What was not used for `KEPT_DAYS` is deleted whenever another is
written; files of other names in the folder are not touched.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import re
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

KEPT_DAYS = 30
ABANDONED_DAYS = 1
"""Age of a half-written file whose writer is gone for certain."""

_SUFFIX, _UNFINISHED = ".ids", ".tmp"
_KEY_DIGITS = 40
_OWN = re.compile(rf"[0-9a-f]{{{_KEY_DIGITS}}}{re.escape(_SUFFIX)}(?P<unfinished>\..+{re.escape(_UNFINISHED)})?")
_DAY = 86400.0


@dataclass(frozen=True)
class Cache:
    """A folder of encoded texts.

    Attributes:
        folder: made when something is kept, for its user's eyes alone, as the files in it are; None where its user has
            none, so that nothing can be kept.
        others: where nothing is kept, and all is found that is.
    """

    folder: Path | None
    others: tuple[Path, ...] = ()

    def find(self, key: str, num_ids: int, dtype: np.dtype[Any]) -> Ids | None:
        """Map what was kept under a key; None where there is nothing, or something of another size."""
        for folder in filter(None, (self.folder, *self.others)):
            path = folder / f"{key}{_SUFFIX}"
            with contextlib.suppress(OSError, ValueError):  # a name that cannot be is one that is not there
                os.utime(path)  # used today; a folder that may only be read is used all the same
            with contextlib.suppress(OSError, ValueError):
                if path.stat().st_size == num_ids * dtype.itemsize:
                    return np.memmap(path, dtype=dtype, mode="r", shape=(num_ids,))
        return None

    def keep(self, key: str, pieces: Iterable[Ids], dtype: np.dtype[Any]) -> Ids:
        """Write ids under a key and map them.

        Raises:
            CacheError: the folder cannot be written to, or the disk is full.
            ConfigError: there is none.
        """
        folder = self.folder or default_folder()
        path = folder / f"{key}{_SUFFIX}"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _tidy(folder)
            with contextlib.ExitStack() as cleanup:
                # a name of its own, not its process's number: in containers that share a folder these may be the same
                with tempfile.NamedTemporaryFile(
                    prefix=f"{path.name}.", suffix=_UNFINISHED, dir=folder, delete=False
                ) as file:
                    unfinished = Path(file.name)
                    cleanup.callback(_remove, unfinished)
                    for piece in pieces:
                        file.write(piece.astype(dtype, copy=False).data)
                    file.flush()
                    sync(file.fileno())
                _put_in_place(unfinished, path)
            return np.memmap(path, dtype=dtype, mode="r")
        except OSError as error:
            raise CacheError(
                f"{folder}: the encoded text cannot be kept here ({error.strerror}); "
                "choose another folder with --cache, or keep it in memory with --no-cache"
            ) from None


def _tidy(folder: Path) -> None:
    """Delete what was not used for long, and what was never finished, but no user's own files."""
    for path in folder.iterdir():
        if own := _OWN.fullmatch(path.name):
            days = ABANDONED_DAYS if own["unfinished"] else KEPT_DAYS
            with contextlib.suppress(OSError):  # another process may delete it first
                if path.stat().st_mtime < time.time() - days * _DAY:
                    path.unlink()


def _remove(unfinished: Path) -> None:
    with contextlib.suppress(OSError):  # gone already where all went well
        unfinished.unlink()


def _put_in_place(unfinished: Path, path: Path) -> None:
    """Rename it, unless the same is there by now: others have that mapped, and over a network they would lose it."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size == unfinished.stat().st_size:
            return
    try:
        os.replace(unfinished, path)
    except PermissionError:  # Windows, where another training made the same ids meanwhile and has them mapped
        if not path.is_file() or path.stat().st_size != unfinished.stat().st_size:
            raise


def let_go(ids: Ids) -> None:
    """Give back the memory of a mapped text's pages that were read; they are mapped again when they are wanted.

    The system would do so too, but only where memory is short, and until then it counts as the process's. Ids that are
    not mapped from a file, and systems that cannot do it, are left alone.
    """
    base: Any = ids
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        with contextlib.suppress(OSError):  # of locked memory
            base.madvise(mmap.MADV_DONTNEED)


def check_sound(ids: Ids, vocab_size: int) -> None:
    """Read mapped ids through; what is not mapped from a file is sound.

    Raises:
        CacheError: one of them is none of an alphabet of this size: the file was damaged, or changed.
    """
    if isinstance(ids, np.memmap) and len(ids) and int(ids.max()) >= vocab_size:
        raise CacheError(f"{ids.filename}: this encoded text is damaged; delete it, and the text is encoded again")


def is_kept(path: Path) -> bool:
    """Whether a file is one of these by its name, whole or not."""
    return _OWN.fullmatch(path.name) is not None


def cache_key(**what: Any) -> str:
    """A name for all that decides some ids, plain values in any order, and for whose they are."""
    user = os.getuid() if hasattr(os, "getuid") else None
    return hashlib.sha256(json.dumps([user, what], sort_keys=True).encode()).hexdigest()[:_KEY_DIGITS]


def default_folder() -> Path:
    """The user's cache folder by the platform's convention.

    Raises:
        ConfigError: the user has no folder.
    """
    if sys.platform == "darwin":
        return _home() / "Library" / "Caches" / "charrnn"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or _home() / "AppData" / "Local") / "charrnn" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or _home() / ".cache") / "charrnn"


def own_folder() -> Path | None:
    """The same; None where the user has no folder."""
    with contextlib.suppress(ConfigError):
        return default_folder()
    return None


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # no HOME, and a number that no user has
        raise ConfigError(
            "no home folder to keep encoded texts in; give a folder with --cache, or --no-cache"
        ) from None
