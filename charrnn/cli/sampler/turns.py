"""What the texts of a conversation continue: the prompt and what is typed, or a story that grows by them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import replace

from charrnn.cli.sampler.job import Job
from charrnn.generation.course import MOST_CHARACTERS
from charrnn.generation.endings import Drawn
from charrnn.generation.matching import LineMatch
from charrnn.generation.samples import joined
from charrnn.generation.story import Story


class Turns:
    """Texts one after another, each behind what is typed.

    Args:
        job: how to write; its prompt stands before each beginning, or before a story.
        is_story: whether a beginning stands behind all before it and what was written of that instead.
    """

    def __init__(self, job: Job, *, is_story: bool) -> None:
        self._job, self._is_story = job, is_story
        self._story: Story | None = None
        self._ids_of = functools.cache(job.form.encoder.encode_list)  # of a character, which is asked for each time
        self._line: list[str] = [job.prompt]  # of a story the last one, and only where a pattern asks for it

    def begin(self, typed: str) -> Job:
        """Make a job of one text that continues what is typed; a story has it from now on.

        Raises:
            ConfigError: no line that begins so can fit, or none in the length that was given.
        """
        job, encoder = self._job, self._job.form.encoder
        beginning = "".join(self._line) + typed
        match, length = _after(beginning, job)
        sampler = replace(job.sampler, match=match)
        if self._story is not None:
            self._story.take(encoder.encode_list(typed))
        elif typed:
            sampler = replace(sampler, prompt=job.before + encoder.encode_list(beginning))
        if self._is_story:
            if self._story is None:
                own_from = None if sampler.recall_all else len(sampler.prompt)
                self._story = Story(sampler.model, sampler.prompt, own_from)
            sampler = replace(sampler, begin_one=self._story.begin, prompt=[self._story.last])
            self._line = [beginning]
        return replace(job, sampler=sampler, length=length, prompt=beginning)

    def heard(self, drawn: Iterable[Drawn]) -> Iterator[Drawn]:
        """Let a story have each character before it is given on; of one that was cut at the end neither has any."""
        if self._story is None:
            yield from drawn
            return
        for each in joined(drawn) if self._job.form.of_bytes else drawn:
            self._take(each[0], self._story)
            yield each

    def _take(self, character: str, story: Story) -> None:
        story.take(self._ids_of(character))
        story.keep_up()
        if character == "\n" or self._job.sampler.match is None:
            self._line.clear()
        else:
            self._line.append(character)


def _after(beginning: str, job: Job) -> tuple[LineMatch | None, int | None]:
    """What lines must fit behind a beginning, and the length, with room for them where none was given.

    Raises:
        ConfigError: no line that begins so can fit, or none in the length that was given.
    """
    match, length = job.sampler.match, job.length
    if match is None:
        return None, length
    match = match.after(beginning, None if job.length_is_chosen else length)
    if length is not None and job.length_is_chosen:
        length = min(max(length, match.shortest(job.rules.lines or 1)), MOST_CHARACTERS)
    return match, length
