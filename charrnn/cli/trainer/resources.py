"""Check as early as possible that a machine has the memory and the disk space that a training needs.

The system hands out memory before it has it, and a large matrix takes minutes to fill: without this check, a model too
large to train would show only when the system kills the process.
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
"""Files with the memory limit of a Linux control group, version 2 and version 1."""

MEMINFO = Path("/proc/meminfo")
"""The file in which Linux reports the swap space."""

FLOAT_BYTES = 4


def check_memory(model: ModelConfig, config: TrainConfig, request: Request, ranks: Ranks = ALONE) -> None:
    """Refuse a model that cannot be trained here even if no other program runs.

    Raises:
        TooLargeError: it needs more memory than the machine has, or than this process's control group may use.
    """
    there, needed = memory_limit(), needed_bytes(model, config, ranks.local_world_size)
    if needed <= there:
        return
    mend = "lower --hidden-size, --num-layers or --members"
    if request.resume or request.init_from is not None:  # the shape of the model is fixed
        mend = "a machine with more can train it"
    raise TooLargeError(
        f"out of memory: to train {count_parameters(model):,} parameters (hidden size {model.hidden_size:,}, layers "
        f"{model.num_layers:,}, members {model.members:,}) takes {needed / 1e9:,.1f} GB at least, and there are "
        f"{there / 1e9:,.1f} GB, swap included; {mend}"
    )


def check_space(path: Path, run: TrainingRun) -> None:
    """Check, before training, that the disk has room for a checkpoint and for another that replaces it.

    A file system that reports no size, such as some FUSE ones, is taken to be large enough.

    Raises:
        OutputError: there is too little space.
    """
    config = run.config
    size = checkpoint.estimate_size(run.model.config, config, rows=len(run.history) + config.evaluations)
    before = path.stat().st_size if os.path.exists(path) else 0  # freed once it is replaced
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
    """Turn an out-of-memory error into advice to go on elsewhere, for a run whose model cannot be made smaller.

    Args:
        error: that ended the training.
        kept: what its checkpoint holds, and how to go on.

    Raises:
        TooLargeError: `error` is an out-of-memory error.
    """
    if is_out_of_gpu_memory(error):
        raise TooLargeError(f"the GPU is out of memory; {kept} on a GPU with more, or with --device cpu") from None
    if is_out_of_memory(error):
        raise TooLargeError(f"out of memory; {kept} where there is more memory") from None


@contextlib.contextmanager
def translate_out_of_memory(request: Request) -> Iterator[None]:
    """Report out-of-memory errors before the first save, for runs whose model cannot be made smaller by flags.

    Raises:
        TooLargeError: memory ran out in a run that resumes, or that begins with another's weights.
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
    """The least host memory that a training needs, in bytes, activations apart.

    On a CPU each process holds the weights, the best weights, the gradients and the optimizer's moments. The first
    process, while it saves, also holds a copy of the moments, and of the best weights if they are on a GPU.

    Args:
        model: its shape.
        config: how it is trained.
        processes: number of training processes on this host.
    """
    moments = sum(name != "step" for name in MOMENTS[config.optimizer])
    copies = moments if config.device == "cpu" else 1 + moments
    own = 3 + moments if config.device == "cpu" else 0
    return FLOAT_BYTES * count_parameters(model) * (processes * own + copies)


def memory_limit() -> float:
    """Bytes of memory and swap that the machine and control groups allow this process; infinity if unknown."""
    limits = [_physical_bytes()]
    for group in control_groups("memory"):
        for name in LIMIT_FILES:
            with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
                limits.append(float((group / name).read_text()))
    return min(limits) + _swap_bytes()


def _swap_bytes() -> float:
    """The machine's swap space, with which a training can go on, however slowly; infinity if unknown."""
    try:
        lines = MEMINFO.read_text().splitlines()
    except OSError:  # such as macOS, which adds swap as needed
        return math.inf
    return sum(float(line.split()[1]) * 1024 for line in lines if line.startswith("SwapTotal:"))


def _physical_bytes() -> float:
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf; others may not know these names
        return math.inf
