"""Measuring: conditions, repetitions in turn, medians and spreads."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

ROUNDS = 5

LIBRARIES = "OPENBLAS_", "MKL_", "OMP_", "ONEDNN_", "DNNL_"
"""How the variables begin that tell the libraries of numpy and PyTorch what to do: half the speed may hang on one."""


@dataclass(frozen=True)
class Rate:
    """Median, lowest and highest of some repeated measurements."""

    median: float
    low: float
    high: float

    def scaled(self, factor: float) -> Rate:
        """The same in another unit."""
        return Rate(self.median * factor, self.low * factor, self.high * factor)

    def __str__(self) -> str:
        return f"{self.median:,.0f} ({self.low:,.0f} to {self.high:,.0f})"


@dataclass(frozen=True)
class Beside:
    """A speed of charrnn and a plain loop's, measured in turn.

    Attributes:
        size: layers and units of both.
        ours: units per second.
        plain: the same of the plain loop.
        told: a line on both, and on what was measured beside them.
    """

    size: tuple[int, int]
    ours: Rate
    plain: Rate
    told: str

    @property
    def ratio(self) -> float:
        """Times the plain loop's speed."""
        return self.ours.median / self.plain.median

    def __str__(self) -> str:
        return self.told


def conditions() -> str:
    """One line on the machine and the software."""
    told = "".join(f", {name}={value}" for name, value in sorted(os.environ.items()) if name.startswith(LIBRARIES))
    gpu = f"{torch.cuda.get_device_name()}, " if torch.cuda.is_available() else ""
    return (
        f"{gpu}{_processor()}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}; "
        f"torch {torch.__version__}, numpy {np.__version__}, python {platform.python_version()}{told}"
    )


def compare(workloads: Mapping[str, Callable[[], float]]) -> dict[str, Rate]:
    """Run workloads in turn, A B A B, after one round that is not counted.

    Args:
        workloads: by name; each does its work once and returns the units done, such as characters.

    Returns:
        Units per second by name.
    """
    rates: dict[str, list[float]] = {name: [] for name in workloads}
    for round_number in range(1 + ROUNDS):
        for name, work in workloads.items():
            started = time.perf_counter()
            units = work()
            if round_number:
                rates[name].append(units / (time.perf_counter() - started))
    return {name: Rate(statistics.median(values), min(values), max(values)) for name, values in rates.items()}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if names:
            return f"{len(names)} x {names[0]}"
    return platform.processor() or platform.machine()
