"""What was measured, as the README's tables."""

from __future__ import annotations

from collections.abc import Sequence

from tests.benchmarks.losses import Trained
from tests.benchmarks.measure import Beside

DIGITS = 3
"""Significant ones: of a speed, the others are another's in the next run."""


def speed_table(training: Sequence[Beside], sampling: Sequence[Beside]) -> str:
    """Characters per second by size, beside a plain loop's.

    Args:
        training: of each size.
        sampling: of the same sizes in the same order.
    """
    rows = []
    for trained, sampled in zip(training, sampling, strict=True):
        num_layers, hidden_size = trained.size
        cells = [f"{num_layers} layer{'s' if num_layers > 1 else ''} of {hidden_size}"]
        for beside in (trained, sampled):
            cells += [_rounded(beside.ours.median), _rounded(beside.plain.median), f"{beside.ratio:.1f}"]
        rows.append(cells)
    heads = ["LSTM", "training", "plain loop", "ratio", "sampling, one text", "plain loop", "ratio"]
    return _table(heads, rows)


def loss_table(trained: Sequence[Trained]) -> str:
    """What the whole command reached, a row for each run."""
    heads = ["command", "chosen", "validation loss", "in cold windows of 256"]
    return _table(heads, [[run.command, run.chosen, run.loss, f"{run.cold_loss:.4f}"] for run in trained])


def _rounded(number: float) -> str:
    return f"{float(f'{number:.{DIGITS}g}'):,.0f}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join([_row(heads), "|" + "---|" * len(heads), *map(_row, rows)])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
