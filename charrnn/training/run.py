"""The state of a training in progress: everything that must be kept so that it can be resumed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from charrnn.arrays import Ids
from charrnn.config import ModelConfig, TrainConfig
from charrnn.errors import ConfigError
from charrnn.metrics import HistoryRow
from charrnn.network.ensemble import Model, members_of
from charrnn.network.model import State, join_lanes, map_state
from charrnn.storage.training_state import FIGURES
from charrnn.training.health import RECOVERY_FACTOR, REWIND_FACTOR, Health
from charrnn.training.lane_choice import build_lanes
from charrnn.training.lanes import WindowReader
from charrnn.training.optimizers import build_optimizer
from charrnn.training.pace import Pace, StepMetrics
from charrnn.training.randomness import get_random_states, seeded_model, set_random_states
from charrnn.training.ranks import ALONE, Ranks
from charrnn.training.recalled_text import RecallSource, recall_source
from charrnn.training.updates import ScaledUpdate, Update, build_update

FINISH_SECONDS = 0.5
"""Seconds that the process needs to exit after the last checkpoint is saved."""


@dataclass
class TrainingRun:
    """A training in progress: all that a checkpoint needs to resume from here.

    Attributes:
        model: in training mode between evaluations.
        config: how it is trained.
        optimizers: one for each member's parameters.
        updates: the `Update` that applies each optimizer.
        lanes: reader of the training piece, with its position there.
        line_end_id: the id that ends a line, where each line is a text of its own; else None.
        val_ids: the held-out piece, shape (num_chars,).
        val_recall_source: of the forecasts in the held-out piece; None for a model that does not recall.
        state: hidden state after the last window, detached.
        started_at: the value of `ranks.now()` at which `seconds` is 0.
        step: optimizer updates made.
        first_step: step at which epoch 0 began: 0, unless --force-resume changed how the text is read; may be negative.
        set_up_began_at: `seconds` when this process began or resumed the run; None once it trains.
        set_up_seconds: the part of `seconds` spent on set-up before training, in this process and in those before.
        history: one row per evaluation.
        best: the row with the lowest loss, the first of equals; None before the first evaluation.
        has_evaluated: whether this process has made an evaluation.
        best_weights: the weights at `best`; empty before the first evaluation.
        fallback_weights: to go back to before there are best ones, if --force-resume discarded losses; else empty.
        pace: sums since the last evaluation.
        highest_norm: the largest gradient norm of a step since the last report; not saved: saves come right after one.
        health: what went wrong so far.
        evaluation_seconds: duration of an evaluation: expected, or that of the last one, taken as at most twice that of
            the one before.
        finish_seconds: the part of a time limit that is reserved for the last save and for the exit of the process.
        rewinds: how often training went back to the best weights because evaluations brought no gain.
        cold_loss: loss of the best weights in cold windows; None where it is not measured yet.
        ranks: the processes that train this model, each with its own slice of the lanes and their state.
        unread: figures of the last steps that are still on the GPU; always empty on a CPU, and at every report.
    """

    model: Model
    config: TrainConfig
    optimizers: list[torch.optim.Optimizer]
    updates: list[Update]
    lanes: WindowReader
    val_ids: Ids
    state: State
    started_at: float
    step: int = 0
    first_step: int = 0
    set_up_began_at: float | None = 0.0
    set_up_seconds: float = 0.0
    history: list[HistoryRow] = field(default_factory=list)
    best: HistoryRow | None = None
    has_evaluated: bool = False
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    pace: Pace = field(default_factory=Pace)
    highest_norm: float = 0.0
    health: Health = field(default_factory=Health)
    evaluation_seconds: float = 0.0
    finish_seconds: float = FINISH_SECONDS
    rewinds: int = 0
    cold_loss: float | None = None
    line_end_id: int | None = None
    val_recall_source: RecallSource | None = None
    fallback_weights: dict[str, Tensor] = field(default_factory=dict)
    ranks: Ranks = ALONE
    unread: list[StepMetrics] = field(default_factory=list)

    @classmethod
    def start(
        cls,
        model_config: ModelConfig,
        config: TrainConfig,
        train_ids: Ids,
        val_ids: Ids,
        *,
        started_at: float,
        line_end_id: int | None = None,
        ranks: Ranks = ALONE,
    ) -> TrainingRun:
        """Begin a run: weights from the seed, zero state, first window.

        Args:
            model_config: the model's shape.
            config: how it is trained.
            train_ids: shape (num_chars,).
            val_ids: shape (num_chars,).
            started_at: `CLOCK.now()` at the moment from which a time limit counts.
            line_end_id: the id that ends a line, where each line is a text of its own.
            ranks: the processes that train this model; all of them must call this.

        Raises:
            ConfigError: too few characters for the lanes, or too few lanes for the processes.
        """
        if config.batch_size < ranks.world_size:
            raise ConfigError(
                f"{config.batch_size} lanes are fewer than {ranks.world_size} processes; start fewer of them or give a "
                "larger --batch-size or, where none is given, a longer text"
            )
        shard = ranks.shard(config.batch_size)
        model = seeded_model(model_config, config, ranks)
        optimizers = [build_optimizer(member, config) for member in members_of(model)]
        return cls(
            model=model,
            config=config,
            optimizers=optimizers,
            updates=[build_update(optimizer, config.device, config.precision) for optimizer in optimizers],
            lanes=build_lanes(train_ids, config, line_end_id, shard, model_config.recall),
            val_ids=val_ids,
            state=model.initial_state(shard.stop - shard.start),
            started_at=started_at,
            line_end_id=line_end_id,
            val_recall_source=recall_source(val_ids, model_config.recall) if model_config.recall else None,
            ranks=ranks,
        )

    def settle_precision(self, precision: str) -> None:
        """Compute in this precision from now on."""
        self.config = replace(self.config, precision=precision)
        self.updates = [build_update(optimizer, self.config.device, precision) for optimizer in self.optimizers]

    @property
    def reads_late(self) -> bool:
        """Whether a step's figures are left on the device, so that the host need not wait for it."""
        return isinstance(self.updates[0], ScaledUpdate)

    @property
    def learning_rate(self) -> float:
        """The rate of the last step."""
        return float(self.optimizers[0].param_groups[0]["lr"])

    def set_learning_rate(self, rate: float) -> None:
        """Set the rate of the next step."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate

    def take_highest_norm(self) -> float:
        """Return the largest gradient norm since the last report, and begin anew."""
        highest, self.highest_norm = self.highest_norm, 0.0
        return highest

    @property
    def rate_factor(self) -> float:
        """Factor on the learning rate for the rewinds and recoveries so far."""
        return REWIND_FACTOR**self.rewinds * RECOVERY_FACTOR**self.health.recoveries

    @property
    def seconds(self) -> float:
        """Wall-clock time of the run, without the gaps between an interruption and its resume."""
        return self.ranks.now() - self.started_at

    @property
    def new_set_up_seconds(self) -> float:
        """Seconds of set-up in this process so far; 0 once it trains, when `set_up_seconds` includes them."""
        return 0.0 if self.set_up_began_at is None else self.seconds - self.set_up_began_at

    @property
    def _limits(self) -> list[tuple[int, int]]:
        """The first and last step by each limit that is given, except the time limit."""
        limits = [(0, self.config.max_steps)] if self.config.max_steps is not None else []
        if self.config.epochs is not None:
            limits.append((self.first_step, self.first_step + self.lanes.windows_in(self.config.epochs)))
        return limits

    @property
    def total_steps(self) -> int | None:
        """Steps after which the training ends; None where only the clock ends it."""
        return min((last for _, last in self._limits), default=None)

    @property
    def planned_steps(self) -> int | None:
        """Length of the whole training in steps; unlike `total_steps`, it is counted from `first_step`."""
        return min((last - first for first, last in self._limits), default=None)

    @property
    def progress_by_steps(self) -> float:
        """Share of the training that is done, by steps; 0 where only the clock ends it."""
        return max(((self.step - first) / (last - first) for first, last in self._limits), default=0.0)

    @property
    def progress(self) -> float:
        """Share of the training that is done, by steps or by the clock, whichever is further."""
        share = max(0.0, self.progress_by_steps)
        if self.config.time_limit is not None:
            training = self.config.time_limit - self.set_up_seconds - self.finish_seconds - self.seconds_at_the_end
            share = max(share, (self.seconds - self.set_up_seconds) / max(training, 1e-3))
        return min(share, 1.0)

    @property
    def seconds_at_the_end(self) -> float:
        """How long the last evaluation takes and, for a text that is one stream, as long again in cold windows."""
        return self.evaluation_seconds * (2 if self.line_end_id is None else 1)

    @property
    def is_out_of_patience(self) -> bool:
        """Whether too many evaluations in a row were no better than the best."""
        return self.config.patience is not None and self.pace.stale >= self.config.patience

    @property
    def is_finished(self) -> bool:
        """Whether the run is over: its last step is evaluated, and it is at an end or out of patience."""
        is_evaluated = bool(self.history and self.step) and self.pace.steps == 0
        return is_evaluated and (self.is_out_of_patience or self.progress >= 1)

    @property
    def ended_by(self) -> str:
        """What has ended the run: "patience", "steps" or "time"."""
        by_steps = self.total_steps is not None and self.step >= self.total_steps
        return "patience" if self.is_out_of_patience else "steps" if by_steps else "time"

    @property
    def epoch(self) -> float:
        """Passes over the training piece, as a fraction."""
        return (self.step - self.first_step) / self.lanes.windows_per_epoch

    @property
    def num_lanes(self) -> int:
        """Lanes that this process reads."""
        return len(self.state[0][0])

    def state_dict(self) -> dict[str, Any]:
        """All but the best weights and the history, as plain values and tensors; see `load_state_dict`.

        "state" holds the lanes of all ranks, in order, so all ranks must call this. Where there are several,
        "other_ranks" holds the random states of all but the first. "optimizer" and "random_state" are lists with an
        entry for each member.
        """
        assert not self.unread, "all figures are read before a report"
        mine, *others = self.ranks.all_gather(get_random_states(self.model))
        set_up = self.new_set_up_seconds
        return {
            "config": asdict(self.config),
            "weights": dict(self.model.state_dict()),
            "optimizer": [optimizer.state_dict() for optimizer in self.optimizers],
            "state": join_lanes(self.ranks.all_gather([[tensor.cpu() for tensor in layer] for layer in self.state])),
            **{name: getattr(self, name) for name in FIGURES},
            "seconds": self.seconds,
            "set_up_seconds": self.set_up_seconds + set_up,
            "learning_rate": self.learning_rate,
            "lanes": {"epoch": self.lanes.epoch, "index": self.lanes.index},
            "pace": {**vars(self.pace), "seconds": self.pace.seconds + set_up},
            "health": dict(vars(self.health)),
            **mine,
            **({"other_ranks": others} if others else {}),
            **({"beginning": self.fallback_weights} if self.fallback_weights else {}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned; the config stays this run's own.

        Args:
            state: checked to fit this run; see `charrnn.storage.training_state.check_state`.
        """
        self.model.load_state_dict(state["weights"])
        # The parameter groups stay this run's own: what they hold follows from the config.
        for optimizer, moments in zip(self.optimizers, state["optimizer"], strict=True):
            optimizer.load_state_dict({**optimizer.state_dict(), "state": moments["state"]})
        shard = self.ranks.shard(self.config.batch_size)
        self.state = map_state(lambda tensor: tensor[shard].to(self.model.device), state["state"])
        for name in FIGURES:
            setattr(self, name, state[name])
        self.started_at -= state["seconds"]
        self.set_up_began_at, self.set_up_seconds = state["seconds"], state["set_up_seconds"]
        self.set_learning_rate(state["learning_rate"])
        self.fallback_weights = state.get("beginning", {})
        self.lanes.seek(**state["lanes"])
        self.pace = Pace(**state["pace"])
        self.health = Health(**state["health"])
        random_states = [state, *state.get("other_ranks", [])]
        own = random_states[self.ranks.rank] if len(random_states) == self.ranks.world_size else None
        set_random_states(self.model, own, self.config.seed, self.ranks.rank, self.step)
