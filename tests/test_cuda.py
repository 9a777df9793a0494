"""What runs on a GPU; skipped, with the reason, where there is none."""

import json
import os
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from conftest import (
    VARIANTS,
    assert_texts_go_on_from_one,
    make_text,
    numpy_twin,
    numpy_weights,
    random_model,
    skip_where_refused,
)
from runs import IDS, TEXT, break_member, finish, start, weights

from charrnn.cell_types import CELLS
from charrnn.config import ModelConfig
from charrnn.inference.engine import Engine
from charrnn.network.ensemble import build_model, members_of
from charrnn.network.torch_engine import TorchCharRNN
from charrnn.training import lane_choice
from charrnn.training.loop import READ_EVERY, read_figures, take_step
from charrnn.training.passes import autocast, forward_and_backward
from charrnn.training.precision import PRECISIONS, crawls_in, probe_precision

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU that torch can use"),
    pytest.mark.filterwarnings("ignore:RNN module weights are not part of single"),  # as `charrnn.cli.main` does
    pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype"),  # of `no_waiting`
    pytest.mark.filterwarnings("ignore:Please use the new API settings to control TF32"),  # of `no_tf32`
]

ON_GPU = {"env": {"CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0")}, "cold": True}

TOLERANCES = {"float32": 1e-3, "float16": 5e-2, "bfloat16": 3e-1}
"""Of a gradient, as a share of its norm. On a processor bfloat16 moves that of three ReLU layers by 0.11, float16 by
0.02."""

HALF_PERSISTENT = [
    ModelConfig(vocab_size=11, cell=cell, hidden_size=size, num_layers=2, embedding_dim=width)
    for cell, size, width in (
        ("lstm", 160, 6),
        ("gru", 160, 6),
        ("rnn", 320, 6),
        ("rnn-relu", 320, 6),
        ("rnn", 384, 128),
        ("rnn-relu", 384, 128),
    )
]
"""Sizes at which PyTorch asks cuDNN for other kernels on the way back than on the way forward: those for small layers
forward, and back the standard ones, or at multiples of 128, in float16, persistent ones of another kind."""


SMALL = ["--hidden-size", 32, "--max-steps", 20]


@pytest.fixture(autouse=True)
def no_tf32(request, monkeypatch):
    """float32 products do not use TF32; without these settings cuDNN computes bfloat16 in a way that no user gets."""
    case = getattr(request.node, "callspec", None)
    if case is None or case.params.get("precision", "float32") == "float32":
        monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@contextmanager
