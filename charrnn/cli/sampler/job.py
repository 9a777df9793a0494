"""What `charrnn sample` is to write, once its flags are parsed and its model is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from charrnn.cli.sampler.forms import InputForm
from charrnn.generation.rules import Rules
from charrnn.generation.sampling import Sampler


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is to be written.

    Attributes:
        sampler: draws the samples.
        form: the form of input and output, with the model's encoder.
        before: ids that are read before any prompt, and not written.
        prompt: what each sample continues.
        echo: whether the prompt is written too.
        length: characters to draw for each sample; None for endless samples.
        rules: what else ends a sample, and what it must not hold.
        num_samples: number of samples.
        separator: what stands between samples.
        at_once: the most samples to compute side by side in each process.
        processes: number of processes that share the samples.
        length_is_chosen: whether the program chose the length, since none was given.
        known_in: paths of the files that hold the known lines.
    """

    sampler: Sampler
    form: InputForm
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
        """What is written before every sample."""
        return self.prompt if self.echo else ""

    @property
    def writes_line_feeds(self) -> bool:
        """Whether the model may write a line feed."""
        return self.form.writes("\n")

    @property
    def takes_no_line(self) -> bool:
        """Whether no line can match the pattern, except one that a prompt has begun."""
        match = self.sampler.match
        return match is not None and not match.has_lines
