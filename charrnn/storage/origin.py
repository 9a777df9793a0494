"""What a training is called, and where it comes from.

That is what its command line said of it that is asked for later, and what is remembered of its text.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path, PureWindowsPath

from charrnn.errors import ConfigError
from charrnn.paths import name_of


def new_name() -> str:
    """A name that no other training has; it begins with a letter, so that no program takes it for a number."""
    return f"{int.from_bytes(os.urandom(6), 'big') | 0xA << 44:012x}"


@dataclass(frozen=True)
class CorpusFacts:
    """What a checkpoint remembers of the text it learned from; see the table of `charrnn.storage.archive`."""

    name: str
    characters: int
    bytes: int
    sha256: str
    counts: list[int]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Facts of a training; a checkpoint keeps them as plain values, and they may come from anyone.

    Attributes:
        texts: paths of what it learned from, as its last life had them that did not read it from standard input.
        val_texts: paths of what was held out by name, likewise.
        include: patterns of the files in folders that were read.
        exclude: patterns of those that were not.
        separator: what stood between files.
        cache: folder that was named for encoded texts; None for the user's own.
        no_cache: whether none were to be kept.
        run: its own name, which it keeps as long as it goes on in its file.
        parents: names of the runs that it has branched off from, the last one first.
        left_at: step after which it, or one of its parents, left each of them.
        init_from: path of the checkpoint with whose weights it began; None for those of the seed.
        init_run: name of that checkpoint's run, likewise.
        learned_held_out: whether some of what it holds out was, or may have been, learned from before.
        threads_given: whether its number of threads is one that was asked for.
        precision_given: whether what it computes in is.

    Raises:
        ConfigError: a run's name is none, or it is not known where it left one.
    """

    texts: list[str]
    val_texts: list[str] = field(default_factory=list)
    include: list[str] = field(default_factory=list)
    exclude: list[str] = field(default_factory=list)
    separator: str = ""
    cache: str | None = None
    no_cache: bool = False
    run: str = field(default_factory=new_name)
    parents: list[str] = field(default_factory=list)
    left_at: list[int] = field(default_factory=list)
    init_from: str | None = None
    init_run: str | None = None
    learned: list[str] = field(default_factory=list)
    learned_held_out: bool = False
    threads_given: bool = False
    precision_given: bool = False

    def __post_init__(self) -> None:
        others = self.parents if self.init_run is None else [*self.parents, self.init_run]
        if not all(re.fullmatch("[0-9a-f]{12}", name) for name in (self.run, *others)):
            raise ConfigError("the name of a run is not one of 12 hexadecimal digits")
        if len(self.parents) != len(self.left_at):
            raise ConfigError("a run's parents are not as many as the steps at which it left them")

    @property
    def held_out_by_name(self) -> str:
        """What was held out by name, in a phrase; empty where it was a part of the text."""
        names = [Path(text).name or text for text in map(name_of, self.val_texts)]
        return "".join(names[:1]) + _and_more(names)

    @property
    def and_more_texts(self) -> str:
        """How many texts it learned from beside the first, as told behind the name of that; empty for none."""
        return _and_more(self.texts)

    @property
    def public(self) -> Origin:
        """What may be known to all: names without their folders, of what is looked for or told where it is missing."""
        return replace(
            self, texts=_names(self.texts), val_texts=_names(self.val_texts), include=[], exclude=[], cache=None,
            parents=[], left_at=[], init_run=None,
            init_from=None if self.init_from is None else PureWindowsPath(self.init_from).name,
        )  # fmt: skip


def _and_more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if names[1:] else ""


def _names(paths: list[str]) -> list[str]:
    return [PureWindowsPath(path).name or os.curdir for path in paths]
