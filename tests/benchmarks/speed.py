"""Speeds of training, beside the processor's own and a plain loop's."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from charrnn.cell_types import CELLS
from charrnn.config import ModelConfig, TrainConfig
from charrnn.hyperparameters import RECALL
from charrnn.network.ensemble import share_threads
from charrnn.shapes import training_cost
from charrnn.training.loop import read_figures, take_step
from charrnn.training.precision import crawls_in, probe_precision
from charrnn.training.run import TrainingRun
from tests.benchmarks.measure import ROUNDS, Beside, Rate, compare
from tests.benchmarks.peers import PlainLSTM

TRAINING = TrainConfig(batch_size=64, seq_len=64, max_steps=10**6, learning_rate=1e-3)
VOCAB_SIZE = 65
EMBEDDING_DIM = {"cpu": 64, "cuda": 128}
"""What `charrnn train` takes where no flag says otherwise."""

STEPS = {"cpu": 6, "cuda": 48}
"""Steps in a round: a GPU's clocks take their time to rise."""

FLOAT32 = "float32"
SIZES = [(1, 128), (1, 384), (1, 512), (2, 512)]
TEXT = (400_000, 0)
"""(characters, stretch) of a text in which recall looks everything up once, and keeps it."""

LONG = (5_000_000, 512)
"""The same of one in which a processor looks it up in each pass."""

PRODUCT = {"cpu": 2048, "cuda": 8192}
"""Rows and columns of the matrices whose product is the ceiling."""

PRODUCT_SECONDS = {"cpu": 0.0, "cuda": 0.1}
"""How long a round of products takes at least."""


def ceiling(device: str = "cpu") -> dict[str, Rate]:
    """Floating-point operations per second of the device's best product of two square matrices, by precision.

    A precision in which a processor has no arithmetic is left out: one product would take it a minute.
    """
    side = PRODUCT[device]
    matrices = {
        dtype: torch.randn(side, side, device=device).to(dtype)
        for dtype in (torch.float32, torch.bfloat16)
        if not crawls_in(str(dtype).removeprefix("torch."), device)
    }

    def multiply(matrix: torch.Tensor) -> float:
        started, products = time.perf_counter(), 0
        while not products or time.perf_counter() - started < PRODUCT_SECONDS[device]:
            for _ in range(4):
                matrix @ matrix
            _wait_for(device)
            products += 4
        return products * 2 * side**3

    return compare({
        str(dtype).removeprefix("torch."): lambda matrix=matrix: multiply(matrix) for dtype, matrix in matrices.items()
    })  # fmt: skip


def cell_shares(best: dict[str, Rate], device: str = "cpu") -> list[str]:
    """How much of the device's best product each cell's training step reaches, all of the step included."""
    num_layers, hidden_size = SIZES[-1]
    rows = []
    highest = max(rate.high for rate in best.values())
    for cell in CELLS:
        config = replace(model_config(num_layers, hidden_size, device), cell=cell)
        run = start_run(config, device=device)
        rate = compare({"charrnn": lambda run=run: _steps(run)})["charrnn"]
        share = rate.median * training_cost(config) / highest
        rows.append(
            f"train {cell} {num_layers}x{hidden_size}, {run.config.precision}: {rate!s} char/s, {share:.2f} of the "
            f"best product ({highest / 1e9:,.0f} GFLOP/s)"
        )
    return rows


def model_config(num_layers: int, hidden_size: int, device: str = "cpu") -> ModelConfig:
    """The LSTM of these sizes, with recall, as it is trained where no flag says otherwise."""
    sizes = {"hidden_size": hidden_size, "num_layers": num_layers, "embedding_dim": EMBEDDING_DIM[device]}
    return ModelConfig(vocab_size=VOCAB_SIZE, cell="lstm", recall=RECALL, **sizes)


