"""A training that begins with the weights of another, on a text of its own: fine-tuning.

The model's shape is the other's, and its alphabet has all of the other's characters. Everything else is chosen for the
new text as if nothing had been before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace

import numpy as np
import torch
from torch import Tensor

from charrnn.arrays import Singles
from charrnn.cli.trainer.at_resume import MODEL_SHAPE
from charrnn.cli.trainer.changes import check_beginning
from charrnn.cli.trainer.launch import Launch, start_run
from charrnn.cli.trainer.neighbours import Neighbours
from charrnn.cli.trainer.request import Request
from charrnn.config import TrainConfig
from charrnn.errors import CheckpointError
from charrnn.escape import quoted
from charrnn.paths import STDIN_NAME
from charrnn.regimen import HEAD_START_RATE
from charrnn.storage.archive import Checkpoint, read_checkpoint
from charrnn.storage.origin import Origin
from charrnn.text.corpus import Corpus
from charrnn.text.encoder import CharEncoder
from charrnn.training.ranks import Ranks
from charrnn.training.validation import validate_beginning
from charrnn.wording import listed, number_of

LEARNED_HELD_OUT = "so that some of what is held out was learned from before"

SUSPICIOUS_GAIN = 0.2
"""A text looks as if it were learned before if it is so many nats easier than what the model's training held out."""

BY_CHARACTER = ("embedding.weight", "head.weight", "head.bias")
"""Ends of the names of weights that have a row for each character."""


def begin_with_weights(request: Request, corpus: Corpus, neighbours: Neighbours, ranks: Ranks) -> Launch:
    """Begin a run with the best weights of the checkpoint that a request goes on from.

    Raises:
        CheckpointError: it cannot be read, or another has taken its place.
        ConfigError: a flag asks for another shape, or does not fit the text or the machine.
    """
    path = str(request.source)
    stored = ranks.broadcast(lambda: read_checkpoint(path))
    check_beginning(stored, request)
    _require_known(stored.encoder, corpus.encoder, path)
    shape = {name: asdict(stored.model)[name] for name in MODEL_SHAPE}
    request = replace(request, options={**request.options, **shape})
    launch = start_run(request, corpus, neighbours, ranks, rate_share=HEAD_START_RATE)
    run = launch.run
    run.model.load_state_dict(carry_over(stored.weights, run.model.state_dict(), stored.encoder, corpus.encoder))
    loss = validate_beginning(run)
    new = len(corpus.encoder.characters) - len(stored.encoder.characters)
    overlap = told_of_overlap(stored, launch) or told_of_low_loss(stored, launch, loss)
    grown = f"{number_of(new, corpus.options.unit)} new to it" if new else ""
    weights = listed(f"those of {quoted(path)}, whose loss here is {loss:.4f}", overlap, grown)
    origin = replace(
        launch.origin, init_from=path, init_run=stored.origin.run, learned=texts_learned(stored.origin),
        learned_held_out=bool(overlap),
    )  # fmt: skip
    return replace(launch, reason=f"{weights}; the rest {launch.reason}", origin=origin)


def _require_known(before: CharEncoder, now: CharEncoder, path: str) -> None:
    """Refuse weights for characters that a text was not read for: reading takes long, and a job may replace a model."""
    if {*before.characters} - {*now.characters} or before.has_unknown > now.has_unknown:
        raise CheckpointError(f"{path}: was replaced by another model while the text was read; start again")


def told_of_overlap(stored: Checkpoint, launch: Launch) -> str:
    """Say where weights have, or may have, learned from some of what is held out; nothing where they have not.

    Those that had when they were stored still have, where it is the same text by its name.
    """
    now, is_same = launch.run.config, stored.corpus.sha256 == launch.corpus.sha256
    if is_same and overlaps(stored.train_config, now):
        return LEARNED_HELD_OUT
    may_overlap = stored.origin.learned_held_out if is_same else _may_overlap(stored, launch)
    return "where some of what is held out may have been learned from before" if may_overlap and now.holds_out else ""


