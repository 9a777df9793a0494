"""A window's way forward through a model, and its gradient's way back."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor
from torch.nn import functional

from charrnn.ensemble import Model, join_states, members_of, side_by_side, split_state
from charrnn.lanes import IGNORED
from charrnn.model import CharRNN, State
from charrnn.ranks import ALONE, Ranks


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """The context in which a forward pass runs at a precision, "float32" or "bfloat16"."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def forward_and_backward(
    model: Model,
    inputs: Tensor,
    targets: Tensor,
    state: State,
    *,
    precision: str,
    grad_clip: float,
    ranks: Ranks = ALONE,
    share: float = 1.0,
) -> tuple[Tensor, Tensor, State]:
    """Read a window and find the gradient of its loss by each weight; every member learns as if it were alone.

    Args:
        model: gets the gradients, clipped; what it had before is forgotten.
        inputs: ids, shape (T, B).
        targets: ids, shape (T, B), or `IGNORED`.
        state: of the characters before.
        precision: "float32" or "bfloat16".
        grad_clip: largest norm of a member's gradient.
        ranks: the processes that read a window together, each its own lanes; the gradient is that of all.
        share: of all targets that count, those of this process.

    Returns:
        Each member's mean loss in nats per character, shape (members,), to be averaged over the ranks; its gradient's
        norm before clipping, shape (members,); and the state after the window.
    """

    def learn(pair: tuple[CharRNN, State]) -> tuple[Tensor, Tensor, State]:
        member, own = pair
        member.zero_grad(set_to_none=True)
        with autocast(inputs.device, precision):
            logits, after = ranks.replica(member)(inputs, own)  # (T, B, V)
            loss = functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED)
            loss = ranks.weigh(loss, share)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach(), torch.nn.utils.clip_grad_norm_(member.parameters(), grad_clip), after

    pairs = list(zip(members_of(model), split_state(model, state), strict=True))
    losses, norms, states = zip(*side_by_side(model, learn, pairs), strict=True)
    return torch.stack(losses), torch.stack(norms), join_states(states)
