"""What the texts of a conversation continue: the prompt and the beginning typed, or a story that grows by them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import replace

from charrnn.cli.sampler.job import Job
from charrnn.generation.endings import Drawn
from charrnn.generation.matching import LineMatch
from charrnn.generation.sample_progress import MOST_CHARACTERS
from charrnn.generation.samples import joined
from charrnn.generation.story import Story


class Turns:
    """The turns of a conversation: each text continues a beginning that was typed.

    Args:
        job: how to write; its prompt precedes each beginning, or the story.
        is_story: whether each beginning is appended to all that was typed and written before.
    """

    def __init__(self, job: Job, *, is_story: bool) -> None:
        self._job, self._is_story = job, is_story
        self._story: Story | None = None
        self._ids_of = functools.cache(job.form.encoder.encode_list)  # called for each character
        self._line: list[str] = [job.prompt]  # the prompt; of a story, its last line, kept only for a pattern

    def begin(self, typed: str) -> Job:
        """Make the job of one text that continues what is typed; append what is typed to the story.

        Raises:
            ConfigError: no line that begins so can match the pattern, or none within the length that was given.
        """
        job, encoder = self._job, self._job.form.encoder
        prompt = "".join(self._line) + typed
        match, length = _after(prompt, job)
        sampler = replace(job.sampler, match=match)
        if self._story is not None:
            self._story.take(encoder.encode_list(typed))
        elif typed:
            sampler = replace(sampler, prompt=job.before + encoder.encode_list(prompt))
        if self._is_story:
            if self._story is None:
                generated_from = None if sampler.recall_all else len(sampler.prompt)
                self._story = Story(sampler.model, sampler.prompt, generated_from)
            sampler = replace(sampler, resume=self._story.begin, prompt=[self._story.last])
            self._line = [prompt]
        return replace(job, sampler=sampler, length=length, prompt=prompt)

    def heard(self, drawn: Iterable[Drawn]) -> Iterator[Drawn]:
        """Append each character to the story before passing it on; drop an incomplete one at the end."""
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


def _after(prompt: str, job: Job) -> tuple[LineMatch | None, int | None]:
    """The pattern after a beginning, and the length, extended to give lines enough room if none was given.

    Raises:
        ConfigError: no line that begins so can match the pattern, or none within the length that was given.
    """
    match, length = job.sampler.match, job.length
    if match is None:
        return None, length
    match = match.after(prompt, None if job.length_is_chosen else length)
    if length is not None and job.length_is_chosen:
        length = min(max(length, match.shortest(job.rules.lines or 1)), MOST_CHARACTERS)
    return match, length
