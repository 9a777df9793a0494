"""From a member's loss to the update of its weights, on a processor and on a GPU.

A processor has the loss and the gradient's norm at once, and a step whose figures are no good is left out by whoever
reads them. On a GPU, reading them would let it run dry: there torch's `GradScaler` has the optimizer leave such a step
out, and it scales up the loss for float16, whose smallest numbers a gradient falls below.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler

from charrnn.training.health import LARGEST_LOSS

FLOAT16_SCALE = 2.0**10
"""Scale of the loss at first under float16: about what turns the mean over a window into a sum."""

FLOAT16_BACKOFF, FLOAT16_GROWTH_STEPS = 1 / 8, 500
"""It is divided by eight where a gradient overflows, so that one up to 64 times too large leaves out no three steps in
a row, which would be taken for a training gone wrong; and it doubles after so many steps without. Members of an
ensemble leave out the same steps, so that all have the same scale."""


class Update:
    """Applies the steps of one member's optimizer, on a processor.

    Args:
        optimizer: of its weights.

    Attributes:
        seeks_scale: whether a gradient that is not finite, now and then, only says that the loss was scaled too much.
    """

    seeks_scale = False

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer

    def backward(self, loss: Tensor) -> None:
        """Find the gradient of a loss by each weight."""
        loss.backward()  # type: ignore[no-untyped-call]

    def step(self, is_sound: Tensor | None = None) -> None:
        """Change the weights by their gradients.

        Args:
            is_sound: whether to do so, a bool of shape () that nobody has read yet; None where it is known already.
        """
        self._optimizer.step()


class ScaledUpdate(Update):
    """Applies the steps of one member's optimizer where the host does not wait for the gradient.

    Args:
        optimizer: of its weights; torch's fused ones leave a step out on the device itself, and its RMSprop, which is
            not fused, has the host wait for every gradient.
        device: "cuda"; "cpu" for tests.
        precision: of the products; the loss is scaled for "float16" alone.
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
        """See `Update.backward`; the gradients are those of the loss as it was, not of the scaled one.

        A loss of `LARGEST_LOSS` or more gets NaN gradients, so that every rank skips the step.
        """
        passed = torch.where(loss.detach().abs() < LARGEST_LOSS, 1.0, math.nan)
        self._scaler.scale(loss * passed).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(self._optimizer)

    def step(self, is_sound: Tensor | None = None) -> None:
        """See `Update.step`; where it is None, they change if all gradients are finite."""
        if is_sound is not None:
            for left_out in self._scaler._found_inf_per_device(self._optimizer).values():
                left_out.copy_(~is_sound)
        if isinstance(self._optimizer, torch.optim.SGD):
            self._begin_momentum()
        self._scaler.step(self._optimizer)
        self._scaler.update(self._fixed_scale)

    def _begin_momentum(self) -> None:
        """Begin with zeros, which give the same first step; torch's own buffer is not filled where that is left out."""
        for parameter in (p for group in self._optimizer.param_groups for p in group["params"]):
            state = self._optimizer.state[parameter]
            if state.get("momentum_buffer") is None:
                state["momentum_buffer"] = torch.zeros_like(parameter)


def build_update(optimizer: torch.optim.Optimizer, device: str, precision: str) -> Update:
    """Make a member's update for a device, "cpu" or "cuda"."""
    return Update(optimizer) if device == "cpu" else ScaledUpdate(optimizer, device, precision)
