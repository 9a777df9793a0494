"""The precision of the matrix products of a step, and which one is fastest on this machine.

Weights, their gradients, the optimizer and the loss are always float32: in another precision, torch's autocast rounds
only the operands of products. (On a GPU, cuDNN computes float32 products in TF32 unless PyTorch is told otherwise.)
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from charrnn.config import CONTEXTS
from charrnn.errors import GPU_FULL, MEMORY_FULL, ConfigError, is_of_gpu
from charrnn.network.ensemble import Model
from charrnn.training.loop import READ_EVERY
from charrnn.training.passes import ROUNDED, forward_and_backward
from charrnn.training.randomness import kept_random_state

PRECISIONS = {"cpu": ("float32", "bfloat16"), "cuda": ("float32", "bfloat16", "float16")}
"""Precisions of each device.

float16 pays where a GPU, or its cuDNN, lacks bfloat16. It may pay on new GPUs too, for all layers but a GRU's: PyTorch
uses cuDNN's persistent kernels for small layers in each precision, but for larger ones in float16 only (`get_algo` in
its aten/src/ATen/native/cudnn/RNN.cpp). On a CPU it never pays.
"""

PROBE_SEQ_LEN = 32
"""Characters of a lane in a trial step on a CPU. On a GPU they are as many as in training, since the host's cost per
step does not depend on their number."""

PROBE_ROUNDS = 3
"""Rounds of trial steps in each precision, of which the fastest counts."""

ENOUGH_SECONDS = 1.0
"""Seconds of rounds after which no other follows: a large model's steps are slow, and a few of them are enough."""

PRODUCT_SECONDS = 0.02
"""Seconds of thread CPU time for which two small matrices are multiplied in each precision."""

CRAWL = 8
"""A precision is not tried where a product of two small matrices takes this many times as long in it as in float32."""

REFUSALS = ("NOT_SUPPORTED", "BAD_PARAM", "ARCH_MISMATCH")
"""Parts of the error messages of cuBLAS and cuDNN where a GPU has no kernel for a precision."""

LEAD = {"cpu": 1.0, "cuda": 1.1}
"""Factor by which a later one of `PRECISIONS` must be faster than the one chosen so far to replace it.

On a GPU, a small model's steps may take equally long in each precision. Then chance would decide, and choose float16
as often as any other, which skips a step now and then and does not resume exactly.
"""


@dataclass(frozen=True)
class Probe:
    """Result of timing a few steps of the real model.

    Attributes:
        precision: the fastest one, subject to `LEAD`, or the one that was asked for.
        chars_per_second: speed of training in it.
    """

    precision: str
    chars_per_second: float


def probe_precision(model: Model, batch_size: int, precision: str, seq_len: int = PROBE_SEQ_LEN) -> Probe:
    """Time a forward and backward pass of the model; its weights and its random state are left as they are.

    A CPU without bfloat16 arithmetic may refuse the product or be very slow in it. A refusal is caught; slowness is
    detected on a small product, since whole steps could take a good part of a short training's time.

    Args:
        model: on its device, in training mode, which cuDNN's backward pass requires.
        batch_size: lanes.
        precision: the one to time, or "auto" to time all that the device has and choose the fastest.
        seq_len: characters of a window in training, used for timing on a GPU.

    Raises:
        ConfigError: the device does not have the precision that was asked for, or refuses it.
        RuntimeError: the device has too little memory in every precision, or has failed.
    """
    candidates = PRECISIONS[model.device.type]
    if precision not in (*candidates, "auto"):
        raise ConfigError(f"--precision {precision} is for GPUs; on this device it is one of {', '.join(candidates)}")
    speeds: dict[str, float] = {}
    too_large: list[RuntimeError] = []
    for candidate in candidates if precision == "auto" else (precision,):
        if precision == "auto" and crawls_in(candidate, model.device.type):
            continue
        try:
            with _left_alone(model):
                speeds[candidate] = _measure_speed(model, batch_size, candidate, seq_len)
        except RuntimeError as error:
            if any(sign in str(error) for sign in (*MEMORY_FULL, *GPU_FULL)):  # a narrower one may fit
                too_large.append(error.with_traceback(None))  # the traceback would keep the step's tensors alive
            elif candidate == "float32" or not _is_refusal(error):
                raise
            elif precision != "auto":
                raise ConfigError(f"--precision {precision}: this machine refuses it ({error}); use auto") from None
        if too_large:
            torch.cuda.empty_cache()
    if not speeds:
        raise too_large[0]
    chosen, *others = speeds
    for candidate in others:
        if speeds[candidate] > LEAD[model.device.type] * speeds[chosen]:
            chosen = candidate
    return Probe(chosen, speeds[chosen])


