"""Compares several checkpoints: their cards side by side, and whether their losses can be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import PureWindowsPath
from typing import Any

from charrnn.analysis.ngrams import BASELINE_NAME
from charrnn.cli.common.terminal import terminal_width
from charrnn.cli.inspector.cards import first_measured
from charrnn.cli.inspector.subject import Subject, reading_flags, reading_key
from charrnn.cli.inspector.tables import format_comparison, print_lines
from charrnn.display.card import verdict_text
from charrnn.display.widths import wrapped
from charrnn.escape import one_line
from charrnn.metrics import bits_per_char
from charrnn.shapes import count_parameters
from charrnn.storage.origin import Origin
from charrnn.wording import describe_known, format_seconds

LOSSES_DIFFER = (
    "these models learned from different texts, or were judged by different ones: their losses cannot be compared"
)

ALPHABETS_DIFFER = (
    "these models read different units, or count different characters as rare: their losses cannot be compared"
)

LEARNED_DIFFERS = (
    "some losses are on text that the model learned from, since nothing was held out: they cannot be compared"
)

LEARNED_BEFORE = "a model has learned, or may have learned, some of what is held out: their losses cannot be compared"

PARTS_DIFFER = "their losses are over different parts of the text: they cannot be compared"

REMEDY = "; --score FILE gives them one"
"""Appended to the messages above if all models would read one text alike."""

COMPARED = ("batch_size", "seq_len", "learning_rate", "seed")
"""Training options in every comparison; other options are shown only if the models differ in them."""

NO_OPTIONS = ("val_fraction", "val_spread", "val_bounded", "evaluations", "evaluated", "rewind_after")
"""Fields of `TrainConfig` that have a row of their own, or that no flag sets."""

NONE = "none on record"
"""Shown for a value that a checkpoint does not have."""

COLD = "cold loss, nats"
MISSING = {COLD: NONE}
"""What a row shows for a model without a value, where that is not an empty cell."""


def show_comparison(subjects: Sequence[Subject]) -> None:
    """Print the cards of several checkpoints side by side; a star marks the rows in which they differ."""
    marked = [["*" if len(set(cells)) > 1 else "", name, *cells] for name, *cells in comparison_rows(subjects)]
    width = terminal_width()
    print_lines(format_comparison(["", ""], [one_line(subject.name) for subject in subjects], marked, width))
    if note := why_they_differ(subjects):
        print_lines(["", *wrapped(note if reading_flags(subjects) else note + REMEDY, width)])


def comparison_rows(subjects: Sequence[Subject]) -> list[list[str]]:
    """The rows of the comparison: the row's name, then a cell for each checkpoint."""
    columns = [
        _comparable(*each) for each in zip(subjects, first_measured(subjects), _differing(subjects), strict=True)
    ]
    return [[name, *(column.get(name, MISSING.get(name, "")) for column in columns)] for name in _rows_of(columns)]


def why_they_differ(subjects: Sequence[Subject]) -> str:
    """Why the losses of several models cannot be compared; empty if they can."""
    evaluated = [subject for subject in subjects if subject.contents.best is not None]
    if len({reading_key(subject) for subject in subjects}) > 1:
        return LOSSES_DIFFER
    if len({_alphabet_of(subject) for subject in evaluated}) > 1:
        return ALPHABETS_DIFFER
    if len({subject.holds_out for subject in evaluated}) > 1:
        return LEARNED_DIFFERS
    if any(subject.contents.origin.learned_held_out for subject in evaluated):
        return LEARNED_BEFORE
    return PARTS_DIFFER if len({subject.part for subject in evaluated}) > 1 else ""


def _rows_of(columns: Sequence[Mapping[str, str]]) -> list[str]:
    """The names of all rows in order; one that only some columns have keeps its place among their rows."""
    names: list[str] = []
    for column in columns:
        place = 0
        for name in column:
            if name not in names:
                names.insert(place, name)
            place = names.index(name) + 1
    return names


def _alphabet_of(subject: Subject) -> tuple[str, str | None]:
    """What a loss is over: the unit, and the alphabet if rare characters share an id."""
    encoder = subject.contents.encoder
    return encoder.unit, encoder.characters if encoder.has_unknown else None


