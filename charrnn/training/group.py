"""Several processes that train one model together: the interface of `charrnn.training.ranks` on torch.distributed.

Plain values and ids are exchanged over gloo; gradients over gloo on CPUs and over NCCL on GPUs, by a
`DistributedDataParallel` for each network. On CPUs a step's figures travel with the gradients: a separate exchange
would take as long again where a step has few lanes.

When a rank dies, its connections close, and the next exchange of the others fails; a host that loses power is noticed
by TCP keepalive. So ranks that have met need no short timeouts, which a long text being read, a long evaluation, or a
suspended job would run into. They need them until they have met, and while a process group for gradients is made: a
rank that dies then, or never comes, has no connection yet.
"""

from __future__ import annotations

import contextlib
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore, Store, _set_pg_timeout
from torch.nn.parallel import DistributedDataParallel

from charrnn import __version__
from charrnn.config import CONTEXTS
from charrnn.errors import ConfigError, LostRankError
from charrnn.training.clock import CLOCK
from charrnn.training.ranks import Ranks, Value
from charrnn.training.rendezvous import enable_keepalive, find_store, join_incarnation
from charrnn.training.torchrun import Place

RENDEZVOUS_TIMEOUT = timedelta(minutes=10)
"""How long ranks wait for each other to join, as torchrun's hosts do; torchrun starts all ranks at the same time."""

PATIENCE = timedelta(days=7)
"""How long ranks that have met wait for each other."""

CHUNK = 1 << 26
"""Bytes of an array that are sent at once."""

BUCKET_MB = 3
"""Megabytes of gradients exchanged at once: those of one layer are while those of the layer below are computed."""

HEAD_START = 3.0
"""Seconds that the first rank has to report an error before another does."""


