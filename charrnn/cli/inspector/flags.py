"""The flags of `charrnn inspect`, and properties derived from them."""

from __future__ import annotations

import os
from dataclasses import dataclass

from charrnn.escape import one_line

LONGEST_NUMBER = 255
"""Most digits of a number where a file name is allowed too; no file name is longer."""

UNKNOWN_RULES = ("count", "skip", "nearest", "error")
"""Values of --unknown: how to treat characters that a model does not know."""

MAX_JUDGED = 20_000
"""Most characters that --novelty looks for in the training text."""


@dataclass(frozen=True)
class ViewFlag:
    """A flag that asks for a view: anything but the card and the score.

    Attributes:
        name: of the parameter.
        gives_text: whether the flag gives a text; alone it asks for the surprise view, else other views use the text.
        records: whether the view shows the model while it reads a text.
        keeps_activations: whether the values of every unit are held in memory, which limits a large model to a short
            text.
        is_pictured: whether --svg can draw the view.
        is_compared: whether a page of several models can have the view.
    """

    name: str
    gives_text: bool = False
    records: bool = False
    keeps_activations: bool = False
    is_pictured: bool = False
    is_compared: bool = False


VIEWS = (
    ViewFlag("text", gives_text=True, is_pictured=True, is_compared=True),
    ViewFlag("text_file", gives_text=True, is_pictured=True, is_compared=True),
    ViewFlag("neurons", records=True, keeps_activations=True),
    ViewFlag("cell", records=True, keeps_activations=True, is_pictured=True),
    ViewFlag("gates", records=True, keeps_activations=True),
    ViewFlag("gradients", records=True, is_compared=True),
    ViewFlag("novelty"),
    ViewFlag("embeddings"),
)


@dataclass(frozen=True, kw_only=True)
class InspectFlags:
    """The values of the command's parameters; the command's help describes them."""

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
        """The names of those flags that are given, an empty text or a zero included."""
        values = ((name, getattr(self, name)) for name in names)
        return [name for name, value in values if not (value is None or value is False or value == ())]

    @property
    def views(self) -> list[ViewFlag]:
        """The views that are asked for."""
        return [view for view in VIEWS if self.asked_for(view.name)]

    @property
    def gives_text(self) -> bool:
        """Whether --text or --text-file is given."""
        return any(view.gives_text for view in self.views)

    @property
    def recording(self) -> list[str]:
        """Names of the requested views that show a model while it reads."""
        return [view.name for view in self.views if view.records]

    @property
    def keeps_activations(self) -> bool:
        """Whether a requested view needs the values of every unit."""
        return any(view.keeps_activations for view in self.views)

    @property
    def names_no_view(self) -> bool:
        """Whether no view is requested, or only the text's own: an HTML page then shows everything it can."""
        return all(view.gives_text for view in self.views)

    @property
    def inputs(self) -> list[str | None]:
        """All inputs, each a path or "-"; None for those not given."""
        return [*self.checkpoints, self.score, self.text_file, self.novelty, self.corpus]


def is_number(text: str) -> bool:
    """Whether a value that may also be a file name is a whole number."""
    return text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER


def told_of_number(novelty: str | None) -> str:
    """A note if --novelty has a number that is also the name of a file; else empty."""
    if novelty is None or not is_number(novelty) or not os.path.exists(novelty):
        return ""
    return f"--novelty {novelty} is a number of characters to sample; for the file of that name, write ./{novelty}"


def told_of_file(text: str | None) -> str:
    """A note if the text of --text is the name of a file; else empty."""
    if text is None or not os.path.isfile(text):
        return ""
    return f"--text {one_line(text)} is the text itself; for what stands in the file of that name, give --text-file"
