"""The parsed request of a `charrnn train`; `checking` validates it, `suggested_commands` says what to type next."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from charrnn.cli.common.backslashes import unescape
from charrnn.cli.trainer.placing import NO_FILE, ExistingFile
from charrnn.errors import ConfigError
from charrnn.paths import STDIN_NAME, has_no_name, real, told_of_home
from charrnn.storage.origin import Origin
from charrnn.surrogates import SURROGATE
from charrnn.text.cache import Cache, own_folder
from charrnn.text.corpus import Corpus
from charrnn.text.options import CHARACTER, TextOptions
from charrnn.text.read_options import ReadOptions


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the command line asked for.

    Attributes:
        texts: paths of the corpus; "-" is standard input.
        reading: how the texts are read.
        out: path of the checkpoint; None to derive it from the first text's name.
        options: every option by field name; None for one that was not decided.
        explicit: the options that were given on the command line.
        log: path of the log; None for no log.
        resume: go on from a checkpoint.
        resume_or_start: resume if there is a checkpoint, else start; `effective_request.settle` decides.
        resume_from: path of the checkpoint to go on from; None for the output checkpoint itself.
        init_from: path of the checkpoint that gives the initial weights; None for random ones from the seed.
        force: resume even with another text or other flags.
        overwrite: replace an existing checkpoint and log.
        quiet: show only warnings and errors.
        as_json: show everything, warnings and errors included, as JSON lines.
        started: `CLOCK.now()` at the start of the process.
        found: what lay at the checkpoint's path when the path was checked.
    """

    texts: tuple[str, ...]
    reading: ReadOptions
    out: str | None
    options: Mapping[str, Any]
    explicit: Mapping[str, Any]
    log: str | None
    resume: bool
    resume_or_start: bool = False
    resume_from: str | None
    init_from: str | None = None
    force: bool
    overwrite: bool
    quiet: bool
    as_json: bool
    started: float
    found: ExistingFile = NO_FILE

    @cached_property
    def path(self) -> Path:
        """Where the checkpoint is written; `out` is a folder if it ends in a slash or exists as one at first access."""
        if self.out is None:
            return Path(self._name)
        is_folder = self.out.endswith(("/", os.sep)) or os.path.isdir(self.out)  # Path.is_dir fails at a name too long
        return Path(self.out) / self._name if is_folder else Path(self.out)

    @property
    def all_texts(self) -> tuple[str, ...]:
        """Paths of the texts to learn from, then of the texts given by --val-text."""
        return (*self.texts, *self.reading.val_texts)

    def holding_out(self, corpus: Corpus) -> Request:
        """This request with `val_fraction` set to the share of the corpus that --val-text holds out, if it does."""
        if not corpus.num_held_out:
            return self
        share = {"val_fraction": corpus.num_held_out / len(corpus.ids)}
        return replace(self, options={**self.options, **share}, explicit={**self.explicit, **share})

    @property
    def _name(self) -> str:
        if has_no_name(self.texts[0]):
            return f"{STDIN_NAME}.pt"
        first = Path(self.texts[0])
        return f"{first.resolve().name if os.path.isdir(first) else first.stem}.pt"

    @property
    def speaks_plainly(self) -> bool:
        """Whether messages are plain text: neither --quiet nor --json was given."""
        return not (self.quiet or self.as_json)

    @property
    def named_cache(self) -> str | None:
        """The folder for encoded texts; None for the user's default folder, or if nothing is cached."""
        cache = self.reading.cache
        return None if cache is None or cache.folder == own_folder() else str(cache.folder)

    def new_origin(self) -> Origin:
        """The origin of a training that this request begins."""
        reading = self.reading
        return Origin(
            texts=[*self.texts], val_texts=[*reading.val_texts], include=[*reading.include], exclude=[*reading.exclude],
            separator=reading.separator, cache=self.named_cache, no_cache=reading.cache is None,
            threads_given="threads" in self.explicit,
            precision_given=self.explicit.get("precision", "auto") != "auto",
        )  # fmt: skip

    @property
    def outputs(self) -> tuple[Path, ...]:
        """The files that a training reads and writes apart from its texts: checkpoints and the log."""
        log = () if self.log is None else (Path(self.log),)
        return (self.path, self.source, *log)

    @property
    def source(self) -> Path:
        """Path of the checkpoint to go on from, or to take the initial weights from."""
        return Path(self.init_from or self.resume_from or self.path)

    @property
    def is_in_place(self) -> bool:
        """Whether the run resumes from its output file; any other output holds nothing of this training yet."""
        return self.resume and self.resume_from is None

    @property
    def typed_resume(self) -> str:
        """The flag that makes the run resume from its output file."""
        if self.force:
            return "--force-resume"
        return "--resume-or-start" if self.resume_or_start else "--resume"

    @property
    def may_replace(self) -> bool:
        """Whether an existing checkpoint may be replaced: by --overwrite, or because the run resumes from it."""
        return self.overwrite or (self.resume and real(self.source) == real(self.path))


def parse_reading(flags: Mapping[str, Any]) -> ReadOptions:
    """Build the reading options from the values of the flags by name.

    Raises:
        ConfigError: flags contradict each other, or a value is invalid.
    """
    if flags["no_cache"] and flags["cache"] is not None:
        raise ConfigError("--cache names a folder for encoded texts, and --no-cache keeps none; give one of them")
    if told := told_of_home(flags["cache"] or ""):
        raise ConfigError(f"--cache {flags['cache']}: {told}")
    options = TextOptions(**{field.name: flags[field.name] for field in fields(TextOptions)})
    separator = unescape(flags["separator"])
    if options.unit == CHARACTER and SURROGATE.search(separator):
        raise ConfigError("--separator is not UTF-8; give characters, or any bytes with --unit byte")
    if options.lines and separator and not separator.endswith("\n"):
        raise ConfigError("--separator would become part of the next text's first line; with --lines, end it with \\n")
    cache = None
    if not flags["no_cache"]:
        cache = Cache(Path(flags["cache"]) if flags["cache"] else own_folder())
    return ReadOptions(
        options=options,
        separator=separator,
        val_texts=tuple(flags["val_text"] or ()),
        include=tuple(flags["include"] or ()),
        exclude=tuple(flags["exclude"] or ()),
        min_count=flags["min_count"],
        max_vocab=flags["max_vocab"],
        cache=cache,
    )
