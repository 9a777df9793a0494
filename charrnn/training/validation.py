"""Evaluating a run on its held-out piece: while it trains, at its end, and before its first step."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional

from charrnn.metrics import HistoryRow
from charrnn.network.ensemble import Model
from charrnn.network.model import forecasts_on, ids_on
from charrnn.training.evaluation import evaluate, evaluate_cold, evaluate_lines, inference_context
from charrnn.training.health import is_sound
from charrnn.training.heap import give_back_freed_memory
from charrnn.training.lanes import IGNORED
from charrnn.training.recovery import go_back
from charrnn.training.run import TrainingRun

FIRST_WINDOWS = 16
"""Windows of every lane over which the training loss is measured before the first step."""

MOST_SLOWER = 2.0
"""Factor over the duration of the evaluation before to which that of an evaluation is capped: a single delay, such as
memory swapped in from a disk, must not use up the time that is left."""


def validate(run: TrainingRun) -> float:
    """Measure the loss on the held-out piece, in nats; while it is not sound, go back to the best weights.

    A loss that is merely far above the best may come from overfitting: whether training has exploded is judged by the
    training loss.

    Raises:
        DivergenceError: training has gone back too often.
    """
    # an expected duration, or one measured on another machine, may be far off
    longest = MOST_SLOWER * run.evaluation_seconds if run.has_evaluated else math.inf
    run.model.zero_grad(set_to_none=True)  # frees memory for the evaluation, and for the copy that is saved after it
    if not run.has_evaluated and run.config.device == "cuda" and run.progress < 1:
        # A warm-up: the first time, a GPU loads each kernel. On a short text that is by far the most of an
        # evaluation's time, and the next evaluation would be put off until that time is affordable.
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
    """Measure the loss of the best weights in cold windows, in nats; the run's current weights are restored.

    Returns:
        The loss; None for lines, which start cold in any case.
    """
    if run.line_end_id is not None:
        return None
    current = copy_weights(run.model)
    run.model.load_state_dict(run.best_weights)
    try:
        return evaluate_cold(
            run.model, run.val_ids, most=run.config.evaluated, precision=run.config.precision, ranks=run.ranks
        )
    finally:
        run.model.load_state_dict(current)


def evaluate_before_first_step(run: TrainingRun) -> float:
    """Evaluate a run that starts from trained weights before its first step: they are the best so far.

    Args:
        run: with weights from another training; gets the first row of its history.

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
    """A copy of the weights, which later steps do not change."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _held_out_loss(run: TrainingRun) -> float:
    """The mean loss over the held-out piece: as one stream, or line by line where each is a text of its own."""
    precision, ranks = run.config.precision, run.ranks
    if run.line_end_id is not None:
        return evaluate_lines(run.model, run.val_ids, run.line_end_id, precision=precision, ranks=ranks)
    return evaluate(
        run.model,
        run.val_ids,
        most=run.config.evaluated,
        precision=precision,
        source=run.val_recall_source,
        ranks=ranks,
    )


def _first_loss(run: TrainingRun) -> float:
    """The mean loss over the first windows of all lanes, without dropout; the position in the text is restored."""
    model, device = run.model, run.model.device
    epoch, index = run.lanes.epoch, run.lanes.index
    state, total, count = run.state, 0.0, 0.0
    with inference_context(model, run.config.precision):
        for _ in range(min(FIRST_WINDOWS, run.lanes.windows_per_epoch)):
            window = next(run.lanes)
            state = model.initial_state(run.num_lanes) if window.resets_state else state
            inputs, targets = (ids_on(device, ids) for ids in (window.inputs, window.targets))
            logits, state = model(inputs, state, forecasts_on(device, window.recalled))
            scores = logits.flatten(0, 1).float()
            total += functional.cross_entropy(scores, targets.flatten(), ignore_index=IGNORED, reduction="sum").item()
            count += int((targets != IGNORED).sum())
    run.lanes.seek(epoch, index)
    total, count = run.ranks.all_reduce_sum(total, count)
    return total / count
