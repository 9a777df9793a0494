"""The text that models read while their units are recorded, given or their own, and what the units do on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress
from typing import Any

import numpy as np

from charrnn.analysis.features import text_features
from charrnn.analysis.losses import require_finite
from charrnn.analysis.neurons import (
    ENOUGH,
    MAX_VIEWED,
    Activations,
    Finding,
    GateUse,
    find_neurons,
    gate_uses,
    readable_length,
    record_units,
)
from charrnn.cli.inspector.fitting import fit_text
from charrnn.cli.inspector.subject import Subject, reading_key
from charrnn.errors import CharRNNError, CorpusError
from charrnn.escape import one_line
from charrnn.paths import name_of
from charrnn.text.options import CHARACTER
from charrnn.wording import number_of

WIDER_BYTES = "\xc0\xe0\xf0"
"""The least first bytes of UTF-8 characters of two, three and four bytes."""

TYPED = "--text"
"""The `source` of a text that is typed on the command line."""

READ_FOR_ONE = 4
"""Characters to take from a text for each one that is read, since normalisation may join several into one."""

TEXTS_DIFFER = (
    "these models learned from different texts, or were judged by different ones, and each reads its own: such "
    "figures cannot be compared; --text-file FILE gives all of them one"
)


@dataclass(frozen=True)
class Excerpt:
    """A text as given, or the part of it that a model reads.

    Attributes:
        text: what is read.
        source: where the text comes from, in words.
        whole: length of the whole text in characters; None if it is too long to have been counted.
        gaps: for each unknown character that was left out, the place in `text` before which it stood; ascending.
        is_held_back: whether the text was cut because this model, or another, is too large to record more of it.
        is_fitted: whether `fit_text` was applied and unknown characters were removed.
    """

    text: str
    source: str
    whole: int | None
    gaps: tuple[int, ...] = ()
    is_held_back: bool = False
    is_fitted: bool = False

    @property
    def left_out(self) -> int:
        """Number of unknown characters left out of the part that is read."""
        return len(self.gaps)

    @property
    def is_cut(self) -> bool:
        """Whether `text` is shorter than the whole text."""
        return self.whole is None or len(self.text) < self.whole

    @property
    def extent(self) -> str:
        """How much of which text is read, in words for a terminal."""
        return describe_extent(self.fields)

    @property
    def page_extent(self) -> str:
        """The same for a page."""
        return self.on_page(self.extent)

    @property
    def fields(self) -> dict[str, Any]:
        """How much of which text is read, as plain values."""
        return {"text": self.source, "characters": len(self.text), "of": self.whole, "left_out": self.left_out}

    def on_page(self, told: str) -> str:
        """A message about the text with the flag's name replaced, for a page's readers."""
        return told.replace(TYPED, "the text that was given", 1) if self.source == TYPED else told

    def first(self, length: int | None) -> Excerpt:
        """At most the first `length` characters; None for all."""
        text = self.text[:length]
        within = self.gaps if len(text) == len(self.text) else tuple(gap for gap in self.gaps if gap < len(text))
        return replace(self, text=text, gaps=within)


@dataclass(frozen=True)
class Recording:
    """A model, a text, and the activations of the model's units on the text.

    Attributes:
        subject: the model.
        piece: the text.
    """

    subject: Subject
    piece: Excerpt

    @property
    def text(self) -> str:
        """The text that the model reads."""
        return self.piece.text

    @cached_property
    def activations(self) -> Activations:
        """The values of every unit after each character; for a character of several bytes, after its last byte."""
        contents, encoder = self.subject.contents, self.subject.contents.encoder
        activations = record_units(contents.model, contents.weights, encoder.encode(self.text), contents.line_end_id)
        require_finite(activations.values)
        if encoder.unit == CHARACTER:
            return activations
        last = np.cumsum(encoder.widths(self.text)) - 1  # last byte of each character
        return replace(activations, values=activations.values[last])

    @property
    def gates(self) -> list[GateUse]:
        """How open the gates of every layer were, from the same activations."""
        return gate_uses(self.subject.contents.model, self.activations.values)

    @cached_property
    def findings(self) -> list[Finding]:
        """The best unit for each feature of the text, significant or not."""
        return find_neurons(self.activations, text_features(self.text))


def describe_extent(fields: dict[str, Any]) -> str:
    """Say how much of which text was read, from `Excerpt.fields`."""
    read, whole = fields["characters"], fields["of"]
    part = number_of(read, "character")
    if whole is None:
        part = f"the first {part}"
    elif read < whole:
        part = f"the first {read:,} of {number_of(whole, 'character')}"
    return f"{part} of {one_line(fields['text'])}{describe_omission(fields['left_out'])}"


def describe_omission(left_out: int) -> str:
    """A suffix on unknown characters that were left out; empty if there are none."""
    verb = "is" if left_out == 1 else "are"
    return f"; {number_of(left_out, 'character')} that it does not know {verb} left out" if left_out else ""


def too_few(number: int, unit: str = "character") -> str:
    """Say that so many characters, or bytes, are too few; the caller adds for what."""
    return f"{number_of(number, unit)} {'is too little' if number == 1 else 'are too few'}"


def choose_texts(subjects: Sequence[Subject], given: Excerpt | None) -> list[Excerpt]:
    """The given text for every model, or else the beginning of each model's own held-out text, of equal lengths.

    Only as much of the model's own text is decoded as the models can read; the encoder's decoding shows rare
    characters.

    Args:
        subjects: the models.
        given: the text that the user gives; None if there is none.

    Raises:
        CharRNNError: no text is given, and a model's own is not found.
    """
    if given is not None:
        return [given] * len(subjects)
    texts = [_HeldOut(subject) for subject in subjects]
    shortest = min(map(len, texts))
    are_one = share_text(subjects)  # one may have held out more; they share the end
    return [
        Excerpt(
            text.read(len(text) - shortest if are_one else 0, min(READ_FOR_ONE * MAX_VIEWED, shortest)),
            _name_held_out(subject),
            shortest if are_one else len(text),
        )
        for subject, text in zip(subjects, texts, strict=True)
    ]


def choose_pieces(
    subjects: Sequence[Subject], texts: Sequence[Excerpt], rule: str, *, keeps_activations: bool
) -> list[Excerpt]:
    """Cut each model's text to the length that all models can be recorded on, and remove unknown characters.

    Args:
        subjects: the models.
        texts: one per model; see `choose_texts`.
        rule: for characters that a model does not know.
        keeps_activations: whether the values of every unit are held in memory, which limits a large model to a short
            text.

    Raises:
        CorpusError: a model knows no character of its text.
    """
    length = min(_readable_length(subject) for subject in subjects)
    length = length if keeps_activations else max(length, ENOUGH)
    return [_known_piece(subject, text, rule, length) for subject, text in zip(subjects, texts, strict=True)]


def share_text(subjects: Sequence[Subject]) -> bool:
    """Whether models learned from the same text and held out its end, or the same lines."""
    return len({(reading_key(subject), subject.part if subject.holds_out_lines else None) for subject in subjects}) == 1


def _readable_length(subject: Subject) -> int:
    """Characters whose activations can be held in memory; a byte model has activations for each byte."""
    encoder = subject.contents.encoder
    widest = 1 if encoder.unit == CHARACTER else 1 + sum(byte <= encoder.characters[-1] for byte in WIDER_BYTES)
    return readable_length(subject.contents.model, widest)


def _name_held_out(subject: Subject) -> str:
    """A description of the held-out text, or of the part of the training text that replaces it if there is none."""
    contents = subject.contents
    if name := contents.origin.held_out_by_name:
        return f"the held-out {name}"
    of_which = f"{contents.corpus.name}{contents.origin.and_more_texts}"
    which = f"{'lines' if subject.holds_out_lines else 'end'} of {of_which}"
    return f"the held-out {which}" if subject.holds_out else f"the {which}, learned from too"


def _known_piece(subject: Subject, given: Excerpt, rule: str, length: int) -> Excerpt:
    enough = given.text[: READ_FOR_ONE * length]
    is_all = len(enough) == given.whole
    encoded = fit_text(subject, enough, given.source, rule)
    seen = encoded.known[:length]
    known = "".join(compress(encoded.text, seen))
    if not known:
        which = f" among the first {len(seen):,}" if not is_all or len(encoded.known) > length else ""
        known_to = f"{which} that {name_of(subject.path)} knows" if encoded.text else ""
        raise CorpusError(f"{given.source}: no characters{known_to}; give a text to read")
    gaps = np.cumsum(seen)[~seen]
    whole = len(encoded.known_text) if is_all else given.whole
    is_held_back = len(encoded.text) > length
    return Excerpt(known, given.source, whole, tuple(gaps.tolist()), is_held_back=is_held_back, is_fitted=True)


class _HeldOut:
    """A model's held-out text, decoded lazily where the ids are characters.

    Raises:
        CharRNNError: the model's text is not found.
    """

    def __init__(self, subject: Subject) -> None:
        if subject.training_text is None:
            raise CharRNNError(f"no text to read: {subject.why_no_training_text}, and --text-file FILE gives another")
        self._encoder = subject.contents.encoder
        self._ids = subject.training_text.held_out

    def __len__(self) -> int:
        """Number of characters."""
        return len(self._ids) if self._encoder.unit == CHARACTER else len(self._whole)

    def read(self, start: int, length: int) -> str:
        """At most `length` characters from `start` on."""
        end = start + length
        if self._encoder.unit == CHARACTER:
            return self._encoder.decode(self._ids[start:end])
        return self._whole[start:end]

    @cached_property
    def _whole(self) -> str:
        return self._encoder.decode(self._ids)
