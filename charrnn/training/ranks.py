"""The interface between the processes (ranks) that train one model together, implemented for a single process.

Each rank reads its own slice of the lanes and keeps their state; weights and decisions are common to all. Decisions
rest only on figures that all ranks have exchanged, including the time on the first rank's clock, so that all decide
alike and none is left waiting for another. `charrnn.training.group` implements it for several processes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from charrnn.training.clock import CLOCK

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

Value = TypeVar("Value")


class Ranks:
    """A process that trains alone: every exchange returns its own values.

    Attributes:
        rank: number of this process; only the first, 0, reads files, writes them, prints, and has a clock.
        world_size: number of processes.
        local_rank: number of this process on its host.
        local_world_size: number of processes on its host.
        restarts: how often the processes have been restarted, as far as any of them knows.
        launches: the names of the torchruns that started the processes; see `Place`.
    """

    rank = 0
    world_size = 1
    local_rank = 0
    local_world_size = 1
    restarts = 0
    launches: frozenset[str] = frozenset()

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that acts for all."""
        return self.rank == 0

    def shard(self, count: int) -> slice:
        """This rank's slice of `count` items in order; the ranks' shares differ by one at most."""
        return slice(self.rank * count // self.world_size, (self.rank + 1) * count // self.world_size)

    def now(self) -> float:
        """Seconds on the first rank's clock, as of the last exchange of figures."""
        return CLOCK.now()

    def broadcast(self, function: Callable[[], Value]) -> Value:
        """Call a function on the first rank, and return its result on all."""
        return function()

    def all_gather(self, value: Value) -> list[Value]:
        """The values of all ranks, in order."""
        return [value]

    def broadcast_array(self, array: NDArray[np.generic] | None) -> NDArray[np.generic]:
        """Send an array of the first rank, shape (n,), to all; the others pass None."""
        assert array is not None, "the first rank has one"
        return array

    def all_reduce_sum(self, *values: float) -> list[float]:
        """Each value added up over the ranks."""
        return list(values)

    def all_reduce_mean(self, *values: float) -> list[float]:
        """Each value's mean over the ranks."""
        return [total / self.world_size for total in self.all_reduce_sum(*values)]

    def all_reduce_max(self, *values: float) -> list[float]:
        """The largest of each value over the ranks."""
        return list(values)

    def barrier(self) -> None:
        """Wait until all ranks are here."""
        self.all_reduce_sum()

    def replicate(self, model: nn.Module) -> None:
        """Make the `replica` of a model, whose gradient is the mean over the ranks; all must call this in one order."""

    def replica(self, model: nn.Module) -> nn.Module:
        """The replica of a model, to be called in its place in training."""
        return model

    def send_loss(self, model: nn.Module, loss: Tensor, share: float) -> Tensor:
        """Scale a model's mean loss so that its mean over the ranks is the mean over all their targets.

        That mean, and the first rank's time, reach the others with the gradient: see `receive_loss`.

        Args:
            model: the model whose replica gave the loss; its backward pass must come next.
            loss: mean over this rank's targets, a scalar; NaN where it has none.
            share: this rank's share of all ranks' targets.
        """
        return loss

    def receive_loss(self, model: nn.Module, loss: Tensor) -> Tensor:
        """After the backward pass: the mean over the ranks of what `send_loss` returned; `now` is updated too.

        On a GPU, for which the host does not wait, it is this rank's value only, and `now` is not updated.
        """
        return loss.detach()

    def peer_failure(self, error: Exception) -> str:
        """What an error says about another rank, in words; empty where it is not about one."""
        return ""

    def may_speak(self) -> bool:
        """Whether this rank is to report an error: of several that fail, one does."""
        return True


ALONE = Ranks()
"""A process without others."""
