import contextlib
import itertools
import time
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import random_model, skip_without
from runs import start
from torch.nn import functional

from charrnn.cli.trainer import machine, resume_run
from charrnn.config import ModelConfig, TrainConfig
from charrnn.errors import ConfigError
from charrnn.network.model import CharRNN
from charrnn.storage.origin import Origin
from charrnn.training import precision
from charrnn.training.loop import READ_EVERY
from charrnn.training.passes import autocast, forward_and_backward
from charrnn.training.precision import probe_precision, sustained_speed


def make_model():
    torch.manual_seed(0)
    return CharRNN(
        ModelConfig(vocab_size=7, cell="lstm", hidden_size=8, num_layers=1, embedding_dim=4, dropout=0.3)
    ).train()


@pytest.fixture
def clock(monkeypatch):
    """Every look at the clock finds half a second gone."""
    ticks = itertools.count(step=0.5)
    monkeypatch.setattr(precision.time, "perf_counter", lambda: next(ticks))


@pytest.mark.parametrize(
    "probe",
    [
        lambda model: probe_precision(model, 3, "float32"),
        lambda model: sustained_speed(model, 3, 5, "float32", 2.0),
    ],
)
def test_probing_leaves_the_model_unchanged(clock, probe):
    model, twin = make_model(), make_model()
    probe(model)
    torch.testing.assert_close(model.state_dict(), twin.state_dict(), rtol=0, atol=0)
    assert model.dropout.random_state == twin.dropout.random_state
    assert all(parameter.grad is None for parameter in model.parameters())


def test_longer_probe_takes_the_median_step(monkeypatch):
    """Steps of 9 (not counted), 1, 2, 4, 4 and 4 seconds: 15 are over after the last, and 4 is the middle."""
    lengths = iter([9, 1, 2, 4, 4, 4])
    looks = (time for start in itertools.count(0, 100) for time in (start, start + next(lengths)))
    monkeypatch.setattr(precision.time, "perf_counter", lambda: next(looks))
    assert sustained_speed(make_model(), 3, 5, "float32", 15) == 3 * 5 / 4
    assert next(lengths, None) is None, "it measured as long as it was told to"


def test_shorter_probe_takes_the_fastest_step(clock):
    assert probe_precision(make_model(), 3, "float32").chars_per_second == 3 * precision.PROBE_SEQ_LEN / 0.5


@pytest.mark.parametrize(("seconds", "num_rounds"), [(1 / 64, 3), (3 / 64, 3), (1, 1)])
def test_gpu_probe_synchronizes_like_training(monkeypatch, seconds, num_rounds):
    """It is waited for once in `READ_EVERY` steps, which are as long as in training; slow ones are soon enough."""
    now, shapes, waited_at = [0.0], [], []

    def step(model, inputs, *_, **__):
        shapes.append(inputs.shape)
        now[0] += seconds

    zeros = torch.zeros
    monkeypatch.setattr(precision.torch, "zeros", lambda *shape, device, **how: zeros(*shape, **how))
    monkeypatch.setattr(precision.torch.cuda, "synchronize", lambda _: waited_at.append(len(shapes)))
    monkeypatch.setattr(precision, "forward_and_backward", step)
    monkeypatch.setattr(precision, "_left_alone", contextlib.nullcontext)
    monkeypatch.setattr(precision.time, "perf_counter", lambda: now[0])
    model = SimpleNamespace(
        device=torch.device("cuda"), config=SimpleNamespace(recall=0), initial_state=lambda lanes: None
    )
    assert probe_precision(model, 3, "float32", 50).chars_per_second == 3 * 50 / seconds
    rounds = [1 + READ_EVERY * count for count in range(num_rounds + 1)]
    assert waited_at == rounds, "after one that is not counted"
    assert sustained_speed(model, 3, 50, "float32", 2.5 * READ_EVERY * seconds) == 3 * 50 / seconds
    longer = [rounds[-1] + 1 + READ_EVERY * count for count in range(4)]
    assert waited_at[len(rounds) :] == longer, "for as long as it was told to"
    assert set(shapes) == {(50, 3)}


