"""Several processes that train one model together: `charrnn.training.ranks` by torch.distributed.

Plain values and ids travel by gloo; gradients by gloo on processors and by NCCL on GPUs, in a
`DistributedDataParallel` for each network, and a step's figures with them: an exchange of their own would take as long
again where a step has few lanes. A rank that dies closes its connections, and whatever the others exchange next fails;
after a host without power the system asks. So once they have met there is no need for short timeouts, which a long text
being read, a long evaluation, or a job that is suspended would run into. Until then there is, and again while a group
for gradients is made: one that dies, or never comes, has no connection yet.
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
from charrnn.training.meeting import ask_after_hosts, begin_life, find_store
from charrnn.training.ranks import Ranks, Value
from charrnn.training.torchrun import Place

MEETING = timedelta(minutes=10)
"""How long ranks wait for each other to come, as torchrun's hosts do; it starts all ranks at the same time."""

PATIENCE = timedelta(days=7)
"""How long ranks that have met wait for each other."""

CHUNK = 1 << 26
"""Bytes of an array that travel at once."""

BUCKET_MB = 3
"""Gradients that travel at once: those of one layer do while the one below it is still computed."""

HEAD_START = 3.0
"""Seconds that the first rank has to say what went wrong before another does."""


class WithFigures(nn.Module):
    """A network, and figures of which the mean over the ranks is found with that of its gradient.

    Each figure is the gradient of a weight that is always 0, by which it is multiplied and added to the loss.

    Args:
        network: called in its place.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.zeros = nn.Parameter(torch.zeros(2))

    def forward(self, *inputs: Any) -> Any:
        """What the network gives."""
        return self.network(*inputs)

    def send(self, loss: Tensor, seconds: float) -> Tensor:
        """Add to a loss two terms that are zero, and whose gradients are the loss and the seconds to send.

        Returns:
            The loss to find the gradient of.
        """
        self.zeros.grad = None
        return loss + (self.zeros * torch.stack([loss.detach(), torch.tensor(seconds)])).sum()

    def receive(self) -> tuple[Tensor, float]:
        """The means of what the ranks have sent, once the gradient is found."""
        assert self.zeros.grad is not None, "there was a way back"
        loss, seconds = self.zeros.grad.clone()
        return loss, float(seconds)


class Group(Ranks):
    """One of several processes; all must call what exchanges something in the same order, and `meet` first.

    Args:
        place: of this process among them.
    """

    def __init__(self, place: Place) -> None:
        self.rank, self.world_size = place.rank, place.world_size
        self.local_rank, self.local_world_size = place.local_rank, place.local_world_size
        self.restarts, self.launches = place.restarts, place.launches
        self._place = place
        self._store: Store | None = None
        self._replicas: dict[nn.Module, DistributedDataParallel] = {}
        self._of_gpus: dist.ProcessGroup | None = None
        self._clock, self._began, self._learning = 0.0, 0.0, threading.Lock()

    def meet(self) -> None:
        """Find the others.

        Raises:
            ConfigError: they run another version, which may exchange other things.
            LostRankError: they are not there, or not within reach.
        """
        place = self._place
        try:
            store = find_store(place, MEETING)
            life, earlier = begin_life(store, place, MEETING)
            self._store = PrefixStore(life, store)
            with _mute_stdout():
                dist.init_process_group(
                    "gloo", store=self._store, rank=self.rank, world_size=self.world_size, timeout=MEETING
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
        ask_after_hosts()

    def _introduce(self) -> None:
        """Learn who the others are; this exchange stays the first one in every version.

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
        """Whether gradients travel from GPU to GPU."""
        return any(next(model.parameters()).is_cuda for model in self._replicas)

    def leave(self) -> None:
        """Part from the others; over NCCL all must do so together."""
        if dist.is_initialized():
            dist.destroy_process_group()

    def now(self) -> float:
        """See `Ranks.now`."""
        return self._clock

    def broadcast(self, function: Callable[[], Value]) -> Value:
        """See `Ranks.broadcast`; where it fails, the first rank leaves, which the others notice."""
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
        """Reduce figures over the ranks, and learn the time."""
        figures = torch.tensor([*values, CLOCK.now() if self.is_first else nothing], dtype=torch.float64)
        dist.all_reduce(figures, operation)
        *results, self._clock = figures.tolist()
        return results

    def replicate(self, model: nn.Module) -> None:
        """See `Ranks.replicate`."""
        self.barrier()  # notices one that is gone; whoever waits for it to connect does not, nor a signal
        on_gpu = next(model.parameters()).is_cuda
        group = self._group_for(on_gpu)
        self._replicas[model] = DistributedDataParallel(
            model if on_gpu else WithFigures(model),
            process_group=group,
            gradient_as_bucket_view=True,
            bucket_cap_mb=BUCKET_MB,
        )
        self._settle(model)
        _set_pg_timeout(PATIENCE, group)
        ask_after_hosts()

    def _group_for(self, on_gpu: bool) -> dist.ProcessGroup:
        """A group of the network's own, since networks may learn at the same time; on a GPU, where they do not, one."""
        if on_gpu and self._of_gpus is not None:
            return self._of_gpus
        with _mute_stdout():
            group: dist.ProcessGroup = dist.new_group(backend="nccl" if on_gpu else "gloo", timeout=MEETING)
        self._of_gpus = group if on_gpu else None
        return group

    def _settle(self, model: nn.Module) -> None:
        """Take a first step that changes nothing.

        After it the replica rearranges the buffers in which gradients travel, and with them the order in which three
        ranks or more add up; were that to happen in the midst, a resumed training would differ in the last bits.
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
        if not isinstance(carrier, WithFigures):
            return loss
        return carrier.send(loss, CLOCK.now() - self._began if self.is_first else 0.0)

    def receive_loss(self, model: nn.Module, loss: Tensor) -> Tensor:
        """See `Ranks.receive_loss`; with it comes the first rank's time when it sent its loss, in single precision."""
        carrier = self._replicas[model].module
        if not isinstance(carrier, WithFigures):
            return loss.detach()
        mean, seconds = carrier.receive()
        with self._learning:  # members learn at the same time, and end in any order
            self._clock = max(self._clock, self._began + seconds * self.world_size)
        return mean

    def peer_failure(self, error: Exception) -> str:
        """See `Ranks.peer_failure`; gloo's errors have no class of their own, but its name stands in them.

        NCCL's are as often of a host that is not set up for it, which their last line tells. Whatever is no error of
        torch's has another reason: a connection that Python has lost is one to a reader of this process's output.
        """
        if not isinstance(error, RuntimeError):
            return ""
        if isinstance(error, dist.DistBackendError):
            *_, reason = str(error).strip().splitlines()
            return f"another process of this training is gone, or NCCL does not reach it ({reason})"
        is_of_peer = isinstance(error, dist.DistError) or "gloo" in str(error).lower()
        return "another process of this training is gone" if is_of_peer else ""

    def may_speak(self) -> bool:
        """See `Ranks.may_speak`; where they have not met, on each host one does."""
        if self._store is None:
            return self.local_rank == 0
        if not self.is_first:
            time.sleep(HEAD_START)
        try:
            return bool(self._store.add("spoken", 1) == 1)
        except RuntimeError:  # it was kept by a process that is gone
            return True


@contextlib.contextmanager
def _mute_stdout() -> Iterator[None]:
    """Keep from standard output, where the checkpoint's path goes, what gloo of PyTorch 2.10 says as it connects."""
    try:
        kept = os.dup(1)
    except OSError:  # it is closed
        yield
        return
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
