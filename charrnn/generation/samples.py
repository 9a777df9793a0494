"""Samples as text: ids from the sampler, characters from the encoder, cut according to the rules."""

from __future__ import annotations

import codecs
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from charrnn.generation.endings import Drawn, Ending
from charrnn.generation.filters import SamplingOptions
from charrnn.generation.sample_progress import MOST_IN_VAIN, SampleProgress
from charrnn.generation.sampling import Sampler, SamplingModel
from charrnn.softmax import log_softmax
from charrnn.surrogates import join_bytes, to_bytes
from charrnn.text.encoder import CharEncoder, first_id
from charrnn.text.options import BYTE, CHARACTER


@dataclass(frozen=True)
class Sample:
    """One finished sample, without its prompt.

    Attributes:
        number: from 0; the text depends on it and the seed.
        text: the characters that belong to the sample.
        log_probabilities: the model's own log-probability of each character, in nats, regardless of filters.
        reason: what ended it: "length", "stop", "lines", "match" if no character can follow in the pattern, "known" if
            nearly all that was drawn was left out, or "interrupted" by Ctrl-C.
        lines: number of whole lines; see `charrnn.generation.endings.Ending`.
        refused: number of known lines left out.
        repeated: number of other lines left out because they had come before.
        is_begun_left_out: whether an unfinished last line was left out because a line to leave out begins with it.
        stop: the text that has ended it, if one has.
    """

    number: int
    text: str
    log_probabilities: Sequence[float]
    reason: str = "length"
    lines: int = 0
    refused: int = 0
    repeated: int = 0
    is_begun_left_out: bool = False
    stop: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing of what was drawn belongs to it."""
        return not self.text


class ByteJoiner:
    """Joins bytes that arrive as single surrogate characters into the characters that they encode in UTF-8.

    The log-probability of a character of several bytes is the sum of theirs.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._pending: list[float] = []  # log-probabilities of the bytes of an unfinished character

    def feed(self, drawn: Iterable[Drawn]) -> list[Drawn]:
        """Take the next characters; return those that are whole by now."""
        characters = ""
        for character, log_probability in drawn:
            data = to_bytes(character)
            self._pending += [log_probability, *[0.0] * (len(data) - 1)]
            characters += self._decoder.decode(data)
        return self._match(characters)

    def finish(self) -> list[Drawn]:
        """End the text: return the rest."""
        return self._match(self._decoder.decode(b"", True))

    def _match(self, characters: str) -> list[Drawn]:
        drawn = []
        for character in characters:
            size = len(to_bytes(character))
            drawn.append((character, sum(self._pending[:size])))
            del self._pending[:size]
        return drawn


class SampleBuilder:
    """A sample as it grows: turns ids into the characters that are certain to belong to it.

    With bytes as the unit, the rules are applied to each byte, since a stop may end within a character.

    Args:
        encoder: decodes the ids.
        progress: how much is left to draw; updated here, since lines that are left out do not count.
        ending: what else ends the sample; holds the reason afterwards.

    Attributes:
        progress: as given.
        ending: as given.
        takes_text: whether `feed_text` may be called in place of `feed`.
        vain: number of characters left out in a row so far.
    """

    def __init__(self, encoder: CharEncoder, progress: SampleProgress, ending: Ending) -> None:
        self.progress = progress
        self.ending = ending
        self.vain = 0
        self._alone = encoder.alone
        self._joining = ByteJoiner() if encoder.unit == BYTE else None
        self.takes_text = ending.takes_text and encoder.unit == CHARACTER

    def feed(self, char_id: int, log_probability: float) -> list[Drawn]:
        """Take the next id; return the characters that have become certain."""
        certain = self.ending.feed(self._alone[char_id], log_probability)
        self.progress.line = self.ending.lines
        if certain:
            self.vain = 0
        if refused := self.ending.take_refused():
            self.vain += len(join_bytes(refused))
            self.progress.give_back(len(refused))
        if self.ending.reason is not None:
            self.progress.end()
        return self._joined(certain)

    def feed_text(self, ids: Sequence[int]) -> str:
        """Take several ids at once, if `takes_text`; return all their characters, including `ending.surplus`."""
        text = "".join([self._alone[char_id] for char_id in ids])
        self.ending.feed_text(text)
        self.progress.line = self.ending.lines
        if self.ending.reason is not None:
            self.progress.end()
        return text

    def finish(self, drawn: int) -> list[Drawn]:
        """End the sample after `drawn` ids: return the rest."""
        self.ending.reason = "match" if self.progress.left(drawn) > 0 else "length"
        certain = self.ending.finish()
        if self.progress.is_spent:
            self.ending.reason = "known"
        self.progress.end()
        return self._joined(certain)

    def _joined(self, certain: list[Drawn]) -> list[Drawn]:
        """Join what is certain into whole characters; once the sample has ended, flush the rest."""
        if self._joining is None:
            return certain
        whole = self._joining.feed(certain)
        return whole if self.ending.reason is None else whole + self._joining.finish()


def draw_characters(
    sampler: Sampler,
    encoder: CharEncoder,
    length: int | None,
    ending: Ending,
    number: int = 0,
    *,
    with_log_probabilities: bool = True,
) -> Iterator[Drawn]:
    """Draw one sample character by character, each as soon as it is certain.

    Args:
        sampler: draws the ids.
        encoder: the model's encoder.
        length: the most characters to draw; None for no limit: then the sample ends, for the reason "known", after
            `MOST_IN_VAIN` characters left out in a row.
        ending: what else ends the sample; holds the reason afterwards.
        number: the sample's number.
        with_log_probabilities: whether to compute them, which takes as long as a draw; else they are NaN.

    Yields:
        A character and the model's own log-probability of it.
    """
    builder, drawn = SampleBuilder(encoder, sampler.new_progress(length), ending), 0
    for char_id, logits in sampler.trace(builder.progress, number):
        value = float(log_softmax(logits)[char_id]) if with_log_probabilities else math.nan
        yield from builder.feed(char_id, value)
        if length is None and builder.vain >= MOST_IN_VAIN:
            ending.reason = "known"
        if ending.reason is not None:
            return
        drawn += 1
    yield from builder.finish(drawn)


def joined(drawn: Iterable[Drawn]) -> Iterator[Drawn]:
    """Join characters as `ByteJoiner` does, also one that a prompt begins and a text ends; drop an unfinished one."""
    joining = ByteJoiner()
    for each in drawn:
        yield from joining.feed([each])


def sample_text(
    model: SamplingModel,
    encoder: CharEncoder,
    counts: Sequence[int],
    length: int,
    *,
    seed: int,
    options: SamplingOptions | None = None,
) -> str:
    """Write a text as `charrnn sample` does without a prompt, by default at its temperature.

    With bytes as the unit, an unfinished character at the end is left out.
    """
    sampler = Sampler(model, [first_id(encoder, counts)], options or SamplingOptions(), seed)
    text = encoder.decode([*sampler.stream(length)])
    return text if encoder.unit == CHARACTER else join_bytes(text, is_whole=False)
