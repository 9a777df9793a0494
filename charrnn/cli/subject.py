"""A checkpoint that is being looked into, and what is found out about it once and used by several views."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from charrnn.archive import STDIN, Checkpoint, read_checkpoint
from charrnn.engine import NumpyCharRNN
from charrnn.escape import quoted
from charrnn.heldout import FoundText, find_text
from charrnn.ngrams import NgramModel


@dataclass(frozen=True)
class Subject:
    """A checkpoint that is being looked into.

    Attributes:
        path: of the file, as the user gave it.
        contents: what is in it.
        given_text: where the user says that its text is, if they do.
    """

    path: str
    contents: Checkpoint
    given_text: str | None = None

    @property
    def name(self) -> str:
        """What to call it where many are shown."""
        return "stdin" if self.path == STDIN else Path(self.path).stem

    @cached_property
    def engine(self) -> NumpyCharRNN:
        """The model, ready to read."""
        return NumpyCharRNN(self.contents.model, self.contents.weights)

    @cached_property
    def text(self) -> FoundText | None:
        """The text that it learned from, where it can be found."""
        return find_text(self.contents, self.path, self.given_text)

    @cached_property
    def baseline(self) -> float | None:
        """Loss of an n-gram model on the held-out text, in nats per character; None without the text."""
        if self.text is None:
            return None
        model = NgramModel(self.text.train, self.contents.model.vocab_size)
        return float(model.surprisals(self.text.held_out)[1:].mean())

    @property
    def absence(self) -> str:
        """Why there is no text, and what to do."""
        name = quoted(self.contents.corpus.name)
        return f"{name} is not where it was, or has changed; --corpus FILE says where it is"


def read_subject(path: str, given_text: str | None = None) -> Subject:
    """Read a checkpoint, or standard input for "-".

    Raises:
        CheckpointError: it cannot be read.
    """
    return Subject(path, read_checkpoint(path), given_text)
