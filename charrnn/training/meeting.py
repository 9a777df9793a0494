"""Where the processes of one training find each other: in a store, under a name that this life of theirs alone has.

Torchrun keeps one store for all lives of a job, and with the addresses of an earlier one gloo would wait for ever. It
counts the lives, but on each host apart: one whose processes were well when they had to stop counts nothing, and one
that has come in another's place begins at 0. So the first process draws a name, and hands it to those that are there.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

from torch._C._distributed_c10d import TCPStore  # which torch.distributed has too, but for a type checker
from torch.distributed.distributed_c10d import Store

from charrnn.training.torchrun import Place

LOOK_SECONDS = 0.05
"""Between two looks at what others do: in Python, so that a signal is heeded."""

KEEP_ALIVE = {"TCP_KEEPIDLE": 300, "TCP_KEEPINTVL": 30, "TCP_KEEPCNT": 10}
"""Seconds of silence, seconds between two questions then, and how many go unanswered: ten minutes in all."""


def find_store(place: Place, patience: timedelta) -> Store:
    """Open what all processes can read and write, and keep it where no launcher does and this is the first of them.

    Args:
        place: of this process.
        patience: how long it waits for an answer.

    Raises:
        OSError: nobody answers there.
        RuntimeError: torch's, where it cannot be kept or read.
    """
    is_keeper = place.rank == 0 and not place.has_store
    if not is_keeper:
        _wait(lambda: _answers(place), patience, "nobody answers")
    return TCPStore(
        place.host, place.port, place.world_size, is_keeper, patience, wait_for_workers=False, multi_tenant=True,
        use_libuv=_has_libuv(),
    )  # fmt: skip


def begin_life(store: Store, place: Place, patience: timedelta) -> tuple[str, int]:
    """Meet all others of this life; what those of earlier lives have left in the store does no harm.

    Args:
        store: that all of them have opened.
        place: of this process.
        patience: how long it waits for the others.

    Returns:
        The name of this life, and how many began before it in this store; only the first process knows that, the others
        give 0.

    Raises:
        OSError: some have not come.
        RuntimeError: torch's, where the store is gone.
    """
    own = uuid4().hex
    if place.rank == 0:
        earlier = store.add("lives", 1) - 1
        others = [f"{own}/{rank}" for rank in range(1, place.world_size)]
        store.set("life", own)
        _wait(lambda: store.check(others), patience, f"not all of {place.world_size} processes have come")
        store.set(f"{own}/all", b" ".join(store.multi_get(others)).decode())
        return own, earlier
    life = ""

    def is_known() -> bool:
        """Say that this process is there, in the life that is said to be; whether its first process has heard so."""
        nonlocal life
        if not store.check(["life"]):
            return False
        life = store.get("life").decode()
        store.set(f"{life}/{place.rank}", own)
        return store.check([f"{life}/all"]) and own in store.get(f"{life}/all").decode()

    _wait(is_known, patience, "the first process has not come")
    return life, 0


def ask_after_hosts(system: str = sys.platform) -> None:
    """Have the system find out, while a connection is silent, whether the host at its other end is still there.

    One that loses power takes no leave: whoever only waits for what it was to send would wait for ever. A process that
    is stopped for a while is none of that, since its system answers for it. Neither gloo nor torch's store asks for it.
    """
    for name in os.listdir("/proc/self/fd") if system == "linux" else ():
        with contextlib.suppress(OSError):  # closed meanwhile
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            with socket.socket(fileno=os.dup(int(name))) as connection:
                if connection.family in (socket.AF_INET, socket.AF_INET6):
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                    for option, value in KEEP_ALIVE.items():
                        connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _has_libuv() -> bool:
    """Whether torch is to keep a store with libuv, which its builds for Windows lack; `USE_LIBUV`, as torch has it."""
    return sys.platform != "win32" and os.environ.get("USE_LIBUV", "1") == "1"


def _answers(place: Place) -> bool:
    with contextlib.suppress(OSError):  # not yet
        socket.create_connection((place.host, place.port), timeout=LOOK_SECONDS * 100).close()
        return True
    return False


def _wait(is_met: Callable[[], bool], patience: timedelta, trouble: str) -> None:
    """Look until a condition is met.

    Raises:
        TimeoutError: it has not been for too long.
    """
    end = time.monotonic() + patience.total_seconds()
    while not is_met():
        if time.monotonic() > end:
            raise TimeoutError(trouble)
        time.sleep(LOOK_SECONDS)