def _may_overlap(stored: Checkpoint, launch: Launch) -> bool:
    """Whether some of what is held out of another text may have been learned from before, as far as names tell.

    One of the same name is taken for the same, which has grown at its end or lost some of that; from standard input,
    which names nothing, a shorter one is not.
    """
    before, now, corpus = stored.train_config, launch.run.config, launch.corpus
    num_chars, is_same = stored.corpus.characters, stored.corpus.name == corpus.name
    if corpus.num_held_out or not is_same or (corpus.name == STDIN_NAME and len(corpus.ids) < num_chars):
        asked = launch.origin.public
        held_out = asked.val_texts or (asked.texts if now.val_spread else asked.texts[-1:])
        return not _names_learned(stored, asked, len(corpus.ids) * now.val_fraction).isdisjoint(held_out)
    num_learned = num_chars - round(num_chars * before.val_fraction)
    is_spread = before.val_spread or now.val_spread
    return stored.origin.learned_held_out or is_spread or num_learned > len(launch.pieces[0])


def told_of_low_loss(stored: Checkpoint, launch: Launch, loss: float) -> str:
    """Say that weights may have learned a text, whatever its name, if their loss on it is low for one new to them."""
    best, both_hold_out = stored.best, stored.train_config.holds_out and launch.run.config.holds_out
    if best is None or not both_hold_out or loss > best.val_loss - SUSPICIOUS_GAIN:
        return ""
    own = f"the {best.val_loss:.4f} of its own held-out text"
    return f"so far below {own} that some of what is held out here may have been learned from before"


def texts_learned(before: Origin) -> list[str]:
    """Names of the texts that a model has learned from, in any of the trainings that have made it."""
    known = before.public
    return sorted({*known.learned, *known.texts, *(known.val_texts if known.learned_held_out else [])})


def _names_learned(stored: Checkpoint, asked: Origin, num_held_out: float) -> set[str]:
    """The texts, by name, of which a model may have learned what is to be held out as asked, so many characters.

    What the last of its trainings held out of its own texts, none before it has learned from, unless that was told.
    """
    origin, before = stored.origin.public, stored.train_config
    if origin.learned_held_out:
        return {*texts_learned(origin)}
    was_held_out = 0 if before.val_spread or origin.val_texts else stored.corpus.characters * before.val_fraction
    is_end_new = was_held_out >= num_held_out and not asked.val_texts
    texts = origin.texts[:-1] if is_end_new else origin.texts
    return ({*origin.learned} - {*origin.texts} | {*texts}) - {*origin.val_texts}


def overlaps(before: TrainConfig, now: TrainConfig) -> bool:
    """Whether some of what is held out of a text was learned from when it was held out as `before` says."""
    is_other = has_changed(now, before, "val_fraction", "val_spread", "val_bounded")
    is_spread = before.val_spread or now.val_spread  # lines from all over the text, others for another share
    return now.holds_out and (
        not before.holds_out or now.val_fraction > before.val_fraction or (is_spread and is_other)
    )


def has_changed(config: TrainConfig, before: TrainConfig, *names: str) -> bool:
    """Whether any option of these names is another than before."""
    return any(getattr(config, name) != getattr(before, name) for name in names)


def carry_over(
    weights: Mapping[str, Singles], fresh: Mapping[str, Tensor], before: CharEncoder, now: CharEncoder
) -> dict[str, Tensor]:
    """Give a model of a larger alphabet what another has learned; characters that are new keep their fresh weights.

    Args:
        weights: of the other, by name.
        fresh: of the model as it begins, by the same names.
        before: the other's alphabet.
        now: the model's, which has all characters of `before`, and an id for unknown ones if that has.
    """
    places = np.searchsorted(now.points, before.points).tolist()
    if before.unknown_id is not None and now.unknown_id is not None:
        places.append(now.unknown_id)
    carried = {name: torch.from_numpy(weights[name]) for name in fresh}
    for name, learned in carried.items():
        if name.endswith(BY_CHARACTER):
            carried[name] = fresh[name].cpu().index_copy(0, torch.tensor(places), learned)
    return carried
