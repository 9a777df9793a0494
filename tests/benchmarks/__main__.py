"""Print charrnn's speed beside that of a plain PyTorch loop, and the loss after a given time.

python -m tests.benchmarks                      speeds, in about two minutes
python -m tests.benchmarks --train TEXT 70s     the whole command, and what it reaches
"""

from __future__ import annotations

import argparse
import json
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
from charrnn.config import ModelConfig, TrainConfig
from charrnn.encoder import CharEncoder
from charrnn.engine import NumpyCharRNN
from charrnn.precision import probe_precision
from charrnn.run import TrainingRun
from charrnn.sampling import Sampler, SamplingOptions
from charrnn.training import take_step
from tests.benchmarks.measure import compare, conditions

TRAINING = TrainConfig(batch_size=64, seq_len=64, max_steps=10**6, learning_rate=1e-3)
VOCAB_SIZE, EMBEDDING_DIM = 65, 64
STEPS = 6
SIZES = [(1, 128), (1, 384), (1, 512), (2, 512)]


class PlainLSTM(nn.Module):
    """The model as most people write it."""

    def __init__(self, num_layers: int, hidden_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCAB_SIZE, EMBEDDING_DIM)
        self.lstm = nn.LSTM(EMBEDDING_DIM, hidden_size, num_layers)
        self.head = nn.Linear(hidden_size, VOCAB_SIZE)

    def forward(self, ids: torch.Tensor, state: object = None) -> tuple[torch.Tensor, object]:
        """Logits, shape (T, B, V), and the state."""
        outputs, state = self.lstm(self.embedding(ids), state)
        return self.head(outputs), state


def model_config(num_layers: int, hidden_size: int) -> ModelConfig:
    """The LSTM of these sizes."""
    return ModelConfig(
        vocab_size=VOCAB_SIZE, cell="lstm", hidden_size=hidden_size, num_layers=num_layers, embedding_dim=EMBEDDING_DIM
    )


def training_speed(num_layers: int, hidden_size: int, batch_size: int = 64, seq_len: int = 64) -> str:
    """Characters per second of a training step beside a plain float32 loop's."""
    ids = np.random.default_rng(0).integers(0, VOCAB_SIZE, 400_000).astype(np.uint8)
    config = replace(TRAINING, batch_size=batch_size, seq_len=seq_len)
    run = TrainingRun.start(model_config(num_layers, hidden_size), config, ids, ids[:1000], started=time.perf_counter())
    precision = probe_precision(run.model, batch_size, "auto").precision
    run.config = replace(config, precision=precision)
    plain = PlainLSTM(num_layers, hidden_size)
    optimizer = torch.optim.Adam(plain.parameters(), lr=1e-3)
    batch = torch.randint(0, VOCAB_SIZE, (seq_len + 1, batch_size))

    def step_charrnn() -> float:
        for _ in range(STEPS):
            take_step(run)
        return STEPS * batch_size * seq_len

    def step_plain() -> float:
        for _ in range(STEPS):
            optimizer.zero_grad()
            logits, _ = plain(batch[:-1])
            functional.cross_entropy(logits.flatten(0, 1), batch[1:].flatten()).backward()
            nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
            optimizer.step()
        return STEPS * batch_size * seq_len

    run.model.train()
    rates = compare({"charrnn": step_charrnn, "plain": step_plain})
    assert np.isfinite(run.pace.loss.item()), "the measured steps are real ones"
    return _row(f"train {num_layers}x{hidden_size}, {precision}", rates["charrnn"], rates["plain"])


def sampling_speed(num_layers: int, hidden_size: int, length: int = 2000) -> str:
    """Characters per second of one stream beside a plain `nn.LSTM` loop's."""
    config = model_config(num_layers, hidden_size)
    from charrnn.model import CharRNN

    model = CharRNN(config).eval()
    engine = NumpyCharRNN(config, {name: tensor.numpy() for name, tensor in model.state_dict().items()})
    with torch.inference_mode():
        expected = model(torch.tensor([[3]]), model.initial_state(1))[0][0].numpy()
    np.testing.assert_allclose(engine.step(np.array([3]), engine.initial_state())[0], expected, atol=1e-4)
    plain = PlainLSTM(num_layers, hidden_size).eval()
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
        from charrnn.model import CharRNN

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


def train(text: str, duration: str) -> str:
    """Run the whole command and tell its loss and its wall-clock time."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.pt"
        command = [sys.executable, "-m", "charrnn"]
        started = time.perf_counter()
        subprocess.run([*command, "train", text, "--time", duration, "-o", path, "-q"], check=True, capture_output=True)
        seconds = time.perf_counter() - started
        card = json.loads(subprocess.run([*command, "inspect", path, "--json"], check=True, capture_output=True).stdout)
    best, model = card["best"], f"{card['cell']} {card['num_layers']}x{card['hidden_size']}"
    return (
        f"{Path(text).name}, --time {duration}: {best['val_loss']:.4f} nats ({best['bits_per_char']:.3f} bits) on the "
        f"last tenth, best at epoch {best['epoch']:.1f}; {model}, dropout {card['dropout']:g}; {seconds:.1f} s in all"
    )


def _seconds_to_output(arguments: list[str]) -> float:
    started = time.perf_counter()
    with subprocess.Popen([sys.executable, "-m", "charrnn", *arguments], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        seconds = time.perf_counter() - started
        process.kill()
    return seconds


def _row(name: str, ours: object, plain: object) -> str:
    ratio = ours.median / plain.median  # type: ignore[attr-defined]
    return f"{name:28} charrnn {ours!s:>32} char/s   plain PyTorch {plain!s:>32}   ratio {ratio:.1f}"


def main() -> None:
    """Parse and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.split("\n")[0])
    parser.add_argument("--train", nargs=2, metavar=("TEXT", "TIME"), help="only run `charrnn train` for a time")
    arguments = parser.parse_args()
    print(conditions(), flush=True)
    if arguments.train:
        print(train(*arguments.train), flush=True)
        return
    for size in SIZES:
        print(training_speed(*size), flush=True)
    for size in SIZES:
        print(sampling_speed(*size), flush=True)
    print(first_character(1, 512), flush=True)


if __name__ == "__main__":
    main()
