"""Several processes train one model as one would: lanes, losses, errors and random numbers."""

import functools
import math
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import typer
from conftest import random_model
from processes import server
from ranks import ENCODER, IDS, LINE_FEED, TEXT, Part, make_request, make_store, model_config, parts, take_place
from torch import distributed as dist

from charrnn.cli.trainer.process_group import joined
from charrnn.cli.trainer.reading import read_texts
from charrnn.cli.trainer.signals import TrainingSignals
from charrnn.config import ModelConfig, TrainConfig
from charrnn.errors import ConfigError, DivergenceError, SaveError
from charrnn.network.dropout import Dropout
from charrnn.text import corpus
from charrnn.text.cache import Cache
from charrnn.text.corpus import read_corpus
from charrnn.text.read_options import ReadOptions
from charrnn.training import group as groups
from charrnn.training import loop
from charrnn.training.evaluation import evaluate, evaluate_cold, evaluate_lines
from charrnn.training.group import DistributedRanks
from charrnn.training.lanes import IGNORED, Lanes
from charrnn.training.line_lanes import LineLanes
from charrnn.training.randomness import get_random_states, seed_masks, set_random_states
from charrnn.training.ranks import ALONE
from charrnn.training.run import TrainingRun
from charrnn.training.torchrun import Place, read_place


@pytest.mark.parametrize("batch_size", [4, 5, 7])
@pytest.mark.parametrize("make", [
    lambda **sizes: Lanes(IDS, seq_len=16, **sizes),
    lambda **sizes: LineLanes(IDS, LINE_FEED, seq_len=16, seed=3, **sizes),
    lambda **sizes: Lanes(IDS, seq_len=16, reach=400, **sizes),
], ids=["stream", "lines", "recall"])  # fmt: skip
def test_lanes_of_all_ranks_together_are_those_of_one_process(make, batch_size):
    whole = make(batch_size=batch_size)
    slices = [make(batch_size=batch_size, shard=part.shard(batch_size)) for part in parts(3)]
    for _ in range(2 * whole.windows_per_epoch):
        window, windows = next(whole), [next(lanes) for lanes in slices]
        assert (window.recalled is None) == (windows[0].recalled is None)
        for name in ("inputs", "targets", "recalled")[: 2 if window.recalled is None else 3]:
            np.testing.assert_array_equal(np.hstack([getattr(own, name) for own in windows]), getattr(window, name))
        counted = [int((own.targets != IGNORED).sum()) for own in windows]
        assert [own.num_targets for own in windows] == [window.num_targets] * 3 == [sum(counted)] * 3
        assert [own.share for own in windows] == pytest.approx([count / sum(counted) for count in counted])
        assert {own.resets_state for own in windows} == {window.resets_state}
    assert {lanes.chars_per_window for lanes in slices} == {whole.chars_per_window}


@pytest.mark.parametrize("world", [2, 3, 9])
@pytest.mark.parametrize("recall", [0, 500])
def test_shared_evaluation_has_the_loss_of_one_process(world, recall):
    shape = {"cell": "lstm", "hidden_size": 9, "num_layers": 2, "embedding_dim": 6}
    model = random_model(ModelConfig(vocab_size=len(ENCODER), **shape, recall=recall))
    for measure in (
        functools.partial(evaluate, model, IDS, batch_size=5),
        functools.partial(evaluate_cold, model, IDS),
        functools.partial(evaluate_lines, model, IDS, LINE_FEED),
    ):
        found = [measure(ranks=part) for part in parts(world)]
        assert sum(found) == pytest.approx(measure(), abs=1e-6)
        assert max(found) < 0.9 * sum(found)


def test_fewer_lanes_than_processes_are_refused_in_one_line():
    config = TrainConfig(batch_size=2, seq_len=16, max_steps=5, learning_rate=0.01)
    with pytest.raises(ConfigError, match=r"^2 lanes are fewer than 3 processes; start fewer "):
        TrainingRun.start(model_config(), config, IDS, IDS[:500], started_at=0.0, ranks=Part(0, 3))


