"""The optimizer of a run, and its learning rate as a function of progress."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from charrnn.config import TrainConfig
from charrnn.shapes import decays

MOMENTUM = 0.9
"""First-moment decay of Adam and AdamW, and Nesterov momentum of SGD."""

_WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
"""Methods of optimizers, besides `step`, that torch wraps for its compiler."""

_CHECKS = ("_accelerator_graph_capture_health_check", "_cuda_graph_capture_health_check")
"""Checks for CUDA graph capture before a step, the second in older versions of torch; steps are never captured here.
The checks initialise a GPU, if there is one, and take some of its memory, even if the training is on the CPU."""


def build_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Make the optimizer that a config names; only matrices decay (Loshchilov and Hutter 2019 for AdamW).

    Where torch has a fused kernel it is used: it updates all of a tensor in one pass.
    """
    groups: list[dict[str, Any]] = [
        {"params": [p for name, p in model.named_parameters() if decays(name, p.shape)]},
        {"params": [p for name, p in model.named_parameters() if not decays(name, p.shape)], "weight_decay": 0.0},
    ]
    rate, decay = config.learning_rate, config.weight_decay
    if config.optimizer == "sgd":
        return _eager(torch.optim.SGD)(
            groups, lr=rate, weight_decay=decay, momentum=MOMENTUM, nesterov=True, fused=True
        )
    if config.optimizer == "rmsprop":
        return _eager(torch.optim.RMSprop)(groups, lr=rate, weight_decay=decay, alpha=config.beta2)
    adam = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return _eager(adam)(groups, lr=rate, weight_decay=decay, betas=(MOMENTUM, float(config.beta2)), fused=True)


def scheduled_rate(config: TrainConfig, step: int, progress: float) -> float:
    """The rate of a step: a linear fall to `final_learning_rate`, times a linear rise over `warmup_steps`.

    Args:
        config: the learning rates, and the steps of the warm-up.
        step: steps taken before this one.
        progress: share of the whole training that is done, from 0 to 1.
    """
    warm_up = min(1.0, (step + 1) / (config.warmup_steps + 1))
    fall = 1 - (1 - config.final_learning_rate) * min(progress, 1.0)
    return config.learning_rate * warm_up * fall


def _eager(optimizer: type[torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """Make a subclass of an optimizer that computes the same, without torch's wrappers for compiled training.

    The wrappers of `_WRAPPED` import torch's compiler: 800 modules, seconds and 60 MB, none of it used here. `step`
    still switches gradients off, as its wrapper does.
    """
    methods = {name: inspect.unwrap(getattr(optimizer, name)) for name in _WRAPPED}
    methods["step"] = torch.no_grad()(inspect.unwrap(optimizer.step))
    return type(optimizer.__name__, (optimizer,), methods | dict.fromkeys(_CHECKS, lambda _: None))
