"""A text that is given, as models read it: how it is decoded, what they make of it, what unknown characters cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from charrnn.cli.common.hints import told_where_listed
from charrnn.cli.inspector.subject import Subject, reading_flags
from charrnn.display.outlet import write_warning
from charrnn.errors import CharRNNError, ConfigError
from charrnn.escape import describe_characters
from charrnn.paths import name_of
from charrnn.text.decoding import prepare
from charrnn.text.likeness import other_forms, to_nearest, with_known_line_ends
from charrnn.text.options import CHARACTER, TextOptions
from charrnn.text.unknowns import Readable, make_readable, unknown_surprisal

UNLIKE = "these models do not read the text alike ({}): what one of them reads may be easier to predict"


def shared_encoding(subjects: Sequence[Subject]) -> TextOptions:
    """How one text is decoded that several models are to read; bytes alone where all of them read bytes.

    Raises:
        ConfigError: they learned from texts in different encodings.
    """
    of_characters = [subject for subject in subjects if subject.contents.text_options.unit == CHARACTER]
    readings = [subject.text_options for subject in of_characters or subjects[:1]]
    encodings = {reading.codec: reading.encoding for reading in readings}
    if len(encodings) > 1:
        raise ConfigError(
            f"these models read files in different encodings ({', '.join(encodings.values())}); say with --encoding "
            "which one the text is in"
        )
    kept = next(way for way in ("surrogateescape", "replace", "strict") if way in {one.errors for one in readings})
    return TextOptions(unit=readings[0].unit, encoding=readings[0].encoding, errors=kept)


def unlike_readings(subjects: Sequence[Subject], text: str, rule: str) -> list[str]:
    """The flags by which several models read unlike characters of one text, which one of them may find the easier."""
    flags = reading_flags(subjects)
    if not flags and rule not in ("skip", "nearest"):
        return []
    texts = [prepare(text, subject.contents.text_options) for subject in subjects]
    unlike = flags if len(set(texts)) > 1 else []
    pairs = [(subject.contents.encoder, prepared) for subject, prepared in zip(subjects, texts, strict=True)]
    if rule == "skip":
        left_out = {frozenset(encoder.without_own_id(prepared)) for encoder, prepared in pairs}
        unlike += ["--unknown skip"] * (len(left_out) > 1)
    if rule == "nearest":
        read = {(prepared, to_nearest(prepared, encoder)) for encoder, prepared in pairs}
        unlike += ["--unknown nearest"] * (len(read) > len(set(texts)))
    return unlike


def fit_text(subject: Subject, text: str, path: str, rule: str) -> Readable:
    """Bring a text, as it stands in a file, to what a model can read: prepared as its own was, and encoded.

    Raises:
        CharRNNError: the rule is "error" and the model does not know a character.
    """
    encoder = subject.contents.encoder
    text = prepare(text, subject.contents.text_options)
    if rule == "error" and (unknown := encoder.without_own_id(text)):
        raise CharRNNError(
            f"{name_of(path)} has {describe_characters(unknown)}, which this model does not know "
            f"({len(encoder)} {encoder.unit}s{told_where_listed(subject.path)}); --unknown count, skip or nearest "
            "passes over them"
        )
    return make_readable(text, encoder, rule)


def _other_form(prepared: str, subject: Subject, path: str) -> str:
    """What is said where a model knows letters of a text in their other Unicode form alone."""
    forms = other_forms(prepared, subject.contents.encoder)
    if not forms:
        return ""
    given, known = next(iter(forms.items()))
    return (
        f"{name_of(path)} has {describe_characters(given)}, which {name_of(subject.path)} knows as "
        f"{describe_characters(known)}; --unknown nearest reads it so"
    )


def _line_ends(prepared: str, subject: Subject, path: str) -> str:
    """What is said where a text's lines end by CR LF and a model knows no CR."""
    if with_known_line_ends(prepared, subject.contents.encoder) == prepared:
        return ""
    return (
        f"{name_of(path)} has lines that end by CR LF, and {name_of(subject.path)} knows no CR; "
        "--unknown nearest reads LF"
    )


Remark = Callable[[str, Subject, str], str]
"""What is said of a text as a model prepares it, and what would have the model read it; nothing where all is well."""

REMARKS: tuple[Remark, ...] = (_other_form, _line_ends)


def warn(remark: Remark, subjects: Sequence[Subject], text: str, path: str, rule: str) -> list[Subject]:
    """Make a remark on stderr of each model that it fits, unless the rule has the model read what is near.

    The text itself is not changed: a score is of the text as given.

    Returns:
        The models of which nothing was said.
    """
    if rule not in ("count", "skip"):
        return list(subjects)
    untold = []
    for subject in subjects:
        if line := remark(prepare(text, subject.contents.text_options), subject, path):
            write_warning(line)
        else:
            untold.append(subject)
    return untold


def unknown_price(subject: Subject) -> float:
    """What a character costs that a model does not know, in nats."""
    return unknown_surprisal(subject.contents.corpus.characters, subject.contents.model.vocab_size)
