"""Turns a given text into what a model can read: decoding, preparation, unknown characters and their price."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from charrnn.cli.common.hints import told_where_listed
from charrnn.cli.inspector.subject import Subject, reading_flags
from charrnn.display.messages import write_warning
from charrnn.errors import CharRNNError, ConfigError
from charrnn.escape import describe_characters
from charrnn.paths import name_of
from charrnn.text.decoding import prepare
from charrnn.text.likeness import other_forms, to_nearest, with_known_line_ends
from charrnn.text.options import CHARACTER, TextOptions
from charrnn.text.unknowns import EncodedText, encode_known, unknown_surprisal
from charrnn.wording import number_of

READINGS_DIFFER = "these models do not read the text alike ({}): what one of them reads may be easier to predict"


def shared_encoding(subjects: Sequence[Subject]) -> TextOptions:
    """How to decode one text for several models; as bytes only if all of them read bytes.

    Raises:
        ConfigError: the models learned from texts in different encodings.
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


def differing_flags(subjects: Sequence[Subject], text: str, rule: str) -> list[str]:
    """The flags because of which models read different characters of the same text, which may be easier for one."""
    flags = reading_flags(subjects)
    if not flags and rule not in ("skip", "nearest"):
        return []
    texts = [prepare(text, subject.contents.text_options) for subject in subjects]
    unlike = flags if len(set(texts)) > 1 else []
    pairs = [(subject.contents.encoder, prepared) for subject, prepared in zip(subjects, texts, strict=True)]
    if rule == "skip":
        left_out = {frozenset(encoder.without_own_id(prepared)) for encoder, prepared in pairs}
        if len(left_out) > 1:
            unlike.append("--unknown skip")
    if rule == "nearest":
        read = {(prepared, to_nearest(prepared, encoder)) for encoder, prepared in pairs}
        if len(read) > len(set(texts)):
            unlike.append("--unknown nearest")
    return unlike


def fit_text(subject: Subject, text: str, path: str, rule: str) -> EncodedText:
    """Prepare a text as the model's training text was, and encode it.

    Raises:
        CharRNNError: the rule is "error" and the model does not know a character.
    """
    encoder = subject.contents.encoder
    text = prepare(text, subject.contents.text_options)
    if rule == "error" and (unknown := encoder.without_own_id(text)):
        raise CharRNNError(
            f"{name_of(path)} has {describe_characters(unknown)}, which this model does not know "
            f"({number_of(len(encoder), encoder.unit)}{told_where_listed(subject.path)}); --unknown count, skip or "
            "nearest passes over them"
        )
    return encode_known(text, encoder, rule)


def _other_form(prepared: str, subject: Subject, path: str) -> str:
    """A remark if the model knows letters of the text only in another Unicode form."""
    forms = other_forms(prepared, subject.contents.encoder)
    if not forms:
        return ""
    given, known = next(iter(forms.items()))
    return (
        f"{name_of(path)} has {describe_characters(given)}, which {name_of(subject.path)} knows as "
        f"{describe_characters(known)}; --unknown nearest reads it so"
    )


def _line_ends(prepared: str, subject: Subject, path: str) -> str:
    """A remark if the text's lines end in CR LF and the model knows no CR."""
    if with_known_line_ends(prepared, subject.contents.encoder) == prepared:
        return ""
    return (
        f"{name_of(path)} has lines that end by CR LF, and {name_of(subject.path)} knows no CR; "
        "--unknown nearest reads LF"
    )


Remark = Callable[[str, Subject, str], str]
"""Makes a remark on a prepared text that the model cannot read well, with the remedy; empty if all is well."""

REMARKS: tuple[Remark, ...] = (_other_form, _line_ends)


def warn(remark: Remark, subjects: Sequence[Subject], text: str, path: str, rule: str) -> list[Subject]:
    """Write a remark on stderr for each model that it applies to, if the rule is "count" or "skip".

    The text itself is not changed: a score is of the text as given.

    Returns:
        The models without a remark.
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
    """Surprisal of a character that the model does not know, in nats."""
    return unknown_surprisal(subject.contents.corpus.characters, subject.contents.model.vocab_size)