def test_one_process_per_host_encodes_a_large_text_and_the_others_map_it(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "MAPPED_BYTES", 1)
    (tmp_path / "verse.txt").write_text(TEXT, encoding="utf-8")
    there, here = Cache(tmp_path / "there"), Cache(tmp_path / "here")
    read = read_corpus([str(tmp_path / "verse.txt")], ReadOptions(cache=there))
    (tmp_path / "verse.txt").unlink()  # whoever reads it again fails

    class Second(Part):
        local_rank = 1

        def broadcast(self, function):
            return replace(read, ids=IDS[:0]), (tmp_path / "gone" / Path(read.ids.filename).name, len(IDS), IDS.dtype)

        def barrier(self):  # behind which the first process of this host has done
            shutil.copytree(there.folder, here.folder, dirs_exist_ok=True)

    request = make_request(tmp_path, texts=(str(tmp_path / "verse.txt"),))
    mapped = read_texts(request, ReadOptions(cache=here), Second(3, 4)).ids
    assert (Path(mapped.filename).parent, mapped.tolist()) == (here.folder, IDS.tolist())


@pytest.mark.slow
def test_two_ranks_have_the_losses_and_weights_of_one(tmp_path):
    store = make_store()
    arguments = [(tmp_path, rank, 2, store.port) for rank in (0, 1)]
    processes = [server().Process(target=learn_as, args=each, daemon=True) for each in arguments]
    for process in processes:
        process.start()
    expected = learn(ALONE)
    for process in processes:
        process.join(100)
        assert process.exitcode == 0
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert first["broken"][0][:3] == [0, 1, 1], "a step that one of them cannot take is skipped by all"
    for name, (losses, weights) in expected.items():
        assert losses[-1] < losses[0] - 0.3
        np.testing.assert_allclose(first[name][0], losses, atol=1e-4, err_msg=name)
        torch.testing.assert_close(first[name][1], weights, rtol=0, atol=1e-4)


def learn_as(folder, rank, world, port):
    take_place(rank, world, port)
    group = DistributedRanks(read_place())
    group.meet()
    torch.save({**learn(group), "broken": break_one(group)}, folder / f"{rank}.pt")
    group.leave()


def break_one(ranks):
    """Counts and the clock after two steps, in the first of which the last rank finds no number, and the weights."""
    config = TrainConfig(batch_size=4, max_steps=2, seq_len=16, learning_rate=0.01)
    run = TrainingRun.start(model_config(), config, IDS, IDS[:500], started_at=ranks.now(), ranks=ranks)
    if not ranks.is_first:
        run.model.head.register_forward_hook(lambda head, inputs, scores: scores * math.nan)
    before = run.seconds
    loop.take_step(run)
    counts = [run.step, run.health.skipped]
    run.model.head._forward_hooks.clear()
    loop.take_step(run)
    assert 0 < run.seconds - before < 60
    return [*counts, run.step, run.seconds], dict(run.model.state_dict())


def learn(ranks):
    """Losses of all steps, and the last weights, over a stream and over lines: their last batch is one line alone."""
    torch.set_num_threads(1)
    found = {}
    end = int(np.flatnonzero(IDS == LINE_FEED)[60]) + 1  # of 61 lines: six at a time, and one
    for name, options in {
        "stream": {"cell": "lstm", "ids": IDS, "line_end_id": None, "batch_size": 5, "max_steps": 200},
        "recall": {"recall": 700, "ids": IDS, "line_end_id": None, "batch_size": 4, "max_steps": 60},
        "members": {"cell": "lstm", "members": 2, "ids": IDS, "line_end_id": None, "batch_size": 4, "max_steps": 40},
        "lines": {"cell": "gru", "ids": IDS[:end], "line_end_id": LINE_FEED, "batch_size": 6, "max_steps": 60},
    }.items():
        ids, line_end_id = options.pop("ids"), options.pop("line_end_id")
        model = model_config(**{name: options.pop(name) for name in ("cell", "members", "recall") if name in options})
        config = TrainConfig(**options, seq_len=16, learning_rate=0.01, state_reset=0.0)
        run = TrainingRun.start(
            model, config, ids, IDS[:500], started_at=ranks.now(), line_end_id=line_end_id, ranks=ranks
        )
        losses = []
        for _ in range(config.max_steps):
            before, chars = run.pace.loss, run.pace.chars
            loop.take_step(run)
            losses.append((run.pace.loss - before) / (run.pace.chars - chars))
        found[name] = losses, dict(run.model.state_dict())
    return found