class WithStepMetrics(nn.Module):
    """A network with a few figures that are averaged over the ranks together with its gradient.

    Each figure is multiplied by a weight that is always 0, and added to the loss: so it becomes that weight's gradient.

    Args:
        network: the network to call.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.zeros = nn.Parameter(torch.zeros(2))

    def forward(self, *inputs: Any) -> Any:
        """Call the network."""
        return self.network(*inputs)

    def send(self, loss: Tensor, seconds: float) -> Tensor:
        """Add to a loss two terms that are zero, and whose gradients are the loss and the seconds to send.

        Returns:
            The loss for the backward pass.
        """
        self.zeros.grad = None
        return loss + (self.zeros * torch.stack([loss.detach(), torch.tensor(seconds)])).sum()

    def receive(self) -> tuple[Tensor, float]:
        """After the backward pass: the means over the ranks of what they have sent."""
        assert self.zeros.grad is not None, "there was a way back"
        loss, seconds = self.zeros.grad.clone()
        return loss, float(seconds)


class DistributedRanks(Ranks):
    """One of several processes; all must call the methods that exchange something in the same order, `meet` first.

    Args:
        place: place of this process among them.
    """

    def __init__(self, place: Place) -> None:
        self.rank, self.world_size = place.rank, place.world_size
        self.local_rank, self.local_world_size = place.local_rank, place.local_world_size
        self.restarts, self.launches = place.restarts, place.launches
        self._place = place
        self._store: Store | None = None
        self._replicas: dict[nn.Module, DistributedDataParallel] = {}
        self._of_gpus: dist.ProcessGroup | None = None
        self._clock = self._began = 0.0
        self._clock_lock = threading.Lock()

    def meet(self) -> None:
        """Connect to the other processes.

        Raises:
            ConfigError: they run another version, which may exchange other things.
            LostRankError: some do not come, or cannot be reached.
        """
        place = self._place
        try:
            store = find_store(place, RENDEZVOUS_TIMEOUT)
            incarnation, earlier = join_incarnation(store, place, RENDEZVOUS_TIMEOUT)
            self._store = PrefixStore(incarnation, store)
            with _mute_stdout():
                dist.init_process_group(
                    "gloo", store=self._store, rank=self.rank, world_size=self.world_size, timeout=RENDEZVOUS_TIMEOUT
                )
            self._introduce()
            self.restarts = int(self.all_reduce_max(max(place.restarts, earlier))[0])
        except (RuntimeError, OSError) as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__).rpartition("] ")[2]
            raise LostRankError(
                f"the processes do not meet at {place.host}:{place.port} ({reason}); MASTER_ADDR and MASTER_PORT say "
                "where they do, GLOO_SOCKET_IFNAME by which network"
            ) from None
        self._began = self._clock
        _set_pg_timeout(PATIENCE)
        enable_keepalive()

    def _introduce(self) -> None:
        """Exchange versions, hosts and launches; in every version this must stay the first exchange.

        Raises:
            ConfigError: they run another version.
        """
        own = __version__, platform.node(), self.launches
        versions, hosts, launches = zip(*self.all_gather(own), strict=True)
        if len(set(versions)) > 1:
            raise ConfigError(
                f"the processes run charrnn {' and '.join(sorted(set(versions)))}; install one of these on all hosts"
            )
        self.launches = frozenset().union(*launches)
        if not self.local_world_size:
            self.local_rank, self.local_world_size = hosts[: self.rank].count(own[1]), hosts.count(own[1])

    @property
    def uses_nccl(self) -> bool:
        """Whether gradients are exchanged over NCCL, between GPUs."""
        return any(next(model.parameters()).is_cuda for model in self._replicas)

    def leave(self) -> None:
        """Leave the process group; over NCCL all must do so together."""
        if dist.is_initialized():
            dist.destroy_process_group()

    def now(self) -> float:
        """See `Ranks.now`."""
        return self._clock

    def broadcast(self, function: Callable[[], Value]) -> Value:
        """See `Ranks.broadcast`; if the function fails, the first rank exits, which the others notice."""
        box: list[Value | None] = [function() if self.is_first else None]
        dist.broadcast_object_list(box, src=0)
        return box[0]  # type: ignore[return-value]  # what the function gave

    def all_gather(self, value: Value) -> list[Value]:
        """See `Ranks.all_gather`."""
        values: list[Value | None] = [None] * self.world_size
        dist.all_gather_object(values, value)
        return values  # type: ignore[return-value]  # all are filled

    def broadcast_array(self, array: NDArray[np.generic] | None) -> NDArray[np.generic]:
        """See `Ranks.broadcast_array`."""
        length, dtype = self.broadcast(lambda: (len(array), array.dtype) if array is not None else (0, np.dtype("u1")))
        array = np.empty(length, dtype=dtype) if array is None else array
        content = array.view(np.uint8)
        for begin in range(0, len(content), CHUNK):
            dist.broadcast(torch.from_numpy(content[begin : begin + CHUNK]), src=0)
        return array

    def all_reduce_sum(self, *values: float) -> list[float]:
        """See `Ranks.all_reduce_sum`."""
        return self._exchange(values, dist.ReduceOp.SUM, 0.0)

    def all_reduce_max(self, *values: float) -> list[float]:
        """See `Ranks.all_reduce_max`."""
        return self._exchange(values, dist.ReduceOp.MAX, float("-inf"))

    def _exchange(self, values: tuple[float, ...], operation: dist.ReduceOp.RedOpType, nothing: float) -> list[float]:
        """Reduce figures over the ranks, and set the clock to the first rank's time."""
        figures = torch.tensor([*values, CLOCK.now() if self.is_first else nothing], dtype=torch.float64)
        dist.all_reduce(figures, operation)
        *results, self._clock = figures.tolist()
        return results

    def replicate(self, model: nn.Module) -> None:
        """See `Ranks.replicate`."""
        self.barrier()  # notices a rank that is gone; a wait for its connection would not, and would block signals
        on_gpu = next(model.parameters()).is_cuda
        group = self._group_for(on_gpu)
        self._replicas[model] = DistributedDataParallel(
            model if on_gpu else WithStepMetrics(model),
            process_group=group,
            gradient_as_bucket_view=True,
            bucket_cap_mb=BUCKET_MB,
        )
        self._settle(model)
        _set_pg_timeout(PATIENCE, group)
        enable_keepalive()

    def _group_for(self, on_gpu: bool) -> dist.ProcessGroup:
        """A process group for each network, since members may learn at the same time; on GPUs one group for all."""
        if on_gpu and self._of_gpus is not None:
            return self._of_gpus
        with _mute_stdout():
            group: dist.ProcessGroup = dist.new_group(backend="nccl" if on_gpu else "gloo", timeout=RENDEZVOUS_TIMEOUT)
        self._of_gpus = group if on_gpu else None
        return group

    def _settle(self, model: nn.Module) -> None:
        """Make a first backward pass that changes nothing.

        After its first pass the replica rebuilds its gradient buckets, and so changes the order in which three or more
        ranks add up; if that happened during training, a resumed one would differ in the last bits.
        """
        ids = torch.zeros((1, 1), dtype=torch.int64, device=next(model.parameters()).device)
        recalled = ids[..., None].expand(1, 1, len(CONTEXTS)) if model.config.recall else None  # type: ignore[union-attr]
        logits, _ = self._replicas[model](ids, model.initial_state(1), recalled)  # type: ignore[operator]
        self.send_loss(model, logits.sum(), 1.0).backward()  # type: ignore[no-untyped-call]
        model.zero_grad(set_to_none=True)

    def replica(self, model: nn.Module) -> nn.Module:
        """See `Ranks.replica`."""
        return self._replicas[model]

    def send_loss(self, model: nn.Module, loss: Tensor, share: float) -> Tensor:
        """See `Ranks.send_loss`."""
        loss = loss * (share * self.world_size) if share else loss.nan_to_num(0.0)
        carrier = self._replicas[model].module
        if not isinstance(carrier, WithStepMetrics):
            return loss
        return carrier.send(loss, CLOCK.now() - self._began if self.is_first else 0.0)

    def receive_loss(self, model: nn.Module, loss: Tensor) -> Tensor:
        """See `Ranks.receive_loss`; the clock is set to when the first rank sent its loss, in single precision."""
        carrier = self._replicas[model].module
        if not isinstance(carrier, WithStepMetrics):
            return loss.detach()
        mean, seconds = carrier.receive()
        with self._clock_lock:  # members learn at the same time, and end in any order
            self._clock = max(self._clock, self._began + seconds * self.world_size)
        return mean

    def peer_failure(self, error: Exception) -> str:
        """See `Ranks.peer_failure`; gloo's errors have no class of their own, but name gloo in their message.

        NCCL's errors are as often due to a host that is not set up for it, as their last line tells. An error that is
        not torch's is not about a rank: a connection lost in Python is one to a reader of this process's output.
        """
        if not isinstance(error, RuntimeError):
            return ""
        if isinstance(error, dist.DistBackendError):
            *_, reason = str(error).strip().splitlines()
            return f"another process of this training is gone, or NCCL does not reach it ({reason})"
        is_of_peer = isinstance(error, dist.DistError) or "gloo" in str(error).lower()
        return "another process of this training is gone" if is_of_peer else ""

    def may_speak(self) -> bool:
        """See `Ranks.may_speak`; before the ranks have met, one on each host may."""
        if self._store is None:
            return self.local_rank == 0
        if not self.is_first:
            time.sleep(HEAD_START)
        try:
            return bool(self._store.add("spoken", 1) == 1)
        except RuntimeError:  # the process that hosted the store is gone
            return True


@contextlib.contextmanager
def _mute_stdout() -> Iterator[None]:
    """Discard what gloo of PyTorch 2.10 prints as it connects: standard output is for the checkpoint's path."""
    try:
        kept = os.dup(1)
    except OSError:  # standard output is closed
        yield
        return
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
