"""The flags of `charrnn sample`, and the end of a text that they ask for."""

from __future__ import annotations

from dataclasses import dataclass

from charrnn.paths import STDIN

UNKNOWN_RULES = ("error", "skip", "nearest")
"""What can become of characters of a prompt that a model lacks."""


@dataclass(frozen=True, kw_only=True)
class SampleFlags:
    """What stands on the command line, by the parameters of the command, whose help says what each is."""

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
        """All that is read, each a path or "-", and a prompt that is typed."""
        return [self.checkpoint, *self.mixed, self.prompt, self.prompt_file, *self.novel]

    @property
    def mixed(self) -> list[str]:
        """The path of each model that is mixed in; empty where it has none."""
        return [entry.rpartition(":")[0] for entry in self.mix]

    @property
    def reads_prompt(self) -> bool:
        """Whether the prompt comes from a file or from standard input, and is not typed."""
        return self.prompt_file is not None or self.prompt == STDIN

    @property
    def length_is_chosen(self) -> bool:
        """Whether no length is given; lines are what a text consists of then."""
        return self.length is None

    @property
    def is_endless(self) -> bool:
        """Whether a text is to have no end."""
        return self.length == -1

    @property
    def given_length(self) -> int | None:
        """The length that is given; None for none, and for no end."""
        return None if self.is_endless else self.length

    @property
    def wanted_lines(self) -> int | None:
        """Whole lines that end a text: a single one where a pattern is for one, and nothing says how much to write."""
        return 1 if self.length_is_chosen and self.match is not None and self.lines is None else self.lines