@pytest.mark.parametrize(("on_gpu", "count"), [(False, 2), (True, 1)])
def test_networks_share_a_group_with_a_short_timeout_until_connected(monkeypatch, on_gpu, count):
    told = []
    monkeypatch.setattr(DistributedRanks, "barrier", lambda self: told.append("barrier"))
    monkeypatch.setattr(DistributedRanks, "_settle", lambda self, model: told.append("connected"))
    monkeypatch.setattr(groups, "DistributedDataParallel", lambda model, process_group, **how: process_group)
    monkeypatch.setattr(groups, "_set_pg_timeout", lambda timeout, group: told.append((group, timeout)))
    monkeypatch.setattr(dist, "new_group", lambda backend, timeout: told.append((backend, timeout)) or object())
    ranks, members = DistributedRanks(Place(0, 2)), [Placed(on_gpu), Placed(on_gpu)]
    for member in members:
        ranks.replicate(member)
    first, second = (ranks.replica(member) for member in members)
    made = ("nccl" if on_gpu else "gloo", groups.RENDEZVOUS_TIMEOUT)
    assert told[:4] == ["barrier", made, "connected", (first, groups.PATIENCE)]
    assert told[4:] == ["barrier", *[made] * (count - 1), "connected", (second, groups.PATIENCE)]
    assert len({first, second}) == count


class Placed(torch.nn.Module):
    """A fake network that has only a device."""

    def __init__(self, on_gpu):
        super().__init__()
        self.on_gpu = on_gpu

    def parameters(self):
        return iter([SimpleNamespace(is_cuda=self.on_gpu)])


class OnGpus(Part):
    """One of several ranks on GPUs, which notes whether it took leave."""

    uses_nccl, has_left = True, False

    def meet(self):
        pass

    def leave(self):
        self.has_left = True

    def peer_failure(self, error):
        return DistributedRanks.peer_failure(self, error)


LOST = "another process of this training is gone\n"
NCCL_FAILURE = dist.DistBackendError("NCCL error in: x.cpp:2077, invalid usage\nLast error:\nDuplicate GPU detected\n")


