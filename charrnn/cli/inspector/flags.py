"""The flags of `charrnn inspect`, and what they ask for as a whole."""

from __future__ import annotations

import os
from dataclasses import dataclass

from charrnn.escape import quoted

LONGEST_NUMBER = 255
"""Digits of a number that may stand where a file's name may; no file has a longer one."""

UNKNOWN_RULES = ("count", "skip", "nearest", "error")
"""What can become of characters of a text that a model does not know."""

MAX_JUDGED = 20_000
"""Characters that --novelty looks for in the training text, at most."""


@dataclass(frozen=True)
class ViewFlag:
    """A flag that asks for something other than the card and the score.

    Attributes:
        name: of the parameter.
        gives_text: whether it gives a text, which the others may look at; alone, it asks for its surprise.
        watches: whether it looks at a model while it reads; a text that is given is what it reads.
        keeps_activations: whether the values of every unit are kept for it: of a large model, of a short text alone.
        is_pictured: whether a picture shows it.
        is_compared: whether a page of several models has it.
    """

    name: str
    gives_text: bool = False
    watches: bool = False
    keeps_activations: bool = False
    is_pictured: bool = False
    is_compared: bool = False


VIEWS = (
    ViewFlag("text", gives_text=True, is_pictured=True, is_compared=True),
    ViewFlag("text_file", gives_text=True, is_pictured=True, is_compared=True),
    ViewFlag("neurons", watches=True, keeps_activations=True),
    ViewFlag("cell", watches=True, keeps_activations=True, is_pictured=True),
    ViewFlag("gates", watches=True, keeps_activations=True),
    ViewFlag("gradients", watches=True, is_compared=True),
    ViewFlag("novelty"),
    ViewFlag("embeddings"),
)


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
    def views(self) -> list[ViewFlag]:
        """The views that are asked for."""
        return [view for view in VIEWS if self.asked_for(view.name)]

    @property
    def gives_text(self) -> bool:
        """Whether a text is given to look at."""
        return any(view.gives_text for view in self.views)

    @property
    def watching(self) -> list[str]:
        """Those that look at a model while it reads, by name."""
        return [view.name for view in self.views if view.watches]

    @property
    def keeps_activations(self) -> bool:
        """Whether a view is asked for that keeps the values of every unit."""
        return any(view.keeps_activations for view in self.views)

    @property
    def names_no_view(self) -> bool:
        """Whether no view is asked for but that of a text that is given: a page has all that can be shown then."""
        return all(view.gives_text for view in self.views)

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
