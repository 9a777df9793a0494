"""What the products of a step are computed in, and which of the two is faster here.

Weights, their gradients, the optimizer and the loss are always float32: under bfloat16, torch's autocast rounds what
enters a product, nothing else.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from charrnn.ensemble import Model
from charrnn.errors import ConfigError
from charrnn.passes import forward_and_backward

PROBE_SEQ_LEN = 32
PROBE_STEPS = 3


@dataclass(frozen=True)
class Probe:
    """What a few steps of the real model have shown.

    Attributes:
        precision: the faster one, or the one that was asked for.
        chars_per_second: of training in it.
    """

    precision: str
    chars_per_second: float


def probe_precision(model: Model, batch_size: int, precision: str) -> Probe:
    """Time a forward and backward pass of the model; its weights and its random state are left as they are.

    A processor without bfloat16 arithmetic may refuse the product or crawl: the first is caught, the second measured.

    Args:
        model: in any mode, on its device.
        batch_size: lanes.
        precision: "float32" or "bfloat16" to time that one, "auto" to time both and choose the faster.

    Raises:
        ConfigError: bfloat16 was asked for and is refused.
    """
    random_state = model.random_state
    speeds = {}
    for candidate in ("float32", "bfloat16") if precision == "auto" else (precision,):
        try:
            speeds[candidate] = _measure_speed(model, batch_size, candidate)
        except RuntimeError as error:  # oneDNN: could not create a primitive descriptor
            if candidate == "float32":
                raise
            if precision != "auto":
                raise ConfigError(f"--precision bfloat16: this processor refuses it ({error}); use float32") from None
    model.zero_grad(set_to_none=True)
    model.random_state = random_state
    fastest = max(speeds, key=lambda name: speeds[name])
    return Probe(fastest, speeds[fastest])


def sustained_speed(model: Model, batch_size: int, seq_len: int, precision: str, seconds: float) -> float:
    """Characters per second of training that a longer probe shows: the fastest of a few steps promises too much.

    Args:
        model: in any mode, on its device; its weights and its random state are left as they are.
        batch_size: lanes.
        seq_len: characters of a window.
        precision: "float32" or "bfloat16".
        seconds: to measure for, at least.
    """
    random_state = model.random_state
    times = _time_steps(model, batch_size, seq_len, precision, lambda taken: sum(taken) >= seconds)
    model.zero_grad(set_to_none=True)
    model.random_state = random_state
    return batch_size * seq_len / statistics.median(times)


def _measure_speed(model: Model, batch_size: int, precision: str) -> float:
    """Characters per second in the fastest of a few steps."""
    times = _time_steps(model, batch_size, PROBE_SEQ_LEN, precision, lambda taken: len(taken) == PROBE_STEPS)
    return batch_size * PROBE_SEQ_LEN / min(times)


def _time_steps(
    model: Model, batch_size: int, seq_len: int, precision: str, is_enough: Callable[[list[float]], bool]
) -> list[float]:
    """Seconds of each of some forward and backward passes, after one that is not counted."""
    device = model.device
    ids = torch.zeros((seq_len, batch_size), dtype=torch.int64, device=device)
    times: list[float] = []
    is_first = True
    while is_first or not is_enough(times):
        started = time.perf_counter()
        state = model.initial_state(batch_size)
        forward_and_backward(model, ids, ids, state, precision=precision, grad_clip=1.0)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - started
        times += [] if is_first else [seconds]
        is_first = False
    return times
