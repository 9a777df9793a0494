"""The card of a checkpoint: what the model is and how well it does, as rows of names and values to print."""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass, replace

import numpy as np

from charrnn.analysis.amounts import LINE, measure_of
from charrnn.analysis.ngrams import BASELINE_NAME, Baseline
from charrnn.analysis.verdict import handicaps, verdict
from charrnn.config import ModelConfig
from charrnn.display.widths import with_bases
from charrnn.escape import one_line
from charrnn.metrics import COLD_WINDOW, HistoryRow, bits_per_char
from charrnn.shapes import count_parameters, member_name, parameter_shapes
from charrnn.storage.archive import Checkpoint
from charrnn.text.encoder import CharEncoder
from charrnn.text.options import CHARACTER
from charrnn.text.splitting import MIN_PIECE
from charrnn.wording import describe_loss, describe_model, format_seconds, number_of

FREQUENT = 12
"""Number of characters whose share of the corpus the card shows; the JSON has all."""

LISTED = 120
"""Number of the alphabet's characters that the card shows; the JSON has all."""

LONGEST_COMMAND = 300
"""Characters of a training's command line that the card shows, as it may name thousands of files; the JSON has all."""


@dataclass(frozen=True)
class Parameter:
    """One weight of a model.

    Attributes:
        name: as in the checkpoint.
        shape: of the array.
        count: number of its values.
        share: of all of the model's values, from 0 to 1.
        norm: its L2 norm.
    """

    name: str
    shape: tuple[int, ...]
    count: int
    share: float
    norm: float


def parameter_table(checkpoint: Checkpoint) -> list[Parameter]:
    """List the weights in the order in which they are applied."""
    total = count_parameters(checkpoint.model)
    table = []
    for name, shape in parameter_shapes(checkpoint.model).items():
        weight = checkpoint.weights[name]
        norm = float(np.linalg.norm(weight.astype(np.float64)))
        table.append(Parameter(name, shape, weight.size, weight.size / total, norm))
    return table


def merged_parameters(checkpoint: Checkpoint) -> list[Parameter]:
    """List the weights, with those of the same name in all members stacked: the first size is the number of members."""
    table = parameter_table(checkpoint)
    own = len(table) // checkpoint.model.members
    return [
        replace(
            parts[0],
            shape=(*((len(parts),) if len(parts) > 1 else ()), *parts[0].shape),
            name=parts[0].name.removeprefix(member_name(0, "")),
            count=sum(part.count for part in parts),
            share=sum(part.share for part in parts),
            norm=math.hypot(*(part.norm for part in parts)),
        )
        for parts in (table[place::own] for place in range(own))
    ]


def frequencies(checkpoint: Checkpoint) -> list[tuple[str, int]]:
    """Count the characters of the corpus, the most frequent first."""
    names, counts = checkpoint.encoder.names, checkpoint.corpus.counts
    return [(names[i], counts[i]) for i in checkpoint.ids_by_frequency]


def card(checkpoint: Checkpoint, baseline: Baseline | str = "", *, known: str = "") -> list[tuple[str, str]]:
    """Describe a checkpoint and how well it does, as (name, value) rows in the order to show them.

    Args:
        checkpoint: to describe.
        baseline: an n-gram model's loss, or why there is none; empty for no row about it.
        known: a remark on held-out lines that are trained on too, if any; see `charrnn.wording.describe_known`.
    """
    config, unit = checkpoint.model, checkpoint.encoder.unit
    width = 13 if config.members == 1 else 17  # of a shape, which begins with the number of several members
    rows = [
        ("model", summary(config)),
        ("parameters", f"{count_parameters(config):,}"),
        *((f"  {weight.name}", _describe_parameter(weight, width)) for weight in merged_parameters(checkpoint)),
        ("vocabulary", f"{number_of(config.vocab_size, unit)}: {_alphabet(checkpoint.encoder)}"),
        ("  most frequent", _describe_frequencies(checkpoint)),
        *provenance_rows(checkpoint),
        ("trained", f"{number_of(checkpoint.step, 'step')}, {format_seconds(checkpoint.seconds)}"),
    ]
    if checkpoint.best is None:
        return [*rows, ("best", "no loss on record")]
    rows += _loss_rows(checkpoint, checkpoint.best, baseline)
    if known:
        rows.append(("  by heart", known))
    if checkpoint.history[-1] != checkpoint.best:
        last = checkpoint.history[-1]
        rows.append(("last", f"{describe_loss(last.val_loss, unit)}, step {last.step:,}"))
    return [*rows, ("verdict", verdict_text(checkpoint, known, baseline if isinstance(baseline, Baseline) else None))]


