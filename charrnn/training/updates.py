"""The backward pass and the optimizer step of one member, on a CPU and on a GPU.

On a CPU, the loss and the gradient norm are known at once, and the caller skips a step whose figures are not sound. A
GPU would run idle if they were read: there torch's `GradScaler` makes the optimizer skip such a step, and for float16
it scales up the loss, since gradients would underflow.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler

from charrnn.training.health import LARGEST_LOSS

FLOAT16_SCALE = 2.0**10
"""Initial loss scale under float16: about what turns the mean over a window into a sum."""

FLOAT16_BACKOFF, FLOAT16_GROWTH_STEPS = 1 / 8, 500
"""Factor on the loss scale where a gradient overflows, and steps without overflow after which the scale doubles. With
an eighth, a scale up to 64 times too large skips fewer than three steps in a row, which would be taken for a training
gone wrong. Members of an ensemble skip the same steps, so that all have the same scale."""


class Update:
    """Applies the steps of one member's optimizer, on a CPU.

    Args:
        optimizer: optimizer of the member's weights.

    Attributes:
        seeks_scale: whether an occasional gradient that is not finite only means that the loss scale was too large.
    """

    seeks_scale = False

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer

    def backward(self, loss: Tensor) -> None:
        """Compute the gradient of a loss."""
        loss.backward()  # type: ignore[no-untyped-call]

    def step(self, is_sound: Tensor | None = None) -> None:
        """Update the weights by their gradients.

        Args:
            is_sound: whether to do so, a bool of shape () that is still on the device; None where the caller has
                decided already.
        """
        self._optimizer.step()


class ScaledUpdate(Update):
    """Applies the steps of one member's optimizer where the host does not wait for the gradient.

    Args:
        optimizer: optimizer of the member's weights; torch's fused ones skip a step on the device itself, while its
            RMSprop, which is not fused, makes the host wait for every gradient.
        device: "cuda"; "cpu" for tests.
        precision: precision of the products; the loss is scaled for "float16" only.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, device: str, precision: str) -> None:
        super().__init__(optimizer)
        self.seeks_scale = precision == "float16"
        self._fixed_scale = None if self.seeks_scale else 1.0
        self._scaler = GradScaler(
            device,
            init_scale=self._fixed_scale or FLOAT16_SCALE,
            backoff_factor=FLOAT16_BACKOFF,
            growth_interval=FLOAT16_GROWTH_STEPS,
        )

    def backward(self, loss: Tensor) -> None:
        """See `Update.backward`; the gradients are those of the loss before scaling.

        A loss of `LARGEST_LOSS` or more gets NaN gradients, so that every rank skips the step.
        """
        passed = torch.where(loss.detach().abs() < LARGEST_LOSS, 1.0, math.nan)
        self._scaler.scale(loss * passed).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(self._optimizer)

    def step(self, is_sound: Tensor | None = None) -> None:
        """See `Update.step`; `is_sound` is never None."""
        assert is_sound is not None, "on a GPU the caller has not read it"
        for left_out in self._scaler._found_inf_per_device(self._optimizer).values():
            left_out.copy_(~is_sound)
        if isinstance(self._optimizer, torch.optim.SGD):
            self._begin_momentum()
        self._scaler.step(self._optimizer)
        self._scaler.update(self._fixed_scale)

    def _begin_momentum(self) -> None:
        """Create momentum buffers of zeros, with the same first step; torch's own stay unfilled if that is skipped."""
        for parameter in (p for group in self._optimizer.param_groups for p in group["params"]):
            state = self._optimizer.state[parameter]
            if state.get("momentum_buffer") is None:
                state["momentum_buffer"] = torch.zeros_like(parameter)


def build_update(optimizer: torch.optim.Optimizer, device: str, precision: str) -> Update:
    """Make a member's update for a device, "cpu" or "cuda"."""
    return Update(optimizer) if device == "cpu" else ScaledUpdate(optimizer, device, precision)
