"""Many samples as text, drawn side by side."""

from __future__ import annotations

import io
import itertools
import math
from array import array
from collections.abc import Sequence

import numpy as np

from charrnn.arrays import Floats, Ids
from charrnn.generation.endings import Drawn, Ending
from charrnn.generation.rules import Rules
from charrnn.generation.samples import Growing, Sample
from charrnn.generation.sampling import Sampler
from charrnn.generation.side_by_side import ENDED
from charrnn.softmax import log_softmax
from charrnn.text.encoder import CharEncoder

TAKEN_SHARE, MOST_TAKEN = 8, 16
"""Ids of samples side by side are taken in blocks: an eighth of the number drawn so far, at least one and at most
`MOST_TAKEN`. What is drawn of a sample beyond its end, within its last block, is wasted."""


def draw_samples(
    sampler: Sampler,
    encoder: CharEncoder,
    length: int,
    rules: Rules,
    numbers: Sequence[int],
    beginning: str = "",
    *,
    with_log_probabilities: bool = True,
) -> list[Sample]:
    """Draw samples side by side.

    Args:
        sampler: draws the ids.
        encoder: the model's encoder.
        length: the most characters to draw for each.
        rules: what else ends them, and what they must not hold.
        numbers: the samples' numbers.
        beginning: the prompt, whose last line each sample's first line continues.
        with_log_probabilities: see `draw_characters`.
    """
    pages = [_Page(Growing(encoder, sampler.course(length), Ending(rules, beginning))) for _ in numbers]
    steps = sampler.steps(numbers, [page.growing.course for page in pages])
    is_heeded_at_once = rules.leave_out_lines or sampler.over_lines is not None
    unfinished, drawn = pages, 0
    while unfinished:
        count = 1 if is_heeded_at_once else min(max(drawn // TAKEN_SHARE, 1), MOST_TAKEN)
        block = [_figures(*step, with_log_probabilities) for step in itertools.islice(steps, count)]
        if not block:
            break
        ids, values = (np.stack(each, axis=1) for each in zip(*block, strict=True))  # (N, T)
        for page, own_ids, own_values in zip(pages, ids, values, strict=True):
            page.take(own_ids.tolist(), own_values, drawn)
        unfinished = [page for page in pages if not page.is_over]
        drawn += len(block)
    for page in unfinished:
        page.finish(drawn)
    return [page.sample(number) for number, page in zip(numbers, pages, strict=True)]


def _figures(ids: Ids, logits: Floats, with_log_probabilities: bool) -> tuple[Ids, Floats]:
    """The ids of a step, shape (N,), and their log-probabilities, NaN if those are not wanted."""
    if with_log_probabilities:
        return ids, log_softmax(logits)[np.arange(len(ids)), ids]
    return ids, np.full(len(ids), math.nan)


class _Page:
    """Collects a sample's text and log-probabilities in compact buffers.

    Args:
        growing: turns the sample's ids into characters.
    """

    def __init__(self, growing: Growing) -> None:
        self.growing = growing
        self._text = io.StringIO()
        self._log_probabilities = array("d")

    @property
    def is_over(self) -> bool:
        """Whether the sample has ended."""
        return self.growing.ending.reason is not None

    def take(self, ids: list[int], log_probabilities: Floats, drawn: int) -> None:
        """Take those of the next ids that belong to the sample; `drawn` ids came before them."""
        if self.is_over:
            return
        count = ids.index(ENDED) if ENDED in ids else len(ids)
        if self.growing.takes_text:
            self._text.write(self.growing.feed_text(ids[:count]))
            self._log_probabilities.frombytes(log_probabilities[:count].astype(np.float64).tobytes())
        else:
            for character, value in zip(ids[:count], log_probabilities.tolist(), strict=False):
                self._add(self.growing.feed(character, value))
                if self.is_over:
                    return
        if count < len(ids) and not self.is_over:
            self.finish(drawn + count)

    def finish(self, drawn: int) -> None:
        """End the sample after `drawn` ids."""
        self._add(self.growing.finish(drawn))

    def sample(self, number: int) -> Sample:
        """Return the finished sample."""
        ending = self.growing.ending
        size = len(self._log_probabilities) - ending.surplus
        del self._log_probabilities[size:]
        return Sample(
            number=number,
            text=self._text.getvalue()[:size],
            log_probabilities=self._log_probabilities,
            reason=ending.reason or "length",
            lines=ending.lines,
            refused=ending.refused,
            repeated=ending.repeated,
            is_begun_left_out=ending.is_begun_left_out,
            stop=ending.stop,
        )

    def _add(self, characters: list[Drawn]) -> None:
        for character, log_probability in characters:
            self._text.write(character)
            self._log_probabilities.append(log_probability)
