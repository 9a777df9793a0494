"""`charrnn inspect --score`: how well one or several models predict a whole text."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.analysis.losses import OnProgress, add_up, mask_uncounted, read_pieces
from charrnn.cli.common.encodings import doubt_of
from charrnn.cli.common.terminal import terminal_width, work_progress
from charrnn.cli.inspector.candidate_files import is_of_several, places_of
from charrnn.cli.inspector.fitting import (
    READINGS_DIFFER,
    REMARKS,
    differing_flags,
    fit_text,
    shared_encoding,
    unknown_price,
    warn,
)
from charrnn.cli.inspector.subject import Subject
from charrnn.cli.inspector.tables import format_comparison, print_lines, print_table
from charrnn.display.json_line import to_json
from charrnn.display.messages import write_warning
from charrnn.display.widths import wrapped
from charrnn.errors import CorpusError
from charrnn.escape import one_line
from charrnn.metrics import bits_per_char, finite_or_none, loss_fields
from charrnn.paths import STDIN, name_of
from charrnn.text.documents import read_text
from charrnn.text.encoder import CharEncoder
from charrnn.text.meter import Meter
from charrnn.text.options import BYTE, CHARACTER
from charrnn.text.unknowns import EncodedText
from charrnn.wording import format_perplexity, number_of


@dataclass(frozen=True)
class Score:
    """How well a model predicts a text, which may have unknown characters.

    Attributes:
        characters: number of characters predicted, also for a byte model; the first may be exempt.
        num_given: the same number in the text as given, before normalisation; it compares between models.
        loss: mean in nats per character, including the price of unknown characters.
        accuracy: share of characters that the model thought most probable.
        num_unknown: number of characters that the model does not know.
        dynamic: loss with dynamic evaluation, in nats per character; None if not asked for.
    """

    characters: int
    num_given: int
    loss: float
    accuracy: float
    num_unknown: int
    dynamic: float | None

    @property
    def over_given(self) -> Score:
        """This score with losses per character of the text as given, for comparison with other models."""
        share = self.characters / self.num_given
        dynamic = None if self.dynamic is None else self.dynamic * share
        return replace(self, characters=self.num_given, loss=self.loss * share, dynamic=dynamic)


def show_score(subjects: Sequence[Subject], path: str, *, rule: str, dynamic: bool, as_json: bool) -> None:
    """Score a text by each model and print a table or one JSON object.

    Args:
        subjects: the models.
        path: of the text, or "-".
        rule: for characters that a model does not know, one of `charrnn.cli.inspector.flags.UNKNOWN_RULES`.
        dynamic: also measure the loss with dynamic evaluation.
        as_json: print an object.
    """
    options, meter = shared_encoding(subjects), Meter(None)
    text = read_text(path, options, doubt=doubt_of(options.encoding, subjects[0].encoding), watch=meter.watch)
    counts_first = all(subject.contents.text_options.lines for subject in subjects)  # the same for all models
    with work_progress("scoring", len(subjects), is_shown=not as_json) as on_progress:
        scores = [
            score_text(
                subject, text, path, rule=rule, dynamic=dynamic, on_progress=on_progress, counts_first=counts_first
            )
            for subject in subjects
        ]
    lacking = [subject for subject, score in zip(subjects, scores, strict=True) if score.num_unknown]
    for remark in REMARKS:
        warn(remark, lacking, text, path, rule)
    learned = [was_trained_on(subject, meter) for subject in subjects]
    unlike = []
    if len(subjects) > 1:
        scores, unlike = [score.over_given for score in scores], differing_flags(subjects, text, rule)
    if as_json:
        print(to_json(_as_json(subjects, scores, path, unlike, learned)))
    elif len(subjects) == 1:
        print_table([("text", one_line(path)), *_rows(scores[0])])
    else:
        names = [one_line(subject.name) for subject in subjects]
        print_lines(format_comparison([""], names, _compared(scores), terminal_width()))
        print_lines(wrapped(f"fits best: {_describe_fit(subjects, scores)}", terminal_width()))
        if unlike:
            print_lines(wrapped(READINGS_DIFFER.format(", ".join(unlike)), terminal_width()))
    if not as_json:
        warn_where_learned(subjects, learned, path)


def warn_where_learned(subjects: Sequence[Subject], learned: Sequence[bool | None], path: str) -> None:
    """Warn on stderr which models learned from a text, if any did; see `was_trained_on`."""
    if who := ", ".join(one_line(subject.name) for subject, is_own in zip(subjects, learned, strict=True) if is_own):
        write_warning(f"{name_of(path)}: {who} learned from most of it; the loss on another text would be higher")


def was_trained_on(subject: Subject, scored: Meter) -> bool | None:
    """Whether a model learned from exactly this text; None if that is not known.

    The checkpoint has the hash of its whole training text only, not of one text among several, nor of the texts that
    an --init-from model learned from.
    """
    checkpoint = subject.contents
    facts, origin = checkpoint.corpus, checkpoint.origin
    if (scored.num_bytes, scored.sha256) == (facts.bytes, facts.sha256):
        return True
    if is_of_several(checkpoint) or origin.val_texts or origin.init_from is not None:
        return None
    was_file = STDIN in origin.texts or any(map(os.path.isfile, places_of(checkpoint, subject.path)))
    return False if was_file else None


def score_text(
    subject: Subject,
    text: str,
    path: str,
    *,
    rule: str,
    dynamic: bool,
    on_progress: OnProgress = lambda read: None,
    counts_first: bool = False,
) -> Score:
    """Score a text by one model; see `show_score`. `on_progress` is called with the share of the work done since.

    The first character is exempt, as nothing precedes it in a stream, unless `counts_first` is set, as for lines.
    """
    encoded = fit_text(subject, text, path, rule)
    counted = encoded.known_text if rule == "skip" else encoded.text
    free = "" if counts_first else counted[:1]
    predicted = len(counted) - len(free)
    if predicted < 1:
        raise CorpusError(
            f"{name_of(path)}: too few characters that {name_of(subject.path)} knows to be scored; give 2 or more"
        )
    work = len(encoded.ids) * (1 + subject.contents.model.members if dynamic else 1)
    loss, right, adapted = _read(subject, encoded, free, dynamic, lambda read: on_progress(read / work))
    is_free_unknown = not counts_first and free in encoded.unknown
    price = 0.0 if rule == "skip" else (encoded.num_unknown - is_free_unknown) * unknown_price(subject)
    return Score(
        characters=predicted,
        num_given=max(1, len(text) - len(free) - (len(encoded.text) - len(counted))),
        loss=(loss + price) / predicted,
        accuracy=right / predicted,
        num_unknown=encoded.num_unknown,
        dynamic=None if adapted is None else (adapted + price) / predicted,
    )


def best_fit(losses: Sequence[float]) -> int:
    """Index of the lowest loss, the first of equals; NaN counts as the highest."""
    return min(range(len(losses)), key=lambda index: (math.isnan(losses[index]), losses[index]))


def _read(
    subject: Subject, encoded: EncodedText, free: str, dynamic: bool, on_progress: OnProgress
) -> tuple[float, int, float | None]:
    """Total loss of the known characters in nats, how many were predicted right, and the dynamic loss, if asked for.

    Lines are read after the model's `first_id`, a line feed. A stream is read from a zero state; its first character,
    which is exempt, is replaced by `first_id` if the model cannot read it, so that every model predicts the second one.
    """
    contents, encoder = subject.contents, subject.contents.encoder
    num_free = int(encoder.widths(free).sum()) if encoded.read_text.startswith(free) else 0
    ids, unread = encoded.ids, num_free - 1
    if contents.text_options.lines or not num_free:
        ids, unread = np.insert(ids, 0, contents.first_id), num_free
    begins = encoder.begins(encoded.read_text)[num_free:]
    counts = _counts(encoded, encoder, len(ids) - 1)
    loss, right = 0.0, 0
    if len(begins):
        loss, right = add_up(
            mask_uncounted(read_pieces(subject.engine, ids, on_progress=on_progress), counts), begins, unread
        )
    if not dynamic:
        return loss, right, None
    from charrnn.analysis.dynamic import adapted_loss  # imports backpropagation, which other scores do not need

    counts[:unread] = False
    return loss, right, adapted_loss(contents.model, contents.weights, ids, counts, on_progress=on_progress)


def _counts(encoded: EncodedText, encoder: CharEncoder, length: int) -> NDArray[np.bool_]:
    """For each of the last `length` ids that are read, whether its character is known to the model."""
    counts = np.ones(length, dtype=np.bool_)
    if encoded.reads_all and encoded.unknown:
        is_known = encoded.ids != encoder.unknown_id
        if encoder.unit == BYTE:  # some bytes of an unknown character may be known
            is_known = np.repeat(encoded.known, encoder.widths(encoded.text))
        counts[-len(is_known) :] = is_known[-length:]
    return counts


def _final_loss(result: Score) -> float:
    return result.loss if result.dynamic is None else result.dynamic


def _rows(result: Score) -> list[tuple[str, str]]:
    rows = [
        ("characters", f"{result.characters:,} predicted"),
        ("loss", f"{result.loss:.4f} nats per character"),
        ("perplexity", format_perplexity(result.loss, 3)),
        ("bits per character", f"{bits_per_char(result.loss):.4f}"),
        ("accuracy", f"{result.accuracy:.1%} of first guesses are right"),
    ]
    if result.num_unknown:
        rows.append(("unknown", f"{number_of(result.num_unknown, 'character')} that it does not know"))
    if result.dynamic is not None:
        rows.append(("dynamic", f"{bits_per_char(result.dynamic):.4f} bits per character, adapting as it reads"))
    return rows


def _margin(scores: Sequence[Score]) -> float:
    """Difference between the best and the second-best loss, in bits per character."""
    best, second, *_ = sorted(map(_final_loss, scores))
    return bits_per_char(second - best)


def _describe_fit(subjects: Sequence[Subject], scores: Sequence[Score]) -> str:
    margin = f"{_margin(scores):.4f}"
    if float(margin) == 0:
        return "no difference"
    best = best_fit([_final_loss(result) for result in scores])
    return f"{one_line(subjects[best].name)}, by {margin} bits per character"


def _compared(scores: Sequence[Score]) -> list[list[str]]:
    """Rows of figures, one column per model, with the unit in the row's name."""
    rows = [
        ["characters predicted", *(f"{result.characters:,}" for result in scores)],
        ["loss, nats per character", *(f"{result.loss:.4f}" for result in scores)],
        ["perplexity", *(format_perplexity(result.loss, 3) for result in scores)],
        ["bits per character", *(f"{bits_per_char(result.loss):.4f}" for result in scores)],
        ["first guesses that are right", *(f"{result.accuracy:.1%}" for result in scores)],
    ]
    if any(result.num_unknown for result in scores):
        rows.append(["characters that it does not know", *(f"{result.num_unknown:,}" for result in scores)])
    if any(result.dynamic is not None for result in scores):
        adapted = ["" if result.dynamic is None else f"{bits_per_char(result.dynamic):.4f}" for result in scores]
        rows.append(["bits, adapting as it reads", *adapted])
    return rows


def _as_json(
    subjects: Sequence[Subject], scores: Sequence[Score], path: str, unlike: list[str], learned: list[bool | None]
) -> dict[str, Any]:
    """The figures for JSON: those of one model at the top level, those of several by name."""
    fields = [{**_fields(result), "learned": known} for result, known in zip(scores, learned, strict=True)]
    if len(subjects) == 1:
        return {"text": path, **fields[0]}
    best = subjects[best_fit([_final_loss(result) for result in scores])].name
    models = {subject.name: each for subject, each in zip(subjects, fields, strict=True)}
    margin = finite_or_none(_margin(scores))
    return {"text": path, "models": models, "best": best, "margin_bits": margin, "unlike": unlike}


def _fields(result: Score) -> dict[str, Any]:
    """The figures of one model, for one of bytes too per character, so that they compare."""
    values = {"characters": result.characters, "unit": CHARACTER, **loss_fields(result.loss)}
    values |= {"accuracy": result.accuracy, "unknown": result.num_unknown}
    return values if result.dynamic is None else {**values, "dynamic": loss_fields(result.dynamic)}
