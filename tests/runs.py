"""Small trainings in the process of a test, configs of a larger one, names of runs, a request and a report."""

import functools
import itertools
import math
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import torch
from conftest import NOWHERE, make_text

from charrnn.cli.trainer.placing import identify
from charrnn.cli.trainer.resume_state import restore
from charrnn.cli.trainer.run_saver import RunSaver
from charrnn.config import ModelConfig, TrainConfig
from charrnn.display.plain import Display
from charrnn.metrics import Report
from charrnn.storage.tensorfile import map_leaves
from charrnn.text.corpus import read_corpus
from charrnn.text.encoder import CharEncoder
from charrnn.text.read_options import ReadOptions
from charrnn.training.loop import train
from charrnn.training.run import TrainingRun

MODEL = ModelConfig(vocab_size=65, cell="lstm", hidden_size=512, num_layers=2, embedding_dim=64)
TRAINING = TrainConfig(batch_size=32, seq_len=64, epochs=2, learning_rate=0.004)
"""The configs of a training of a usual size, which is not run."""

RUN, PARENT, OTHER = (digit * 12 for digit in "abc")

NO_FLAGS = {
    "options": {}, "explicit": {}, "log": None, "resume": False, "resume_from": None, "force": False,
    "overwrite": False, "quiet": True, "as_json": False, "started": 0.0,
}  # fmt: skip

REPORT = Report(
    step=1200, epoch=1.5, progress=0.25, train_loss=2.0, val_loss=1.5, best_val_loss=1.5, best_step=1200, is_best=True,
    best_cold_loss=None, learning_rate=0.004, gradient_norm=0.5, gradient_norm_max=0.9, clipped=0.1,
    chars_per_second=34567.8, seconds=61.0, seconds_left=185.0, is_last=False, ended_by="",
    skipped=0, recoveries=0, rewinds=0, trouble="",
)  # fmt: skip
"""A report of an evaluation in the midst of a training."""

TEXT = make_text(6000)
IDS = CharEncoder(TEXT).encode(TEXT)
VOCAB_SIZE = len(CharEncoder(TEXT))


def start(cell="lstm", *, dropout=0.0, num_layers=1, members=1, recall=0, ids=IDS, line_end_id=None, **options):
    model = ModelConfig(
        vocab_size=VOCAB_SIZE, cell=cell, hidden_size=32, num_layers=num_layers, embedding_dim=8, dropout=dropout,
        members=members, recall=recall, recall_dropout=options.pop("recall_dropout", 0.6),
    )  # fmt: skip
    defaults = {"batch_size": 4, "seq_len": 25, "max_steps": 12, "learning_rate": 3e-3, "warmup_steps": 3}
    config = TrainConfig(**{**defaults, **options})
    return TrainingRun.start(model, config, ids[:5000], ids[5000:], started_at=0.0, line_end_id=line_end_id)


def finish(run):
    return list(train(run))


def break_forward(run, calls, value=math.nan):
    """Spoil the model's output at some of its calls in training, counted from 0."""
    forward, count = run.model.forward, iter(range(10**9))

    def wrong(ids, state, recalled=None):
        logits, new_state = forward(ids, state, recalled)
        if run.model.training and next(count) in calls:
            logits = logits + value
            new_state = tuple(tuple(tensor * value for tensor in layer) for layer in new_state)
        return logits, new_state

    run.model.forward = wrong


def take_up(run, state):
    """Restore a training state into a run as from a file, in which tensors are arrays."""
    arrays = map_leaves(state, lambda leaf: leaf.numpy().copy() if isinstance(leaf, torch.Tensor) else leaf)
    stored = SimpleNamespace(
        training=arrays, model=run.model.config, train_config=run.config, history=[], best=None, weights={}
    )
    restore(run, stored, None, set(), "verse.pt")


def weights(run):
    return {name: tensor.clone() for name, tensor in run.model.state_dict().items()}


@functools.cache
def corpus():
    """The corpus of `TEXT`."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "verse.txt").write_text(TEXT, encoding="utf-8")
        return read_corpus((f"{folder}/verse.txt",), ReadOptions())


def saver_of(path, run, log=None):
    """The saver of a run, as a session makes it."""
    request = SimpleNamespace(path=path, options={"save_every": None}, is_in_place=False, found=identify(path))
    prepared = SimpleNamespace(run=run, corpus=corpus(), origin=NOWHERE, begun_by="")
    return RunSaver(request, prepared, log, Display(sys.stderr))


def break_member(member, what, step):
    """Let one step of a network go wrong, counted from 0."""
    losses, gradients = itertools.count(), itertools.count()
    forward = member.forward

    def shifted(*arguments):
        logits, state = forward(*arguments)
        if member.training and next(losses) == step and what == "loss":
            surest = torch.arange(logits.shape[-1], device=logits.device) == 0
            logits = logits + 4e6 * surest  # a gradient of 1 at most
        return logits, state

    member.forward = shifted
    broken = {"norm": 1e38, "gradient": math.inf, "loss": None}[what]
    member.head.weight.register_hook(
        lambda gradient: torch.full_like(gradient, broken) if next(gradients) == step and broken else gradient
    )
