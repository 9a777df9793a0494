"""Texts from a model side by side, a character of each at a time; those that are over are soon dropped."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from charrnn.arrays import Doubles, Floats, Ids
from charrnn.generation.choosing import draw
from charrnn.generation.filters import SamplingOptions, weigh
from charrnn.generation.sample_progress import SampleProgress

if TYPE_CHECKING:
    from charrnn.generation.matching import LineMatch, MatchState

ENDED = -1
"""Stands for a character of a text that is over while others go on."""

DRAWS_AT_ONCE = 256
"""Random numbers to draw at once for one text; the sequence is the same as one by one."""

PRUNE_EVERY = 16
"""How often, in steps, to check which texts their consumer has ended."""


class BatchReader(Protocol):
    """N texts that are read side by side."""

    def __call__(self, ids: Ids, /) -> Floats:
        """Read one more character of each text, shape (N,).

        Returns:
            Logits of the following characters, shape (N, V), valid until the next call.
        """

    def selected(self, rows: Ids, /) -> BatchReader:
        """Return independent copies of some of the texts, each as often as `rows` names it."""


@dataclass(frozen=True)
class ReadPrompt:
    """A prompt that was read, for any number of texts that begin with it.

    Attributes:
        read: the reader of one text, after the prompt.
        logits: logits of the character after the prompt, shape (1, V).
    """

    read: BatchReader
    logits: Floats


def generate_batch(
    prompt: ReadPrompt,
    *,
    generators: Sequence[np.random.Generator],
    options: SamplingOptions,
    progresses: Sequence[SampleProgress],
    match: LineMatch | None = None,
) -> Iterator[tuple[Ids, Floats]]:
    """Continue a prompt in N ways at once, in constant memory.

    Args:
        prompt: as a model has read it; it is not yielded.
        generators: one source of randomness for each of the N texts, so that a text depends on its own alone.
        options: how a character is drawn.
        progresses: how much is to be drawn of each text, all of the same length; they may change between characters.
        match: the pattern that lines must match, which may end a text before its length; None for any.

    Yields:
        The next character's id for each text, shape (N,), or `ENDED` for one that is over; and the model's logits,
        shape (N, V), valid until the next ones, with stale rows for texts that are over. Once half of the texts
        computed are over, only the rest is computed.

    Raises:
        DivergenceError: the logits are not finite any more.
    """
    texts = _Texts.all_of(prompt, progresses, match)
    thresholds = _thresholds(generators)
    logits_of_all = prompt.logits.repeat(len(generators), axis=0)
    length = progresses[0].left(0)
    over = np.zeros(len(progresses), dtype=np.bool_)
    for drawn in itertools.count():
        if match is not None or drawn >= length or drawn % PRUNE_EVERY == 0:
            over = texts.over(drawn)
            if over.all():
                return
            if 2 * np.count_nonzero(over) >= len(over):
                texts = texts.without(over)
                over = np.zeros(len(texts.rows), dtype=np.bool_)
        weights = weigh(texts.open_logits(drawn, over), options, _temperatures(options, texts.progresses, drawn))
        ids = draw(weights, next(thresholds)[texts.rows])
        ids_of_all = np.full(len(progresses), ENDED)
        ids_of_all[texts.rows] = np.where(over, ENDED, ids)
        if len(texts.rows) == len(progresses):
            yield ids_of_all, texts.logits
        else:
            logits_of_all[texts.rows] = texts.logits
            yield ids_of_all, logits_of_all
        texts.advance(ids, over)


@dataclass
class _Texts:
    """The N texts that are still computed, of all that were begun.

    Attributes:
        rows: their indices among all texts, shape (N,).
        read: reads them.
        logits: logits of their next characters, shape (N, V).
        progresses: how much is to be drawn of each.
        walks: the state of each in the pattern; None without one.
    """

    rows: Ids
    read: BatchReader
    logits: Floats
    progresses: Sequence[SampleProgress]
    walks: Sequence[MatchState] | None

    @classmethod
    def all_of(cls, prompt: ReadPrompt, progresses: Sequence[SampleProgress], match: LineMatch | None) -> _Texts:
        """Begin a text for each progress."""
        rows = np.arange(len(progresses))
        walks = None if match is None else [match.walk() for _ in progresses]
        read = prompt.read.selected(np.zeros_like(rows))
        logits = prompt.logits.repeat(len(progresses), axis=0)
        return cls(rows=rows, read=read, logits=logits, progresses=progresses, walks=walks)

    def over(self, drawn: int) -> NDArray[np.bool_]:
        """Which texts are over after `drawn` characters."""
        lefts = self._lefts(drawn)
        if self.walks is None:
            return np.array(lefts) <= 0
        return np.array([walk.ended(left) for walk, left in zip(self.walks, lefts, strict=True)])

    def without(self, over: NDArray[np.bool_]) -> _Texts:
        """Return only the texts that are not over."""
        kept = np.flatnonzero(~over)
        progresses = [self.progresses[row] for row in kept.tolist()]
        walks = None if self.walks is None else [self.walks[row] for row in kept.tolist()]
        return _Texts(
            rows=self.rows[kept],
            read=self.read.selected(kept),
            logits=self.logits[kept],
            progresses=progresses,
            walks=walks,
        )

    def open_logits(self, drawn: int, over: NDArray[np.bool_]) -> Floats:
        """The logits after `drawn` characters, minus infinity for ids that the pattern forbids.

        The rows of texts that are over are 0, so that drawing from them raises no error.
        """
        logits = self.logits
        if self.walks is not None:
            lefts = self._lefts(drawn)
            open_ = np.stack([walk.open(left) for walk, left in zip(self.walks, lefts, strict=True)])
            logits = np.where(open_, logits, -np.inf)
        return np.where(over[:, None], 0, logits) if over.any() else logits

    def advance(self, ids: Ids, over: NDArray[np.bool_]) -> None:
        """Read the characters drawn, shape (N,); the walks of texts that are over do not move."""
        if self.walks is not None:
            for walk, character, is_over in zip(self.walks, ids.tolist(), over.tolist(), strict=True):
                if not is_over:
                    walk.advance(character)
        self.logits = self.read(ids)

    def _lefts(self, drawn: int) -> list[int]:
        return [progress.left(drawn) for progress in self.progresses]


def _thresholds(generators: Sequence[np.random.Generator]) -> Iterator[Doubles]:
    """Yield random numbers in [0, 1), one from each generator, shape (N,), endlessly."""
    while True:
        yield from np.stack([generator.random(DRAWS_AT_ONCE) for generator in generators], axis=1)


def _temperatures(options: SamplingOptions, progresses: Sequence[SampleProgress], drawn: int) -> float | Floats:
    """The temperature after `drawn` characters: one for all texts, or, if they differ, one for each, shape (N, 1)."""
    if options.final_temperature is None:
        return options.temperature
    shares = {progress.share(drawn) for progress in progresses}
    if len(shares) == 1:
        return options.temperature_at(shares.pop())
    return np.array([[options.temperature_at(progress.share(drawn))] for progress in progresses])
