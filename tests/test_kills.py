"""SIGKILL at any moment, in the middle of a save too: the checkpoint is whole, and leads to the same weights."""

import functools
import json
import os
import random
import signal
import time

import pytest
import torch
from conftest import make_text
from processes import Training, all_but_the_clock, train

from charrnn.cli.trainer import background_saver
from charrnn.storage import outputs
from charrnn.storage.archive import read_checkpoint
from charrnn.training import checkpoint

STEPS = 600
FLAGS = [
    "--hidden-size", 16, "--num-layers", 2, "--batch-size", 4, "--seq-len", 16, "--dropout", 0.2, "--max-steps", STEPS,
    "--patience", 100, "--precision", "float32", "--save-every", "0.1s", "-q",
]  # fmt: skip
KILLS = 50
KILLS_IN_THE_SAVE = 20


@pytest.mark.slow
def test_kills_at_random_moments_and_in_the_save_lose_nothing(tmp_path):
    folder = tmp_path
    chance = random.Random(0)
    (folder / "verse.txt").write_text(make_text(3000), encoding="utf-8")
    straight, path = folder / "straight.pt", folder / "verse.pt"
    assert train(folder, *FLAGS, "--out", straight.name).process.exitcode == 0
    in_the_save = [True] * KILLS_IN_THE_SAVE + [False] * KILLS
    chance.shuffle(in_the_save)
    while in_the_save:
        step = step_of(path)
        if in_the_save[-1]:
            stage, count = chance.choice(STAGES), chance.randint(1, 2)
            life = Training(folder, *FLAGS, *going_on(path), prepare=functools.partial(kill_in_save, stage, count))
        else:
            life = Training(folder, *FLAGS, *going_on(path))
            time.sleep(chance.uniform(0.0, 1.0))
            life.process.kill()
        code = life.wait()
        assert code in (0, -signal.SIGKILL), life.stderr
        assert step_of(path) >= step, "what was saved stays saved"
        if code:
            in_the_save.pop()
        elif step_of(path) == STEPS:
            check_same(path, straight)
            path.unlink()
    assert train(folder, *FLAGS, *going_on(path)).process.exitcode == 0
    check_same(path, straight)
    assert sorted(os.listdir(folder)) == ["straight.pt", "verse.log", "verse.pt", "verse.txt"], (
        "and no stray files remain"
    )


def going_on(path):
    return ["--log", "verse.log", "--resume" if path.exists() else "--overwrite"]


def step_of(path):
    """The step of a whole checkpoint, every record of which is checked."""
    return read_checkpoint(str(path), with_training=True).step if path.exists() else 0


def check_same(path, straight):
    """The same weights and history, and a log in which no step stands twice and no evaluation is missing."""
    logged = [json.loads(line)["step"] for line in path.with_name("verse.log").read_text().splitlines()]
    assert logged == sorted(set(logged))
    assert {row["step"] for row in all_but_the_clock(path)["history"]} <= set(logged)
    resumed, expected = all_but_the_clock(path), all_but_the_clock(straight)
    assert resumed["history"] == expected["history"]
    torch.testing.assert_close(resumed["weights"], expected["weights"], rtol=0, atol=0)
    for part in ("weights", "optimizer", "state"):
        torch.testing.assert_close(resumed["training"][part], expected["training"][part], rtol=0, atol=0)
    assert resumed["training"]["random_state"] == expected["training"]["random_state"]


STAGES = ["before", "half", "unsynced", "before the rename", "after the rename"]


def kill_in_save(stage, count):
    """Let a process kill itself in its `count`th save, at some stage of it."""
    saves = []
    write = checkpoint.write

    def counted(path, *what):
        saves.append(path)
        if len(saves) == count:
            arm(stage)
        write(path, *what)

    background_saver.checkpoint.write = counted


def arm(stage):
    if stage == "before":
        die()
    if stage == "half":
        outputs.open = HalfFile
    if stage == "unsynced":
        os.fsync = lambda _: die()
    if stage == "before the rename":
        os.replace = lambda *_: die()
    if stage == "after the rename":
        outputs._sync_folder = lambda _: die()


class HalfFile:
    """A file in whose middle the process is killed."""

    def __init__(self, path, mode):
        self._file = open(path, mode, buffering=0)  # noqa: SIM115

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def fileno(self):
        return self._file.fileno()

    def write(self, data):
        self._file.write(data[: len(data) // 2])
        die()


def die():
    os.kill(os.getpid(), signal.SIGKILL)
