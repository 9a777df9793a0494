"""Fine-tuning: begin a training on a new text with the weights of another training.

The model keeps its shape, and its alphabet includes all characters of the old one. Everything else is chosen for the
new text as for a new training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace

import numpy as np
import torch
from torch import Tensor

from charrnn.arrays import Singles
from charrnn.cli.trainer.cpu_load import OtherLoad
from charrnn.cli.trainer.prepared_run import PreparedRun, start_run
from charrnn.cli.trainer.request import Request
from charrnn.cli.trainer.resume_changes import LEARNED_HELD_OUT, check_fine_tuning, overlaps
from charrnn.cli.trainer.resume_policy import MODEL_SHAPE
from charrnn.errors import CheckpointError
from charrnn.escape import one_line
from charrnn.hyperparameters import HEAD_START_RATE
from charrnn.paths import STDIN_NAME
from charrnn.storage.archive import Checkpoint, read_checkpoint
from charrnn.storage.origin import Origin
from charrnn.text.corpus import Corpus
from charrnn.text.encoder import CharEncoder
from charrnn.training.ranks import Ranks
from charrnn.training.validation import evaluate_before_first_step
from charrnn.wording import listed, number_of

SUSPICIOUS_GAIN = 0.2
"""A text may have been learned before if its loss is this many nats below that on the old training's held-out text."""

BY_CHARACTER = ("embedding.weight", "head.weight", "head.bias")
"""Name suffixes of the weights that have one row for each character."""


def start_fine_tuning(request: Request, corpus: Corpus, other_load: OtherLoad, ranks: Ranks) -> PreparedRun:
    """Begin a run with the best weights of the request's source checkpoint.

    Raises:
        CheckpointError: the checkpoint cannot be read, or was replaced by another model.
        ConfigError: a flag asks for another shape, or does not fit the text or the machine.
    """
    path = str(request.source)
    stored = ranks.broadcast(lambda: read_checkpoint(path))
    check_fine_tuning(stored, request)
    _require_known(stored.encoder, corpus.encoder, path)
    shape = {name: asdict(stored.model)[name] for name in MODEL_SHAPE}
    request = replace(request, options={**request.options, **shape})
    prepared = start_run(request, corpus, other_load, ranks, rate_factor=HEAD_START_RATE)
    run = prepared.run
    run.model.load_state_dict(carry_over(stored.weights, run.model.state_dict(), stored.encoder, corpus.encoder))
    loss = evaluate_before_first_step(run)
    new = len(corpus.encoder.characters) - len(stored.encoder.characters)
    overlap = told_of_overlap(stored, prepared)
    grown = f"{number_of(new, corpus.options.unit)} new to it" if new else ""
    suspicion = "" if overlap else told_of_low_loss(stored, prepared, loss)
    weights = listed(f"those of {one_line(path)}, whose loss here is {loss:.4f}{suspicion}", overlap, grown)
    origin = replace(
        prepared.origin, init_from=path, init_run=stored.origin.run, learned=texts_learned(stored.origin),
        learned_held_out=bool(overlap),
    )  # fmt: skip
    return replace(prepared, reason=f"{weights}; the rest {prepared.reason}", origin=origin)


def told_of_overlap(stored: Checkpoint, prepared: PreparedRun) -> str:
    """Say that weights have, or may have, learned from some of the held-out text; empty if they have not.

    If they had learned from held-out text when they were stored, they still have, for the same text.
    """
    now, is_same = prepared.run.config, stored.corpus.sha256 == prepared.corpus.sha256
    if is_same and overlaps(stored.train_config, now):
        return LEARNED_HELD_OUT
    may_overlap = stored.origin.learned_held_out if is_same else _may_overlap(stored, prepared)
    return "where some of what is held out may have been learned from before" if may_overlap and now.holds_out else ""


