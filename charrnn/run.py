"""A training under way: everything that must be kept so that it can go on from where it stands.

How it goes on is the matter of `charrnn.training`.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from charrnn.config import ModelConfig, TrainConfig
from charrnn.encoder import Ids
from charrnn.ensemble import Model, build_model, members_of
from charrnn.lanes import Lanes
from charrnn.lines import LineLanes
from charrnn.metrics import HistoryRow, best_row
from charrnn.model import State, rebuild_state
from charrnn.optimizers import build_optimizer
from charrnn.recovery import Health
from charrnn.resuming import check_state

FINISH_SECONDS = 0.5
"""Time to leave the process in, once the last checkpoint is saved."""


@dataclass
class Pace:
    """Sums since the last evaluation, and where that was.

    Attributes:
        loss: sum over characters, in nats.
        steps: steps summed.
        chars: characters read in them.
        step: of the last evaluation.
        seconds: of the run at the last evaluation.
        stale: evaluations in a row without a better loss.
    """

    loss: float = 0.0
    steps: int = 0
    chars: int = 0
    step: int = 0
    seconds: float = 0.0
    stale: int = 0


@dataclass
class TrainingRun:
    """A training under way: all that a checkpoint needs to go on from here.

    Attributes:
        model: in training mode between evaluations.
        config: how it is trained.
        optimizers: one for each member's parameters.
        lanes: the place in the training piece.
        line_feed: the id that ends a line, where each line is a text of its own; else None.
        val_ids: the held-out piece, shape (num_chars,).
        state: hidden state after the last window, detached.
        started: `time.perf_counter()` at the run's second zero.
        step: optimizer updates made.
        history: one row per evaluation.
        best_weights: those of the evaluation with the lowest loss; empty before the first.
        pace: sums since the last evaluation.
        health: what went wrong so far.
        evaluation_seconds: what an evaluation takes, expected or as the last one took.
        finish_seconds: what is kept of a time limit for the last save and for leaving the process.
        rewinds: how often training went back to the best weights.
        cold_loss: of the best weights in cold windows; None where it was not measured yet.
    """

    model: Model
    config: TrainConfig
    optimizers: list[torch.optim.Optimizer]
    lanes: Lanes | LineLanes
    val_ids: Ids
    state: State
    started: float
    step: int = 0
    history: list[HistoryRow] = field(default_factory=list)
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    pace: Pace = field(default_factory=Pace)
    health: Health = field(default_factory=Health)
    evaluation_seconds: float = 0.0
    finish_seconds: float = FINISH_SECONDS
    rewinds: int = 0
    cold_loss: float | None = None
    line_feed: int | None = None

    @classmethod
    def start(
        cls,
        model_config: ModelConfig,
        config: TrainConfig,
        train_ids: Ids,
        val_ids: Ids,
        *,
        started: float,
        line_feed: int | None = None,
    ) -> TrainingRun:
        """Begin a run: weights from the seed, zero state, first window.

        Args:
            model_config: the model's shape.
            config: how it is trained.
            train_ids: shape (num_chars,).
            val_ids: shape (num_chars,).
            started: `time.perf_counter()` from which a time limit counts.
            line_feed: the id that ends a line, where each line is a text of its own.

        Raises:
            ConfigError: too few characters for the lanes.
        """
        lanes: Lanes | LineLanes
        if line_feed is None:
            lanes = Lanes(train_ids, batch_size=config.batch_size, seq_len=config.seq_len)
        else:
            sizes = {"batch_size": config.batch_size, "seq_len": config.seq_len}
            lanes = LineLanes(train_ids, line_feed, **sizes, seed=config.seed)
        torch.manual_seed(config.seed)
        model = build_model(model_config).to(config.device)
        model.seed_dropout(config.seed)
        return cls(
            model=model,
            config=config,
            optimizers=[build_optimizer(member, config) for member in members_of(model)],
            lanes=lanes,
            val_ids=val_ids,
            state=model.initial_state(config.batch_size),
            started=started,
            line_feed=line_feed,
        )

    def first_weights(self) -> dict[str, Tensor]:
        """The weights that the seed gives; torch's own random numbers go on as if nothing had happened."""
        with torch.random.fork_rng():
            torch.manual_seed(self.config.seed)
            return dict(build_model(self.model.config).state_dict())

    @property
    def learning_rate(self) -> float:
        """The rate of the last step."""
        return float(self.optimizers[0].param_groups[0]["lr"])

    def set_learning_rate(self, rate: float) -> None:
        """Settle the rate of the next step."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate

    @property
    def seconds(self) -> float:
        """Wall-clock time of the run, pauses between resumed parts left out."""
        return time.perf_counter() - self.started

    @property
    def total_steps(self) -> int | None:
        """Steps after which the training ends; None where only the clock ends it."""
        limits = [self.config.max_steps] if self.config.max_steps is not None else []
        if self.config.epochs is not None:
            limits.append(max(1, math.ceil(self.config.epochs * self.lanes.windows_per_epoch)))
        return min(limits, default=None)

    @property
    def progress(self) -> float:
        """Share of the training that is done, by steps or by the clock, whichever is further."""
        shares = [0.0]
        if self.total_steps is not None:
            shares.append(self.step / self.total_steps)
        if self.config.time_limit is not None:
            reserve = self.finish_seconds + 2 * self.evaluation_seconds  # the last one, and the one in cold windows
            shares.append(self.seconds / max(self.config.time_limit - reserve, 1e-3))
        return min(max(shares), 1.0)

    @property
    def is_out_of_patience(self) -> bool:
        """Whether too many evaluations in a row were no better than the best."""
        return self.config.patience is not None and self.pace.stale >= self.config.patience

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do: the end is reached and evaluated, or patience is at its end."""
        if self.is_out_of_patience:
            return True
        return bool(self.history) and self.progress >= 1 and self.pace.steps == 0

    @property
    def epoch(self) -> float:
        """Passes over the training piece, as a fraction."""
        return self.lanes.epoch + self.lanes.index / self.lanes.windows_per_epoch

    @property
    def best(self) -> HistoryRow | None:
        """The evaluation with the lowest loss."""
        return best_row(self.history)

    def state_dict(self) -> dict[str, Any]:
        """All but the best weights and the history, as plain values and tensors; see `load_state_dict`."""
        return {
            "config": asdict(self.config),
            "weights": dict(self.model.state_dict()),
            "optimizer": _one_or_all([optimizer.state_dict() for optimizer in self.optimizers]),
            "state": [list(layer) for layer in self.state],
            "step": self.step,
            "seconds": self.seconds,
            "evaluation_seconds": self.evaluation_seconds,
            "rewinds": self.rewinds,
            "cold_loss": self.cold_loss,
            "lanes": {"epoch": self.lanes.epoch, "index": self.lanes.index},
            "pace": dict(vars(self.pace)),
            "health": dict(vars(self.health)),
            "random_state": self.model.random_state,
            "cuda_random_state": torch.cuda.get_rng_state() if self.config.device == "cuda" else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to where `state_dict` was taken; the config stays this run's own.

        Raises:
            CheckpointError: the state does not fit the model.
        """
        check_state(self, state)
        self.model.load_state_dict(state["weights"])
        # The groups stay this run's own: what they hold follows from the config.
        stored = state["optimizer"] if len(self.optimizers) > 1 else [state["optimizer"]]
        for optimizer, moments in zip(self.optimizers, stored, strict=True):
            optimizer.load_state_dict({**optimizer.state_dict(), "state": moments["state"]})
        self.state = rebuild_state(state["state"], self.model.device)
        self.step = state["step"]
        self.started -= state["seconds"]
        self.evaluation_seconds = state["evaluation_seconds"]
        self.rewinds = state["rewinds"]
        self.cold_loss = state.get("cold_loss")
        self.lanes.seek(**state["lanes"])
        self.pace = Pace(**state["pace"])
        self.health = Health(**state.get("health", {}))  # a file of the first days has none
        self.model.random_state = state["random_state"]
        if self.config.device == "cuda" and state["cuda_random_state"] is not None:
            torch.cuda.set_rng_state(state["cuda_random_state"])


def _one_or_all(values: list[Any]) -> Any:
    """What a model that stands alone has is stored as it is; of an ensemble's, there is a list."""
    return values[0] if len(values) == 1 else values
