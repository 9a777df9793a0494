"""The environment variables that `torchrun`, or another launcher of several processes, sets for each of them.

The names are PyTorch's: https://docs.pytorch.org/docs/stable/elastic/run.html. Nothing here needs torch.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from charrnn.errors import ConfigError
from charrnn.limits import Range

NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""The variables that each of several processes needs."""

RUN_ID = "TORCHELASTIC_RUN_ID"
"""The variable in which torchrun, and no other launcher, gives `--rdzv-id`."""

ERROR_FILE = "TORCHELASTIC_ERROR_FILE"
"""The variable in which torchrun names a file for this process: `attempt_NUMBER/RANK/error.json` in a folder that is
new for each torchrun, and the same through all restarts of the processes that it starts."""


@dataclass(frozen=True)
class Place:
    """The place of a process among those that were started together.

    Attributes:
        rank: number of the process, from 0.
        world_size: number of processes.
        local_rank: number of the process on its host, from 0.
        local_world_size: number of processes on its host; 0 if unknown.
        restarts: how often all processes have been restarted after one of them died, as far as this host has counted.
        is_launched: whether torchrun has started the process.
        launches: the names of the torchruns of the job, one on each host: the same through all restarts of a job, and
            in no other job. Before the processes meet, only the one of this host.
        host, port: address at which all processes meet.
        has_store: whether the launcher hosts a store there; otherwise the first process does.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_world_size: int = 1
    restarts: int = 0
    is_launched: bool = False
    launches: frozenset[str] = frozenset()
    host: str = ""
    port: int = 0
    has_store: bool = False


NO_LAUNCHER = Place()


def read_place(environment: Mapping[str, str] = os.environ) -> Place:
    """Read the place of this process from its environment; an empty variable counts as not set.

    Raises:
        ConfigError: a variable is not a number in its range, or one of `NEEDED` is missing though there are several
            processes.
    """
    if not (environment.get("RANK") and environment.get("WORLD_SIZE")):
        return NO_LAUNCHER
    world_size = _number(environment, "WORLD_SIZE", Range(1))
    if missing := [name for name in NEEDED if not environment.get(name)]:
        if world_size == 1:
            return NO_LAUNCHER
        told = (
            f"{missing[0]} is not set; set it"
            if len(missing) == 1
            else f"{' and '.join(missing)} are not set; set them"
        )
        raise ConfigError(f"WORLD_SIZE={world_size} in the environment, and {told}, or unset WORLD_SIZE to train alone")
    rank = _number(environment, "RANK", Range(0, world_size - 1))
    return Place(
        rank=rank,
        world_size=world_size,
        local_rank=_number(environment, "LOCAL_RANK", Range(0), rank),
        local_world_size=_number(environment, "LOCAL_WORLD_SIZE", Range(1), 0),
        restarts=_number(environment, "TORCHELASTIC_RESTART_COUNT", Range(0), 0),
        is_launched=RUN_ID in environment,
        launches=frozenset(Path(environment.get(ERROR_FILE, "")).parts[-4:-3]),
        host=environment["MASTER_ADDR"],
        port=_number(environment, "MASTER_PORT", Range(1, 65535)),
        has_store=environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
    )


def told_of_no_rank(environment: Mapping[str, str] = os.environ) -> str:
    """A warning where WORLD_SIZE says that there are several processes, but RANK is not set; else an empty string.

    It is no error: there are environments in which WORLD_SIZE is set for every process.
    """
    world_size = environment.get("WORLD_SIZE", "")
    with contextlib.suppress(ValueError):
        if not environment.get("RANK") and int(world_size or 1) > 1:
            return (
                f"WORLD_SIZE={world_size} in the environment, and RANK is not set: this process trains alone; start "
                "several with torchrun, or unset WORLD_SIZE"
            )
    return ""


def speaks_for_host(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is to report errors in the flags, which are the same for all processes of its host."""
    try:
        return read_place(environment).local_rank == 0
    except ConfigError:  # reported where the place is needed
        return True


def _number(environment: Mapping[str, str], name: str, allowed: Range, default: int = 0) -> int:
    text = environment.get(name)
    if not text:
        return default
    with contextlib.suppress(ValueError):
        if (number := int(text)) in allowed:
            return number
    raise ConfigError(
        f"{name}={text} in the environment: it must be a whole number, {allowed}; torchrun sets it, and without RANK "
        "one process trains alone"
    )
