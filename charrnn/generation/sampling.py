"""Drawing text from a model, one character at a time: knows no file format and no terminal.

Any model that can begin to read texts will do; ids go in and ids come out.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from charrnn.generation.choosing import Chooser, Ids, draw, make_chooser, overflow
from charrnn.generation.course import Course
from charrnn.generation.filters import Floats, SamplingOptions, weigh

if TYPE_CHECKING:
    from charrnn.generation.matching import LineMatch, Walk

Reader = Callable[[int], Floats]
"""Read one more character of a text; give the logits of the next, shape (V,), valid until the next call."""

ENDED = -1
"""Stands for a character in a text that is over while others beside it go on."""

DRAWS_AT_ONCE = 256
"""Random numbers to fetch together for one text; the sequence is the same as one by one."""

COLUMNS_AT_ONCE = 256
"""Characters of texts side by side to put together, which takes less memory than as many arrays."""


class BatchReader(Protocol):
    """N texts that are read side by side."""

    def __call__(self, ids: Ids, /) -> Floats:
        """Read one more character of each, shape (N,).

        Returns:
            Logits of those after them, shape (N, V), valid until the next call.
        """

    def repeated(self, num_texts: int) -> BatchReader:
        """Begin so many texts where the only one of these is, which stays there."""


class StepModel(Protocol):
    """What sampling asks of a model, whatever computes it."""

    def batch_reader(self, num_texts: int, own_from: int | None = None) -> BatchReader:
        """Begin N texts, to be read side by side."""

    def reader(self, own_from: int | None = None) -> Reader:
        """Begin one text, to be read character by character.

        Args:
            own_from: the place from which the characters are drawn and not given: of these a model that recalls shall
                recall short pieces alone; None: it shall recall all.
        """


@dataclass(frozen=True)
class Beginning:
    """A prompt that was read, for any number of texts that begin with it.

    Attributes:
        read: one text, of which it was read.
        logits: of what follows it, shape (1, V).
    """

    read: BatchReader
    logits: Floats


def begin(model: StepModel, prompt: Sequence[int], options: SamplingOptions) -> Beginning:
    """Read a prompt, ids of which there is at least one."""
    read = model.batch_reader(1, None if options.recall_all else len(prompt))
    for character in prompt:
        logits = read(np.array([character]))
    return Beginning(read, logits)


def generate(
    beginning: Beginning,
    *,
    generators: Sequence[np.random.Generator],
    options: SamplingOptions,
    courses: Sequence[Course],
    match: LineMatch | None = None,
) -> Iterator[tuple[Ids, Floats]]:
    """Continue a prompt in N ways at once, in constant memory.

    Args:
        beginning: the prompt as a model has read it; it is not yielded.
        generators: one source of randomness for each of the N texts, so that a text depends on its own alone.
        options: how a character is chosen.
        courses: how much is to be drawn of each text, all of one length; they may change between characters.
        match: what their lines must fit; a text may then be over before its length. None for anything.

    Yields:
        The next character's id for each text, shape (N,), or `ENDED` for one that is over; and the model's logits,
        shape (N, V), valid until the next ones.

    Raises:
        DivergenceError: the scores are not finite any more.
    """
    read, logits = beginning.read.repeated(len(generators)), beginning.logits.repeat(len(generators), axis=0)
    thresholds = _thresholds(generators)
    walks = None if match is None else match.walks(len(generators))
    length, over = courses[0].left(0), np.zeros(len(courses), dtype=np.bool_)
    for drawn in itertools.count():
        open_logits = logits
        if walks is not None or drawn >= length:  # before, none can be over
            lefts = np.array([course.left(drawn) for course in courses])
            over = lefts <= 0 if walks is None else walks.ended(lefts)
            if over.all():
                return
            open_logits = logits if walks is None else walks.narrow(logits, lefts, over)
        ids = draw(weigh(open_logits, options, _temperatures(options, courses, drawn)), next(thresholds))
        if walks is not None:
            walks.advance(ids, over)
        yield np.where(over, ENDED, ids), logits
        logits = read(ids)


def generate_one(
    read: Reader,
    prompt: Sequence[int],
    *,
    generator: np.random.Generator,
    options: SamplingOptions,
    course: Course,
    match: LineMatch | None = None,
) -> Iterator[tuple[int, Floats]]:
    """Continue a prompt in one way: as `generate`, with as little as possible done for a character.

    Args:
        read: of a text that has not begun.
        prompt: ids that the text begins with, at least one; they are read and not yielded.
        generator: of the draws.
        options: how a character is chosen.
        course: how much is to be drawn; it may change between characters.
        match: what its lines must fit; it may then be over before its length. None for anything.

    Yields:
        The next character's id, and the model's logits, shape (V,), valid until the next one.

    Raises:
        DivergenceError: the scores are not finite any more.
    """
    for character in prompt:
        logits = read(int(character))  # an array's numbers do not grow
    choose = make_chooser(options, course, len(logits))
    thresholds: Iterator[float] = (value for _ in itertools.count() for value in generator.random(DRAWS_AT_ONCE).data)
    walk = None
    if match is not None:
        walk = match.walk()
        choose = _held_to(walk, course, choose)
    for drawn in itertools.count():
        left = course.left(drawn)
        if left <= 0 or (walk is not None and walk.ended(left)):
            return
        character = choose(logits, next(thresholds), drawn)
        if character >= len(logits):
            raise overflow()
        yield character, logits
        logits = read(character)


@dataclass(frozen=True)
class Sampler:
    """Numbered samples of one model and prompt; a sample depends on the seed and its number alone, rounding apart.

    Attributes:
        model: computes the scores.
        prompt: ids that every sample begins with, at least one; not part of what is given out.
        options: how a character is chosen.
        seed: of all samples.
        match: what the lines of the samples must fit; None for anything.
    """

    model: StepModel
    prompt: Sequence[int]
    options: SamplingOptions
    seed: int
    match: LineMatch | None = None

    def course(self, length: int | None) -> Course:
        """The way of one sample that is to be of so many characters; None for no end."""
        return Course(length, self.options.over_lines)

    def stream(self, length: int | None, number: int = 0) -> Iterator[int]:
        """One sample, id by id; without end where `length` is None and no pattern ends it."""
        return (character for character, _ in self.trace(self.course(length), number))

    def trace(self, course: Course, number: int = 0) -> Iterator[tuple[int, Floats]]:
        """One sample, id by id, each with the model's logits; see `generate_one`."""
        return generate_one(
            self.model.reader(None if self.options.recall_all else len(self.prompt)),
            self.prompt,
            generator=self._generator(number),
            options=self.options,
            course=course,
            match=self.match,
        )

    def begin(self) -> Beginning:
        """Read the prompt, once for all samples that are computed side by side."""
        return self._beginning

    def steps(self, numbers: Sequence[int], courses: Sequence[Course]) -> Iterator[tuple[Ids, Floats]]:
        """Several samples computed side by side; see `generate`."""
        generators = [self._generator(number) for number in numbers]
        return generate(self.begin(), generators=generators, options=self.options, courses=courses, match=self.match)

    def batch(self, numbers: Sequence[int], length: int) -> Ids:
        """Several whole samples, shape (len(numbers), length), with `ENDED` behind those that a pattern ended.

        Memory grows with what is drawn: where a pattern has ended all of them before the length, there is no more.
        """
        courses = [self.course(length) for _ in numbers]
        steps = self.steps(numbers, courses)
        drawn = (ids.astype(np.min_scalar_type(-logits.shape[-1])) for ids, logits in steps)
        blocks: list[Ids] = [np.empty((len(numbers), 0), dtype=np.int8)]
        while block := list(itertools.islice(drawn, COLUMNS_AT_ONCE)):
            blocks.append(np.stack(block, axis=1))
        return np.concatenate(blocks, axis=1)

    @cached_property
    def _beginning(self) -> Beginning:
        return begin(self.model, self.prompt, self.options)

    def _generator(self, number: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, number])


def _thresholds(generators: Sequence[np.random.Generator]) -> Iterator[NDArray[np.float64]]:
    """Numbers in [0, 1), one from each generator, shape (N,), without end."""
    while True:
        yield from np.stack([generator.random(DRAWS_AT_ONCE) for generator in generators], axis=1)


def _temperatures(options: SamplingOptions, courses: Sequence[Course], drawn: int) -> float | Floats:
    """The temperature of all texts, or, where it changes, of each, shape (N, 1), after so many characters."""
    if options.last_temperature is None:
        return options.temperature
    shares = {course.share(drawn) for course in courses}
    if len(shares) == 1:
        return options.temperature_at(shares.pop())
    return np.array([[options.temperature_at(course.share(drawn))] for course in courses])


def _held_to(walk: Walk, course: Course, choose: Chooser) -> Chooser:
    """Choose among the characters that may follow alone, and let the walk go on by the choice."""

    def choose_open(logits: Floats, threshold: float, drawn: int) -> int:
        character = choose(np.where(walk.open(course.left(drawn)), logits, -np.inf), threshold, drawn)
        if character < len(logits):  # else the caller tells what went wrong
            walk.advance(character)
        return character

    return choose_open
