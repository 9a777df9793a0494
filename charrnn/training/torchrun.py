"""What `torchrun`, or another launcher of several processes, tells each of them in its environment.

The names are PyTorch's: https://docs.pytorch.org/docs/stable/elastic/run.html. Nothing here needs torch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Without all of these a process stands alone."""

JOB, NO_JOB = "TORCHELASTIC_RUN_ID", "none"
"""Where torchrun gives `--rdzv-id`, and what it says where there is none."""


@dataclass(frozen=True)
class Place:
    """The place of a process among those that were started together.

    Attributes:
        rank: its number, from 0.
        world_size: how many there are.
        local_rank: its number on its host, from 0.
        local_world_size: how many there are on its host.
        restarts: how often all of them have been started again, after one of them died.
        job: what is the same in all lives of a job and in no other job; empty without torchrun.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_world_size: int = 1
    restarts: int = 0
    job: str = ""


NO_LAUNCHER = Place()


def read_place(environment: Mapping[str, str] = os.environ) -> Place:
    """Find out the place of this process."""
    if not all(name in environment for name in NEEDED):
        return NO_LAUNCHER
    rank, world_size = int(environment["RANK"]), int(environment["WORLD_SIZE"])
    return Place(
        rank=rank,
        world_size=world_size,
        local_rank=int(environment.get("LOCAL_RANK", rank)),
        local_world_size=int(environment.get("LOCAL_WORLD_SIZE", world_size)),
        restarts=int(environment.get("TORCHELASTIC_RESTART_COUNT", 0)),
        job=_job(environment[JOB]) if JOB in environment else "",
    )


def _job(name: str) -> str:
    """Torchrun stays the same process when it starts its children again."""
    if name != NO_JOB:
        return name
    import platform  # of little use to the many commands that no launcher starts

    return f"{platform.node()}:{os.getppid()}"
