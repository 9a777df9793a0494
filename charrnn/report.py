"""Pictures of a checkpoint for a terminal: as lines of text, printed elsewhere."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from charrnn.archive import Checkpoint
from charrnn.config import count_parameters, parameter_shapes
from charrnn.displays import describe_loss, format_seconds
from charrnn.escape import quoted
from charrnn.metrics import COLD_WINDOW, HistoryRow

CURVE_HEIGHT = 10
MIN_WIDTH = 48
_TRAIN, _VAL = "·", "●"


def card(checkpoint: Checkpoint) -> list[tuple[str, str]]:
    """Tell what a checkpoint is and how well it does: names and values, in the order to show them."""
    config, corpus, best = checkpoint.model, checkpoint.corpus, checkpoint.best
    layers = f"{config.num_layers} layer{'s' if config.num_layers > 1 else ''} of {config.hidden_size}"
    options = [f"embedding {config.embedding_dim}", f"dropout {config.dropout:g}"]
    options += [f"input dropout {config.input_dropout:g}"] * (config.input_dropout > 0)
    options += ["layer norm"] * config.layer_norm + ["residual"] * (config.residual and config.num_layers > 1)
    training = checkpoint.training
    rows = [
        ("model", f"{config.cell}, {layers}, {', '.join(options)}"),
        ("parameters", f"{count_parameters(config):,}"),
        *((f"  {name}", value) for name, value in _parameter_groups(checkpoint)),
        ("vocabulary", f"{config.vocab_size:,} characters: {_alphabet(checkpoint.encoder.characters)}"),
        ("corpus", f"{quoted(corpus.name)}, {corpus.characters:,} characters, {corpus.bytes:,} bytes"),
        ("  sha256", quoted(corpus.sha256)),
        ("made", _provenance(checkpoint.made)),
        ("trained", f"{training.get('step', 0):,} steps, {format_seconds(float(training.get('seconds', 0)))}"),
    ]
    if best is None:
        return [*rows, ("best", "not evaluated yet")]
    rows.append(("best", f"{describe_loss(best.val_loss)}, step {best.step:,}, epoch {best.epoch:.2f}"))
    cold_loss = training.get("cold_loss")
    if cold_loss is not None:
        rows.append(("  cold", f"{cold_loss:.4f} nats in windows of {COLD_WINDOW} that start without a state"))
    return rows


def history_curve(history: Sequence[HistoryRow], width: int) -> list[str]:
    """Draw the training and the validation loss over the steps.

    Args:
        history: evaluations in order.
        width: columns to draw in.

    Returns:
        Lines of text; none for fewer than two evaluations or less than `MIN_WIDTH` columns.
    """
    if len(history) < 2 or width < MIN_WIDTH:
        return []
    losses = [loss for row in history for loss in (row.train_loss, row.val_loss)]
    low, high = min(losses), max(losses)
    columns, last_step = width - 10, history[-1].step
    grid = [[" "] * columns for _ in range(CURVE_HEIGHT)]
    for mark, name in ((_TRAIN, "train_loss"), (_VAL, "val_loss")):
        points = [(row.step / last_step, getattr(row, name)) for row in history]
        for column in range(columns):
            loss = _interpolate(points, column / (columns - 1))
            if loss is not None:
                line = round((high - loss) / max(high - low, 1e-9) * (CURVE_HEIGHT - 1))
                grid[line][column] = mark
    labels = {0: f"{high:.3f}", CURVE_HEIGHT - 1: f"{low:.3f}"}
    lines = [f"{labels.get(index, ''):>8} ┤{''.join(row)}".rstrip() for index, row in enumerate(grid)]
    head = f"nats per character   {_VAL} validation  {_TRAIN} training"
    foot = f"{'':>10}step 0{f'step {last_step:,}':>{columns - 6}}"
    return [head, *lines, f"{'':>8} └{'─' * columns}", foot]


def _interpolate(points: Sequence[tuple[float, float]], x: float) -> float | None:
    """Read a broken line at x; None before its first point."""
    for (left, low), (right, high) in itertools.pairwise(points):
        if left <= x <= right:
            return low + (high - low) * (x - left) / max(right - left, 1e-9)
    return None


def _parameter_groups(checkpoint: Checkpoint) -> list[tuple[str, str]]:
    """Count the parameters of each part: the embedding, each layer with its normalisation, the head."""
    counts: dict[str, int] = {}
    for name, shape in parameter_shapes(checkpoint.model).items():
        part, _, rest = name.partition(".")
        group = f"layer {int(rest.split('.')[0]) + 1}" if part in ("layers", "norms") else part
        counts[group] = counts.get(group, 0) + math.prod(shape)
    return [(group, f"{count:,}") for group, count in counts.items()]


def _alphabet(characters: str, limit: int = 120) -> str:
    shown = quoted(characters[:limit])
    return shown if len(characters) <= limit else f"{shown} and {len(characters) - limit:,} more"


def _provenance(made: dict[str, str]) -> str:
    versions = ", ".join(f"{name} {made[name]}" for name in ("charrnn", "torch", "numpy", "python") if name in made)
    return quoted(f"{made.get('created', 'at an unknown time')} with {versions} on {made.get('platform', '?')}")
