"""What a `charrnn train` was asked for, and whether its output may be written."""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from charrnn.cli.common.shared import escaped, unescape
from charrnn.display.log import LINE_BEGINNING, begins_as_log
from charrnn.errors import CheckpointError, ConfigError, CorpusError, OutputError
from charrnn.standard_input import STDIN, STDIN_NAME
from charrnn.storage.archive import begins_as_checkpoint, read_checkpoint
from charrnn.storage.outputs import folder_of, names_stream, require_output, temporary_beside
from charrnn.text.cache import Cache, default_folder
from charrnn.text.corpus import Corpus, ReadOptions
from charrnn.text.options import BYTE, CHARACTER, TextOptions


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the command line asked for.

    Attributes:
        texts: paths of the corpus; "-" is standard input.
        reading: how they are read.
        out: path of the checkpoint; None for the text's name.
        options: every option by field name; None where nothing was decided.
        explicit: those of them that stood on the command line.
        log: path of the log, if there is to be one.
        resume: go on from a checkpoint.
        resume_from: path of the checkpoint to go on from; None for the one that is written.
        init_from: path of the checkpoint with whose weights to begin; None for weights from the seed.
        force: with another text or other flags too.
        overwrite: replace it.
        quiet: show nothing.
        as_json: show JSON lines.
        started: what `CLOCK.now()` would have given at the start of the process.
    """

    texts: tuple[str, ...]
    reading: ReadOptions
    out: str | None
    options: Mapping[str, Any]
    explicit: Mapping[str, Any]
    log: str | None
    resume: bool
    resume_from: str | None
    init_from: str | None = None
    force: bool
    overwrite: bool
    quiet: bool
    as_json: bool
    started: float

    @cached_property
    def path(self) -> Path:
        """Where the checkpoint goes; a folder is given as `folder/`, or is there when it is first asked."""
        if self.out is None:
            return Path(self._name)
        is_folder = self.out.endswith(("/", os.sep)) or os.path.isdir(self.out)  # Path.is_dir fails at a name too long
        return Path(self.out) / self._name if is_folder else Path(self.out)

    @property
    def all_texts(self) -> tuple[str, ...]:
        """Paths of what is learned from, and of what is held out by name."""
        return (*self.texts, *self.reading.val_texts)

    def holding_out(self, corpus: Corpus) -> Request:
        """The same with the share of a corpus that is held out by name, if any is."""
        if not corpus.num_held_out:
            return self
        share = {"val_fraction": corpus.num_held_out / len(corpus.ids)}
        return replace(self, options={**self.options, **share}, explicit={**self.explicit, **share})

    @property
    def _name(self) -> str:
        if self.texts[0] == STDIN or names_stream(self.texts[0]):  # whose name is a number
            return f"{STDIN_NAME}.pt"
        first = Path(self.texts[0])
        return f"{first.resolve().name if os.path.isdir(first) else first.stem}.pt"

    @property
    def printed(self) -> str:
        """The checkpoint's path as it may stand in a command: none that begins with a hyphen, as flags do."""
        return f".{os.sep}{self.path}" if str(self.path).startswith("-") else str(self.path)

    @property
    def typed_texts(self) -> str:
        """The texts' paths as they stand in a command: none is taken for a flag."""
        return as_typed(*(f"./{text}" if text.startswith("-") and text != STDIN else text for text in self.texts))

    @property
    def speaks_json(self) -> bool:
        """Whether what is said is for programs."""
        return self.as_json and not self.quiet

    @property
    def speaks_plainly(self) -> bool:
        """Whether what is said is for people, who did not ask for silence."""
        return not (self.quiet or self.as_json)

    @property
    def reading_flags(self) -> list[str]:
        """The flags that say what of the texts' paths is read, and how, as they are typed; no checkpoint keeps them."""
        reading = self.reading
        flags = [("--val-text", text) for text in reading.val_texts]
        flags += [("--include", pattern) for pattern in reading.include]
        flags += [("--exclude", pattern) for pattern in reading.exclude]
        flags += [("--separator", escaped(reading.separator))] if reading.separator else []
        if reading.cache is not None and not _is_default(reading.cache.folder):
            flags.append(("--cache", str(reading.cache.folder)))
        typed = [f"{flag} {as_typed(value)}" for flag, value in flags]
        return typed if reading.cache is not None else [*typed, "--no-cache"]

    @property
    def outputs(self) -> tuple[Path, ...]:
        """What a training reads and writes beside its text: checkpoints and the log."""
        log = () if self.log is None else (Path(self.log),)
        return (self.path, self.source, *log)

    @property
    def source(self) -> Path:
        """Where the checkpoint to go on from, or to begin with, is."""
        return Path(self.init_from or self.resume_from or self.path)

    @property
    def may_replace(self) -> bool:
        """Whether a checkpoint that is there may be replaced: it was asked for, or the run goes on from it."""
        return self.overwrite or (self.resume and self.source.resolve() == self.path.resolve())


def check_texts(request: Request) -> None:
    """Refuse a checkpoint in the place of a text, which people give to --resume who come from PyTorch.

    Where any bytes are to be learned from, those of a checkpoint are too.

    Raises:
        CorpusError: there is such a one.
    """
    for text in request.all_texts:
        if is_checkpoint(text) and not _takes_any_bytes(request):
            typed = as_typed(text)
            raise CorpusError(
                f"{text}: is a checkpoint, no text; to go on with it, give its text and --out {typed} --resume, or "
                f"--resume-from {typed} and another --out"
            )


