"""The processes that train one model together, seen from one of them; here there is only that one.

Each rank reads its own slice of the lanes and keeps their state; weights and decisions are everyone's. Whatever is
decided rests on figures that all have exchanged, the time on the first rank's clock among them, so that all decide
alike and none waits for another in vain. `charrnn.training.group` is the same for several processes.
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
    """One process that trains alone: what others would say is what it says itself.

    Attributes:
        rank: its number; the first, 0, alone reads files, writes them, prints, and has a clock.
        world_size: how many there are.
        local_rank: its number on its host.
        local_world_size: how many there are on its host.
        restarts: how often they have been started again, as far as any of them knows.
        launches: the names of the torchruns that started them; see `Place`.
    """

    rank = 0
    world_size = 1
    local_rank = 0
    local_world_size = 1
    restarts = 0
    launches: frozenset[str] = frozenset()

    @property
    def is_first(self) -> bool:
        """Whether this is the one that speaks for all."""
        return self.rank == 0

    def shard(self, count: int) -> slice:
        """Which of some things that lie in one order are this rank's: as many as any other's, or one more."""
        return slice(self.rank * count // self.world_size, (self.rank + 1) * count // self.world_size)

    def now(self) -> float:
        """Seconds on the first rank's clock, as of the last exchange of figures."""
        return CLOCK.now()

    def broadcast(self, function: Callable[[], Value]) -> Value:
        """Let the first rank call a function, and give its result to all."""
        return function()

    def all_gather(self, value: Value) -> list[Value]:
        """What each rank has, in their order."""
        return [value]

    def broadcast_array(self, array: NDArray[np.generic] | None) -> NDArray[np.generic]:
        """Give an array of the first rank's, shape (n,), to all; the others pass None."""
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
        """Go on when all are here."""
        self.all_reduce_sum()

    def replicate(self, model: nn.Module) -> None:
        """From now on, `replica` of this model finds the mean gradient over the ranks; all must call this alike."""

    def replica(self, model: nn.Module) -> nn.Module:
        """The model, to be called in its place while it learns."""
        return model

    def send_loss(self, model: nn.Module, loss: Tensor, share: float) -> Tensor:
        """Scale a model's mean loss so that its mean over the ranks is the mean over all their targets.

        That mean, and the first rank's time, reach the others with the gradient: see `receive_loss`.

        Args:
            model: whose replica found it, and whose gradient is found next.
            loss: over this rank's targets, a scalar; not a number where it has none.
            share: of all ranks' targets, those of this rank.
        """
        return loss

    def receive_loss(self, model: nn.Module, loss: Tensor) -> Tensor:
        """The mean over the ranks of what `send_loss` gave, once its gradient is found; `now` goes by its time then.

        On a GPU, for which nobody waits, it is this rank's alone, and no time comes with it.
        """
        return loss.detach()

    def peer_failure(self, error: Exception) -> str:
        """What an error says of another rank, in words; empty where it has nothing to do with one."""
        return ""

    def may_speak(self) -> bool:
        """Whether it falls to this rank to say what went wrong: of several that fail, one does."""
        return True


ALONE = Ranks()
"""A process without others."""
