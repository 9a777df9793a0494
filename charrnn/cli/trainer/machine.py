"""Choose the device, set up PyTorch, and measure how fast this machine trains."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import torch

from charrnn.budget import PROBE_LANES, PROBE_LAYER
from charrnn.cli.trainer.threads import ThreadKeeper, try_threads
from charrnn.config import ModelConfig
from charrnn.errors import ConfigError
from charrnn.hyperparameters import FORWARD_SPEED
from charrnn.network.ensemble import build_model
from charrnn.network.torch_engine import gpu_trouble, require_device
from charrnn.shapes import training_cost
from charrnn.suggest import SEQ_LEN, may_be_ensemble
from charrnn.training.heap import give_back_freed_memory, keep_freed_memory
from charrnn.training.precision import Probe, probe_precision, sustained_speed
from charrnn.training.ranks import Ranks
from charrnn.training.run import TrainingRun
from charrnn.training.timetable import PASSES_SHARE
from charrnn.wording import number_of

PROBE_SHARE, MOST_PROBED = 0.01, 2.0
"""Bounds on the speed probe: a share of the time limit, and seconds. Model and dropout depend on its result. If other
programs turn out to be running, it is repeated with fewer threads."""


def choose_device(device: str, ranks: Ranks) -> tuple[str, str]:
    """Choose the device, "cpu" or "cuda", and for several processes the GPU of this one.

    Processes that see the same GPUs take them in order of rank; some launchers show each process only its own GPU.

    Args:
        device: as requested; "auto" for a GPU if each process can have one.
        ranks: the processes that train together.

    Returns:
        The device, and a message if GPUs are left idle, else an empty string.

    Raises:
        ConfigError: there is no usable GPU, or there are fewer GPUs than processes.
    """
    if device == "cpu":
        return device, ""
    seen = ranks.all_gather(_visible_gpus())
    numbers = [seen[:rank].count(gpus) for rank, gpus in enumerate(seen)]
    lacking = sum(number >= len(gpus) for number, gpus in zip(numbers, seen, strict=True))
    if device == "auto" and lacking:
        there = len({gpu for gpus in seen for gpu in gpus})
        without = f"{len(seen)} processes share {number_of(there, 'GPU')} and {lacking} would have none"
        return "cpu", f"on the CPU since {without}; start one process for each GPU" if there else ""
    require_device("cuda")
    if lacking:
        raise ConfigError(
            f"--device cuda: of {len(seen)} processes, {lacking} would have no GPU of their own; start one for each GPU"
        )
    if ranks.world_size > 1:
        torch.cuda.set_device(numbers[ranks.rank])
    return "cuda", ""


def set_up_torch(threads: int, *, repeatable: bool = False) -> None:
    """Set up memory allocation, threads and their floating-point mode, which each thread inherits as it starts.

    Args:
        threads: CPU threads.
        repeatable: whether a GPU is restricted to deterministic kernels.

    Raises:
        RuntimeError: the threads cannot be started.
    """
    keep_freed_memory()
    torch.set_num_threads(threads)  # this starts a pool of its own
    try_threads(threads - 1)
    torch.set_flush_denormal(True)  # denormals slow an LSTM down twenty times
    if repeatable:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # of one size: required for determinism
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # it is never read


def measure_flops(options: Mapping[str, Any], vocab_size: int, keeper: ThreadKeeper) -> float:
    """Measure training FLOP per second, on a model of the size that most texts get."""
    keeper.adjust_first()
    members = 2 if may_be_ensemble(options) and keeper.has_all else 1
    layer = PROBE_LAYER[options["device"]]
    shape = ModelConfig(vocab_size=vocab_size, cell=options["cell"], dropout=0.2, members=members, **layer)
    model = build_model(shape).to(options["device"])
    keeper.share(model)
    lanes = PROBE_LANES[options["device"]]
    seconds = min(MOST_PROBED, PROBE_SHARE * options["time_limit"])

    def measure_speed() -> float:
        precision = probe_precision(model, lanes, options["precision"], SEQ_LEN).precision
        return sustained_speed(model, lanes, SEQ_LEN, precision, seconds)

    speed = measure_speed()
    if keeper.adjust(model):
        speed = measure_speed()
    return PASSES_SHARE * speed * training_cost(shape)


def measure(run: TrainingRun, keeper: ThreadKeeper) -> tuple[float, str]:
    """Settle the run's precision if it is "auto", and measure the speed of all ranks together.

    Returns:
        Characters per second, and a message about deterministic kernels, empty without them.
    """
    keeper.share(run.model)
    probe = _probe(run)
    order = ("bfloat16", "float16", "float32")  # if the ranks disagree, the last in this order
    (chosen,) = run.ranks.all_reduce_max(order.index(probe.precision))
    run.settle_precision(order[int(chosen)])
    (speed,) = run.ranks.all_reduce_sum(probe.chars_per_second)
    told = ""
    if torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(False)
        (free,) = run.ranks.all_reduce_sum(_probe(run).chars_per_second)
        torch.use_deterministic_algorithms(True)
        told = f"deterministic: {speed / free:.0%} of the speed that it would have here otherwise"
    give_back_freed_memory()  # of the trial steps; not between them, which would slow down the next
    evaluated = run.config.num_evaluated(len(run.val_ids))
    run.evaluation_seconds = run.evaluation_seconds or evaluated / (FORWARD_SPEED * speed)
    return speed, told


def settle_precision_again(run: TrainingRun, wanted: str, found: dict[int, str]) -> None:
    """Switch a run to the fastest precision for its current number of threads, unless the user has set one.

    Beside other programs two threads wait for each other most of the time, in any precision: which one measures fastest
    is then chance, and with one thread it may be half as fast as another.

    Args:
        run: on a CPU.
        wanted: "auto", or the precision that the user has set.
        found: the fastest precision by number of threads; results are added to it.
    """
    threads = torch.get_num_threads()
    if wanted == "auto":
        found[threads] = found.get(threads) or probe_precision(run.model, run.num_lanes, "auto").precision
        run.settle_precision(found[threads])


def _visible_gpus() -> list[str]:
    """The UUIDs of the GPUs that this process may use."""
    if gpu_trouble():
        return []
    return [str(torch.cuda.get_device_properties(number).uuid) for number in range(torch.cuda.device_count())]


def _probe(run: TrainingRun) -> Probe:
    """Probe with the run's batch and window size; short lines or lanes make windows shorter than `seq_len`."""
    length = math.ceil(run.lanes.chars_per_window / run.config.batch_size)
    return probe_precision(run.model, run.num_lanes, run.config.precision, min(length, run.config.seq_len))