def sustained_speed(model: Model, batch_size: int, seq_len: int, precision: str, seconds: float) -> float:
    """Speed of training in characters per second by a longer probe: the fastest of a few steps is too optimistic.

    Args:
        model: in training mode, on its device; its weights and its random state are left as they are.
        batch_size: lanes.
        seq_len: characters of a window.
        precision: one that the device has.
        seconds: how long to measure, at least.
    """
    with _left_alone(model):
        times = _time_steps(model, batch_size, seq_len, precision, lambda taken: sum(taken) >= seconds)
    return batch_size * seq_len / statistics.median(times)


def crawls_in(precision: str, device: str = "cpu") -> bool:
    """Whether a device is too slow in a precision to be tried in it.

    True for a processor that takes at least `CRAWL` times as long for a product in it as in float32, and for a GPU
    asked for bfloat16 that lacks its arithmetic (before compute capability 8.0).
    """
    if precision not in ROUNDED:  # float32, or "auto" in a checkpoint of a run that has not chosen one yet
        return False
    if device != "cpu":
        return precision == "bfloat16" and not torch.cuda.is_bf16_supported(including_emulation=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so that no thread waits for another
    try:
        own, usual = (
            _time_product(torch.zeros(16, 256, dtype=dtype), torch.zeros(256, 256, dtype=dtype))
            for dtype in (ROUNDED[precision], torch.float32)
        )
    finally:
        torch.set_num_threads(threads)
    return own >= CRAWL * usual


def _time_product(left: torch.Tensor, right: torch.Tensor) -> float:
    """CPU seconds of this thread that a product of two matrices takes, whatever the load of the machine."""
    left @ right  # warm-up
    started, products = time.thread_time(), 0
    while (taken := time.thread_time() - started) < PRODUCT_SECONDS:
        left @ right
        products += 1
    return taken / products


def _is_refusal(error: RuntimeError) -> bool:
    """Whether an error says that a device cannot compute in a precision, and not that it failed for another reason."""
    return not is_of_gpu(error) or any(sign in str(error) for sign in REFUSALS)


@contextmanager
def _left_alone(model: Model) -> Iterator[None]:
    """Context for trial steps: afterwards the gradients are cleared and the random state is restored."""
    with kept_random_state(model):
        try:
            yield
        finally:
            model.zero_grad(set_to_none=True)


def _measure_speed(model: Model, batch_size: int, precision: str, seq_len: int) -> float:
    """Characters per second in the fastest of a few rounds."""
    seq_len = seq_len if model.device.type == "cuda" else PROBE_SEQ_LEN
    times = _time_steps(model, batch_size, seq_len, precision, _has_tried_enough)
    return batch_size * seq_len / min(times)


def _has_tried_enough(taken: list[float]) -> bool:
    """Whether rounds that took so many seconds each are enough to tell the speed."""
    return len(taken) == PROBE_ROUNDS or sum(taken) >= ENOUGH_SECONDS


def _time_steps(
    model: Model, batch_size: int, seq_len: int, precision: str, is_enough: Callable[[list[float]], bool]
) -> list[float]:
    """Seconds of a forward and backward pass in each of some rounds, after one pass that is not counted.

    A round is what training does before it waits for the device: on a CPU one step, on a GPU several, since the host
    prepares the next ones while the GPU computes. Rounds end when `is_enough`, given the seconds of each, is true.
    """
    device = model.device
    ids = torch.zeros((seq_len, batch_size), dtype=torch.int64, device=device)
    recalled = ids[..., None].expand(*ids.shape, len(CONTEXTS)) if model.config.recall else None

    def time_round(steps: int) -> float:
        started = time.perf_counter()
        for _ in range(steps):
            state = model.initial_state(batch_size)
            forward_and_backward(model, ids, ids, state, precision=precision, grad_clip=1.0, recalled=recalled)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - started

    time_round(1)
    steps = READ_EVERY if device.type == "cuda" else 1
    times: list[float] = []
    while not is_enough(times):
        times.append(time_round(steps))
    return [seconds / steps for seconds in times]
