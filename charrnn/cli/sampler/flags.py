"""The flags of `charrnn sample`, and what they ask for."""

from __future__ import annotations

from dataclasses import dataclass

from charrnn.paths import STDIN

UNKNOWN_RULES = ("error", "skip", "nearest")
"""What to do with characters of a prompt that a model lacks."""


@dataclass(frozen=True, kw_only=True)
class SampleFlags:
    """The values of the command line, by parameter; the command's help documents each."""

    checkpoint: str
    prompt: str
    prompt_file: str | None
    encoding: str | None
    no_echo: bool
    unknown: str | None
    length: int | None
    lines: int | None
    stop: tuple[str, ...]
    keep_stop: bool
    num_samples: int
    separator: str | None
    temperature: str
    top_k: int | None
    top_p: float | None
    min_p: float | None
    recall_all: bool
    mix: tuple[str, ...]
    seed: int | None
    allow: tuple[str, ...]
    forbid: tuple[str, ...]
    match: str | None
    novel: tuple[str, ...]
    unique: bool
    as_json: bool
    logprobs: bool
    surprisal: bool
    interactive: bool
    story: bool
    device: str
    quiet: bool

    @property
    def inputs(self) -> list[str | None]:
        """All inputs: paths, "-" for standard input, and the prompt itself."""
        return [self.checkpoint, *self.mixed, self.prompt, self.prompt_file, *self.novel]

    @property
    def mixed(self) -> list[str]:
        """The path of each model that is mixed in; empty if an entry has no share."""
        return [entry.rpartition(":")[0] for entry in self.mix]

    @property
    def reads_prompt(self) -> bool:
        """Whether the prompt comes from a file or from standard input."""
        return self.prompt_file is not None or self.prompt == STDIN

    @property
    def length_is_chosen(self) -> bool:
        """Whether no length is given, so that the program chooses one; with --lines, the lines then end a text."""
        return self.length is None

    @property
    def is_endless(self) -> bool:
        """Whether texts are endless."""
        return self.length == -1

    @property
    def given_length(self) -> int | None:
        """The length that is given; None if there is none, or for endless texts."""
        return None if self.is_endless else self.length

    @property
    def wanted_lines(self) -> int | None:
        """Number of whole lines after which a text ends: one if --match is given without --lines and --length."""
        return 1 if self.length_is_chosen and self.match is not None and self.lines is None else self.lines