def _takes_any_bytes(request: Request) -> bool:
    options = request.reading.options
    if request.resume or request.init_from:
        with contextlib.suppress(CheckpointError):  # told by whoever goes on from it
            options = read_checkpoint(str(request.source)).text
    return options.unit == BYTE or options.errors != "strict"


def check_output(request: Request) -> None:
    """Find out, before any work, that the checkpoint may and can be written.

    Raises:
        OutputError: it must not or cannot.
        ConfigError: the flags contradict each other.
    """
    path = request.path
    for flag, given in (("--out", request.out), ("--log", request.log)):
        if given is not None:
            require_output(given, flag)
    if request.resume and request.overwrite and request.resume_from is None:
        raise ConfigError("--resume goes on with a checkpoint and --overwrite replaces it; give one of them")
    if request.init_from is not None and request.resume:
        raise ConfigError(
            "--init-from begins a training with a model's weights, and --resume goes on with one; give one of them"
        )
    for flag, source in (("--resume-from", request.resume_from), ("--init-from", request.init_from)):
        if source == "":
            raise ConfigError(f"{flag} is empty; give a checkpoint")
        if source is not None and (source == STDIN or _is_pipe(source)):
            what = "standard input" if source == STDIN else "a pipe"
            raise ConfigError(f"{flag} {source} is {what}, and it is read twice; give a file")
    try:
        with contextlib.suppress(FileNotFoundError):
            path.lstat()
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in it
        reason = error.strerror if isinstance(error, OSError) else error
        raise OutputError(f"{path}: cannot be written ({reason}); give another file with --out") from None
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; give a file with --out")
    if path.exists() and not path.is_file():
        raise OutputError(f"{path}: is not a regular file; give another with --out")
    if path.exists() and any(os.path.exists(text) and path.samefile(text) for text in request.all_texts):
        raise OutputError(f"{path}: is the text itself; give another file with --out")
    if path.exists() and not request.may_replace:
        raise OutputError(
            f"{path}: exists; go on with it by --resume, replace it by --overwrite, or choose another by --out"
        )
    if path.exists() and request.overwrite and path.stat().st_size and not begins_as_checkpoint(path):
        raise OutputError(
            f"{path}: is no checkpoint, and --overwrite replaces no other file; delete it, or give another with --out"
        )
    if request.log is not None:
        _check_log(Path(request.log), request)
    folder = folder_of(path)
    if not folder.is_dir():
        raise OutputError(f"{folder}: no such folder; make it, or give another file with --out")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{folder}: may not be written to; give a file elsewhere with --out")
    _try_to_write(path)


def is_checkpoint(path: str) -> bool:
    """Whether it begins as one; what cannot be read is told by whoever reads it, and a pipe can be read only once."""
    try:
        return os.path.isfile(path) and begins_as_checkpoint(Path(path))
    except OSError:
        return False


def is_made_by_training(path: Path) -> bool:
    """Whether a file is a checkpoint or a log, of any training; what cannot be read is told by whoever reads it."""
    with contextlib.suppress(OSError):
        return begins_as_checkpoint(path) or (path.stat().st_size >= len(LINE_BEGINNING) and begins_as_log(path))
    return False


def _is_pipe(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except (OSError, ValueError):  # nothing there, or no name at all, which whoever opens it tells
        return False


def _try_to_write(path: Path) -> None:
    """Make a file beside a path, and remove it: a disk may be read-only, and Windows tells only what is tried."""
    probe = temporary_beside(path)  # the checkpoint's own: what a killed process leaves is found
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        probe.unlink()
    except FileExistsError:  # of a process with the same number, on another host
        pass
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}); give another file with --out") from None


def as_typed(*words: str) -> str:
    """Words as they stand on a command line, for a shell of the system's."""
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def parse_reading(flags: Mapping[str, Any]) -> ReadOptions:
    """How the texts are to be read, from the flags by their names.

    Raises:
        ConfigError: they cannot be followed.
    """
    options = TextOptions(**{field.name: flags[field.name] for field in fields(TextOptions)})
    separator = unescape(flags["separator"])
    if options.unit == CHARACTER and any("\ud800" <= character < "\ue000" for character in separator):
        raise ConfigError("--separator is not UTF-8; give characters, or any bytes with --unit byte")
    return ReadOptions(
        options=options,
        separator=separator,
        val_texts=tuple(flags["val_text"] or ()),
        include=tuple(flags["include"] or ()),
        exclude=tuple(flags["exclude"] or ()),
        min_count=flags["min_count"],
        max_vocab=flags["max_vocab"],
        cache=None if flags["no_cache"] else Cache(Path(flags["cache"] or default_folder())),
    )


def _is_default(folder: Path) -> bool:
    """Whether encoded texts are kept there without --cache; a user without a home folder has no such place."""
    with contextlib.suppress(ConfigError):
        return folder == default_folder()
    return False


def _check_log(log: Path, request: Request) -> None:
    others = [request.path, *(Path(text) for text in request.all_texts if text != STDIN)]
    if any(os.path.realpath(log) == os.path.realpath(other) for other in others):
        raise OutputError(f"{log}: is the checkpoint or the text itself; give another file with --log")
    is_there = os.path.exists(log)  # `Path.exists` fails where the name is too long
    if is_there and not log.is_file():
        raise OutputError(f"{log}: is not a regular file; give another with --log")
    if is_there and log.stat().st_size and not (request.resume or request.overwrite):
        raise OutputError(f"{log}: exists; replace it by --overwrite, or give another file with --log")
    if is_there and not begins_as_log(log):
        raise OutputError(f"{log}: is not the log of a training; give another file with --log")
    if not os.path.isdir(log.parent):
        raise OutputError(f"{log.parent}: no such folder; make it, or give another file with --log")
