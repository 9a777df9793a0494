"""A checkpoint under inspection, with the results that several views share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from charrnn.analysis.ngrams import MAX_LEARNED, Baseline, NgramModel
from charrnn.arrays import Places
from charrnn.cli.inspector.training_text import FoundText, describe_absence, find_text
from charrnn.errors import CharRNNError, ConfigError
from charrnn.generation.filters import SamplingOptions
from charrnn.generation.samples import sample_text
from charrnn.generation.sampling import SamplingModel
from charrnn.inference.engine import Engine
from charrnn.limits import flag_name
from charrnn.loading import load_for_sampling
from charrnn.paths import STDIN, STDIN_NAME, name_of
from charrnn.storage.archive import Checkpoint, read_checkpoint
from charrnn.surrogates import UNDECODABLE
from charrnn.text.counted_places import counted_places
from charrnn.text.options import CHARACTER, TextOptions
from charrnn.text.splitting import count_known

PREPARING = ("newline", "normalize", "lowercase")
"""Options that change a text before it is read."""

SEED = 1
"""Seed of the samples."""

LINES_FORGET = "it learned line by line and forgets at every line's end"
"""Why views that look further back than one line refuse a model that was trained with --lines."""

NOTHING_HELD_OUT = "nothing was held out of its text"
"""Why there is no figure for held-out text."""


@dataclass(frozen=True)
class LossPart:
    """Which part of its text a validation loss is over; losses over unequal parts do not compare.

    Attributes:
        val_fraction: the share held out.
        num_counted: about how many of those characters count; None for all.
        has_lines: whether the part consists of lines rather than pieces.
    """

    val_fraction: float
    num_counted: int | None
    has_lines: bool


@dataclass(frozen=True)
class Subject:
    """A checkpoint under inspection.

    Attributes:
        path: of the file, as the user gave it.
        name: the label where several models are shown.
        contents: the checkpoint that was read.
        given_text: path of the training text, if the user gives one.
        encoding: encoding of the texts to read, if the user names one; None: that of the training text.
    """

    path: str
    name: str
    contents: Checkpoint
    given_text: str | None = None
    encoding: str | None = None

    @property
    def text_options(self) -> TextOptions:
        """How to read a text that the user gives to the model.

        Raises:
            ConfigError: there is no such encoding, or the model reads bytes, which have none.
        """
        return self.contents.text_options.in_encoding(self.encoding)

    @cached_property
    def engine(self) -> Engine:
        """The model, ready to read."""
        return Engine(self.contents.model, self.contents.weights, self.contents.line_end_id)

    @cached_property
    def _writer(self) -> SamplingModel:
        """The model, ready to write."""
        return load_for_sampling(self.contents)[0]

    def sample(self, length: int, options: SamplingOptions | None = None) -> str:
        """Sample `length` characters (or bytes) without a prompt; the seed is fixed, so the text is always the same."""
        encoder, counts = self.contents.encoder, self.contents.corpus.counts
        return sample_text(self._writer, encoder, counts, length, seed=SEED, options=options)

    @property
    def is_stream(self) -> bool:
        """Whether the model reads a text as one stream, and not line by line."""
        return not self.contents.text_options.lines

    def require_stream(self, view: str) -> None:
        """Refuse a view that looks further back than one line, for a model that reads line by line.

        Raises:
            CharRNNError: the model reads line by line.
        """
        if not self.is_stream:
            raise CharRNNError(f"{name_of(self.path)}: {LINES_FORGET}; {view} is for a model of one stream")

    @cached_property
    def training_text(self) -> FoundText | None:
        """The text that the model learned from; None if it cannot be found."""
        return find_text(self.contents, self.path, self.given_text)

    @property
    def counted(self) -> Places | None:
        """Places in the held-out text of the characters that the validation loss is over; None without the text."""
        if self.training_text is None:
            return None
        return counted_places(
            self.training_text.held_out, self.contents.train_config.evaluated, self.contents.line_end_id
        )

    @cached_property
    def baseline(self) -> Baseline | None:
        """Loss of an n-gram model over the characters that the model's validation loss is over.

        The context of each character is all held-out text before it, counted or not; with --lines, that of its line.
        None without the text, or where nothing was held out.
        """
        counted = self.counted
        if self.training_text is None or counted is None or not self.holds_out:
            return None
        train, held_out = self.training_text.train, self.training_text.held_out
        is_part = len(counted) < len(held_out) - 1  # the first character of a stream is never predicted
        places = counted
        if self.contents.line_end_id is not None:  # the first line is read after a line feed
            held_out, places = np.insert(held_out, 0, self.contents.line_end_id), counted + 1
        model = NgramModel(train, self.contents.model.vocab_size, line_end_id=self.contents.line_end_id)
        return Baseline(
            float(model.surprisals_at(held_out, places).mean()),
            learned=MAX_LEARNED if len(train) > MAX_LEARNED else 0,
            counted=len(counted) if is_part else 0,
        )

    @cached_property
    def known_lines(self) -> tuple[int, int]:
        """Number of held-out lines, and how many of them the training text has too; (0, 0) for a stream."""
        if self.is_stream or not self.holds_out or self.training_text is None:  # a stream has no lines to look for
            return 0, 0
        return count_known(self.training_text.train, self.training_text.held_out, self.contents.encoder)

    @property
    def part(self) -> LossPart:
        """Which part of the text the validation loss is over; needs no text."""
        is_chosen = self.num_counted < self._num_held_out
        return LossPart(
            val_fraction=self.contents.train_config.val_fraction,
            num_counted=self.num_counted if is_chosen else None,
            has_lines=self.holds_out_lines or (is_chosen and self.contents.text_options.lines),
        )

    @property
    def holds_out(self) -> bool:
        """Whether text was held out from training, for the validation loss."""
        return self.contents.train_config.holds_out

    @property
    def holds_out_lines(self) -> bool:
        """Whether the held-out text is lines from all over the text, and not its end."""
        return self.contents.train_config.val_spread

    @property
    def num_counted(self) -> int:
        """About how many characters the validation loss is over; needs no text."""
        return self.contents.train_config.num_evaluated(self._num_held_out)

    @property
    def _num_held_out(self) -> int:
        return round(self.contents.corpus.characters * self.contents.train_config.val_share)

    @cached_property
    def why_no_training_text(self) -> str:
        """Why the training text is missing, and what to do about it."""
        return describe_absence(self.contents, self.path)


def read_subjects(
    paths: Sequence[str], given_text: str | None = None, member: int | None = None, encoding: str | None = None
) -> list[Subject]:
    """Read checkpoints and give each a unique name.

    Args:
        paths: of the files, or "-" for standard input.
        given_text: path of the training text, if the user gives one.
        member: index of the ensemble member to inspect alone; None for the whole ensemble.
        encoding: of the texts that the models are to read; None: that of each model's training text.

    Raises:
        CheckpointError: a checkpoint cannot be read.
        ConfigError: a checkpoint has no such member.
    """
    names = [STDIN_NAME if path == STDIN else Path(path).stem for path in paths]
    if len(set(names)) < len(names):
        names = [f"{path} ({paths[:place].count(path) + 1})" if paths.count(path) > 1 else path
                 for place, path in enumerate(paths)]  # fmt: skip
    return [
        Subject(path, name, _choose_member(read_checkpoint(path), path, member), given_text, encoding)
        for path, name in zip(paths, names, strict=True)
    ]


def reading_key(subject: Subject) -> tuple[str, TextOptions]:
    """The SHA-256 of the training text and how it was read, unit aside: equal for models whose losses compare.

    The rule for invalid bytes counts only where the alphabet shows that the text had some.
    """
    contents, characters = subject.contents, subject.contents.encoder.characters
    has_invalid = UNDECODABLE.search(characters) or "\N{REPLACEMENT CHARACTER}" in characters  # kept, or replaced
    own = contents.text_options
    errors = own.errors if has_invalid else "strict"
    return contents.corpus.sha256, replace(own, unit=CHARACTER, lines=False, encoding=own.codec, errors=errors)


def reading_flags(subjects: Sequence[Subject]) -> list[str]:
    """The training flags in which models differ so that they prepare the same text in different ways."""
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
