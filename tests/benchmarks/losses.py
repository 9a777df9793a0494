"""What the whole command reaches in a given time, beside what others reach in it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from charrnn.cli.trainer.durations import parse_duration
from charrnn.wording import number_of
from tests.benchmarks.peers import small_lstm, small_transformer

ROOT = Path(__file__).parents[2]
TEXTS = [
    ROOT.parent / "shared" / "data" / "tinyshakespeare.txt",
    *(ROOT / "corpora" / name for name in ("verse.txt", "names.txt", "scripts.txt")),
]


@dataclass(frozen=True)
class Trained:
    """What one run of the whole command reached.

    Attributes:
        command: as it is typed.
        chosen: networks, their units, and passes over the text up to the best checkpoint.
        loss: on the last tenth, in nats and in bits.
        cold_loss: the same in cold windows of 256, in nats.
        told: a line on all of it, the wall-clock time too.
    """

    command: str
    chosen: str
    loss: str
    cold_loss: float
    told: str

    def __str__(self) -> str:
        return self.told


def train(text: Path, duration: str, seed: int = 0) -> Trained:
    """Run the whole command and tell its loss and its wall-clock time."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.pt"
        command = [sys.executable, "-m", "charrnn"]
        flags = ["--time", duration, "--seed", str(seed), "-o", path, "-q"]
        started = time.perf_counter()
        subprocess.run([*command, "train", text, *flags], check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
        inspect = [*command, "inspect", path, "--json"]
        card = json.loads(subprocess.run(inspect, check=True, stdout=subprocess.PIPE).stdout)
    best = card["best"]
    layers = f"{card['num_layers']}x" if card["num_layers"] > 1 else ""
    networks = f"{number_of(card['members'], 'network')} of {layers}{card['hidden_size']}"
    loss = f"{best['val_loss']:.4f} nats ({best['bits_per_char']:.3f} bits)"
    return Trained(
        command=f"`charrnn train {text.name} --time {duration}{f' --seed {seed}' if seed else ''}`",
        chosen=f"{networks}, {best['epoch']:.1f} passes",
        loss=loss,
        cold_loss=best["cold_loss"],
        told=f"{text.name}, --time {duration}, seed {seed}: {loss} on the last tenth, {best['cold_loss']:.4f} in cold "
        f"windows of 256, at epoch {best['epoch']:.1f}; {networks}, dropout {card['dropout']:g}; {seconds:.1f} s in "
        "all",
    )


def peer_losses(text: Path, duration: str) -> Iterator[str]:
    """What two others reach on a text in the same time."""
    seconds = parse_duration(duration, "time_limit")
    for name, peer in {"char-rnn's defaults": small_lstm, "nanoGPT's CPU recipe": small_transformer}.items():
        yield f"{text.name}, {name} for {duration}: {peer(text, seconds):.4f} nats"
