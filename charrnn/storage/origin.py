"""Where a training comes from: what its command line said of it that somebody asks for later."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import PureWindowsPath


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Facts of a training; a checkpoint keeps them as plain values, and they may come from anyone.

    Attributes:
        texts: paths of what it learned from, as its last life had them.
        val_texts: paths of what was held out by name, likewise.
        include: patterns of the files in folders that were read.
        exclude: patterns of those that were not.
        separator: what stood between files.
        cache: folder that was named for encoded texts; None for the user's own.
        no_cache: whether none were to be kept.
        log: path of the log that its last life wrote; None for none.
        init_from: path of the checkpoint with whose weights it began; None for those of the seed.
        threads_given: whether its number of threads is one that was asked for.
    """

    texts: list[str]
    val_texts: list[str] = field(default_factory=list)
    include: list[str] = field(default_factory=list)
    exclude: list[str] = field(default_factory=list)
    separator: str = ""
    cache: str | None = None
    no_cache: bool = False
    log: str | None = None
    init_from: str | None = None
    threads_given: bool = False

    @property
    def public(self) -> Origin:
        """What may be known to all: names without their folders, of what is looked for or told where it is missing."""
        return replace(
            self, texts=_names(self.texts), val_texts=_names(self.val_texts), include=[], exclude=[], cache=None,
            log=None, init_from=None if self.init_from is None else PureWindowsPath(self.init_from).name,
        )  # fmt: skip


def _names(paths: list[str]) -> list[str]:
    return [PureWindowsPath(path).name for path in paths]
