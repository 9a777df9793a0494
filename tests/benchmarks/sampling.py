"""Speeds of sampling, beside a plain loop's and the bare products'; of many texts; of starting."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from charrnn.cell_types import CELLS
from charrnn.cli.common import cores
from charrnn.config import ModelConfig
from charrnn.generation.filters import SamplingOptions
from charrnn.generation.matching import LineMatch
from charrnn.generation.sampling import Sampler
from charrnn.inference.engine import Engine
from charrnn.network.model import CharRNN
from charrnn.storage.header import Header
from charrnn.storage.origin import CorpusFacts, Origin
from charrnn.text.encoder import CharEncoder
from charrnn.text.options import PLAIN
from charrnn.training import checkpoint
from tests.benchmarks.measure import Beside, compare
from tests.benchmarks.peers import PlainLSTM
from tests.benchmarks.speed import EMBEDDING_DIM, TRAINING, VOCAB_SIZE, model_config

ALPHABET = CharEncoder("\n" + "".join(map(chr, range(40, 39 + VOCAB_SIZE))))
MANY = 256
LENGTH = 2000
"""Characters of one text."""

STARTS = 7
"""Calls of a command that count: the slowest of one more does not."""

FREE = SamplingOptions()
FILTERS = {
    "-t 0": SamplingOptions(temperature=0),
    "-t 0.3..1.2": SamplingOptions(temperature=0.3, final_temperature=1.2),
    "--forbid": SamplingOptions(allowed=tuple(range(3, VOCAB_SIZE))),
    "--top-k 20": SamplingOptions(top_k=20),
    "--top-p 0.9": SamplingOptions(top_p=0.9),
    "--min-p 0.05": SamplingOptions(min_p=0.05),
}
PATTERN = "[A-Z][a-f]*( [A-Z][a-f]*)*"


def one_stream(num_layers: int, hidden_size: int) -> Beside:
    """Characters per second of one text, beside a plain `nn.LSTM` loop's and the bare products of a step."""
    config, engine, model = _models(num_layers, hidden_size)
    with torch.inference_mode():
        expected = model(torch.tensor([[3]]), model.initial_state(1))[0][0].numpy()
    np.testing.assert_allclose(engine.step(np.array([3]), engine.initial_state())[0], expected, atol=1e-4)
    plain = PlainLSTM(VOCAB_SIZE, EMBEDDING_DIM["cpu"], num_layers, hidden_size).eval()

    @torch.inference_mode()
    def sample_plain() -> float:
        ids, state = torch.zeros((1, 1), dtype=torch.int64), None
        for _ in range(LENGTH // 10):
            logits, state = plain(ids, state)
            ids = torch.multinomial((logits[0] / 0.8).softmax(-1), 1)
        return LENGTH // 10

    rates = compare({
        "charrnn": _sampling(engine), "plain": sample_plain, "bare": _bare_products(config)
    })  # fmt: skip
    ours = rates["charrnn"]
    told = (
        f"sample {num_layers}x{hidden_size}, 1 text: {ours!s} char/s; plain PyTorch {rates['plain']!s}, "
        f"ratio {ours.median / rates['plain'].median:.1f}; bare products {rates['bare']!s}, "
        f"share {ours.median / rates['bare'].median:.2f}"
    )
    return Beside((num_layers, hidden_size), ours, rates["plain"], told)


def many_texts(num_layers: int, hidden_size: int) -> str:
    """Characters per second of many texts, by the whole command, its start included, beside those of one."""
    _, engine, _ = _models(num_layers, hidden_size)
    length = 500_000 // (num_layers * hidden_size)
    with _model_file(num_layers, hidden_size) as path:
        arguments = ["sample", str(path), "-q", "--num-samples", str(MANY), "--length", str(length)]

        def sample_many() -> float:
            command = [sys.executable, "-m", "charrnn", *arguments]
            subprocess.run(command, stdout=subprocess.DEVNULL, env=_environment(), check=True)
            return float(MANY * length)

        def sample_one() -> float:
            drawn = _sampling(engine)()
            while (cores.free_cores() or 1) < cores.usable_cores():  # numpy's threads look out for more to do
                time.sleep(0.01)
            return drawn

        many = compare({"many": sample_many, "one": sample_one})["many"]
    one = compare({"one": _sampling(engine)})["one"]
    ratio = many.median / one.median
    return f"sample {num_layers}x{hidden_size}, {MANY} texts: {many!s} char/s, ratio to one {ratio:.1f}"


def matching(num_layers: int, hidden_size: int) -> str:
    """What holding a text to a pattern leaves of its speed."""
    _, engine, _ = _models(num_layers, hidden_size)
    match = LineMatch.build(PATTERN, ALPHABET)
    held = Sampler(engine, [0], FREE, 0, match)

    def sample_held() -> float:
        return float(sum(1 for _ in held.stream(LENGTH)))

    rates = compare({"held": sample_held, "free": _sampling(engine)})
    share = rates["held"].median / rates["free"].median
    return (
        f"sample {num_layers}x{hidden_size} --match: {rates['held']!s} char/s, share of the speed without {share:.2f}"
    )


def filtered(num_layers: int, hidden_size: int) -> str:
    """What the filters leave of one text's speed."""
    _, engine, _ = _models(num_layers, hidden_size)
    rates = compare({name: _sampling(engine, options) for name, options in {"": FREE, **FILTERS}.items()})
    shares = "; ".join(f"{name} {rates[name].median / rates[''].median:.2f}" for name in FILTERS)
    return f"sample {num_layers}x{hidden_size}, 1 text, share of the speed without filters: {shares}"


def first_character(num_layers: int, hidden_size: int) -> str:
    """Seconds from the call of the command to its first character, and to its help's first line."""
    with _model_file(num_layers, hidden_size) as path:
        rows = []
        for name, arguments in {"first character": ["sample", str(path), "-q"], "--help": ["train", "--help"]}.items():
            seconds = sorted(_seconds_to_output(arguments) for _ in range(1 + STARTS))[:STARTS]
            rows.append(f"{name}: {statistics.median(seconds):.3f} s ({seconds[0]:.3f} to {seconds[-1]:.3f})")
        return f"start {num_layers}x{hidden_size}: " + "; ".join(rows)


@contextmanager
def _model_file(num_layers: int, hidden_size: int) -> Iterator[Path]:
    config = model_config(num_layers, hidden_size)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.pt"
        header = Header(
            model=config, encoder=ALPHABET, text_options=PLAIN, weights=CharRNN(config).state_dict(), history=[],
            made={}, training={"step": 0, "seconds": 0.0, "config": asdict(TRAINING)},
            corpus=CorpusFacts("none", 0, 0, "", [1] * VOCAB_SIZE), origin=Origin(texts=[]),
        )  # fmt: skip
        checkpoint.write(path, checkpoint.snapshot(header))
        yield path


def _models(num_layers: int, hidden_size: int) -> tuple[ModelConfig, Engine, CharRNN]:
    config = model_config(num_layers, hidden_size)
    model = CharRNN(config).eval()
    return config, Engine(config, {name: tensor.numpy() for name, tensor in model.state_dict().items()}), model


def _sampling(engine: Engine, options: SamplingOptions = FREE) -> Callable[[], float]:
    sampler = Sampler(engine, [0], options, 0)
    return lambda: float(sum(1 for _ in sampler.stream(LENGTH)))


def _bare_products(config: ModelConfig) -> Callable[[], float]:
    """A step's products of a matrix and a vector, and nothing else: recurrent, between layers, and of the output."""
    rows = len(CELLS[config.cell].blocks) * config.hidden_size
    heights = [rows] * config.num_layers + [rows] * (config.num_layers - 1) + [config.vocab_size]
    generator = np.random.default_rng(0)
    matrices = [generator.standard_normal((height, config.hidden_size), dtype=np.float32) for height in heights]
    vector = generator.standard_normal(config.hidden_size, dtype=np.float32)
    pairs = [(matrix, np.empty(len(matrix), dtype=np.float32)) for matrix in matrices]

    def multiply() -> float:
        for _ in range(LENGTH):
            for matrix, product in pairs:
                np.dot(matrix, vector, product)
        return LENGTH

    return multiply


def _seconds_to_output(arguments: list[str]) -> float:
    started = time.perf_counter()
    command = [sys.executable, "-m", "charrnn", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=_environment()) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        seconds = time.perf_counter() - started
        process.kill()
    return seconds


def _environment() -> dict[str, str]:
    """That of a command whose modules are compiled, as pip leaves them."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
