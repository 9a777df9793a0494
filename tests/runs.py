"""Small trainings in the process of a test, names of runs, and a request without flags."""

import math
from types import SimpleNamespace

import torch
from conftest import make_text

from charrnn.cli.trainer.resume_state import restore
from charrnn.config import ModelConfig, TrainConfig
from charrnn.storage.tensorfile import map_leaves
from charrnn.text.encoder import CharEncoder
from charrnn.training.loop import train
from charrnn.training.run import TrainingRun

RUN, PARENT, OTHER = (digit * 12 for digit in "abc")

NO_FLAGS = {
    "options": {}, "explicit": {}, "log": None, "resume": False, "resume_from": None, "force": False,
    "overwrite": False, "quiet": True, "as_json": False, "started": 0.0,
}  # fmt: skip

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
