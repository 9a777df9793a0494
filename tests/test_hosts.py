"""What the processes of one training have of their own, each or on each host: GPUs, threads, a cache, a version."""

import socket
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from ranks import IDS, Part, make_request, model_config, parts

from charrnn import __version__
from charrnn.cli.trainer import entry_point, machine, resume_run
from charrnn.cli.trainer.machine import choose_device
from charrnn.config import TrainConfig
from charrnn.errors import ConfigError
from charrnn.storage.origin import Origin
from charrnn.text.cache import Cache
from charrnn.text.read_options import ReadOptions
from charrnn.training.group import DistributedRanks
from charrnn.training.loop import take_step
from charrnn.training.ranks import ALONE
from charrnn.training.rendezvous import KEEP_ALIVE, enable_keepalive
from charrnn.training.run import TrainingRun
from charrnn.training.torchrun import Place, read_place


class Told(Part):
    """A rank that knows what all ranks report."""

    def __init__(self, rank, told):
        super().__init__(rank, len(told))
        self.told = told

    def all_gather(self, value):
        assert value == self.told[self.rank]
        return self.told


@pytest.fixture
def gpus_of(monkeypatch):
    """Let a rank see the GPUs of some ids, one letter each; give the list of those that were chosen by number."""
    chosen = []

    def see(ids):
        monkeypatch.setattr(machine, "gpu_trouble", lambda: "" if ids else "torch finds no GPU")
        monkeypatch.setattr(machine, "require_device", lambda device: None)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(ids))
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=ids[number]))
        monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
        return chosen

    return see


@pytest.mark.parametrize(
    ("seen", "numbers"),
    [
        (["ab", "ab", "cd", "cd"], [0, 1, 0, 1]),  # two hosts, with or without a launcher that numbers their processes
        (["a", "b", "c"], [0, 0, 0]),  # a launcher that shows each process a GPU of its own
        (["ab", "cd"], [0, 0]),
        (["abc", "abc", "d"], [0, 1, 0]),
    ],
)
@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_each_process_takes_its_own_gpu(gpus_of, seen, numbers, device):
    told = [list(ids) for ids in seen]
    for rank, ids in enumerate(seen):
        chosen = gpus_of(ids)
        assert choose_device(device, Told(rank, told)) == ("cuda", "")
        assert chosen == numbers[: rank + 1]


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (
            ["abcd"] * 5,
            "on the CPU since 5 processes share 4 GPUs and 1 would have none; start one process for each GPU",
        ),
        (
            ["a", "a"],
            "on the CPU since 2 processes share 1 GPU and 1 would have none; start one process for each GPU",
        ),
        (["a", ""], "on the CPU since 2 processes share 1 GPU and 1 would have none; start one process for each GPU"),
        (["", ""], ""),
    ],
)
def test_too_few_gpus_are_reported_and_unused_by_all(gpus_of, seen, told):
    for rank, ids in enumerate(seen):
        chosen = gpus_of(ids)
        ranks = Told(rank, [list(ids) for ids in seen])
        assert choose_device("auto", ranks) == ("cpu", told)
        with pytest.raises(ConfigError, match=rf"^--device cuda: of {len(seen)} processes, \d would have no GPU of"):
            choose_device("cuda", ranks)
        assert not chosen


def test_single_process_uses_the_default_gpu(gpus_of):
    gpus_of("")
    assert choose_device("auto", ALONE) == ("cpu", "")
    chosen = gpus_of("ab")
    assert choose_device("auto", ALONE) == ("cuda", "")
    assert not chosen


@pytest.mark.parametrize(
    ("local_world_size", "expected"),
    [(0, (1, 2)), (4, (3, 4))],  # nobody says, so the names of the hosts do; the launcher has said
)
def test_local_rank_is_derived_from_host_names(monkeypatch, local_world_size, expected):
    group = DistributedRanks(
        Place(3, 4, local_rank=3, local_world_size=local_world_size, launches=frozenset({"night_b"}))
    )
    other = (__version__, "host0", frozenset({"night_a"}))
    monkeypatch.setattr(group, "all_gather", lambda own: [other, other, own, own])
    group._introduce()
    assert (group.local_rank, group.local_world_size) == expected
    assert group.launches == {"night_a", "night_b"}


