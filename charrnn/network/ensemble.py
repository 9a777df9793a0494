"""An ensemble: several networks of one shape that are trained independently and predict together.

Each member has its own initial weights and dropout masks, so their errors differ: the mean of their predictions is
better than any one of them (Hansen and Salamon 1990, https://doi.org/10.1109/34.58871). On a CPU the members are
computed in parallel, each with a share of the threads; that keeps the cores busier than a single network does, whose
steps are short.
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
    """Predicts the next character by the mean of the members' probabilities; has the interface of `CharRNN`.

    Its state holds the states of the first member's layers, then those of the second's, and so on.

    Args:
        config: the shape of each member, and the number of members.

    Attributes:
        members: the networks.
        at_once: number of members computed at the same time.
        threads_each: processor threads for each of these.
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
            state: state after the characters before, from an earlier call or `initial_state`.
            recalled: see `CharRNN.forward`.

        Returns:
            Log-probabilities of the character after each, shape (T, B, V), and the state after the last.
        """
        pairs = zip(self.members, split_state(self, state), strict=True)
        results = map_members(self, lambda pair: pair[0](ids, pair[1], recalled), list(pairs))
        log_probabilities = torch.stack([logits.float().log_softmax(dim=-1) for logits, _ in results])
        return log_probabilities.logsumexp(dim=0) - math.log(len(results)), join_states([own for _, own in results])

    def initial_state(self, batch_size: int) -> State:
        """The state before any character: zeros."""
        return join_states([member.initial_state(batch_size) for member in self.members])

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.members[0].device


Model = CharRNN | Ensemble


def build_model(config: ModelConfig) -> Model:
    """Make the network or ensemble that a config describes, with weights drawn from torch's global generator."""
    return CharRNN(config) if config.members == 1 else Ensemble(config)


def members_of(model: Model) -> list[CharRNN]:
    """The networks of an ensemble; a `CharRNN` counts as its own only member."""
    return [model] if isinstance(model, CharRNN) else list(model.members)


def split_state(model: Model, state: State) -> list[State]:
    """Split a model's state into the members' states."""
    layers = model.config.num_layers
    return [state[first : first + layers] for first in range(0, len(state), layers)]


def join_states(states: Sequence[State]) -> State:
    """Join the members' states into the model's state."""
    return tuple(layer for state in states for layer in state)


def map_members(model: Model, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Call a function for each member of a model, in parallel on a CPU, and return the results in order.

    Args:
        model: its `at_once` says how many calls run at the same time; see `share_threads`.
        function: runs under the caller's gradient and autocast modes, which torch keeps for each thread.
        items: one for each member.
    """
    if isinstance(model, CharRNN) or model.at_once == 1:
        return [function(item) for item in items]
    learns, failures = torch.is_grad_enabled(), list[BaseException]()
    is_rounded, rounded_to = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    def call(item: Item) -> Result:
        if failures:  # other ranks wait for the failed member's exchange; another member here would wait for them
            raise failures[0]
        torch.set_num_threads(model.threads_each)  # for work of the calling thread only
        try:
            with torch.set_grad_enabled(learns), torch.autocast("cpu", rounded_to, enabled=is_rounded):
                return function(item)
        except BaseException as error:
            failures.append(error)
            raise

    return list(_workers(model.at_once).map(call, items))


def set_dropout(model: Model, **shares: Any) -> None:
    """Change dropout shares, named as in `ModelConfig`, from the next pass on: each pass reads them from the config."""
    for part in {model, *members_of(model)}:
        part.config = replace(part.config, **shares)


def share_threads(model: Model, threads: int) -> int:
    """Divide the processor's threads evenly among the members that are computed at the same time.

    Returns:
        The number of threads used. A remainder is not: a member with one thread more would only wait for the others.
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
