"""The rendezvous of one training's processes: in a shared store, under a name unique to this incarnation of the job.

An incarnation is one start of all processes of a job, the first or a restart. Torchrun keeps one store for all of them,
and with the addresses of an earlier one gloo would wait for ever. Torchrun counts them, but on each host apart: a host
whose processes were well when they had to stop does not count a restart, and a replacement host begins at 0. So the
first process draws a random name, and hands it to the processes that are there.
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

POLL_SECONDS = 0.05
"""Seconds between two looks at the store; it is polled from Python, so that signals are handled."""

KEEP_ALIVE = {"TCP_KEEPIDLE": 300, "TCP_KEEPINTVL": 30, "TCP_KEEPCNT": 10}
"""TCP keepalive: seconds of silence, then seconds between probes, and unanswered probes: ten minutes in all."""


def find_store(place: Place, patience: timedelta) -> Store:
    """Open the store that all processes share; the first process hosts it, unless the launcher does.

    Args:
        place: place of this process.
        patience: how long to wait for an answer.

    Raises:
        OSError: nobody answers there.
        RuntimeError: from torch: the store cannot be hosted or read.
    """
    is_keeper = place.rank == 0 and not place.has_store
    if not is_keeper:
        _wait(lambda: _answers(place), patience, "nobody answers")
    return TCPStore(
        place.host, place.port, place.world_size, is_keeper, patience, wait_for_workers=False, multi_tenant=True,
        use_libuv=_has_libuv(),
    )  # fmt: skip


def join_incarnation(store: Store, place: Place, patience: timedelta) -> tuple[str, int]:
    """Wait for all processes of this incarnation, whatever earlier incarnations have left in the store.

    Args:
        store: the store that all of them have opened.
        place: place of this process.
        patience: how long to wait for the others.

    Returns:
        The name of this incarnation, and the number of earlier ones in this store, which only the first process knows;
        the others return 0.

    Raises:
        OSError: some have not come.
        RuntimeError: from torch: the store is gone.
    """
    own = uuid4().hex
    if place.rank == 0:
        earlier = store.add("incarnations", 1) - 1
        others = [f"{own}/{rank}" for rank in range(1, place.world_size)]
        store.set("incarnation", own)
        _wait(lambda: store.check(others), patience, f"not all of {place.world_size} processes have come")
        store.set(f"{own}/all", b" ".join(store.multi_get(others)).decode())
        return own, earlier
    incarnation = ""

    def is_known() -> bool:
        """Register this process in the incarnation that the store names; tell whether the first one has seen that."""
        nonlocal incarnation
        if not store.check(["incarnation"]):
            return False
        incarnation = store.get("incarnation").decode()
        store.set(f"{incarnation}/{place.rank}", own)
        return store.check([f"{incarnation}/all"]) and own in store.get(f"{incarnation}/all").decode()

    _wait(is_known, patience, "the first process has not come")
    return incarnation, 0


def enable_keepalive(system: str = sys.platform) -> None:
    """Turn on TCP keepalive for all connections of this process, on Linux, so that the loss of a host is noticed.

    A host that loses power closes no connection: a process that waits for data from it would wait for ever. A stopped
    process is not taken for lost, since its system answers. Neither gloo nor torch's store turns keepalive on.
    """
    for name in os.listdir("/proc/self/fd") if system == "linux" else ():
        with contextlib.suppress(OSError):  # closed in the meantime
            _keep_alive(int(name))


def _keep_alive(descriptor: int) -> None:
    """Turn TCP keepalive on for an open file, if it is a connection over TCP."""
    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        return
    with socket.socket(fileno=os.dup(descriptor)) as connection:
        if connection.family in (socket.AF_INET, socket.AF_INET6):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in KEEP_ALIVE.items():
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _has_libuv() -> bool:
    """Whether torch's store is to use libuv, which its builds for Windows lack; `USE_LIBUV` decides, as in torch."""
    return sys.platform != "win32" and os.environ.get("USE_LIBUV", "1") == "1"


def _answers(place: Place) -> bool:
    with contextlib.suppress(OSError):  # not yet
        socket.create_connection((place.host, place.port), timeout=POLL_SECONDS * 100).close()
        return True
    return False


def _wait(is_met: Callable[[], bool], patience: timedelta, trouble: str) -> None:
    """Poll until a condition is met.

    Raises:
        TimeoutError: it was not met in time; the message is `trouble`.
    """
    end = time.monotonic() + patience.total_seconds()
    while not is_met():
        if time.monotonic() > end:
            raise TimeoutError(trouble)
        time.sleep(POLL_SECONDS)
