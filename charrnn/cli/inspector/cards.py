"""The card of a checkpoint: a table and curves, or plain values for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from charrnn.analysis.ngrams import BASELINE_NAME
from charrnn.cli.common.terminal import terminal_width
from charrnn.cli.inspector.subject import NOTHING_HELD_OUT, Subject, reading_key
from charrnn.cli.inspector.tables import print_lines, print_table
from charrnn.display.card import card, parameter_table, verdict_text
from charrnn.display.curves import NO_ROOM, history_curve
from charrnn.display.widths import wrapped
from charrnn.metrics import bits_per_char, finite_or_none, loss_fields, perplexity
from charrnn.shapes import count_parameters
from charrnn.storage.header import FORMAT_VERSION
from charrnn.wording import describe_known

LONGEST_COUNT = 10
"""A count of cores has fewer digits; a stranger's checkpoint may hold anything."""


def show_card(subject: Subject) -> None:
    """Print the card, and the losses and the learning rate as curves."""
    history, width = subject.contents.history, terminal_width()
    baseline = subject.baseline if history else None
    why_not = subject.why_no_training_text if subject.holds_out else NOTHING_HELD_OUT
    print_table(card(subject.contents, baseline or why_not, known=describe_known(*subject.known_lines)))
    level = None if baseline is None else baseline.loss
    curve = history_curve(history, width, level, unit=subject.contents.encoder.unit)
    if len(history) > 1:
        print_lines(["", *(curve or wrapped(NO_ROOM, width))])


def describe_each(subjects: Sequence[Subject]) -> list[dict[str, Any]]:
    """Everything about several checkpoints as plain values, with the path of each; see `describe`."""
    pairs = zip(subjects, first_measured(subjects), strict=True)
    return [{"checkpoint": subject.path, **describe(subject, measured)} for subject, measured in pairs]


def describe(subject: Subject, measured: Subject | None = None) -> dict[str, Any]:
    """Everything about a checkpoint as plain values.

    Args:
        subject: the checkpoint.
        measured: a model of the same text whose baseline has been computed; None for the checkpoint itself.
    """
    contents, measured = subject.contents, measured or subject
    return {
        "format_version": FORMAT_VERSION,
        **asdict(contents.model),
        "num_parameters": count_parameters(contents.model),
        "parameters": [asdict(weight) for weight in parameter_table(contents)],
        "characters": contents.encoder.characters,
        "names": contents.encoder.names,
        "text": asdict(contents.text_options),
        "best": _describe_best(subject),
        "baseline": _describe_baseline(measured),
        "losses_compare": contents.train_loss_is_comparable,
        "learned_held_out": contents.origin.learned_held_out,
        "known_lines": _describe_lines(measured),
        "verdict": verdict_text(contents, describe_known(*measured.known_lines), measured.baseline),
        "corpus": asdict(contents.corpus),
        "history": [asdict(row) for row in contents.history],
        "made": _with_number(contents.made),
        "run": contents.origin.run,
        "training": {"step": contents.step, "seconds": contents.seconds, "config": contents.training["config"]},
    }


def first_measured(subjects: Sequence[Subject]) -> list[Subject | None]:
    """For each model, the first one with the same baseline that has its text, since counting n-grams takes a while.

    None for a model without such a one.
    """
    found: dict[Any, Subject] = {}
    for subject in subjects:
        key = _measure_of(subject)
        if subject.contents.best is not None and key not in found and subject.baseline is not None:
            found[key] = subject
    return [found.get(_measure_of(subject)) for subject in subjects]


def _measure_of(subject: Subject) -> tuple[Any, ...]:
    """A key for everything that determines the baseline of a model."""
    contents = subject.contents
    return (
        reading_key(subject),
        contents.text_options.lines,
        subject.part,
        contents.encoder.unit,
        contents.model.vocab_size,
    )


def _with_number(made: Mapping[str, str]) -> dict[str, Any]:
    """What is known of how a checkpoint was made, the cores as a number if they are one."""
    cores = made.get("cores", "")
    return {**made, "cores": int(cores)} if cores.isdecimal() and len(cores) < LONGEST_COUNT else {**made}


def _describe_best(subject: Subject) -> dict[str, Any] | None:
    best = subject.contents.best
    if best is None:
        return None
    return {
        "val_loss": best.val_loss,
        "unit": subject.contents.encoder.unit,
        "members": subject.contents.losses_of,
        "perplexity": finite_or_none(perplexity(best.val_loss)),
        "bits_per_char": bits_per_char(best.val_loss),
        "step": best.step,
        "epoch": best.epoch,
        "cold_loss": subject.contents.training.get("cold_loss"),
    }


def _describe_lines(subject: Subject) -> dict[str, int] | None:
    if subject.is_stream or not subject.holds_out or subject.training_text is None:
        return None
    held_out, known = subject.known_lines
    return {"held_out": held_out, "learned_too": known}


def _describe_baseline(subject: Subject) -> dict[str, Any] | None:
    counted, found, baseline = subject.counted, subject.training_text, subject.baseline
    if baseline is None or found is None or counted is None:
        return None
    return {
        "model": f"{BASELINE_NAME}, modified Kneser-Ney", "text": found.label,
        "learned_from": baseline.learned or len(found.train), "learned_of": len(found.train),
        "characters": len(counted), "of": len(found.held_out), **loss_fields(baseline.loss),
    }  # fmt: skip