def test_float16_is_refused_on_a_cpu():
    with pytest.raises(ConfigError, match=r"--precision float16 is for GPUs; .* float32, bfloat16$"):
        probe_precision(make_model(), 3, "float16")


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_very_slow_precision_is_tried_only_on_request(monkeypatch, cell):
    """Products in bfloat16 that take a second: whole steps of them would be most of a short training."""
    model = CharRNN(ModelConfig(vocab_size=7, cell=cell, hidden_size=8, num_layers=1, embedding_dim=4))
    tried = []
    monkeypatch.setattr(precision, "_time_product", lambda left, right: 1.0 if left.dtype == torch.bfloat16 else 0.1)
    monkeypatch.setattr(
        precision, "_measure_speed", lambda model, lanes, candidate, seq_len: tried.append(candidate) or 1.0
    )
    assert probe_precision(model, 3, "auto").precision == "float32"
    assert tried == ["float32"]
    probe_precision(model, 3, "bfloat16")
    assert tried == ["float32", "bfloat16"]


@pytest.mark.parametrize(
    ("device", "bfloat16", "float16", "chosen"),
    [
        ("cuda", 1.05, 1.09, "float32"),
        ("cuda", 1.2, 1.3, "bfloat16"),
        ("cuda", 1.2, 1.4, "float16"),
        ("cuda", 0.9, 1.2, "float16"),
        ("cpu", 1.05, None, "bfloat16"),
        ("cpu", 1.0, None, "float32"),
    ],
)
def test_random_differences_on_a_gpu_choose_no_narrower_precision(monkeypatch, device, bfloat16, float16, chosen):
    model, speeds = make_model(), {"float32": 1.0, "bfloat16": bfloat16, "float16": float16}
    monkeypatch.setattr(type(model), "device", property(lambda _: torch.device(device)))
    monkeypatch.setattr(precision, "_left_alone", contextlib.nullcontext)
    monkeypatch.setattr(precision, "crawls_in", lambda *_: False)
    monkeypatch.setattr(precision, "_measure_speed", lambda model, lanes, candidate, seq_len: speeds[candidate])
    assert probe_precision(model, 3, "auto") == precision.Probe(chosen, speeds[chosen])


FULL = "CUDA out of memory. Tried to allocate 2.00 GiB."
STARVED = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
BROKEN = "CUDA error: an illegal memory access was encountered"
REFUSED = "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"


@pytest.fixture
def gpu(monkeypatch):
    """A model that seems to be on a GPU where all precisions are equally fast; a function lets some of them fail."""
    model, failures = make_model(), {}

    def measure(model, lanes, candidate, seq_len):
        if candidate in failures:
            raise RuntimeError(failures[candidate])
        return 1.0

    monkeypatch.setattr(type(model), "device", property(lambda _: torch.device("cuda")))
    monkeypatch.setattr(precision, "_left_alone", contextlib.nullcontext)
    monkeypatch.setattr(precision, "crawls_in", lambda *_: False)
    monkeypatch.setattr(precision, "_measure_speed", measure)

    def probe(wanted, **failing):
        failures.update(failing)
        return probe_precision(model, 3, wanted).precision

    return probe


@pytest.mark.parametrize("message", [FULL, STARVED])
def test_narrower_precision_is_chosen_if_float32_does_not_fit_a_gpu(gpu, message):
    assert gpu("auto", float32=message) == "bfloat16"
    with pytest.raises(RuntimeError, match=message[:20]):
        gpu("auto", bfloat16=message, float16=message)


def test_float32_is_chosen_if_narrower_ones_do_not_fit_a_gpu(gpu):
    assert gpu("auto", bfloat16=FULL, float16=REFUSED) == "float32"


@pytest.mark.parametrize("message", [FULL, STARVED, BROKEN])
def test_full_or_broken_gpu_is_not_reported_as_lacking_a_precision(gpu, message):
    with pytest.raises(RuntimeError, match=message[:20]):
        gpu("bfloat16", bfloat16=message)
    with pytest.raises(ConfigError, match="--precision bfloat16: this machine refuses it"):
        gpu("bfloat16", bfloat16=REFUSED)


def test_out_of_memory_is_not_reported_as_a_missing_precision(monkeypatch):
    monkeypatch.setattr(precision, "_measure_speed", lambda *_: torch.empty(1 << 50))
    with pytest.raises(RuntimeError, match="allocate"):
        probe_precision(make_model(), 3, "bfloat16")

    def refuse(*_):
        raise RuntimeError("could not create a primitive descriptor for an LSTM forward propagation primitive")

    monkeypatch.setattr(precision, "_measure_speed", refuse)
    with pytest.raises(ConfigError, match="--precision bfloat16: this machine refuses it"):
        probe_precision(make_model(), 3, "bfloat16")


