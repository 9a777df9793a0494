"""A model that the machine has too little memory for, refused before it is built."""

import math
from types import SimpleNamespace

import pytest

from charrnn.cli.common import cores
from charrnn.cli.trainer import resources
from charrnn.config import ModelConfig, TrainConfig
from charrnn.errors import TooLargeError

MODEL = ModelConfig(vocab_size=50, cell="lstm", hidden_size=512, num_layers=2, embedding_dim=64, members=2)
FRESH = SimpleNamespace(resume=False, init_from=None)


def test_too_large_model_is_refused_before_it_is_built(tmp_path, charrnn):
    (tmp_path / "text.txt").write_text("the cat sat on the mat.\n" * 400)
    flags = ["--hidden-size", 65536, "--num-layers", 64, "--max-steps", 1]  # 2,200 billion weights
    run = charrnn("train", "text.txt", *flags, cwd=tmp_path)
    assert (run.code, run.stdout) == (1, b"")
    told = "charrnn: out of memory: to train 2,18"
    assert run.stderr.startswith(told), run.stderr
    assert run.stderr.endswith("; lower --hidden-size, --num-layers or --members\n")
    assert run.stderr.count("\n") == 1
    assert not (tmp_path / "text.pt").exists()


@pytest.mark.parametrize(
    ("optimizer", "device", "processes", "values"),
    [
        ("adamw", "cpu", 1, 7),  # weights, the best ones, gradients, two moments, and a copy of these
        ("sgd", "cpu", 1, 5),
        ("adamw", "cpu", 3, 17),
        ("adamw", "cuda", 3, 3),
    ],
)
def test_memory_needed_follows_from_the_weights(monkeypatch, optimizer, device, processes, values):
    config = TrainConfig(optimizer=optimizer, device=device, batch_size=4, seq_len=64, learning_rate=0.1, max_steps=1)
    needed = resources.needed_bytes(MODEL, config, processes)
    assert needed == 4 * values * 6_623_588
    ranks = SimpleNamespace(local_world_size=processes)
    monkeypatch.setattr(resources, "memory_limit", lambda: needed)
    resources.check_memory(MODEL, config, FRESH, ranks)
    monkeypatch.setattr(resources, "memory_limit", lambda: needed - 1)
    with pytest.raises(
        TooLargeError, match=r"6,623,588 parameters \(hidden size 512, layers 2, members 2\) takes 0\.\d GB"
    ):
        resources.check_memory(MODEL, config, FRESH, ranks)


@pytest.mark.parametrize("asked", [{"resume": True}, {"init_from": "other.pt"}])
def test_existing_model_gets_no_advice_to_be_smaller(monkeypatch, asked):
    monkeypatch.setattr(resources, "memory_limit", lambda: 1)
    config = TrainConfig(batch_size=4, seq_len=64, learning_rate=0.1, max_steps=1)
    with pytest.raises(TooLargeError, match=r"; a machine with more can train it$"):
        resources.check_memory(MODEL, config, SimpleNamespace(**{**vars(FRESH), **asked}))


@pytest.mark.parametrize(
    ("line", "folder", "name", "text", "limit"),
    [
        ("0::/pod/box", "pod", "memory.max", "1000000\n", 1_000_000),
        ("0::/pod/box", "pod/box", "memory.max", "max\n", math.inf),
        ("4:memory:/pod", "memory/pod", "memory.limit_in_bytes", "2000000\n", 2_000_000),
        ("4:cpu:/pod", "cpu/pod", "memory.limit_in_bytes", "2000000\n", math.inf),
    ],
)
def test_container_memory_limit_is_read(monkeypatch, tmp_path, line, folder, name, text, limit):
    monkeypatch.setattr(cores, "CGROUP", tmp_path / "group")
    monkeypatch.setattr(cores, "CGROUPS", tmp_path / "groups")
    (tmp_path / "group").write_text(f"{line}\n")
    (tmp_path / "groups" / folder).mkdir(parents=True)
    (tmp_path / "groups" / folder / name).write_text(text)
    monkeypatch.setattr(resources, "_physical_bytes", lambda: math.inf)
    monkeypatch.setattr(resources, "_swap_bytes", lambda: 5000.0)
    assert resources.memory_limit() == limit + 5000


def test_physical_memory_is_known_if_the_system_reports_it(monkeypatch):
    assert 1e8 < resources._physical_bytes() < 1e14
    monkeypatch.delattr(resources.os, "sysconf")
    assert resources._physical_bytes() == math.inf


@pytest.mark.parametrize(
    ("text", "swap"), [("MemTotal: 9 kB\nSwapTotal:  5 kB\n", 5120), ("MemTotal: 9 kB\n", 0), (None, math.inf)]
)
def test_swap_is_counted_on_linux_and_assumed_enough_elsewhere(monkeypatch, tmp_path, text, swap):
    monkeypatch.setattr(resources, "MEMINFO", tmp_path / "meminfo")
    if text is not None:
        (tmp_path / "meminfo").write_text(text)
    assert resources._swap_bytes() == swap
