"""Evaluating a run on its held-out piece: while it trains, at its end, and before its first step."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional

from charrnn.metrics import HistoryRow
from charrnn.network.ensemble import Model
from charrnn.network.model import forecasts_on, ids_on
from charrnn.training.evaluation import evaluate, evaluate_cold, evaluate_lines, reading
from charrnn.training.health import is_sound
from charrnn.training.heap import give_back_freed_memory
from charrnn.training.lanes import IGNORED
from charrnn.training.recovery import go_back
from charrnn.training.run import TrainingRun

FIRST_WINDOWS = 16
"""Windows of every lane by which the training loss is judged before the first step."""

MOST_SLOWER = 2.0
"""Factor by which an evaluation may seem to take longer than the one before: what held up one, as memory that had to
come back from a disk, must not take the time that is left."""


def validate(run: TrainingRun) -> float:
    """Measure the loss on the held-out piece, in nats; weights whose loss is beyond measure are left for the best.

    One that is merely far above the best may be that of a model that overfits: whether training has exploded, the
    training loss tells.

    Raises:
        DivergenceError: they were left too often.
    """
    # what was expected, or measured on another machine, may be far off
    longest = MOST_SLOWER * run.evaluation_seconds if run.has_evaluated else math.inf
    run.model.zero_grad(set_to_none=True)  # the evaluation, and the copy that is saved after it, find more room
    if not run.has_evaluated and run.config.device == "cuda" and run.progress < 1:
        # For nothing: the first time, a GPU loads each kernel. On a short text that is by far the most of what an
        # evaluation takes, and the next one would wait until it is paid for.
        _held_out_loss(run)
    while True:
        give_back_freed_memory()
        started = run.ranks.now()
        loss = _held_out_loss(run)
        give_back_freed_memory()
        run.evaluation_seconds, run.has_evaluated = min(run.ranks.now() - started, longest), True
        if is_sound(loss):
            return loss
        go_back(run, f"the validation loss is {loss:.4g}")


def measure_cold(run: TrainingRun) -> float | None:
    """Measure the best weights in cold windows, in nats; the run's own are put back.

    Returns:
        Their loss; None for lines, whose start is cold in any case.
    """
    if run.line_feed is not None:
        return None
    current = copy_weights(run.model)
    run.model.load_state_dict(run.best_weights)
    try:
        return evaluate_cold(
            run.model, run.val_ids, most=run.config.evaluated, precision=run.config.precision, ranks=run.ranks
        )
    finally:
        run.model.load_state_dict(current)


def validate_beginning(run: TrainingRun) -> float:
    """Evaluate a run before its first step, for weights that know something already: they are the best so far.

    Args:
        run: with weights that another training gave; gets its history's first row.

    Returns:
        The loss on the held-out piece, in nats.
    """
    val_loss = validate(run)
    row = HistoryRow(
        step=0, epoch=0.0, train_loss=_first_loss(run), val_loss=val_loss, learning_rate=0.0, seconds=run.seconds
    )
    run.history.append(row)
    run.best, run.pace.lowest = row, val_loss
    run.best_weights = copy_weights(run.model)
    return val_loss


def copy_weights(model: Model) -> dict[str, Tensor]:
    """The weights as they are, whatever becomes of the model."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _held_out_loss(run: TrainingRun) -> float:
    """The mean loss over the held-out piece: as one stream, or line by line where each is a text of its own."""
    precision, ranks = run.config.precision, run.ranks
    if run.line_feed is not None:
        return evaluate_lines(run.model, run.val_ids, run.line_feed, precision=precision, ranks=ranks)
    return evaluate(
        run.model, run.val_ids, most=run.config.evaluated, precision=precision, recalled=run.val_recalled, ranks=ranks
    )


def _first_loss(run: TrainingRun) -> float:
    """The mean loss over the first windows of all lanes, without dropout; the place in the text stays what it is."""
    model, device = run.model, run.model.device
    epoch, index = run.lanes.epoch, run.lanes.index
    state, total, count = run.state, 0.0, 0.0
    with reading(model, run.config.precision):
        for _ in range(min(FIRST_WINDOWS, run.lanes.windows_per_epoch)):
            window = next(run.lanes)
            state = model.initial_state(run.num_lanes) if window.begins_anew else state
            inputs, targets = (ids_on(device, ids) for ids in (window.inputs, window.targets))
            logits, state = model(inputs, state, forecasts_on(device, window.recalled))
            scores = logits.flatten(0, 1).float()
            total += functional.cross_entropy(scores, targets.flatten(), ignore_index=IGNORED, reduction="sum").item()
            count += int((targets != IGNORED).sum())
    run.lanes.seek(epoch, index)
    total, count = run.ranks.all_reduce_sum(total, count)
    return total / count