@pytest.mark.parametrize("uses_nccl", [True, False])
@pytest.mark.parametrize(
    ("error", "is_told", "leaves"),
    [
        (None, "", True),
        (typer.Exit(143), "", True),
        (DivergenceError("too far"), "charrnn: too far\n", True),
        (SaveError("too full"), "charrnn: too full\n", True),
        (ConfigError("too wide"), "charrnn: too wide\n", False),
        (OSError(28, "No space left on device"), "", False),
        (OSError(28, "No space left on device", "gloo.log"), "", False),
        (BrokenPipeError(32, "Broken pipe"), "", False),  # whoever read what this process wrote has gone
        (torch.OutOfMemoryError("CUDA out of memory."), "", False),
        (NCCL_FAILURE, "gone, or NCCL does not reach it (Duplicate GPU detected)\n", False),
        (RuntimeError("[gloo/pair.cc:1] Connection closed by peer"), LOST, False),
        (RuntimeError("Gloo connectFullMesh failed with wait timeout after 600000ms"), LOST, False),
        (dist.DistStoreError("wait timeout after 600000ms, keys: /0//1//cpu//0/1"), LOST, False),
    ],
)
def test_failing_rank_on_gpus_does_not_wait_for_the_others(monkeypatch, capsys, error, is_told, leaves, uses_nccl):
    group = OnGpus(0, 2)
    group.uses_nccl = uses_nccl
    monkeypatch.setattr("charrnn.training.group.DistributedRanks", lambda place: group)
    ends = nullcontext() if error is None else pytest.raises(typer.Exit if is_told else type(error))
    with ends, joined(Place(0, 2), TrainingSignals()):
        if error:
            raise error
    assert group.has_left == (leaves or not uses_nccl), "NCCL's leave is one that all take together"
    assert capsys.readouterr().err.endswith(is_told)


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory."), OSError(28, "No space")]
)
def test_error_common_to_all_ranks_is_reported_by_one(monkeypatch, capsys, error):
    for speaks, ends in ((True, type(error)), (False, typer.Exit)):
        group = OnGpus(0, 2)
        monkeypatch.setattr(group, "may_speak", lambda speaks=speaks: speaks)
        monkeypatch.setattr("charrnn.training.group.DistributedRanks", lambda place, group=group: group)
        with pytest.raises(ends) as raised, joined(Place(0, 2), TrainingSignals()):
            raise error
        assert getattr(raised.value, "exit_code", 1) == 1
        assert not capsys.readouterr().err, "whoever may speak leaves it to the command line"


def test_error_of_a_later_rank_names_process_and_rank(monkeypatch, capsys):
    monkeypatch.setattr("charrnn.training.group.DistributedRanks", lambda place: OnGpus(1, 2))
    with pytest.raises(typer.Exit), joined(Place(1, 2), TrainingSignals()):
        raise RuntimeError("[gloo/pair.cc:1] Connection closed by peer")
    assert capsys.readouterr().err == f"charrnn: process 2 of 2 (rank 1): {LOST}"


class OnGpu:
    """A fake model that has only its random state."""

    device = torch.device("cuda")

    def __init__(self):
        self.members = [self]
        self.dropout = Dropout()


def test_each_rank_starts_with_its_own_dropout_masks():
    config = TrainConfig(batch_size=4, seq_len=16, max_steps=5, learning_rate=0.01)
    models = [
        TrainingRun.start(model_config(), config, IDS, IDS[:500], started_at=0.0, ranks=part).model for part in parts(3)
    ]
    assert len({str(model.dropout.random_state) for model in models}) == 3


def test_stored_random_state_of_a_gpu_is_restored(monkeypatch):
    seeds = seeds_of_gpu(monkeypatch)
    model, other = OnGpu(), OnGpu()
    seed_masks(model, 5)
    stored = get_random_states(model)
    seed_masks(other, 6)
    set_random_states(other, stored)
    assert seeds == [5, 6, 5]
    assert other.dropout.random_state == model.dropout.random_state


def test_resume_on_a_gpu_after_a_cpu_uses_fresh_dropout_seeds(monkeypatch):
    """A GPU may have trained before the CPU did and have used the first numbers of the seed."""
    seeds = seeds_of_gpu(monkeypatch)
    model = OnGpu()
    for step in (20, 20, 30):
        seed_masks(model, 5)
        set_random_states(model, {"random_state": [{"seed": 5}], "cuda_random_state": None}, 5, 0, step)
    first, *again, other = seeds[1::2]
    assert seeds[::2] == [5, 5, 5]
    assert again == [first]
    assert len({5, first, other}) == 3


def seeds_of_gpu(monkeypatch):
    """Where a GPU's random numbers have begun so far; one that is asked where they stand tells the last of these."""
    seeds = []
    monkeypatch.setattr(torch.cuda, "manual_seed", seeds.append)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda: torch.tensor(seeds[-1]))
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state: seeds.append(int(state)))
    return seeds
