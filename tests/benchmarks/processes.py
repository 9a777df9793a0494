"""Characters per second of two processes with a thread each, beside one process with two threads."""

from __future__ import annotations

import multiprocessing
import os
import time
from dataclasses import replace
from multiprocessing.connection import Connection

import numpy as np
from torch.distributed import TCPStore

from charrnn.cli.trainer.machine import set_up_torch
from charrnn.training.loop import take_step
from charrnn.training.precision import probe_precision
from charrnn.training.ranks import ALONE
from charrnn.training.run import TrainingRun
from charrnn.training.torchrun import read_place
from tests.benchmarks.measure import compare
from tests.benchmarks.speed import TRAINING, VOCAB_SIZE, model_config, start_run

WORLD = 2
STEPS = 12


def processes_speed(num_layers: int, hidden_size: int, batch_size: int) -> str:
    """Train the same lanes in one process and in two; the losses are checked to be the same."""
    run = start_run(model_config(num_layers, hidden_size), batch_size)
    precision = probe_precision(run.model, batch_size, "auto").precision
    sizes = (num_layers, hidden_size, batch_size, precision)
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    one, *several = [
        _start(0, 1, WORLD, 0, sizes),
        *(_start(rank, WORLD, 1, store.port, sizes) for rank in range(WORLD)),
    ]
    losses: dict[int, list[float]] = {1: [], WORLD: []}

    def step(pipes: list[Connection]) -> float:
        for pipe in pipes:
            pipe.send(STEPS)
        told = [pipe.recv() for pipe in pipes]
        losses[len(pipes)].append(told[0])
        return STEPS * batch_size * TRAINING.seq_len

    rates = compare({"one": lambda: step([one]), "two": lambda: step(several)})
    np.testing.assert_allclose(losses[1], losses[WORLD], rtol=1e-2 if precision == "bfloat16" else 1e-4)
    for pipe in (one, *several):
        pipe.send(0)
    ratio = rates["two"].median / rates["one"].median
    return (
        f"train {num_layers}x{hidden_size}, {batch_size} lanes, {precision}: {WORLD} processes of 1 thread "
        f"{rates['two']!s} char/s, 1 process of {WORLD} threads {rates['one']!s}, ratio {ratio:.2f}"
    )


def _start(rank: int, world: int, threads: int, port: int, sizes: tuple[int, int, int, str]) -> Connection:
    pipe, end = multiprocessing.Pipe()
    arguments = (end, rank, world, threads, port, sizes)
    multiprocessing.get_context("spawn").Process(target=_serve, args=arguments, daemon=True).start()
    return pipe


def _serve(pipe: Connection, rank: int, world: int, threads: int, port: int, sizes: tuple[int, int, int, str]) -> None:
    """Take as many steps as it is told, and tell the mean loss, until it is told to take none."""
    set_up_torch(threads)
    num_layers, hidden_size, batch_size, precision = sizes
    ranks = ALONE
    if world > 1:
        from charrnn.training.group import DistributedRanks

        place = {"RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ.update({name: str(value) for name, value in place.items()}, TORCHELASTIC_USE_AGENT_STORE="True")
        ranks = DistributedRanks(read_place())
        ranks.meet()
    ids = np.random.default_rng(0).integers(0, VOCAB_SIZE, 400_000).astype(np.uint8)
    config = replace(TRAINING, batch_size=batch_size, precision=precision, state_reset=0.0)
    model = model_config(num_layers, hidden_size)
    run = TrainingRun.start(model, config, ids, ids[:1000], started_at=time.perf_counter(), ranks=ranks)
    run.model.train()
    while steps := pipe.recv():
        for _ in range(steps):
            take_step(run)
        pipe.send(run.pace.loss / run.pace.chars)
