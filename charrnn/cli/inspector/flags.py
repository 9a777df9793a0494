"""The flags of `charrnn inspect`, and what they ask for as a whole."""

from __future__ import annotations

import os
from dataclasses import dataclass

from charrnn.escape import quoted

VIEWS = ("text", "text_file", "neurons", "cell", "gates", "gradients", "novelty", "embeddings")
"""Flags that ask for something other than the card and the score."""

HELD = ("neurons", "cell", "gates")
"""Flags that look at all that a model does while it reads."""

LONGEST_NUMBER = 255
"""Digits of a number that may stand where a file's name may; no file has a longer one."""

MAX_JUDGED = 20_000
"""Characters that --novelty looks for in the training text, at most."""

ON_A_TEXT = (*HELD, "gradients")
"""Flags that look at a model while it reads; a text that is given is what it reads."""


@dataclass(frozen=True, kw_only=True)
class InspectFlags:
    """What stands on the command line, by the parameters of the command, whose help says what each is."""

    checkpoints: tuple[str, ...]
    score: str | None
    by: str | None
    above: float | None
    dynamic: bool
    unknown: str
    encoding: str | None
    text: str | None
    text_file: str | None
    top_k: int
    neurons: bool
    cell: tuple[str, ...]
    gates: bool
    gradients: bool
    embeddings: bool
    novelty: str | None
    member: int | None
    corpus: str | None
    html: str | None
    svg: str | None
    as_json: bool
    export: str | None
    verify: bool

    def asked_for(self, *names: str) -> list[str]:
        """Those of some flags that are given; a text or a number may be empty, or zero."""
        values = ((name, getattr(self, name)) for name in names)
        return [name for name, value in values if not (value is None or value is False or value == ())]

    @property
    def views(self) -> list[str]:
        """The views that are asked for, by name."""
        return self.asked_for(*VIEWS)

    @property
    def inputs(self) -> list[str | None]:
        """All that is read, each a path or "-"."""
        return [*self.checkpoints, self.score, self.text_file, self.novelty, self.corpus]


def is_number(text: str) -> bool:
    """Whether a flag's value that may be a file's name is a whole number."""
    return text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER


def told_of_number(novelty: str | None) -> str:
    """What to say where --novelty has a number and a file is called so; else nothing."""
    if novelty is None or not is_number(novelty) or not os.path.exists(novelty):
        return ""
    return f"--novelty {novelty} is a number of characters to sample; for the file of that name, write ./{novelty}"


def told_of_file(text: str | None) -> str:
    """What to say where --text has a file's name, which is read as it stands; else nothing."""
    if text is None or not os.path.isfile(text):
        return ""
    return f"--text {quoted(text)} is the text itself; for what stands in the file of that name, give --text-file"