def training_speed(num_layers: int, hidden_size: int, device: str = "cpu", text: tuple[int, int] = TEXT) -> Beside:
    """Characters per second of a training step beside a plain loop's: in float32, and by autocast as it computes.

    The faster of the two is what a user would take, and what ours is compared with.
    """
    run = start_run(model_config(num_layers, hidden_size, device), device=device, text=text)
    plain = PlainLSTM(VOCAB_SIZE, EMBEDDING_DIM[device], num_layers, hidden_size).to(device)
    optimizer = torch.optim.Adam(plain.parameters(), lr=1e-3)
    batch = torch.randint(0, VOCAB_SIZE, (TRAINING.seq_len + 1, TRAINING.batch_size), device=device)

    def step_plain(precision: str) -> float:
        for _ in range(STEPS[device]):
            optimizer.zero_grad()
            with torch.autocast(device, getattr(torch, precision), enabled=precision != FLOAT32):
                logits, _ = plain(batch[:-1])
            functional.cross_entropy(logits.float().flatten(0, 1), batch[1:].flatten()).backward()
            nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
            optimizer.step()
        _wait_for(device)
        return STEPS[device] * TRAINING.batch_size * TRAINING.seq_len

    precisions = plain_precisions(run.config.precision, device)
    rates = compare({
        "charrnn": lambda: _steps(run),
        **{precision: lambda precision=precision: step_plain(precision) for precision in precisions},
    })  # fmt: skip
    assert np.isfinite(run.pace.loss), "the measured steps are real ones"
    ours, *plain_rates = rates.values()
    length = " a long text" if text == LONG else ""
    told = f"{f'train{length} {num_layers}x{hidden_size}, {run.config.precision}':28} charrnn {ours!s:>32} char/s"
    for precision, rate in zip(precisions, plain_rates, strict=True):
        told += f"   plain PyTorch, {precision} {rate!s:>32}, ratio {ours.median / rate.median:.1f}"
    return Beside((num_layers, hidden_size), ours, max(plain_rates, key=lambda rate: rate.median), told)


def plain_precisions(ours: str, device: str = "cpu") -> list[str]:
    """What a plain loop is measured in beside ours.

    On a GPU autocast's wrapper of cuDNN's recurrent kernels computes in float16, whatever is asked for (PyTorch's
    aten/src/ATen/cudnn/AutocastRNN.cpp). To learn in it the loss would have to be scaled; the loop is spared that.
    """
    narrow = "float16" if device == "cuda" and ours != FLOAT32 else ours
    return list(dict.fromkeys((FLOAT32, narrow)))


def outside_share(num_layers: int, hidden_size: int, batch_size: int) -> str:
    """How much of a step is not the model's: reading a window, looking up, clipping, the optimizer, the figures.

    Both are timed in the same steps, from where a window enters the model to where its gradient is found, so that a
    machine whose speed changes from one second to the next changes the share by little.
    """
    run = start_run(model_config(num_layers, hidden_size), batch_size)
    (update,) = run.updates
    backward, times = update.backward, list[float]()  # of entering the model, of leaving it, and so on

    def backward_and_leave(loss: torch.Tensor) -> None:
        backward(loss)
        times.append(time.perf_counter())

    run.model.register_forward_pre_hook(lambda *_: times.append(time.perf_counter()))
    update.backward = backward_and_leave  # type: ignore[method-assign]
    _steps(run)
    shares = []
    for _ in range(ROUNDS):
        times.clear()
        started = time.perf_counter()
        _steps(run)
        shares.append(1 - (sum(times[1::2]) - sum(times[::2])) / (time.perf_counter() - started))
    return (
        f"train {num_layers}x{hidden_size}, {batch_size} lanes, {run.config.precision}: {np.median(shares):.3f} "
        f"({min(shares):.3f} to {max(shares):.3f}) of a step is outside the model"
    )


def members_speed(members: int) -> str:
    """Characters per second that an ensemble passes over, all members counted, beside one network's."""
    threads = torch.get_num_threads()
    hidden_size, batch_size = 512, 16
    config = model_config(1, hidden_size)
    alone = start_run(config, batch_size)
    together = start_run(replace(config, members=members), batch_size)

    def step_alone() -> float:
        torch.set_num_threads(threads)
        return _steps(alone)

    def step_together() -> float:
        share_threads(together.model, threads)
        return members * _steps(together)

    rates = compare({"together": step_together, "alone": step_alone})
    torch.set_num_threads(threads)
    return (
        f"train {members} members of 1x{hidden_size}, {batch_size} lanes: {rates['together']!s} char/s in all, "
        f"one alone {rates['alone']!s}, ratio {rates['together'].median / rates['alone'].median:.2f}"
    )


def start_run(
    config: ModelConfig, batch_size: int = TRAINING.batch_size, device: str = "cpu", text: tuple[int, int] = TEXT
) -> TrainingRun:
    """A run on random characters in the precision that is fastest here."""
    num_chars, stretch = text
    ids = np.random.default_rng(0).integers(0, VOCAB_SIZE, num_chars).astype(np.uint8)
    options = replace(TRAINING, batch_size=batch_size, device=device, stretch=stretch)
    run = TrainingRun.start(config, options, ids, ids[:1000], started_at=time.perf_counter())
    run.settle_precision(probe_precision(run.model, batch_size, "auto", TRAINING.seq_len).precision)
    run.model.train()
    return run


def _steps(run: TrainingRun) -> float:
    steps, device = STEPS[run.config.device], run.config.device
    for _ in range(steps):
        take_step(run)
    read_figures(run)
    _wait_for(device)
    return steps * run.config.batch_size * run.config.seq_len


def _wait_for(device: str) -> None:
    """Let a GPU finish what it was asked to do."""
    if device == "cuda":
        torch.cuda.synchronize()
