"""Speeds: of training, beside the processor's own and a plain loop's; of sampling; of starting."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from charrnn import checkpoint
from charrnn.archive import CorpusFacts
from charrnn.config import GATES, ModelConfig, TrainConfig
from charrnn.encoder import CharEncoder
from charrnn.engine import NumpyCharRNN
from charrnn.filters import SamplingOptions
from charrnn.model import CharRNN
from charrnn.precision import probe_precision
from charrnn.run import TrainingRun
from charrnn.sampling import Sampler
from charrnn.suggest import training_cost
from charrnn.training import take_step
from tests.benchmarks.measure import Rate, compare
from tests.benchmarks.peers import PlainLSTM

TRAINING = TrainConfig(batch_size=64, seq_len=64, max_steps=10**6, learning_rate=1e-3)
VOCAB_SIZE, EMBEDDING_DIM = 65, 64
STEPS = 6
SIZES = [(1, 128), (1, 384), (1, 512), (2, 512)]
PRODUCT = 2048
"""Rows and columns of the matrices whose product is the ceiling."""


def ceiling() -> dict[str, Rate]:
    """Floating-point operations per second of the processor's best product of two square matrices, by precision."""
    matrices = {dtype: torch.randn(PRODUCT, PRODUCT).to(dtype) for dtype in (torch.float32, torch.bfloat16)}

    def multiply(matrix: torch.Tensor) -> float:
        for _ in range(4):
            matrix @ matrix
        return 4 * 2 * PRODUCT**3

    return compare({
        str(dtype).removeprefix("torch."): lambda matrix=matrix: multiply(matrix) for dtype, matrix in matrices.items()
    })  # fmt: skip


def cell_shares(best: dict[str, Rate], num_layers: int = 2, hidden_size: int = 512) -> list[str]:
    """How much of the processor's best product each cell's training step reaches, all of the step included."""
    rows = []
    highest = max(rate.high for rate in best.values())
    for cell in GATES:
        config = replace(model_config(num_layers, hidden_size), cell=cell)
        run = start_run(config, TRAINING.batch_size, TRAINING.seq_len)
        rate = compare({"charrnn": lambda run=run: _steps(run)})["charrnn"]
        share = rate.median * training_cost(config) / highest
        rows.append(
            f"train {cell} {num_layers}x{hidden_size}, {run.config.precision}: {rate!s} char/s, {share:.2f} of the "
            f"best product ({highest / 1e9:,.0f} GFLOP/s)"
        )
    return rows


def model_config(num_layers: int, hidden_size: int) -> ModelConfig:
    """The LSTM of these sizes."""
    return ModelConfig(
        vocab_size=VOCAB_SIZE, cell="lstm", hidden_size=hidden_size, num_layers=num_layers, embedding_dim=EMBEDDING_DIM
    )


def training_speed(num_layers: int, hidden_size: int, batch_size: int = 64, seq_len: int = 64) -> str:
    """Characters per second of a training step beside a plain float32 loop's."""
    run = start_run(model_config(num_layers, hidden_size), batch_size, seq_len)
    plain = PlainLSTM(VOCAB_SIZE, EMBEDDING_DIM, num_layers, hidden_size)
    optimizer = torch.optim.Adam(plain.parameters(), lr=1e-3)
    batch = torch.randint(0, VOCAB_SIZE, (seq_len + 1, batch_size))

    def step_plain() -> float:
        for _ in range(STEPS):
            optimizer.zero_grad()
            logits, _ = plain(batch[:-1])
            functional.cross_entropy(logits.flatten(0, 1), batch[1:].flatten()).backward()
            nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
            optimizer.step()
        return STEPS * batch_size * seq_len

    rates = compare({"charrnn": lambda: _steps(run), "plain": step_plain})
    assert np.isfinite(run.pace.loss.item()), "the measured steps are real ones"
    return _row(f"train {num_layers}x{hidden_size}, {run.config.precision}", rates["charrnn"], rates["plain"])


def start_run(config: ModelConfig, batch_size: int, seq_len: int) -> TrainingRun:
    """A run on random characters in the precision that is faster here."""
    ids = np.random.default_rng(0).integers(0, VOCAB_SIZE, 400_000).astype(np.uint8)
    options = replace(TRAINING, batch_size=batch_size, seq_len=seq_len)
    run = TrainingRun.start(config, options, ids, ids[:1000], started=time.perf_counter())
    run.config = replace(options, precision=probe_precision(run.model, batch_size, "auto").precision)
    run.model.train()
    return run


def _steps(run: TrainingRun) -> float:
    for _ in range(STEPS):
        take_step(run)
    return STEPS * run.config.batch_size * run.config.seq_len


def sampling_speed(num_layers: int, hidden_size: int, length: int = 2000) -> str:
    """Characters per second of one stream beside a plain `nn.LSTM` loop's."""
    config = model_config(num_layers, hidden_size)
    model = CharRNN(config).eval()
    engine = NumpyCharRNN(config, {name: tensor.numpy() for name, tensor in model.state_dict().items()})
    with torch.inference_mode():
        expected = model(torch.tensor([[3]]), model.initial_state(1))[0][0].numpy()
    np.testing.assert_allclose(engine.step(np.array([3]), engine.initial_state())[0], expected, atol=1e-4)
    plain = PlainLSTM(VOCAB_SIZE, EMBEDDING_DIM, num_layers, hidden_size).eval()
    sampler = Sampler(engine, [0], SamplingOptions(), 0)

    def sample_charrnn() -> float:
        return float(sum(1 for _ in sampler.stream(length)))

    @torch.inference_mode()
    def sample_plain() -> float:
        ids, state = torch.zeros((1, 1), dtype=torch.int64), None
        for _ in range(length // 10):
            logits, state = plain(ids, state)
            ids = torch.multinomial((logits[0] / 0.8).softmax(-1), 1)
        return length // 10

    rates = compare({"charrnn": sample_charrnn, "plain": sample_plain})
    return _row(f"sample {num_layers}x{hidden_size}, 1 stream", rates["charrnn"], rates["plain"])


def first_character(num_layers: int, hidden_size: int, runs: int = 7) -> str:
    """Seconds from the call of the command to its first character, and to its help's first line."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.pt"
        config = model_config(num_layers, hidden_size)
        checkpoint.save(
            path, model=config, encoder=CharEncoder("".join(map(chr, range(40, 40 + VOCAB_SIZE)))),
            weights=CharRNN(config).state_dict(), history=[], made={},
            training={"step": 0, "seconds": 0.0, "config": asdict(TRAINING)},
            corpus=CorpusFacts("none", 0, 0, "", [1] * VOCAB_SIZE),
        )  # fmt: skip
        rows = []
        for name, arguments in {"first character": ["sample", str(path), "-q"], "--help": ["train", "--help"]}.items():
            seconds = sorted(_seconds_to_output(arguments) for _ in range(1 + runs))[:runs]
            rows.append(f"{name}: {statistics.median(seconds):.3f} s ({seconds[0]:.3f} to {seconds[-1]:.3f})")
        return f"start {num_layers}x{hidden_size}: " + "; ".join(rows)


def _seconds_to_output(arguments: list[str]) -> float:
    started = time.perf_counter()
    with subprocess.Popen([sys.executable, "-m", "charrnn", *arguments], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        seconds = time.perf_counter() - started
        process.kill()
    return seconds


def _row(name: str, ours: Rate, plain: Rate) -> str:
    ratio = ours.median / plain.median
    return f"{name:28} charrnn {ours!s:>32} char/s   plain PyTorch {plain!s:>32}   ratio {ratio:.1f}"
