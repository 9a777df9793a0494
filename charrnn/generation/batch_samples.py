"""Many samples as text, drawn side by side."""

from __future__ import annotations

import io
import itertools
import math
from array import array
from collections.abc import Sequence

import numpy as np

from charrnn.arrays import Floats, Ids
from charrnn.generation.batch_sampling import ENDED
from charrnn.generation.endings import Drawn, Ending
from charrnn.generation.rules import Rules
from charrnn.generation.samples import Sample, SampleBuilder
from charrnn.generation.sampling import Sampler
from charrnn.softmax import log_softmax
from charrnn.text.encoder import CharEncoder

BLOCK_SHARE = 1 / 8
"""Ids of samples side by side are taken in blocks, each this share of the number drawn so far, and at least one."""

LONGEST_BLOCK = 16
"""Most ids in a block: what is drawn of a sample beyond its end, within its last block, is wasted."""

LONGEST_WITHOUT_RULES = 256
"""Most ids in a block where only the length ends samples, so that nothing is wasted."""


def draw_samples(
    sampler: Sampler,
    encoder: CharEncoder,
    length: int,
    rules: Rules,
    numbers: Sequence[int],
    prompt: str = "",
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
        prompt: its last line is continued by each sample's first line.
        with_log_probabilities: see `draw_characters`.
    """
    buffers = [
        _SampleBuffer(SampleBuilder(encoder, sampler.new_progress(length), Ending(rules, prompt))) for _ in numbers
    ]
    steps = sampler.steps(numbers, [buffer.builder.progress for buffer in buffers])
    one_by_one = rules.leave_out_lines or sampler.over_lines is not None  # each id changes how the next is drawn
    longest_block = LONGEST_WITHOUT_RULES if rules.are_none else LONGEST_BLOCK
    unfinished, drawn = buffers, 0
    while unfinished:
        count = 1 if one_by_one else min(max(int(BLOCK_SHARE * drawn), 1), longest_block)
        block = [_figures(*step, with_log_probabilities) for step in itertools.islice(steps, count)]
        if not block:
            break
        ids, values = (np.stack(each, axis=1) for each in zip(*block, strict=True))  # (N, T)
        for buffer, own_ids, own_values in zip(buffers, ids, values, strict=True):
            buffer.take(own_ids.tolist(), own_values, drawn)
        unfinished = [buffer for buffer in buffers if not buffer.is_over]
        drawn += len(block)
    for buffer in unfinished:
        buffer.finish(drawn)
    return [buffer.sample(number) for number, buffer in zip(numbers, buffers, strict=True)]


def _figures(ids: Ids, logits: Floats, with_log_probabilities: bool) -> tuple[Ids, Floats]:
    """The ids of a step, shape (N,), and their log-probabilities, NaN if those are not wanted."""
    if with_log_probabilities:
        return ids, log_softmax(logits)[np.arange(len(ids)), ids]
    return ids, np.full(len(ids), math.nan)


class _SampleBuffer:
    """Collects a sample's text and log-probabilities in compact buffers.

    Args:
        builder: turns the sample's ids into characters.
    """

    def __init__(self, builder: SampleBuilder) -> None:
        self.builder = builder
        self._text = io.StringIO()
        self._log_probabilities = array("d")

    @property
    def is_over(self) -> bool:
        """Whether the sample has ended."""
        return self.builder.ending.reason is not None

    def take(self, ids: list[int], log_probabilities: Floats, drawn: int) -> None:
        """Take those of the next ids that belong to the sample; `drawn` ids came before them."""
        if self.is_over:
            return
        count = ids.index(ENDED) if ENDED in ids else len(ids)
        if self.builder.takes_text:
            self._text.write(self.builder.feed_text(ids[:count]))
            self._log_probabilities.frombytes(log_probabilities[:count].astype(np.float64).tobytes())
        else:
            for char_id, value in zip(ids[:count], log_probabilities.tolist(), strict=False):
                self._add(self.builder.feed(char_id, value))
                if self.is_over:
                    return
        if count < len(ids) and not self.is_over:
            self.finish(drawn + count)

    def finish(self, drawn: int) -> None:
        """End the sample after `drawn` ids."""
        self._add(self.builder.finish(drawn))

    def sample(self, number: int) -> Sample:
        """Return the finished sample."""
        ending = self.builder.ending
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
