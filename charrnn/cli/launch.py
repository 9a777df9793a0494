"""From a request and a text to a run that is ready to train: a new one, or one that a checkpoint holds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from charrnn import checkpoint
from charrnn.archive import read_checkpoint
from charrnn.cli.request import Request
from charrnn.config import ModelConfig, TrainConfig, config_from_dict, flag_name
from charrnn.corpus import Corpus, Reading
from charrnn.errors import CheckpointError, ConfigError
from charrnn.escape import quoted
from charrnn.model import CharRNN
from charrnn.precision import probe_precision
from charrnn.run import TrainingRun
from charrnn.suggest import FORWARD_SPEED, TYPICAL_FLOPS, evaluations, suggest, training_cost
from charrnn.torch_engine import require_device

MOST_EVALUATED = 1_000_000
"""Characters of the held-out piece that are evaluated: more would take long and tell little more."""

ENDS = ("epochs", "max_steps", "time_limit")
MAY_CHANGE = {*ENDS, "patience", "threads"}
"""Options that a resumed run may give anew."""


@dataclass(frozen=True)
class Launch:
    """A run that is ready to train.

    Attributes:
        run: its state.
        chars_per_second: of training, as a few trial steps have shown.
        reason: why it is as it is, in a few words.
    """

    run: TrainingRun
    chars_per_second: float
    reason: str


def start_run(request: Request, corpus: Corpus) -> Launch:
    """Begin a run as the flags say, and where they are silent as `suggest` does.

    Raises:
        ConfigError: a flag does not fit the text or the machine.
        CorpusError: the text is too short.
    """
    options = {**request.options, "device": _choose_device(request.options["device"])}
    options["threads"] = options["threads"] or _default_threads()
    _set_up_torch(options["threads"])
    num_chars, vocab_size = len(corpus.ids), len(corpus.encoder)
    flops = TYPICAL_FLOPS if options["time_limit"] is None else _measure_flops(options, vocab_size)
    chosen = suggest(options, num_chars=num_chars, vocab_size=vocab_size, flops=flops, mean_line=corpus.mean_line)
    run = _start(chosen.model, chosen.training, request, corpus)
    return _launch(run, chosen.reason)


def stored_reading(request: Request) -> Reading:
    """How the text of the run that a checkpoint holds was read.

    Raises:
        CheckpointError: it cannot be read.
    """
    stored = read_checkpoint(str(request.path))
    return replace(request.reading, options=stored.text, encoder=stored.encoder)


def resume_run(request: Request, corpus: Corpus) -> Launch:
    """Rebuild the run that a checkpoint holds; the flags may move its end and nothing else.

    Raises:
        CheckpointError: it cannot be read, or it learned from another text.
        ConfigError: a flag asks for another run.
    """
    path = str(request.path)
    stored = checkpoint.load(path)
    if stored.corpus.sha256 != corpus.sha256:
        raise CheckpointError(
            f"{path}: learned from {quoted(stored.corpus.name)} of {stored.corpus.bytes:,} bytes "
            f"(sha256 {quoted(stored.corpus.sha256):.12}), and {corpus.name} has {corpus.num_bytes:,} "
            f"(sha256 {corpus.sha256:.12}); give that text, or start anew with --out"
        )
    try:
        config = config_from_dict(TrainConfig, stored.training["config"])
        _check_unchanged(request.explicit, {**asdict(stored.text), **asdict(stored.model), **asdict(config)}, path)
        config = _move_end(config, request.explicit)
        if config.device == "cuda" and not torch.cuda.is_available():
            config = replace(config, device="cpu")
        _set_up_torch(config.threads)
        run = _start(stored.model, config, request, corpus)
        run.load_state_dict(stored.training)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, IndexError, OverflowError) as error:
        reason = " ".join(str(error).split())[:160]
        raise CheckpointError(f"{path}: its training state is damaged ({reason}); train anew") from None
    run.history = list(stored.history)
    run.best_weights = (
        {name: torch.from_numpy(array) for name, array in stored.weights.items()} if stored.history else {}
    )
    if any(name in request.explicit for name in ENDS):
        run.pace.stale = 0
    return _launch(run, f"going on after step {run.step:,}, epoch {run.epoch:.2f}")


def _start(model: ModelConfig, config: TrainConfig, request: Request, corpus: Corpus) -> TrainingRun:
    train_ids, val_ids = corpus.split(config.val_fraction)
    val_ids = val_ids[:MOST_EVALUATED]
    return TrainingRun.start(model, config, train_ids, val_ids, started=request.started, line_feed=corpus.line_feed)


def _check_unchanged(explicit: Mapping[str, Any], stored: Mapping[str, Any], path: str) -> None:
    for name, value in explicit.items():
        if name not in MAY_CHANGE and name in stored and value not in (stored[name], "auto"):
            raise ConfigError(
                f"{flag_name(name)} is {value} and {path} was trained with {stored[name]}; leave it out to go on, "
                "or start anew with --out"
            )


def _move_end(config: TrainConfig, explicit: Mapping[str, Any]) -> TrainConfig:
    """A new end replaces the old one, whatever kind it was."""
    changes = {name: value for name, value in explicit.items() if name in MAY_CHANGE}
    if any(name in changes for name in ENDS):
        changes = {**dict.fromkeys(ENDS), **changes}
    if "epochs" in changes and changes["epochs"] is not None:
        changes["evaluations"] = evaluations(changes["epochs"], config.val_fraction)
    return replace(config, **changes)


def _launch(run: TrainingRun, reason: str) -> Launch:
    """Choose the precision where it is open, and measure the speed."""
    probe = probe_precision(run.model, run.config.batch_size, run.config.precision)
    run.config = replace(run.config, precision=probe.precision)
    run.evaluation_seconds = run.evaluation_seconds or len(run.val_ids) / (FORWARD_SPEED * probe.chars_per_second)
    return Launch(run, probe.chars_per_second, reason)


def _set_up_torch(threads: int) -> None:
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # denormals slow an LSTM down twenty times


def _measure_flops(options: Mapping[str, Any], vocab_size: int) -> float:
    """Training arithmetic per second, on a model of middle size."""
    model = ModelConfig(
        vocab_size=vocab_size, cell=options["cell"], hidden_size=384, num_layers=1, embedding_dim=64, dropout=0.2
    )
    probe = probe_precision(CharRNN(model).to(options["device"]), 32, options["precision"])
    return probe.chars_per_second * training_cost(model)


def _choose_device(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    require_device(device)
    return device


def _default_threads() -> int:
    """The physical cores, as torch counts them, of those that this process may use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(torch.get_num_threads(), usable))
