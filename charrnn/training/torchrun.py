"""What `torchrun`, or another launcher of several processes, tells each of them in its environment.

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
"""What one of several processes has to be told."""

RUN_ID = "TORCHELASTIC_RUN_ID"
"""Where torchrun, and no other launcher, gives `--rdzv-id`."""

ERROR_FILE = "TORCHELASTIC_ERROR_FILE"
"""Where it names a file of this process: `attempt_LIFE/RANK/error.json` in a folder of its own, which is new for each
torchrun, and the same in all lives of the processes that it starts."""


@dataclass(frozen=True)
class Place:
    """The place of a process among those that were started together.

    Attributes:
        rank: its number, from 0.
        world_size: how many there are.
        local_rank: its number on its host, from 0.
        local_world_size: how many there are on its host; 0 where nobody says.
        restarts: how often all of them have been started again, after one of them died, as far as its host has counted.
        is_launched: whether torchrun has started it.
        launches: the names of the torchruns of its job, one on each host: the same in all lives of a job, and in no
            other job. Before the processes meet, that of its own host alone.
        host, port: where all of them meet.
        has_store: whether the launcher keeps a store there; else the first of them does.
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
    """Find out the place of this process; a variable that is empty says nothing.

    Raises:
        ConfigError: a variable is no number, or not one that it can be, or it is one of several processes and not told
            where they meet.
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
    """What to say where others seem to train too, and this process is not told which of them it is; else nothing.

    It is no error: there are environments in which WORLD_SIZE stands for every process.
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
    """Whether it falls to this process to tell what is wrong with the flags that all of its host were given."""
    try:
        return read_place(environment).local_rank == 0
    except ConfigError:  # which is told where the place is needed
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