def told_of_low_loss(stored: Checkpoint, prepared: PreparedRun, loss: float) -> str:
    """Say that weights may have learned a text, whatever its name, if their loss on it is low for a new text.

    Text that repeats itself, such as a log, has a low loss too: a model that recalls predicts it without knowing it.
    """
    best, both_hold_out = stored.best, stored.train_config.holds_out and prepared.run.config.holds_out
    if best is None or not both_hold_out or loss > best.val_loss - SUSPICIOUS_GAIN:
        return ""
    return f" (far below the {best.val_loss:.4f} of its own held-out text: this one is easier, or was learned in part)"


def texts_learned(before: Origin) -> list[str]:
    """Names of the texts that a model has learned from, in all trainings that led to it."""
    known = before.public
    return sorted({*known.learned, *known.texts, *(known.val_texts if known.learned_held_out else [])})


def carry_over(
    weights: Mapping[str, Singles], fresh: Mapping[str, Tensor], before: CharEncoder, now: CharEncoder
) -> dict[str, Tensor]:
    """Carry learned weights over to a model with a larger alphabet; new characters keep their fresh weights.

    Args:
        weights: learned weights, by name.
        fresh: initial weights of the new model, by the same names.
        before: the alphabet of `weights`.
        now: the new alphabet; it has all characters of `before`, and an id for unknown ones if `before` has one.
    """
    places = np.searchsorted(now.points, before.points).tolist()
    if before.unknown_id is not None and now.unknown_id is not None:
        places.append(now.unknown_id)
    carried = {name: torch.from_numpy(weights[name]) for name in fresh}
    for name, learned in carried.items():
        if name.endswith(BY_CHARACTER):
            carried[name] = fresh[name].cpu().index_copy(0, torch.tensor(places), learned)
    return carried


def _require_known(before: CharEncoder, now: CharEncoder, path: str) -> None:
    """Refuse a checkpoint with characters that the text's alphabet lacks: it was replaced while the text was read."""
    if {*before.characters} - {*now.characters} or before.has_unknown > now.has_unknown:
        raise CheckpointError(f"{path}: was replaced by another model while the text was read; start again")


def _may_overlap(stored: Checkpoint, prepared: PreparedRun) -> bool:
    """Whether some of the held-out part of a changed text may have been learned from before, judging by names.

    A text of the same name is taken for the same text, longer or shorter at its end. A shorter text from standard
    input, which has no name of its own, is not.
    """
    before = stored.train_config
    now = prepared.run.config
    corpus = prepared.corpus
    num_chars, is_same = stored.corpus.characters, stored.corpus.name == corpus.name
    if corpus.num_held_out or not is_same or (corpus.name == STDIN_NAME and len(corpus.ids) < num_chars):
        asked = prepared.origin.public
        held_out = asked.val_texts or (asked.texts if now.val_spread else asked.texts[-1:])
        return not _names_learned(stored, asked, len(corpus.ids) * now.val_fraction).isdisjoint(held_out)
    num_learned = num_chars - round(num_chars * before.val_fraction)
    is_spread = before.val_spread or now.val_spread
    return stored.origin.learned_held_out or is_spread or num_learned > len(prepared.pieces[0])


def _names_learned(stored: Checkpoint, asked: Origin, num_held_out: float) -> set[str]:
    """Names of the texts that a model may have learned from where the new run holds out `num_held_out` characters.

    What the model's last training held out of its own texts counts as not learned, unless its origin says so.
    """
    origin, before = stored.origin.public, stored.train_config
    if origin.learned_held_out:
        return {*texts_learned(origin)}
    was_held_out = 0 if before.val_spread or origin.val_texts else stored.corpus.characters * before.val_fraction
    is_end_new = was_held_out >= num_held_out and not asked.val_texts
    learned_last = {*(origin.texts[:-1] if is_end_new else origin.texts)}
    learned_before = {*origin.learned} - {*origin.texts}
    return (learned_before | learned_last) - {*origin.val_texts}
