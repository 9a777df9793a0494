"""Print charrnn's speed beside the processor's and a plain PyTorch loop's, and the losses that it reaches.

python -m tests.benchmarks                      all of it: an hour and a half
python -m tests.benchmarks --quick              speeds, in some five minutes
python -m tests.benchmarks --processes          two processes beside one, in a minute
python -m tests.benchmarks --gpu                training on the GPU, beside its own product and a plain loop
python -m tests.benchmarks --train TEXT 70s     the whole command, and what it reaches
python -m tests.benchmarks --compare TEXT 70s   beside what char-rnn's and nanoGPT's recipes reach in that time
python -m tests.benchmarks --circles MODEL      how often what a checkpoint writes goes round in circles
"""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # as `charrnn train` does, before torch loads its thread library

import torch

from charrnn.cli.trainer.machine import set_up_torch
from charrnn.network.torch_engine import require_device
from tests.benchmarks import circles, encoding, losses, processes, sampling, saving, speed, tables
from tests.benchmarks.measure import Rate, conditions


def measure_speeds() -> Iterator[object]:
    """Every speed, a line each, and the README's table of them."""
    best = speed.ceiling()
    yield from tell_products(best, "cpu")
    yield from speed.cell_shares(best)
    training, sampled = [], []
    for size in speed.SIZES:
        training.append(speed.training_speed(*size))
        yield training[-1]
    for lanes in (64, 16):
        yield speed.outside_share(2, 512, lanes)
    for members in (2, 4):
        yield speed.members_speed(members)
    for size in speed.SIZES:
        sampled.append(sampling.one_stream(*size))
        yield sampled[-1]
    for size in speed.SIZES:
        yield sampling.many_texts(*size)
    yield sampling.filtered(1, 128)
    yield sampling.matching(1, 512)
    yield sampling.first_character(1, 512)
    for size in ((1, 384), (2, 512)):
        yield saving.saving_cost(*size)
    yield from encoding.encoding_speed()
    yield from measure_processes()
    yield tables.speed_table(training, sampled)


def measure_gpu() -> Iterator[object]:
    """Training on the GPU."""
    require_device("cuda")
    best = speed.ceiling("cuda")
    yield from tell_products(best, "cuda")
    yield from speed.cell_shares(best, device="cuda")
    for size in speed.SIZES:
        yield speed.training_speed(*size, device="cuda")
    yield speed.training_speed(*speed.SIZES[-1], device="cuda", text=speed.LONG)


def tell_products(best: dict[str, Rate], device: str) -> Iterator[str]:
    """A device's best product in each precision."""
    side = speed.PRODUCT[device]
    for precision, rate in best.items():
        yield f"product of {side} x {side}, {precision}: {rate.scaled(1e-9)} GFLOP/s"


def measure_processes() -> Iterator[str]:
    """Two processes beside one."""
    for num_layers, hidden_size, batch_size in ((1, 384, 16), (1, 384, 64), (2, 512, 64)):
        yield processes.processes_speed(num_layers, hidden_size, batch_size)


def compare_losses(text: Path, duration: str) -> Iterator[object]:
    """What the command and two others reach on one text, each in the same time."""
    yield losses.train(text, duration)
    yield from losses.peer_losses(text, duration)


def measure_losses() -> Iterator[object]:
    """What three and ten minutes reach on each text, and what two others reach in three; and charrnn's as a table."""
    trained = []
    for text in losses.TEXTS:
        if not text.exists():
            yield f"{text.name}: not measured, {text} is missing"
            continue
        for duration in ("180s", "10m"):
            trained.append(losses.train(text, duration))
            yield trained[-1]
        yield from losses.peer_losses(text, "3m")
    yield tables.loss_table(trained)


def main() -> None:
    """Parse and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="speeds alone")
    parser.add_argument("--train", nargs=2, metavar=("TEXT", "TIME"), help="only run `charrnn train` for a time")
    parser.add_argument("--compare", nargs=2, metavar=("TEXT", "TIME"), help="the same beside two others")
    parser.add_argument("--processes", action="store_true", help="only two processes beside one")
    parser.add_argument("--gpu", action="store_true", help="only training on the GPU")
    parser.add_argument("--circles", type=Path, metavar="MODEL", help="only count circles in what it writes")
    parser.add_argument("--seed", type=int, default=0, help="of --train")
    arguments = parser.parse_args()
    set_up_torch(torch.get_num_threads())  # as `charrnn train` does
    print(conditions(), flush=True)
    if arguments.train:
        lines: Iterable[object] = [losses.train(Path(arguments.train[0]), arguments.train[1], arguments.seed)]
    elif arguments.compare:
        lines = compare_losses(Path(arguments.compare[0]), arguments.compare[1])
    elif arguments.processes:
        lines = measure_processes()
    elif arguments.gpu:
        lines = measure_gpu()
    elif arguments.circles:
        lines = circles.count_circles(arguments.circles)
    elif arguments.quick:
        lines = measure_speeds()
    else:
        lines = itertools.chain(measure_speeds(), measure_losses())
    for line in lines:
        print(line, flush=True)


if __name__ == "__main__":
    main()