def test_launcher_without_local_ranks_leaves_their_number_unknown():
    found = read_place({"RANK": "3", "WORLD_SIZE": "4", "MASTER_ADDR": "host0", "MASTER_PORT": "5"})
    assert (found.local_rank, found.local_world_size) == (3, 0)


def test_different_versions_on_hosts_are_refused_in_one_line(monkeypatch):
    group = DistributedRanks(Place(1, 2))
    monkeypatch.setattr(group, "all_gather", lambda own: [("0.0.1", *own[1:]), own])
    told = rf"^the processes run charrnn 0\.0\.1 and {__version__}; install one of these on all hosts$"
    with pytest.raises(ConfigError, match=told):
        group._introduce()


def test_each_host_uses_its_own_cache_folder(tmp_path, monkeypatch):
    request = make_request(tmp_path, reading=ReadOptions(cache=Cache(tmp_path / "here")))
    theirs = make_request(tmp_path, reading=ReadOptions(cache=Cache(tmp_path / "there")), explicit={"seed": 3})

    class Second(Part):
        def broadcast(self, function):
            return theirs

    def read(request, reading, ranks):
        assert (reading.cache.folder, request.reading.cache.folder) == (tmp_path / "here", tmp_path / "here")
        assert request.explicit == {"seed": 3}, "the rest is as the first process has settled it"
        raise SystemExit  # the text is read here

    monkeypatch.setattr(entry_point, "joined", lambda *given, **named: nullcontext(Second(1, 2)))
    monkeypatch.setattr(entry_point, "read_texts", read)
    with pytest.raises(SystemExit):
        entry_point.run_training(request)


@pytest.mark.parametrize(
    ("given", "explicit", "before", "threads"),
    [(False, {}, 3, [3, 8]), (True, {}, 3, [3, 3]), (False, {"threads": 3}, 3, [3, 3]), (False, {}, 2, [2, 2])],
)
def test_resume_gives_each_host_its_own_threads(monkeypatch, given, explicit, before, threads):
    """Those of a flag are everybody's, in an earlier command too, of which a number that nobody would choose tells."""
    monkeypatch.setattr(resume_run, "allotted_cores", lambda: 3)
    monkeypatch.setattr(resume_run.os, "cpu_count", lambda: 8)
    stored = SimpleNamespace(
        training={"other_ranks": [{}]}, made={"cores": "3"}, origin=Origin(texts=[], threads_given=given)
    )
    config = TrainConfig(batch_size=2, seq_len=16, max_steps=5, learning_rate=0.01, threads=before)
    found, heard = [], []
    for part, here in zip(parts(2), (3, 8), strict=True):
        monkeypatch.setattr(resume_run, "default_threads", lambda processes, here=here: here)
        if part.is_first:
            part.broadcast = lambda function: heard.append(function()) or heard[0]
        else:
            part.broadcast = lambda function: heard[0]
        found.append(resume_run._settle_threads(config, stored, explicit, part).threads)
    assert found == threads


def test_resume_on_another_number_of_processes_uses_fresh_dropout_seeds():
    config = TrainConfig(batch_size=4, seq_len=16, max_steps=5, learning_rate=0.01)
    run = TrainingRun.start(model_config(), config, IDS, IDS[:500], started_at=0.0)
    take_step(run)
    stored = run.state_dict()
    states = [*stored["random_state"]]
    for part in parts(2):
        resumed = TrainingRun.start(model_config(), config, IDS, IDS[:500], started_at=0.0, ranks=part)
        resumed.load_state_dict(stored)
        states.append(resumed.model.dropout.random_state)
    assert len({state["state"]["inc"] for state in states}) == 3, "each sequence has an increment of its own"


def test_keepalive_is_set_to_notice_a_lost_host():
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
        one.setblocking(False)
        enable_keepalive("win32")
        assert not one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        enable_keepalive()
        with one, other:
            for each in (one, other):
                assert each.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                for option, value in KEEP_ALIVE.items():
                    assert each.getsockopt(socket.IPPROTO_TCP, getattr(socket, option)) == value
            with pytest.raises(BlockingIOError):
                one.recv(1)