def _differing(subjects: Sequence[Subject]) -> list[dict[str, str]]:
    """For each model, its settings that differ between the models, without those in every comparison."""
    began = _beginnings([subject.contents.origin for subject in subjects])
    settings = [_settings(subject) | {"init_from": told} for subject, told in zip(subjects, began, strict=True)]
    rows = {name: [own[name] for own in settings] for name in settings[0]}
    told_apart = {_label(name): _told_apart(name, values) for name, values in rows.items() if len(set(values)) > 1}
    return [{name: cells[number] for name, cells in told_apart.items()} for number in range(len(subjects))]


def _settings(subject: Subject) -> dict[str, Any]:
    """The options of training and of reading the text, without those that every comparison has."""
    contents, origin = subject.contents, subject.contents.origin
    told = {name: value for name, value in asdict(contents.train_config).items() if name not in COMPARED + NO_OPTIONS}
    told |= asdict(contents.text_options) | {"separator": origin.separator or None}
    told |= {name: ", ".join(getattr(origin, name)) or NONE for name in ("include", "exclude")}  # an export has neither
    return told


def _beginnings(origins: Sequence[Origin]) -> list[str | None]:
    """The --init-from model of each: file name, else path, else path and run, the first form that tells them apart."""
    are_known = all(origin.init_run for origin in origins if origin.init_from)  # an export has only the name
    names = [origin.init_from and PureWindowsPath(origin.init_from).name for origin in origins]
    paths = [origin.init_from for origin in origins]
    runs = [path and f"{path}, run {origin.init_run}" for path, origin in zip(paths, origins, strict=True)]
    models = [(name, origin.init_run if are_known else None) for name, origin in zip(names, origins, strict=True)]
    if _are_distinct(names, models):
        return names
    return paths if _are_distinct(paths, models) else runs


def _are_distinct(names: Sequence[str | None], things: Sequence[object]) -> bool:
    """Whether no two different things have the same name."""
    return len(set(names)) == len(set(zip(names, things, strict=True)))


def _told_apart(name: str, values: Sequence[Any]) -> list[str]:
    """A setting's values formatted for reading, with all digits if rounding would make different values equal."""
    is_time = name == "time_limit"
    cells = [format_seconds(value) if is_time and value is not None else _plain(value) for value in values]
    if len(set(cells)) == len(set(values)):
        return cells
    unit = " s" if is_time else ""
    return [f"{value}{unit}" if isinstance(value, float) else _plain(value) for value in values]


def _comparable(subject: Subject, measured: Subject | None, differing: Mapping[str, str]) -> dict[str, str]:
    """A model's column, by the names of rows.

    Args:
        subject: the model.
        measured: a model with the same baseline whose text was found; see `first_measured`.
        differing: the model's settings that differ between the models.
    """
    contents = subject.contents
    counted = None if measured is None else measured.counted
    are_of_all = contents.best is not None and not contents.has_own_losses
    best = contents.best
    unit = contents.encoder.unit
    options = asdict(contents.train_config)
    cold = contents.training.get("cold_loss")
    rows = {
        **{_label(name): _plain(value) for name, value in asdict(contents.model).items()},
        "parameters": f"{count_parameters(contents.model):,}",
        "corpus": one_line(contents.corpus.name + contents.origin.and_more_texts),
        f"{unit}s": f"{contents.corpus.characters:,}",
        "  evaluated": f"{subject.num_counted if counted is None else len(counted):,}",
        "steps": f"{contents.step:,}",
        "time": format_seconds(contents.seconds),
        "held out": one_line(contents.origin.held_out_by_name) or _plain(options["val_fraction"]),
        **{_label(name): _plain(options[name]) for name in COMPARED},
        **differing,
        **({"losses are of": f"all {contents.losses_of} members together"} if are_of_all else {}),
        "best loss, nats": NONE if best is None else f"{best.val_loss:.4f}",
        f"bits per {unit}": NONE if best is None else f"{bits_per_char(best.val_loss):.4f}",
    }
    if cold is not None:
        rows[COLD] = f"{cold:.4f}"
    if measured is not None and measured.baseline is not None:
        rows[f"{BASELINE_NAME}, nats"] = f"{measured.baseline.loss:.4f}"
        if measured.baseline.learned:
            rows["  learned from"] = f"the last {measured.baseline.learned:,}"
    known = describe_known(*(measured or subject).known_lines)  # not every model has found the text
    return {**rows, "verdict": verdict_text(contents, known).partition(":")[0]}


def _label(field: str) -> str:
    """An option's name in words; `--time` becomes "time limit", unlike "time", the time that training took."""
    return field.replace("_", " ")


def _plain(value: Any) -> str:
    """An option's value formatted for reading."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else one_line(value)
