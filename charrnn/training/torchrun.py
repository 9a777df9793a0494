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

ERROR_FILE, FIRST_LIFE = "TORCHELASTIC_ERROR_FILE", "attempt_0"
"""Where torchrun names a file of this process, `attempt_LIFE/RANK/error.json` in a folder of the launch's own, and what
its folder of the first life is called."""


@dataclass(frozen=True)
class Place:
    """The place of a process among those that were started together.

    Attributes:
        rank: its number, from 0.
        world_size: how many there are.
        local_rank: its number on its host, from 0.
        local_world_size: how many there are on its host.
        restarts: how often all of them have been started again, after one of them died, as far as its host has counted.
        job: what is the same in all lives of a job, and in no other but one of the same `--rdzv-id`; empty without
            torchrun.
        began: when the job's first life did, in seconds since 1970; 0 where nobody says so.
        host, port: where all of them meet.
        has_store: whether the launcher keeps a store there; else the first of them does.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_world_size: int = 1
    restarts: int = 0
    job: str = ""
    began: float = 0.0
    host: str = ""
    port: int = 0
    has_store: bool = False


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
        began=_began(environment.get(ERROR_FILE, "")),
        host=environment["MASTER_ADDR"],
        port=int(environment["MASTER_PORT"]),
        has_store=environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
    )


def _job(name: str) -> str:
    """Name the job: `--rdzv-id`, or else the host and torchrun's process number, which a restart does not change."""
    if name != NO_JOB:
        return name
    import platform  # of little use to the many commands that no launcher starts

    return f"{platform.node()}:{os.getppid()}"


def _began(error_file: str) -> float:
    """When the job's first life began: the age of torchrun's own folder for it; 0.0 if unknown.

    A launcher's own age would not do: a script may stand between it and its processes.
    """
    launch = os.path.dirname(os.path.dirname(os.path.dirname(error_file)))
    try:
        return os.stat(os.path.join(launch, FIRST_LIFE)).st_mtime
    except OSError:  # another launcher's, or tidied away
        return 0.0
