"""A checkpoint that is being looked into, and what is found out about it once and used by several views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from charrnn.analysis.ngrams import MAX_LEARNED, Baseline, NgramModel
from charrnn.arrays import Places
from charrnn.cli.inspector.own_text import FoundText, describe_absence, find_text
from charrnn.errors import CharRNNError, ConfigError
from charrnn.generation.filters import SamplingOptions
from charrnn.generation.sampling import SamplingModel
from charrnn.generation.unprompted import write_sample
from charrnn.inference.numpy_ensemble import Engine
from charrnn.limits import flag_name
from charrnn.loading import load_for_sampling
from charrnn.paths import STDIN, STDIN_NAME, name_of
from charrnn.storage.archive import Checkpoint, read_checkpoint
from charrnn.surrogates import NO_TEXT
from charrnn.text.counted import counted_places
from charrnn.text.options import CHARACTER, TextOptions
from charrnn.text.splitting import count_known

PREPARING = ("newline", "normalize", "lowercase")
"""Options by which a text is changed before it is read."""

SEED = 1
"""Of what it writes."""

LINES_FORGET = "it learned line by line and forgets at every line's end"
"""Why nothing looks further back than a line in a model of lines."""

NOTHING_HELD_OUT = "nothing was held out of its text"
"""Why there is no figure of what a model has not learned from."""


@dataclass(frozen=True)
class Subject:
    """A checkpoint that is being looked into.

    Attributes:
        path: of the file, as the user gave it.
        name: what to call it where many are shown.
        contents: what is in it.
        given_text: where the user says that its text is, if they do.
        encoding: that the user names of texts that it reads; None: that of its own.
    """

    path: str
    name: str
    contents: Checkpoint
    given_text: str | None = None
    encoding: str | None = None

    @property
    def text_options(self) -> TextOptions:
        """How a text is read that is given to it.

        Raises:
            ConfigError: it reads bytes, which have no encoding, or there is no such one.
        """
        return self.contents.text_options.in_encoding(self.encoding)

    @cached_property
    def engine(self) -> Engine:
        """The model, ready to read."""
        return Engine(self.contents.model, self.contents.weights, self.contents.line_feed)

    @cached_property
    def _writer(self) -> SamplingModel:
        """The model, ready to write."""
        return load_for_sampling(self.contents)[0]

    def sample(self, length: int, options: SamplingOptions | None = None) -> str:
        """Write so many characters, or bytes, without a prompt; the same each time."""
        encoder, counts = self.contents.encoder, self.contents.corpus.counts
        return write_sample(self._writer, encoder, counts, length, seed=SEED, options=options)

    @property
    def is_stream(self) -> bool:
        """Whether it reads a text as one stream."""
        return not self.contents.text_options.lines

    def require_stream(self, view: str) -> None:
        """Refuse what looks further back than a line, where the model does not.

        Raises:
            CharRNNError: it reads lines one by one.
        """
        if not self.is_stream:
            raise CharRNNError(f"{name_of(self.path)}: {LINES_FORGET}; {view} is for a model of one stream")

    @cached_property
    def own_text(self) -> FoundText | None:
        """The text that it learned from, where it can be found."""
        return find_text(self.contents, self.path, self.given_text)

    @property
    def counted(self) -> Places | None:
        """Places in the held-out text of the characters that its losses are over; None without the text."""
        if self.own_text is None:
            return None
        return counted_places(self.own_text.held_out, self.contents.train_config.evaluated, self.contents.line_feed)

    @cached_property
    def baseline(self) -> Baseline | None:
        """Loss of an n-gram model over the same characters as its own; None without that, or where it learned these.

        Before each of them it sees all that is held out, whether that counts or not, or of a model of lines its line.
        """
        counted = self.counted
        if self.own_text is None or counted is None or not self.holds_out:
            return None
        train, held_out = self.own_text.train, self.own_text.held_out
        is_part = len(counted) < len(held_out) - 1  # of a stream the first never counts
        places = counted
        if self.contents.line_feed is not None:  # what a first line is read after
            held_out, places = np.insert(held_out, 0, self.contents.line_feed), counted + 1
        model = NgramModel(train, self.contents.model.vocab_size, line_feed=self.contents.line_feed)
        return Baseline(
            float(model.surprisals_at(held_out, places).mean()),
            learned=MAX_LEARNED if len(train) > MAX_LEARNED else 0,
            counted=len(counted) if is_part else 0,
        )

    @cached_property
    def known_lines(self) -> tuple[int, int]:
        """Lines that are held out, and those of them that it learned from too; none where it reads one stream."""
        if self.is_stream or not self.holds_out or self.own_text is None:  # a stream has no lines to look for
            return 0, 0
        return count_known(self.own_text.train, self.own_text.held_out, self.contents.encoder)

    @property
    def part(self) -> tuple[float, int | None, bool]:
        """Which part of its text its losses are over.

        The share held out; how much of that, nearly, or None for all of it; and whether it is of lines, not of pieces.
        """
        is_chosen = self.num_counted < self._num_held_out
        return (
            self.contents.train_config.val_fraction,
            self.num_counted if is_chosen else None,
            self.holds_out_lines or (is_chosen and self.contents.text_options.lines),
        )

    @property
    def holds_out(self) -> bool:
        """Whether its losses are over text that it did not learn from."""
        return self.contents.train_config.holds_out

    @property
    def holds_out_lines(self) -> bool:
        """Whether what was held out of its text are lines from all over it, not its end."""
        return self.contents.train_config.val_spread

    @property
    def num_counted(self) -> int:
        """Characters that its losses are over, nearly, told without the text."""
        return self.contents.train_config.num_evaluated(self._num_held_out)

    @property
    def _num_held_out(self) -> int:
        return round(self.contents.corpus.characters * self.contents.train_config.val_share)

    @cached_property
    def absence(self) -> str:
        """Why there is no text, and what to do."""
        return describe_absence(self.contents, self.path)


def read_subjects(
    paths: Sequence[str], given_text: str | None = None, member: int | None = None, encoding: str | None = None
) -> list[Subject]:
    """Read checkpoints, or standard input for "-", and give each a name of its own.

    Args:
        paths: of the files.
        given_text: where the user says that their text is.
        member: whom of an ensemble to look at alone; None for all together.
        encoding: of the texts that they are to read; None for that of their own.

    Raises:
        CheckpointError: one cannot be read.
        ConfigError: one has no such member.
    """
    names = [STDIN_NAME if path == STDIN else Path(path).stem for path in paths]
    if len(set(names)) < len(names):
        names = [f"{path} ({paths[:place].count(path) + 1})" if paths.count(path) > 1 else path
                 for place, path in enumerate(paths)]  # fmt: skip
    return [
        Subject(path, name, _choose_member(read_checkpoint(path), path, member), given_text, encoding)
        for path, name in zip(paths, names, strict=True)
    ]


def way_of(subject: Subject) -> tuple[str, TextOptions]:
    """The text that a model learned from, and how it was read but for its unit: the same in models that compare.

    What becomes of invalid bytes counts only where there are some, as far as its characters tell.
    """
    contents, characters = subject.contents, subject.contents.encoder.characters
    has_invalid = NO_TEXT.search(characters) or "\N{REPLACEMENT CHARACTER}" in characters  # kept, or replaced
    own = contents.text_options
    errors = own.errors if has_invalid else "strict"
    return contents.corpus.sha256, replace(own, unit=CHARACTER, lines=False, encoding=own.codec, errors=errors)


def reading_flags(subjects: Sequence[Subject]) -> list[str]:
    """The flags of training by which several models make unlike texts of one before they read it."""
    ways = [vars(subject.contents.text_options) for subject in subjects]
    return [flag_name(name) for name in PREPARING if len({way[name] for way in ways}) > 1]


def _choose_member(contents: Checkpoint, path: str, member: int | None) -> Checkpoint:
    if member is None:
        return contents
    if member >= contents.model.members:
        raise ConfigError(
            f"--member is {member}, counted from 0, and {name_of(path)} has {contents.model.members} in all"
        )
    return contents.member(member)
