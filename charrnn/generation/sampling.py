"""Drawing text from a model, one character at a time, independent of file formats and terminals.

Works with any `SamplingModel`; ids go in and ids come out.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.random import Generator, default_rng

from charrnn.arrays import Floats, Ids
from charrnn.errors import ConfigError
from charrnn.generation.batch_sampling import DRAWS_AT_ONCE, BatchReader, ReadPrompt, generate_batch
from charrnn.generation.choosing import Chooser, make_chooser, overflow
from charrnn.generation.filters import SamplingOptions
from charrnn.generation.sample_progress import SampleProgress

if TYPE_CHECKING:
    from charrnn.generation.matching import LineMatch, MatchState

COLUMNS_AT_ONCE = 256
"""Steps of texts side by side that are stacked into one array, which takes less memory than one array for each step."""


class Reader(Protocol):
    """One text that is read character by character."""

    def __call__(self, character: int, /) -> Floats:
        """Read one more character; return the logits of the next, shape (V,), valid until the next call."""

    def copy(self) -> Reader:
        """Return an independent copy, from which another text can go on."""


class SamplingModel(Protocol):
    """The interface that sampling needs of a model."""

    def batch_reader(self, num_texts: int, generated_from: int | None = None) -> BatchReader:
        """Begin N texts, to be read side by side."""

    def reader(self, generated_from: int | None = None) -> Reader:
        """Begin one text, to be read character by character.

        Args:
            generated_from: the position from which on characters are the model's own; of these, a model that recalls
                recalls only short pieces; None: it recalls everything.
        """


def generate_one(
    read: Callable[[int], Floats],
    prompt: Sequence[int],
    *,
    generator: Generator,
    options: SamplingOptions,
    progress: SampleProgress,
    match: LineMatch | None = None,
) -> Iterator[tuple[int, Floats]]:
    """Continue a prompt once: like `generate_batch` for one text, with as little work as possible for each character.

    The last character drawn is not read, so that `read` can go on with it later.

    Args:
        read: reads one more character of a text and returns the logits of the next.
        prompt: ids that the text begins, or goes on, with, at least one; they are read and not yielded.
        generator: the source of randomness.
        options: how a character is drawn.
        progress: how much is to be drawn; it may change between characters.
        match: the pattern that lines must match, which may end the text before its length; None for any.

    Yields:
        The next character's id, and the model's logits, shape (V,), valid until the next one.

    Raises:
        DivergenceError: the logits are not finite any more.
    """
    for character in prompt:
        logits = read(int(character))  # a Python integer: a numpy one may overflow
    choose = make_chooser(options, progress, len(logits))
    thresholds: Iterator[float] = (value for _ in itertools.count() for value in generator.random(DRAWS_AT_ONCE).data)
    walk = None
    if match is not None:
        walk = match.walk()
        choose = _held_to(walk, progress, choose)
    for drawn in itertools.count():
        left = progress.left(drawn)
        if left <= 0 or (walk is not None and walk.ended(left)):
            return
        if drawn:
            logits = read(character)
        character = choose(logits, next(thresholds), drawn)
        if character >= len(logits):
            raise overflow()
        yield character, logits


@dataclass(frozen=True)
class Sampler:
    """Numbered samples of one model and prompt; a sample depends only on the seed and its number, apart from rounding.

    Attributes:
        model: computes the logits.
        prompt: ids that every sample begins with, at least one; not part of the output.
        options: how a character is drawn.
        seed: the seed of all samples.
        match: the pattern that the lines of the samples must match; None for any.
        over_lines: number of lines over which the temperature changes, at least two; None: over the characters.
        recall_all: whether a model that recalls also recalls long pieces of its own output, as when it reads; see
            `charrnn.recall_memory`.
        resume: where samples, drawn alone, continue a text that the model has read already: returns its reader, which
            has read all but the text's last character, the `prompt`. None: samples begin a text.

    Raises:
        ConfigError: the prompt is empty.
    """

    model: SamplingModel
    prompt: Sequence[int]
    options: SamplingOptions
    seed: int
    match: LineMatch | None = None
    over_lines: int | None = None
    recall_all: bool = False
    resume: Callable[[], Callable[[int], Floats]] | None = None

    def __post_init__(self) -> None:
        if not len(self.prompt):
            raise ConfigError("the prompt is empty; it must have one id at least, such as that of a line feed")

    def new_progress(self, length: int | None) -> SampleProgress:
        """Make the progress of one sample of so many characters; None for no end.

        Raises:
            ConfigError: the length is negative.
        """
        if length is not None and length < 0:
            raise ConfigError(f"the length is {length}; it must be at least 0, or None for no end")
        return SampleProgress(length, self.over_lines)

    def stream(self, length: int | None, number: int = 0) -> Iterator[int]:
        """One sample, id by id; endless if `length` is None and no pattern ends it."""
        return (character for character, _ in self.trace(self.new_progress(length), number))

    def trace(self, progress: SampleProgress, number: int = 0) -> Iterator[tuple[int, Floats]]:
        """One sample, id by id, each with the model's logits; see `generate_one`."""
        return generate_one(
            self.resume() if self.resume else self.model.reader(self._generated_from),
            self.prompt,
            generator=self._generator(number),
            options=self.options,
            progress=progress,
            match=self.match,
        )

    def begin(self) -> ReadPrompt:
        """Read the prompt, only once for all samples that are computed side by side."""
        return self._read_prompt

    def steps(self, numbers: Sequence[int], progresses: Sequence[SampleProgress]) -> Iterator[tuple[Ids, Floats]]:
        """Several samples, computed side by side; see `generate_batch`."""
        generators = [self._generator(number) for number in numbers]
        return generate_batch(
            self.begin(), generators=generators, options=self.options, progresses=progresses, match=self.match
        )

    def batch(self, numbers: Sequence[int], length: int) -> Ids:
        """Several whole samples, shape (len(numbers), length), padded with `ENDED` after those that a pattern ended.

        The array is shorter if a pattern has ended all of them before the length; memory grows with what is drawn.
        """
        progresses = [self.new_progress(length) for _ in numbers]
        steps = self.steps(numbers, progresses)
        drawn = (ids.astype(np.min_scalar_type(-logits.shape[-1])) for ids, logits in steps)
        blocks: list[Ids] = [np.empty((len(numbers), 0), dtype=np.int8)]
        while block := list(itertools.islice(drawn, COLUMNS_AT_ONCE)):
            blocks.append(np.stack(block, axis=1))
        return np.concatenate(blocks, axis=1)

    @cached_property
    def _read_prompt(self) -> ReadPrompt:
        read = self.model.batch_reader(1, self._generated_from)
        for character in self.prompt:
            logits = read(np.array([character]))
        return ReadPrompt(read, logits)

    @property
    def _generated_from(self) -> int | None:
        """The `generated_from` of the samples' readers; see `SamplingModel.reader`."""
        return None if self.recall_all else len(self.prompt)

    def _generator(self, number: int) -> Generator:
        return default_rng([self.seed, number])


def _held_to(walk: MatchState, progress: SampleProgress, choose: Chooser) -> Chooser:
    """Make a `Chooser` that draws only from the characters that may follow, and advances the walk."""

    def choose_open(logits: Floats, threshold: float, drawn: int) -> int:
        character = choose(np.where(walk.open(progress.left(drawn)), logits, -np.inf), threshold, drawn)
        if character < len(logits):  # else the caller raises an error
            walk.advance(character)
        return character

    return choose_open
