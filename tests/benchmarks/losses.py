"""What the whole command reaches in a given time, beside what others reach in it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from charrnn.cli.common.durations import parse_duration
from tests.benchmarks.peers import small_lstm, small_transformer

ROOT = Path(__file__).parents[2]
TEXTS = [
    ROOT.parent / "shared" / "data" / "tinyshakespeare.txt",
    *(ROOT / "corpora" / name for name in ("verse.txt", "names.txt", "scripts.txt")),
]


def train(text: Path, duration: str, seed: int = 0) -> str:
    """Run the whole command and tell its loss and its wall-clock time."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.pt"
        command = [sys.executable, "-m", "charrnn"]
        flags = ["--time", duration, "--seed", str(seed), "-o", path, "-q"]
        started = time.perf_counter()
        subprocess.run([*command, "train", text, *flags], check=True, capture_output=True)
        seconds = time.perf_counter() - started
        card = json.loads(subprocess.run([*command, "inspect", path, "--json"], check=True, capture_output=True).stdout)
    best, model = card["best"], f"{card['members']} of {card['cell']} {card['num_layers']}x{card['hidden_size']}"
    return (
        f"{text.name}, --time {duration}, seed {seed}: {best['val_loss']:.4f} nats ({best['bits_per_char']:.3f} bits) "
        f"on the last tenth, {best['cold_loss']:.4f} in cold windows of 256, at epoch {best['epoch']:.1f}; {model}, "
        f"dropout {card['dropout']:g}; {seconds:.1f} s in all"
    )


def compare_losses(text: Path, duration: str) -> Iterator[str]:
    """The command and two others on one text, each for the same time."""
    yield train(text, duration)
    seconds = parse_duration(duration, "time_limit")
    for name, peer in {"char-rnn's defaults": small_lstm, "nanoGPT's CPU recipe": small_transformer}.items():
        yield f"{text.name}, {name} for {duration}: {peer(text, seconds):.4f} nats"