def verdict_text(checkpoint: Checkpoint, known: str, baseline: Baseline | None = None) -> str:
    """The verdict on a training: how it went, and what may hold the model back.

    Args:
        checkpoint: to judge; see `charrnn.analysis.verdict`.
        known: see `card`.
        baseline: an n-gram model's loss; see `charrnn.analysis.verdict.handicaps`.
    """
    if not checkpoint.train_config.holds_out:
        return "none: its losses are of what it learned from, and do not tell how it does on other text"
    if checkpoint.origin.learned_held_out:
        return "none: some of what is held out was, or may have been, learned from before"
    if few := _few_to_judge(checkpoint):
        return f"none: {few} held out, too few to judge by"
    if known:
        return "none: a model that knows its lines by heart would have as low a loss"
    told = verdict(
        checkpoint.history,
        vocab_size=checkpoint.model.vocab_size,
        train_loss_is_comparable=checkpoint.train_loss_is_comparable,
    )
    if checkpoint.best is None or baseline is None:
        return told
    found = handicaps(
        checkpoint.model, checkpoint.train_config,
        steps=checkpoint.step, loss=checkpoint.best.val_loss, baseline_loss=baseline.loss,
    )  # fmt: skip
    return f"{told}; but {'; and '.join(found)}" if found else told


def summary(config: ModelConfig) -> str:
    """Describe the model in one phrase."""
    parts = [describe_model(config)]
    if config.layer_norm:
        parts.append("layer norm")
    if any(config.is_residual(layer) for layer in range(config.num_layers)):
        parts.append("residual")
    return ", ".join(parts)


def provenance_rows(checkpoint: Checkpoint) -> list[tuple[str, str]]:
    """Describe where a model comes from, as (name, value) rows."""
    corpus = checkpoint.corpus
    length = f"{corpus.characters:,} characters, " if checkpoint.encoder.unit == CHARACTER else ""
    rows = [("corpus", f"{one_line(corpus.name + checkpoint.origin.and_more_texts)}, {length}{corpus.bytes:,} bytes")]
    if apart := checkpoint.origin.held_out_by_name:
        held_out = round(checkpoint.train_config.val_fraction * corpus.characters)
        rows.append(("  held out", f"{one_line(apart)}, {held_out:,} {checkpoint.encoder.unit}s of these"))
    if not checkpoint.train_config.holds_out:
        rows.append(("  held out", "nothing"))
    return [
        *rows,
        ("  sha256", one_line(corpus.sha256)),
        ("made", _describe_made(checkpoint.made)),
        *((name, one_line(_cut(command))) for name, command in _commands(checkpoint.made)),
    ]


def spell(character: str) -> str:
    """Show a name of the alphabet on a terminal; a blank character other than a space by its code point."""
    if character == "\t":
        return "\\t"
    is_blank = len(character) == 1 and character != " " and unicodedata.category(character) == "Zs"
    return f"<U+{ord(character):04X}>" if is_blank else with_bases(one_line(character))


def _few_to_judge(checkpoint: Checkpoint) -> str:
    """How much is held out, nearly, where a training says at its beginning that it is too little; else empty."""
    corpus, share = checkpoint.corpus, checkpoint.train_config.val_share
    held_out = max(MIN_PIECE, round(corpus.characters * share))
    has_count = not checkpoint.origin.val_texts  # how many lines those have is not kept
    line_end_id = checkpoint.line_end_id if has_count else None
    measure = measure_of(corpus.characters - held_out, checkpoint.encoder.unit, has_lines=line_end_id is not None)
    if measure.unit == LINE and line_end_id is not None:
        held_out = max(1, round(corpus.counts[line_end_id] * share))
    return number_of(held_out, measure.unit) if measure.has_few_to_judge(held_out) else ""


