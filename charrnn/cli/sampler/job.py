"""What `charrnn sample` is to write, once its flags are understood and its model is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from charrnn.cli.sampler.forms import Form
from charrnn.generation.rules import Rules
from charrnn.generation.sampling import Sampler


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is to be written.

    Attributes:
        sampler: draws it.
        form: of what is typed and written, with the encoder of its characters.
        before: ids that are read before any prompt, and not written.
        prompt: what each sample continues.
        echo: whether the prompt is written too.
        length: characters to draw for each sample; None for no end.
        rules: what else ends a sample.
        num_samples: how many.
        separator: between them.
        at_once: how many to compute side by side, at most, in each process.
        processes: that share them.
        length_is_chosen: whether none was given.
        known_in: names of the files that hold the known lines.
    """

    sampler: Sampler
    form: Form
    before: list[int]
    prompt: str
    echo: bool
    length: int | None
    rules: Rules
    num_samples: int
    separator: str
    at_once: int
    processes: int = 1
    length_is_chosen: bool = False
    known_in: Sequence[str] = ()

    @property
    def opening(self) -> str:
        """What every sample is written with first."""
        return self.prompt if self.echo else ""

    @property
    def writes_line_feeds(self) -> bool:
        """Whether a line can end."""
        return self.form.writes("\n")

    @property
    def takes_no_line(self) -> bool:
        """Whether no line that it may write fits, but for one that a prompt has begun."""
        match = self.sampler.match
        return match is not None and not match.has_lines
