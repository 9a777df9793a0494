"""The forward and backward pass of a window."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from charrnn.network.ensemble import Model, join_states, map_members, members_of, split_state
from charrnn.network.model import CharRNN, State
from charrnn.training.lanes import IGNORED
from charrnn.training.ranks import ALONE, Ranks
from charrnn.training.updates import Update

ROUNDED = {"bfloat16": torch.bfloat16, "float16": torch.float16}
"""Data type of the matrix products of a step, by precision, where it is not float32."""


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """The context in which a forward pass runs at a precision, "float32" or one of `ROUNDED`."""
    return torch.autocast(device.type, ROUNDED.get(precision, torch.bfloat16), enabled=precision in ROUNDED)


@dataclass(frozen=True)
class Pass:
    """Results of a window's forward and backward pass.

    Attributes:
        losses: each member's mean loss in nats per character, shape (members,): over all ranks, or on a GPU this rank's
            contribution, still to be averaged over the ranks.
        norms: each member's gradient norm before clipping, shape (members,).
        state: state after the window.
    """

    losses: Tensor
    norms: Tensor
    state: State


def forward_and_backward(
    model: Model,
    inputs: Tensor,
    targets: Tensor,
    state: State,
    *,
    precision: str,
    grad_clip: float,
    recalled: Tensor | None = None,
    updates: Sequence[Update] | None = None,
    ranks: Ranks = ALONE,
    share: float = 1.0,
) -> Pass:
    """Compute the loss of a window and its gradient; every member learns as if it were alone.

    Args:
        model: its gradients are replaced by the new, clipped ones.
        inputs: ids, shape (T, B).
        targets: ids, shape (T, B), or `IGNORED`.
        state: state after the characters before.
        precision: "float32" or one of `ROUNDED`.
        grad_clip: largest norm of a member's gradient.
        recalled: the forecasts after the inputs, shape (T, B, C), for a model that recalls.
        updates: the `Update` of each member, which computes its gradient; None where no update follows.
        ranks: the processes that read a window together, each its own lanes; the gradient is that over all lanes.
        share: this process's share of all targets that count.
    """

    def learn(item: tuple[CharRNN, State, Update | None]) -> tuple[Tensor, Tensor, State]:
        member, own, update = item
        member.zero_grad(set_to_none=True)
        with autocast(inputs.device, precision):
            logits, after = ranks.replica(member)(inputs, own, recalled)  # (T, B, V)
            loss = functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED)
            loss = ranks.send_loss(member, loss, share)
        if update is None:
            loss.backward()  # type: ignore[no-untyped-call]
        else:
            update.backward(loss)
        return ranks.receive_loss(member, loss), _clip(member, grad_clip), after

    members = members_of(model)
    each: Sequence[Update | None] = updates or [None] * len(members)
    items = list(zip(members, split_state(model, state), each, strict=True))
    losses, norms, states = zip(*map_members(model, learn, items), strict=True)
    return Pass(torch.stack(losses), torch.stack(norms), join_states(states))


def _clip(member: CharRNN, longest: float) -> Tensor:
    """Clip a member's gradient to a norm; return the norm before.

    On a CPU a gradient within the limit is not touched; on a GPU it is always scaled, since a check would have to wait.
    """
    parameters = list(member.parameters())
    norm = get_total_norm([p.grad for p in parameters if p.grad is not None])
    if member.device.type != "cpu" or not norm <= longest:  # also true of NaN
        clip_grads_with_norm_(parameters, longest, norm)
    return norm
