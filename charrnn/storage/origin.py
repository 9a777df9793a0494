"""The name and the origin of a training run: the options and the facts about its text that are needed later."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path, PureWindowsPath

from charrnn.errors import ConfigError
from charrnn.paths import name_of


def new_name() -> str:
    """A unique name for a run, in hexadecimal; it begins with a letter, so that no program takes it for a number."""
    return f"{int.from_bytes(os.urandom(6), 'big') | 0xA << 44:012x}"


@dataclass(frozen=True)
class CorpusFacts:
    """Facts about the training text; see the table of `charrnn.storage.archive`."""

    name: str
    characters: int
    bytes: int
    sha256: str
    counts: list[int]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a training run comes from; a checkpoint keeps these as plain values, which are untrusted when read.

    Attributes:
        texts: paths of the training texts, from the last start that did not read them from standard input.
        val_texts: paths of the validation texts that were given, likewise.
        include: patterns of the files that were read in folders.
        exclude: patterns of the files that were not.
        separator: text between files.
        cache: folder given for encoded texts; None for the user's cache.
        no_cache: whether encoded texts were not to be cached.
        run: the run's own name, which it keeps as long as it resumes in the same file.
        parents: names of the runs that it branched off from, the latest first.
        left_at: for each parent, the step at which it was branched off.
        init_from: path of the checkpoint whose weights it started from; None for random weights.
        init_run: name of that checkpoint's run, likewise.
        learned: names of all texts that the weights it began with were trained on before.
        learned_held_out: whether some of the held-out text was, or may have been, trained on before.
        threads_given: whether the number of threads was set by the user.
        precision_given: whether the precision was set by the user.

    Raises:
        ConfigError: a run's name is malformed, or `parents` and `left_at` differ in length.
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
        """The validation texts that were given, as a phrase; empty where a part of the text is held out."""
        names = [Path(text).name or text for text in map(name_of, self.val_texts)]
        return "".join(names[:1]) + _and_more(names)

    @property
    def and_more_texts(self) -> str:
        """The number of training texts beside the first, as a phrase to follow the first one's name; empty for none."""
        return _and_more(self.texts)

    @property
    def public(self) -> Origin:
        """The part to publish in an export: names, without folders, of the texts and of the initial checkpoint."""
        return replace(
            self, texts=_names(self.texts), val_texts=_names(self.val_texts), include=[], exclude=[], cache=None,
            parents=[], left_at=[], init_run=None,
            init_from=None if self.init_from is None else PureWindowsPath(self.init_from).name,
        )  # fmt: skip


def _and_more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if names[1:] else ""


def _names(paths: list[str]) -> list[str]:
    return [PureWindowsPath(path).name or os.curdir for path in paths]
