"""Ranks for tests: without peers, and in processes of their own as torchrun starts them."""

import functools
import os
import time

from conftest import make_text, write_checkpoint
from processes import Training
from torch.distributed import TCPStore

from charrnn.cli.trainer.request import Request, parse_reading
from charrnn.cli.trainer.suggested_commands import command_line
from charrnn.config import ModelConfig, TrainConfig
from charrnn.storage.origin import CorpusFacts
from charrnn.text.encoder import CharEncoder
from charrnn.training import loop
from charrnn.training.ranks import Ranks
from charrnn.training.run import TrainingRun

TEXT = make_text(3000)
ENCODER = CharEncoder(TEXT)
IDS = ENCODER.encode(TEXT)
LINE_FEED = int(ENCODER.encode("\n")[0])


class Part(Ranks):
    """A rank without peers: its collective calls return its own part."""

    def __init__(self, rank, world_size):
        self.rank, self.world_size = rank, world_size


def parts(world):
    return [Part(rank, world) for rank in range(world)]


def make_request(folder, **changes):
    """A request to train on an existing text, unless other texts are given."""
    if "texts" not in changes:
        (folder / "verse.txt").write_text(TEXT, encoding="utf-8")
    flags = dict.fromkeys(["cache", "val_text", "include", "exclude", "min_count", "max_vocab"])
    text = {"unit": "character", "encoding": "utf-8", "errors": "strict", "newline": "keep", "normalize": "none"}
    reading = parse_reading({**flags, **text, "lowercase": False, "lines": False, "separator": "", "no_cache": True})
    settings = {
        "texts": (str(folder / "verse.txt"),), "reading": reading, "out": str(folder / "verse.pt"), "options": {},
        "explicit": {"max_steps": 5}, "log": None, "resume": False, "resume_from": None, "force": False,
        "overwrite": False, "quiet": True, "as_json": False, "started": 0.0,
    }  # fmt: skip
    return Request(**{**settings, **changes})


def save_checkpoint(path, job="", step=0, **contents):
    run = TrainingRun.start(model_config(), TrainConfig(batch_size=2, seq_len=16, max_steps=5, learning_rate=0.01),
                            IDS, IDS[:500], started_at=0.0)  # fmt: skip
    write_checkpoint(
        path, model=run.model.config, encoder=ENCODER, weights=run.model.state_dict(), history=[],
        made={"job": job, "command": command_line()},
        corpus=CorpusFacts("verse.txt", len(IDS), len(IDS), "00ff", [1] * len(ENCODER)),
        training={**run.state_dict(), "step": step}, **contents,
    )  # fmt: skip


def model_config(cell="lstm", members=1, recall=0):
    sizes = {"hidden_size": 16, "num_layers": 2, "embedding_dim": 8, "recall": recall, "recall_dropout": 0.0}
    return ModelConfig(vocab_size=len(ENCODER), cell=cell, members=members, **sizes)


FLAGS = [
    "--hidden-size", 16, "--num-layers", 2, "--batch-size", 5, "--seq-len", 16, "--dropout", 0.2,
    "--precision", "float32", "--patience", 1000,
]  # fmt: skip
SAVING = ["--save-every", "0.1s"]


def start_ranks(folder, world, *arguments, step_takes=0.0, prepare=None):
    """Start `charrnn train verse.txt` in several processes, as torchrun does.

    Args:
        folder: to run in.
        world: number of processes.
        arguments: of the command, after the text.
        step_takes: seconds that each step takes longer.
        prepare: called first in each process, with its rank.
    """
    store = make_store()
    places = [functools.partial(take_place, rank, world, store.port, step_takes, prepare) for rank in range(world)]
    trainings = [Training(folder, *arguments, prepare=prepare) for prepare in places]
    for each in trainings:
        each.store = store  # it lives as long as they do
    return trainings


def make_store():
    """Host the store in which processes find each other; torchrun hosts it, so that it outlives each of them."""
    return TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


def take_place(rank, world, port, step_takes=0.0, prepare=None):
    os.environ.update(place(rank, world, port))
    if prepare:
        prepare(rank)
    if step_takes:
        take_step = loop.take_step
        loop.take_step = lambda run: (time.sleep(step_takes), take_step(run))


def place(rank, world, port):
    """The environment variables of a launcher for a process."""
    names = {"RANK": rank, "WORLD_SIZE": world, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": world, "MASTER_PORT": port}
    store = {"MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}
    return {**store, **{name: str(value) for name, value in names.items()}}
