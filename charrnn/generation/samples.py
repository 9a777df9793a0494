"""Samples as text: ids from the sampler, characters from the encoder, ends by rule."""

from __future__ import annotations

import codecs
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from charrnn.generation.course import MOST_IN_VAIN, Course
from charrnn.generation.endings import Drawn, Ending
from charrnn.generation.sampling import Sampler
from charrnn.softmax import log_softmax
from charrnn.surrogates import to_bytes, together
from charrnn.text.encoder import CharEncoder
from charrnn.text.options import BYTE, CHARACTER


@dataclass(frozen=True)
class Sample:
    """One finished sample, without its prompt.

    Attributes:
        number: from 0; with the seed it decides the text.
        text: what was drawn.
        log_probabilities: of each of its characters as the model sees it, in nats, whatever the filters.
        reason: "length", "stop", "lines", "match" where no character can follow by the pattern, "known" where nearly
            all that was drawn was left out, or "interrupted" where Ctrl-C ended it.
        lines: whole lines that came; see `charrnn.generation.endings.Ending`.
        refused: known lines left out of it.
        repeated: other lines left out since they had come before.
        is_begun_left_out: whether its last line was, since one of these begins so.
        stop: the text that has ended it, where one has.
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


class Joining:
    """Characters, some of them bytes that are no text by themselves, with what of these is text put together.

    The log-probability of a character of several bytes is the sum of theirs.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._pending: list[float] = []  # of the bytes of what is not whole yet

    def feed(self, drawn: Iterable[Drawn]) -> list[Drawn]:
        """Take the next ones; give those that are whole by now."""
        characters = ""
        for character, log_probability in drawn:
            data = to_bytes(character)
            self._pending += [log_probability, *[0.0] * (len(data) - 1)]
            characters += self._decoder.decode(data)
        return self._match(characters)

    def finish(self) -> list[Drawn]:
        """Give the rest: nothing more comes."""
        return self._match(self._decoder.decode(b"", True))

    def _match(self, characters: str) -> list[Drawn]:
        drawn = []
        for character in characters:
            size = len(to_bytes(character))
            drawn.append((character, sum(self._pending[:size])))
            del self._pending[:size]
        return drawn


class Growing:
    """A sample on its way from ids to characters, as far as they are certain to belong to it.

    What ends it is asked for each byte, where these are the unit: a stop may end within a character.

    Args:
        encoder: of the ids.
        course: how much of it is left to draw, told what of it counts: lines that are left out do not.
        ending: what else ends it; tells afterwards what has.

    Attributes:
        course: as given.
        ending: as given.
        takes_text: whether `feed_text` may take the place of `feed`.
        vain: characters left out in a row by now.
    """

    def __init__(self, encoder: CharEncoder, course: Course, ending: Ending) -> None:
        self.course = course
        self.ending = ending
        self.vain = 0
        self._alone = encoder.alone
        self._joining = Joining() if encoder.unit == BYTE else None
        self.takes_text = ending.takes_text and encoder.unit == CHARACTER

    def feed(self, character: int, log_probability: float) -> list[Drawn]:
        """Take the next id; give the characters that have become certain."""
        certain = self.ending.feed(self._alone[character], log_probability)
        self.course.line = self.ending.lines
        if certain:
            self.vain = 0
        if refused := self.ending.take_refused():
            self.vain += len(together(refused))
            self.course.give_back(len(refused))
        if self.ending.reason is not None:
            self.course.end()
        return self._joined(certain)

    def feed_text(self, ids: Sequence[int]) -> str:
        """Take the next ids together where `takes_text`; give all their characters, `ending.surplus` too."""
        text = "".join([self._alone[character] for character in ids])
        self.ending.feed_text(text)
        self.course.line = self.ending.lines
        if self.ending.reason is not None:
            self.course.end()
        return text

    def finish(self, drawn: int) -> list[Drawn]:
        """Give the rest: after so many ids no more come."""
        self.ending.reason = "match" if self.course.left(drawn) > 0 else "length"
        certain = self.ending.finish()
        if self.course.is_spent:
            self.ending.reason = "known"
        self.course.end()
        return self._joined(certain)

    def _joined(self, certain: list[Drawn]) -> list[Drawn]:
        """What is certain as whole characters; once the sample has ended, all of it."""
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
        sampler: of the model that `encoder` belongs to.
        encoder: gives the characters.
        length: characters to draw at most; None for no limit: it ends then where nothing comes but what is left out.
        ending: what else ends it; tells afterwards what has, which in that case is "known".
        number: of the sample.
        with_log_probabilities: whether they are computed, which takes as long as a draw; else they are no numbers.

    Yields:
        A character and its log-probability as the model sees it.
    """
    growing, drawn = Growing(encoder, sampler.course(length), ending), 0
    for character, logits in sampler.trace(growing.course, number):
        value = float(log_softmax(logits)[character]) if with_log_probabilities else math.nan
        yield from growing.feed(character, value)
        if length is None and growing.vain >= MOST_IN_VAIN:
            ending.reason = "known"
        if ending.reason is not None:
            return
        drawn += 1
    yield from growing.finish(drawn)


def joined(drawn: Iterable[Drawn]) -> Iterator[Drawn]:
    """Put together a character that a prompt begins and a text ends; leave out the bytes of one that is not whole."""
    joining = Joining()
    for each in drawn:
        yield from joining.feed([each])