def test_memory_of_a_failed_probe_is_freed_before_the_next(monkeypatch):
    alive = []

    def step(model, lanes, candidate, seq_len):
        if candidate == "bfloat16":
            return 1.0
        values = torch.ones(1000)
        alive.append(weakref.ref(values))
        raise RuntimeError(FULL)

    seen = []
    monkeypatch.setattr(precision, "_measure_speed", step)
    monkeypatch.setattr(precision, "crawls_in", lambda *_: False)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: seen.append(alive[0]()))
    assert probe_precision(make_model(), 3, "auto").precision == "bfloat16"
    assert seen
    assert all(values is None for values in seen)


def test_moderately_slower_precision_is_tried(monkeypatch):
    monkeypatch.setattr(precision, "_time_product", lambda left, right: 0.3 if left.dtype == torch.bfloat16 else 0.1)
    assert not precision.crawls_in("bfloat16")


def test_product_is_timed_by_processor_time():
    """At a resume on a busy machine a pause must not look like missing arithmetic."""

    class Waiting:
        def __matmul__(self, other):
            time.sleep(0.2)
            until = time.thread_time() + 0.008
            while time.thread_time() < until:
                pass

    assert 0.008 <= precision._time_product(Waiting(), None) < 0.1


def test_product_is_timed_on_one_thread_and_the_threads_restored(monkeypatch):
    seen, before = [], torch.get_num_threads()
    monkeypatch.setattr(precision, "_time_product", lambda left, right: seen.append(torch.get_num_threads()) or 1.0)
    torch.set_num_threads(2)
    try:
        precision.crawls_in("bfloat16")
        assert (seen, torch.get_num_threads()) == ([1, 1], 2)
    finally:
        torch.set_num_threads(before)


def test_float32_and_gpus_never_crawl(monkeypatch):
    monkeypatch.setattr(precision, "_time_product", lambda left, right: pytest.fail("nothing is timed"))
    assert not precision.crawls_in("float32")
    assert not precision.crawls_in("float32", "cuda")
    assert not precision.crawls_in("float16", "cuda")
    assert not precision.crawls_in("auto")


@pytest.mark.parametrize("has_bfloat16", [True, False])
def test_bfloat16_requires_a_gpu_that_computes_in_it(monkeypatch, has_bfloat16):
    """PyTorch says so of older ones too, which only store it; another GPU may go on with a training."""
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation or has_bfloat16
    )
    assert precision.crawls_in("bfloat16", "cuda") != has_bfloat16
    before = TrainConfig(batch_size=4, seq_len=16, max_steps=1, learning_rate=0.1, precision="bfloat16", device="cuda")
    stored = SimpleNamespace(train_config=before, origin=Origin(texts=[]))
    goes_on = resume_run._settle_precision(before, stored, {})
    assert goes_on.precision == ("bfloat16" if has_bfloat16 else "auto")
    told = resume_run._moved(goes_on, before)
    assert told.startswith("without bfloat16, which this machine lacks") != has_bfloat16
    assert resume_run._settle_precision(before, stored, {"precision": "bfloat16"}) == before, "as it was told to"


def test_automatic_precision_is_measured_with_the_current_threads(monkeypatch):
    probed = []

    def probe(model, batch_size, wanted):
        probed.append((torch.get_num_threads(), batch_size, wanted))
        return precision.Probe("bfloat16" if torch.get_num_threads() == 1 else "float32", 1.0)

    monkeypatch.setattr(machine, "probe_precision", probe)
    run, found = start(batch_size=3), {}
    for threads, expected in ((1, "bfloat16"), (2, "float32"), (1, "bfloat16")):
        torch.set_num_threads(threads)
        machine.settle_precision_again(run, "auto", found)
        assert run.config.precision == expected
    torch.set_num_threads(2)
    machine.settle_precision_again(run, "bfloat16", found)
    assert run.config.precision == "bfloat16", "as it was told to"
    assert probed == [(1, 3, "auto"), (2, 3, "auto")], "once for each number"


def test_loss_is_exact_whatever_the_products_are_rounded_to():
    skip_without("bfloat16", "gru")
    model = random_model(ModelConfig(vocab_size=11, cell="gru", hidden_size=16, num_layers=1, embedding_dim=6))
    ids = torch.from_numpy(np.random.default_rng(0).integers(0, 11, (21, 4)))
    how = {"precision": "bfloat16", "grad_clip": 1.0}
    found = forward_and_backward(model, ids[:-1], ids[1:], model.initial_state(4), **how)
    with torch.no_grad(), autocast(model.device, "bfloat16"):
        logits, _ = model(ids[:-1], model.initial_state(4))
    exact = functional.cross_entropy(logits.flatten(0, 1).double(), ids[1:].flatten())
    assert found.losses[0].item() == pytest.approx(exact.item(), abs=1e-6)