def no_waiting():
    """Make whatever waits for the GPU fail."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("config", VARIANTS)
def test_gpu_agrees_with_the_numpy_engine(config):
    model = random_model(config)
    weights = numpy_weights(model)
    gpu, engine = TorchCharRNN(config, weights, "cuda"), numpy_twin(model)
    gpu_state, state = gpu.initial_state(3), engine.initial_state(3)
    for row in np.random.default_rng(0).integers(0, 11, (6, 3)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # such as that the weights lie apart
            gpu_logits, gpu_state = gpu.step(row, gpu_state)
        logits, state = engine.step(row, state)
        np.testing.assert_allclose(gpu_logits, logits, atol=1e-3)


@pytest.mark.parametrize(("recall", "members", "reset_id"), [(0, 1, 4), (50, 1, None), (50, 2, None), (0, 2, 4)])
def test_batched_texts_on_the_gpu_have_the_logits_of_the_numpy_engine(recall, members, reset_id):
    shape = {"cell": "lstm", "hidden_size": 9, "num_layers": 2, "embedding_dim": 6}
    model = random_model(ModelConfig(vocab_size=11, recall=recall, members=members, **shape))
    arrays = numpy_weights(model)
    gpu = TorchCharRNN(model.config, arrays, "cuda", reset_id)
    on_gpu, on_host = (m.batch_reader(300) for m in (gpu, Engine(model.config, arrays, reset_id)))
    ids = np.random.default_rng(0).integers(0, 11, (12, 300))
    for row in ids:
        np.testing.assert_allclose(on_gpu(row), on_host(row), atol=1e-3)
    assert_texts_go_on_from_one(gpu, ids, alike=4)


@pytest.mark.parametrize("precision", PRECISIONS["cuda"])
@pytest.mark.parametrize("config", VARIANTS)
def test_gradients_equal_those_of_the_cpu_in_every_precision(config, precision):
    check_gradients(lambda: random_model(config), precision)


@pytest.mark.parametrize("precision", PRECISIONS["cuda"])
@pytest.mark.parametrize("config", HALF_PERSISTENT, ids=lambda config: f"{config.cell}-{config.hidden_size}")
def test_gradients_of_alternative_kernels_are_right(config, precision):
    check_gradients(lambda: build_model(config), precision)  # with more at random the largest would be chaotic


@pytest.mark.parametrize("precision", PRECISIONS["cuda"])
@pytest.mark.parametrize("cell", CELLS)
def test_weights_of_a_trained_layer_lie_as_cudnn_reads_them(cell, precision):
    model = random_model(ModelConfig(vocab_size=11, cell=cell, hidden_size=9, num_layers=2, embedding_dim=6))
    skip_without_bfloat16(model.cuda().train(), precision)
    ids = torch.zeros((12, 16), dtype=torch.int64, device="cuda")
    with warnings.catch_warnings(), autocast(model.device, precision):
        warnings.filterwarnings("error", "RNN module weights are not part of single contiguous chunk of memory")
        model(ids, model.initial_state(16))


def skip_without_bfloat16(model, precision):
    """Skip a test where this GPU has no bfloat16, or its cuDNN none for such a model; float16 all of them have."""
    if precision == "bfloat16":
        if crawls_in(precision, "cuda"):
            pytest.skip("this GPU has no bfloat16")
        skip_where_refused(model, 16, precision)


def check_gradients(build, precision):
    skip_without_bfloat16(build().cuda().train(), precision)
    ids = torch.randint(0, 11, (2, 12, 16), generator=torch.Generator().manual_seed(0))
    found = {}
    for device, how in (("cpu", "float32"), ("cuda", precision)):
        torch.manual_seed(0)
        model = build().to(device)
        inputs, targets = ids.to(device)
        forward_and_backward(model.train(), inputs, targets, model.initial_state(16), precision=how, grad_clip=1e9)
        found[device] = torch.cat([parameter.grad.flatten().cpu() for parameter in model.parameters()])
    assert torch.dist(found["cpu"], found["cuda"]) < TOLERANCES[precision] * found["cpu"].norm()


@pytest.mark.parametrize(
    "options",
    [
        *({"cell": cell} for cell in CELLS),
        *({"optimizer": optimizer} for optimizer in ("adam", "rmsprop", "sgd")),
        {"members": 2, "recall": 1000, "recall_dropout": 0.0},
        {"line_end_id": int(IDS[TEXT.index("\n")])},
    ],
    ids=lambda options: "-".join(value if isinstance(value, str) else name for name, value in options.items()),
)
def test_training_on_the_gpu_equals_that_on_the_cpu(options):
    on_host, on_gpu = (learn(device, **options) for device in ("cpu", "cuda"))
    assert on_gpu == pytest.approx(on_host, abs=0.005)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_text_too_large_for_gpu_memory_trains_alike(monkeypatch, dtype):
    resident = learn("cuda", ids=IDS.astype(dtype))
    monkeypatch.setattr(lane_choice, "MEMORY_SHARE", 0.0)
    monkeypatch.setattr(lane_choice, "ResidentLanes", lambda *_, **__: pytest.fail("it lies there"))
    assert learn("cuda", ids=IDS.astype(dtype)) == pytest.approx(resident, abs=0.005)


def learn(device, **options):
    return finish(start(**options, max_steps=60, state_reset=0.0, device=device))[-1].val_loss


def test_precision_is_chosen_and_float16_trains():
    run = start(max_steps=80, device="cuda")
    assert probe_precision(run.model, 4, "auto", run.config.seq_len).precision in PRECISIONS["cuda"]
    run.settle_precision("float16")
    assert finish(run)[-1].val_loss == pytest.approx(finish(start(max_steps=80))[-1].val_loss, abs=0.05)


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize(
    "options", [{}, {"optimizer": "sgd"}, {"members": 2, "dropout": 0.2}, {"recall": 1000}], ids=lambda o: "-".join(o)
)
def test_no_step_waits_for_the_gpu(options, precision):
    run = start(max_steps=10_000, device="cuda", **options)
    run.settle_precision(precision)
    assert run.lanes.windows_per_epoch > READ_EVERY
    take_step(run)
    with no_waiting():
        for _ in range(READ_EVERY - 2):
            take_step(run)


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("what", ["norm", "loss", "gradient"])
def test_skipped_step_changes_no_weight(what, members):
    run = start(max_steps=1000, members=members, grad_clip=0.0, device="cuda")
    break_member(members_of(run.model)[-1], what, step=1)
    take_step(run)
    before = weights(run)
    take_step(run)
    torch.testing.assert_close(weights(run), before, rtol=0, atol=0)
    take_step(run)
    read_figures(run)
    assert (run.step, run.health.skipped) == (2, 1)


def test_run_trains_and_samples_on_the_gpu_and_resumes_on_the_cpu_and_back(charrnn, tmp_path):
    (tmp_path / "verse.txt").write_text(make_text(5000))
    trained = charrnn("train", "verse.txt", "--device", "cuda", "--hidden-size", 32, "--max-steps", 20, **ON_GPU)
    assert trained.code == 0, trained.stderr
    assert "UserWarning" not in trained.stderr
    assert len(charrnn("sample", "verse.pt", "--device", "cuda", "-n", 40, **ON_GPU).text) == 40
    assert len(charrnn("sample", "verse.pt", "-n", 40).text) == 40
    resumed = charrnn("train", "verse.txt", "--resume", "--max-steps", 30)
    assert resumed.code == 0, resumed.stderr
    assert "on cpu, before cuda: not bit for bit" in resumed.stderr
    back = charrnn("train", "verse.txt", "--resume", "--max-steps", 40, "--device", "cuda", **ON_GPU)
    assert back.code == 0, back.stderr
    assert "on cuda, before cpu: not bit for bit" in back.stderr


def test_masks_after_a_time_on_the_cpu_are_not_repeated():
    first, back = (start(dropout=0.2, device="cuda") for _ in range(2))
    begun = torch.cuda.get_rng_state()
    take_step(first)
    read_figures(first)
    back.load_state_dict({**first.state_dict(), "cuda_random_state": None})
    assert not torch.equal(torch.cuda.get_rng_state(), begun)
    again = torch.cuda.get_rng_state()
    back.load_state_dict({**first.state_dict(), "cuda_random_state": None})
    torch.testing.assert_close(torch.cuda.get_rng_state(), again)


def test_deterministic_interrupted_run_equals_the_straight_one(charrnn, tmp_path):
    (tmp_path / "verse.txt").write_text(make_text(5000))
    even = ["--warmup-steps", 0, "--final-learning-rate", 1, "--learning-rate", 0.01, "--evaluate-every", 10]
    flags = [
        "--hidden-size", 32, "--batch-size", 8, "--stretch", 256, "--dropout", 0.2, "--input-dropout", 0.05,
        "--precision", "float32",
    ]  # fmt: skip
    for name, *steps in (("straight.pt", 60), ("cut.pt", 30, 60)):
        for number, last in enumerate(steps):
            begin = ["--resume"] if number else [*flags, *even]
            how = ["--deterministic", "--device", "cuda", "--max-steps", last, "--out", name]
            assert charrnn("train", "verse.txt", *begin, *how, **ON_GPU).done
    straight, cut = (torch.load(tmp_path / name, weights_only=True)["training"] for name in ("straight.pt", "cut.pt"))
    assert straight["step"] == cut["step"] == 60
    torch.testing.assert_close(cut["weights"], straight["weights"], rtol=0, atol=0)


@pytest.mark.parametrize(
    "flags",
    [
        ["--precision", "bfloat16", "--max-steps", 20],
        ["--lines", *SMALL],
        ["--members", 2, "--recall", 1000, *SMALL],
        ["--optimizer", "rmsprop", "--precision", "float16", *SMALL],
    ],
    ids=["all that no flag decides", "lines", "an ensemble that recalls", "rmsprop"],
)
def test_model_trained_on_the_gpu_samples_and_is_fine_tuned_there(charrnn, tmp_path, flags):
    if "bfloat16" in flags and crawls_in("bfloat16", "cuda"):
        pytest.skip("this GPU has no bfloat16")
    many = "".join(map(chr, range(0x4E00, 0x4F00)))  # so that ids have two bytes
    (tmp_path / "verse.txt").write_text(f"{many}\n{make_text(5000)}")
    (tmp_path / "other.txt").write_text(make_text(5000, seed=1))
    trained = charrnn("train", "verse.txt", "--device", "cuda", *flags, **ON_GPU)
    if "--precision bfloat16: this machine refuses it" in trained.stderr:
        pytest.skip(trained.stderr)
    assert trained.done
    tuned = ["--init-from", "verse.pt", "--out", "tuned.pt", "--max-steps", 10]
    assert charrnn("train", "other.txt", "--device", "cuda", *tuned, **ON_GPU).done
    for name in ("verse.pt", "tuned.pt"):
        told = charrnn("sample", name, "--device", "cuda", "-N", 300, "-n", 20, "--json", **ON_GPU).done.text
        assert [len(json.loads(line)["text"]) for line in told.splitlines()] == [20] * 300


def test_deterministic_runs_are_equal_and_report_the_cost(charrnn, tmp_path):
    (tmp_path / "verse.txt").write_text(make_text(5000))
    flags = ["--max-steps", 60, "--deterministic", "--precision", "float32"]
    for name in ("a.pt", "b.pt"):
        told = charrnn("train", "verse.txt", *flags, "--out", name, **ON_GPU).stderr
        assert "of the speed that it would have here otherwise" in told
    a, b = (torch.load(tmp_path / name, weights_only=True)["training"]["weights"] for name in ("a.pt", "b.pt"))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_out_of_memory_is_reported_in_one_line(charrnn, tmp_path):
    (tmp_path / "verse.txt").write_text(make_text(5000) * 500)  # 32 characters in each lane: 512 GiB of vectors
    sizes = ["--hidden-size", 64, "--num-layers", 1, "--embedding-dim", 65536, "--batch-size", 65536]
    result = charrnn("train", "verse.txt", "--device", "cuda", *sizes, "--max-steps", 5, **ON_GPU)
    assert result.code == 1
    assert result.stderr.splitlines()[-1].startswith("charrnn: the GPU is out of memory; ")
