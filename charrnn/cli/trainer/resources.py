"""Whether a machine has the memory and the disk space that a training takes, found out as early as that can be.

Weights are handed out by the system before it has them, and a large matrix takes minutes to fill: without this a model
that can never be trained would be noticed late, when the system kills the process.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from charrnn.cli.common.cores import control_groups
from charrnn.cli.trainer.request import Request
from charrnn.config import ModelConfig, TrainConfig
from charrnn.errors import OutputError, TooLargeError, is_out_of_gpu_memory, is_out_of_memory
from charrnn.shapes import MOMENTS, count_parameters
from charrnn.storage.outputs import folder_of
from charrnn.training import checkpoint
from charrnn.training.ranks import ALONE, Ranks
from charrnn.training.run import TrainingRun

LIMIT_FILES = ("memory.max", "memory.limit_in_bytes")
"""Where either version of Linux's control groups has the memory that a group may take."""

MEMINFO = Path("/proc/meminfo")
"""Where Linux tells how much swap there is."""

FLOAT_BYTES = 4


def check_memory(model: ModelConfig, config: TrainConfig, request: Request, ranks: Ranks = ALONE) -> None:
    """Refuse a model that can never be trained here, whatever else is at work.

    Raises:
        TooLargeError: it needs more memory than the machine has, or than it gives to this process's control group.
    """
    there, needed = memory_limit(), needed_bytes(model, config, ranks.local_world_size)
    if needed <= there:
        return
    mend = "lower --hidden-size, --num-layers or --members"
    if request.resume or request.init_from is not None:  # whose shape stays
        mend = "a machine with more can train it"
    raise TooLargeError(
        f"out of memory: to train {count_parameters(model):,} parameters (hidden size {model.hidden_size:,}, layers "
        f"{model.num_layers:,}, members {model.members:,}) takes {needed / 1e9:,.1f} GB at least, and there are "
        f"{there / 1e9:,.1f} GB, swap included; {mend}"
    )


def check_space(path: Path, run: TrainingRun) -> None:
    """Find out, before training, whether there is room for a checkpoint, and for another that replaces it.

    A file system that does not know its size, such as some of FUSE's, is taken for large enough.

    Raises:
        OutputError: there is not.
    """
    config = run.config
    size = checkpoint.estimate_size(run.model.config, config, rows=len(run.history) + config.evaluations)
    before = path.stat().st_size if os.path.exists(path) else 0  # which makes room once it is replaced
    needed = max(size, 2 * size - before)
    folder = folder_of(path)
    usage = shutil.disk_usage(folder)
    if usage.total and usage.free < needed:
        raise OutputError(
            f"{folder}: has {usage.free / 1e6:,.2f} MB of space left, and saving takes {needed / 1e6:,.2f} MB: a "
            f"checkpoint of {size / 1e6:,.2f} MB is written beside the one that it replaces; make room, or give a file "
            "elsewhere with --out"
        )


def refuse_full_memory(error: Exception, kept: str) -> None:
    """Tell of a training that has been saved and then ran out of memory how it goes on: its shape stays.

    Args:
        error: that ended it.
        kept: what its checkpoint holds, and how to go on.

    Raises:
        TooLargeError: memory is what was missing.
    """
    if is_out_of_gpu_memory(error):
        raise TooLargeError(f"the GPU is out of memory; {kept} on a GPU with more, or with --device cpu") from None
    if is_out_of_memory(error):
        raise TooLargeError(f"out of memory; {kept} where there is more memory") from None


@contextlib.contextmanager
def told_of_full_memory(request: Request) -> Iterator[None]:
    """Tell of memory that runs out before anything is saved, where flags cannot make the model smaller.

    Raises:
        TooLargeError: it does, of a run that goes on or begins with another's weights.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if request.resume:
            refuse_full_memory(error, "train it")
        elif request.init_from is not None:
            refuse_full_memory(error, "lower --batch-size or --seq-len, or train it")
        raise


def needed_bytes(model: ModelConfig, config: TrainConfig, processes: int = 1) -> int:
    """The least that a training holds on the host, apart from what it computes with.

    On a processor each process has the weights, the best ones so far, gradients and the optimizer's moments. The first
    alone saves, and has a copy of the moments, and of the best weights where these lie on a GPU, while it does.

    Args:
        model: its shape.
        config: how it is trained.
        processes: that train it on this host.
    """
    moments = sum(name != "step" for name in MOMENTS[config.optimizer])
    copies = moments if config.device == "cpu" else 1 + moments
    own = 3 + moments if config.device == "cpu" else 0
    return FLOAT_BYTES * count_parameters(model) * (processes * own + copies)


def memory_limit() -> float:
    """Bytes of memory and swap that this process may have, by the machine and control groups; infinity if untold."""
    limits = [_physical_bytes()]
    for group in control_groups("memory"):
        for name in LIMIT_FILES:
            with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
                limits.append(float((group / name).read_text()))
    return min(limits) + _swap_bytes()


def _swap_bytes() -> float:
    """What the machine can put on a disk: with it a training goes on, however slowly; infinity if untold."""
    try:
        lines = MEMINFO.read_text().splitlines()
    except OSError:  # macOS, which makes such room as it is needed
        return math.inf
    return sum(float(line.split()[1]) * 1024 for line in lines if line.startswith("SwapTotal:"))


def _physical_bytes() -> float:
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):  # Windows, which has no sysconf; a system that does not tell
        return math.inf