def _commands(made: dict[str, str]) -> list[tuple[str, str]]:
    """Rows for the command that began a training and for the last that resumed it, as far as they are known."""
    last, first = made.get("command", ""), made.get("begun_by", "")
    told = [("  by", first), ("  resumed by", last)] if first else [("  by", last)]
    return [(name, command) for name, command in told if command]


def _loss_rows(checkpoint: Checkpoint, best: HistoryRow, baseline: Baseline | str) -> list[tuple[str, str]]:
    """Rows for the best loss, the loss in cold windows, the baseline's, and rare characters that share an id."""
    unit, cold_loss = checkpoint.encoder.unit, checkpoint.training.get("cold_loss")
    whole = "" if checkpoint.has_own_losses else f"all {checkpoint.losses_of} members together"
    of_whole = f", of {whole}" if whole else ""
    rows = [("best", f"{describe_loss(best.val_loss, unit)}, step {best.step:,}, epoch {best.epoch:.2f}{of_whole}")]
    if cold_loss is not None:
        rows.append(
            ("  cold", f"{cold_loss:.4f} nats in windows of {COLD_WINDOW} that start without a state{of_whole}")
        )
    if isinstance(baseline, Baseline):
        whom = f"{whole} are" if whole else "this model is"
        baseline = f"{_describe_baseline(baseline, unit)}: {whom} {_compare(best.val_loss, baseline.loss, unit)}"
    if baseline:
        rows.append((f"  {BASELINE_NAME}", baseline))
    rare, corpus = checkpoint.encoder.unknown_id, checkpoint.corpus
    if rare is not None and (count := corpus.counts[rare]) > 1:
        told = f"{count:,} of {number_of(corpus.characters, unit)} are rare, and count as one in these losses"
        rows.append(("  rare", f"{told}: those of a model that tells them apart do not compare"))
    return rows


def _cut(command: str) -> str:
    left_out = len(command) - LONGEST_COMMAND
    return f"{command[:LONGEST_COMMAND]}... and {number_of(left_out, 'character')} more" if left_out > 0 else command


def _describe_parameter(weight: Parameter, width: int) -> str:
    shape = " x ".join(f"{size:,}" for size in weight.shape)
    return f"{shape:>{width}}  {weight.count:>11,}  {weight.share:>6.1%}  norm {weight.norm:.4g}"


def _describe_baseline(baseline: Baseline, unit: str) -> str:
    """Describe the n-gram model's loss, the text it is over, and how much the n-gram model was trained on."""
    part = f", learned from the last {baseline.learned:,} {unit}s alone" if baseline.learned else ""
    where = f"{baseline.counted:,} {unit}s" if baseline.counted else "text"
    return f"{describe_loss(baseline.loss, unit)} on the same {where}{part}"


def _compare(loss: float, other: float, unit: str) -> str:
    """Compare a model's loss with another's."""
    difference = bits_per_char(abs(other - loss))
    word = "better" if loss < other else "WORSE"
    return f"{word} by {difference:.3f} bits per {unit}" if round(difference, 3) else "as good as that"


def _describe_frequencies(checkpoint: Checkpoint) -> str:
    total = max(checkpoint.corpus.characters, 1)
    counts = frequencies(checkpoint)[:FREQUENT]
    return ", ".join(f"{_name(character)} {count / total:.1%}" for character, count in counts)


def _name(character: str) -> str:
    return "space" if character == " " else spell(character)


def _alphabet(encoder: CharEncoder) -> str:
    names = encoder.names[: len(encoder.characters)]
    if encoder.unit == CHARACTER:
        shown = "".join(map(spell, names[:LISTED]))
        shown = shown.replace(" ", "␣")  # a space would be invisible at the end of a line
    else:
        shown = " ".join(map(_name, names[:LISTED]))
    return shown if len(names) <= LISTED else f"{shown} and {len(names) - LISTED:,} more"


def _describe_made(made: dict[str, str]) -> str:
    versions = ", ".join(f"{name} {made[name]}" for name in ("charrnn", "torch", "numpy", "python") if name in made)
    return one_line(f"{made.get('created', 'at an unknown time')} with {versions} on {made.get('platform', '?')}")
