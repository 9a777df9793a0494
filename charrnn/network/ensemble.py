"""An ensemble: several networks of one shape that learn apart and predict together.

Each begins with weights of its own and hides other characters and units while it learns, so that each errs in other
places: the mean of their predictions is better than any one of them (Hansen and Salamon 1990,
https://doi.org/10.1109/34.58871). On a CPU they are computed at the same time, a share of the threads for each; that
keeps the cores busier than one network does, whose steps are short.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from charrnn.config import ModelConfig
from charrnn.network.model import CharRNN, State

Item = TypeVar("Item")
Result = TypeVar("Result")


class Ensemble(nn.Module):
    """Scores of the next character by the mean of the members' probabilities; called as a `CharRNN` is.

    A state is that of all layers of the first member, then of the second, and so on.

    Args:
        config: the shape of each member, and how many there are.

    Attributes:
        members: the networks.
        at_once: how many of them are computed at the same time.
        threads_each: of the processor, for each of these.
    """

    members: Sequence[CharRNN]

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.members = nn.ModuleList(CharRNN(config.member) for _ in range(config.members))  # type: ignore[assignment]
        self.at_once, self.threads_each = 1, 1

    def forward(self, ids: Tensor, state: State, recalled: Tensor | None = None) -> tuple[Tensor, State]:
        """Read a window of characters.

        Args:
            ids: shape (T, B), values in [0, V).
            state: of the characters before, from a former call or `initial_state`.
            recalled: see `CharRNN.forward`.

        Returns:
            Log-probabilities of the character after each, shape (T, B, V), and the state after the last.
        """
        pairs = zip(self.members, split_state(self, state), strict=True)
        results = side_by_side(self, lambda pair: pair[0](ids, pair[1], recalled), list(pairs))
        log_probabilities = torch.stack([logits.float().log_softmax(dim=-1) for logits, _ in results])
        return log_probabilities.logsumexp(dim=0) - math.log(len(results)), join_states([own for _, own in results])

    def initial_state(self, batch_size: int) -> State:
        """The state before any character: zeros."""
        return join_states([member.initial_state(batch_size) for member in self.members])

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.members[0].device


Model = CharRNN | Ensemble


def build_model(config: ModelConfig) -> Model:
    """Make the network, or the networks, that a config describes; weights are drawn from torch's random numbers."""
    return CharRNN(config) if config.members == 1 else Ensemble(config)


def members_of(model: Model) -> list[CharRNN]:
    """The networks of an ensemble; one that stands alone is its only member."""
    return [model] if isinstance(model, CharRNN) else list(model.members)


def split_state(model: Model, state: State) -> list[State]:
    """Give each member its part of a state."""
    layers = model.config.num_layers
    return [state[first : first + layers] for first in range(0, len(state), layers)]


def join_states(states: Sequence[State]) -> State:
    """Put the members' states together."""
    return tuple(layer for state in states for layer in state)


def side_by_side(model: Model, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Call a function for each member of a model, on a CPU at the same time, and give the results in order.

    Args:
        model: decides how many are computed at once; see `share_threads`.
        function: runs with the caller's gradient mode and precision, which torch keeps for each thread.
        items: one for each member.
    """
    if isinstance(model, CharRNN) or model.at_once == 1:
        return [function(item) for item in items]
    learns, failures = torch.is_grad_enabled(), list[BaseException]()
    is_rounded, rounded_to = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    def call(item: Item) -> Result:
        if failures:  # another process waits there with a member, and this one would wait for it in return
            raise failures[0]
        torch.set_num_threads(model.threads_each)  # of the thread that calls, and of no other
        try:
            with torch.set_grad_enabled(learns), torch.autocast("cpu", rounded_to, enabled=is_rounded):
                return function(item)
        except BaseException as error:
            failures.append(error)
            raise

    return list(_workers(model.at_once).map(call, items))


def set_dropout(model: Model, **shares: Any) -> None:
    """Hide other shares from now on, by the names that `ModelConfig` has for them: each pass reads them there."""
    for part in {model, *members_of(model)}:
        part.config = replace(part.config, **shares)


def share_threads(model: Model, threads: int) -> int:
    """Divide the processor's threads evenly among members, of which as many are computed at the same time as pay.

    Returns:
        How many threads compute: one that is left over would only have its member wait for the others.
    """
    at_once, threads_each = 1, threads
    if isinstance(model, Ensemble):
        at_once = min(threads, len(model.members)) if model.device.type == "cpu" else 1
        threads_each = threads // at_once
        model.at_once, model.threads_each = at_once, threads_each
    torch.set_num_threads(threads_each)
    return at_once * threads_each


@cache
def _workers(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="member")
