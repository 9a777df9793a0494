"""What saving costs a training: the copy that it waits for, and the steps that are slower while a thread writes."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from charrnn.cli.trainer.background_saver import SAVE_EVERY, BackgroundSaver
from charrnn.cli.trainer.placing import Placer, identify
from charrnn.storage.header import Header
from charrnn.storage.origin import CorpusFacts, Origin
from charrnn.text.encoder import CharEncoder
from charrnn.text.options import PLAIN
from charrnn.training import checkpoint
from charrnn.training.loop import take_step
from charrnn.training.run import TrainingRun
from tests.benchmarks.measure import ROUNDS
from tests.benchmarks.speed import VOCAB_SIZE, model_config, start_run

SHORTEST = 1.0
"""Seconds of undisturbed steps that a save is compared with, at least."""


def saving_cost(num_layers: int, hidden_size: int) -> str:
    """Seconds of training that a save costs, and their share of the time between two."""
    run = start_run(model_config(num_layers, hidden_size))
    for _ in range(3):
        take_step(run)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.pt"
        lost = sorted(_seconds_lost(run, path) for _ in range(1 + ROUNDS))
        size = path.stat().st_size
    median = statistics.median(lost)
    return (
        f"save {num_layers}x{hidden_size}, {size / 1e6:.1f} MB: costs {median * 1e3:.0f} ms of training "
        f"({lost[0] * 1e3:.0f} to {lost[-1] * 1e3:.0f}), {median / SAVE_EVERY:.3%} of {SAVE_EVERY:.0f} s"
    )


def _seconds_lost(run: TrainingRun, path: Path) -> float:
    """Time from the start of a save to its end, less what the steps made meanwhile take without one."""
    saver = BackgroundSaver(Placer(path, "", identify(path)), None, print)
    started, steps = time.perf_counter(), 0
    saver.save(lambda: _snapshot(run), run.step)
    while saver.saved_step is None:
        take_step(run)
        steps += 1
        saver.poll()
    while time.perf_counter() - started < SHORTEST:
        take_step(run)
        steps += 1
    disturbed = time.perf_counter() - started
    started = time.perf_counter()
    for _ in range(steps):
        take_step(run)
    return disturbed - (time.perf_counter() - started)


def _snapshot(run: TrainingRun) -> dict[str, Any]:
    header = Header(
        model=run.model.config,
        encoder=CharEncoder("".join(map(chr, range(40, 40 + VOCAB_SIZE)))),
        text_options=PLAIN,
        weights=run.model.state_dict(),
        history=[],
        corpus=CorpusFacts("none", 0, 0, "", [1] * VOCAB_SIZE),
        origin=Origin(texts=[]),
        made={},
        training=run.state_dict(),
    )
    return checkpoint.snapshot(header)
