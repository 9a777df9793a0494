"""What the machine cannot do: a resume on another device or in another precision, failing GPUs, too little memory."""

import functools
import json
import re
import shutil
import sys
import threading
import time
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from conftest import make_text
from processes import SMALL, contents, stop_in_step, train

from charrnn.cli.trainer import machine
from charrnn.errors import ConfigError
from charrnn.network import torch_engine
from charrnn.training.ranks import ALONE


@pytest.fixture
def folder(ended, tmp_path):
    return shutil.copytree(ended, tmp_path / "work")


@pytest.mark.slow
@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_same_device_may_be_given_again(folder, device):
    training = train(folder, "--resume", "--max-steps", 22, "--device", device)
    assert training.process.exitcode == 0, training.stderr
    assert "bit for bit" not in training.stderr
    assert contents(folder)["training"]["config"]["device"] == "cpu"


@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], ["--precision", "auto"]])
def test_resume_of_a_gpu_run_on_a_cpu_is_reported(folder, flags):
    stored = contents(folder)
    stored["training"]["config"] |= {"device": "cuda", "precision": "float16"}
    stored["training"]["cuda_random_state"] = torch.zeros(16, dtype=torch.uint8)
    torch.save(stored, folder / "verse.pt")
    training = train(folder, "--resume", "--max-steps", 30, *flags)
    assert training.process.exitcode == 0, training.stderr
    assert "on cpu, before cuda: not bit for bit as it would have gone on there" in training.stderr
    config = contents(folder)["training"]["config"]
    assert config["device"] == "cpu"
    assert config["precision"] in ("float32", "bfloat16")
    assert contents(folder)["training"]["step"] == 30


@pytest.mark.slow
def test_resume_with_automatic_precision_takes_the_fastest(folder):
    stored = contents(folder)
    stored["training"]["config"]["precision"] = "auto"
    torch.save(stored, folder / "verse.pt")
    training = train(folder, "--resume", "--max-steps", 30)
    assert training.process.exitcode == 0, training.stderr
    assert contents(folder)["training"]["config"]["precision"] in ("float32", "bfloat16")


ROUNDED = ["--cell", "gru", "--hidden-size", 16, "--batch-size", 4, "--seq-len", 16, "--precision", "bfloat16"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("origin", "flags"),
    [
        ({"precision_given": False}, []),  # it was measured elsewhere
        ({}, []),  # nobody knows, as of an older file
        ({"precision_given": True}, ["--precision", "auto"]),
    ],
)
def test_resume_without_hardware_for_the_precision_changes_it_and_reports(folder, origin, flags):
    assert train(folder, *ROUNDED, "--max-steps", 3, "--overwrite").process.exitcode == 0
    stored = contents(folder)
    assert stored["origin"].pop("precision_given")
    stored["origin"] |= origin
    torch.save(stored, folder / "verse.pt")
    training = train(folder, "--resume", "--max-steps", 6, *flags, prepare=slow_bfloat16)
    assert training.process.exitcode == 0, training.stderr
    assert "without bfloat16, which this machine lacks: not bit for bit as it would have gone on" in training.stderr
    stored = contents(folder)["training"]
    assert (stored["config"]["precision"], stored["step"]) == ("float32", 6)
    assert not contents(folder)["origin"]["precision_given"], "a later resume measures again too"


@pytest.mark.slow
def test_requested_precision_is_kept_without_hardware_for_it(folder):
    straight = train(folder, *ROUNDED, "--max-steps", 9, "--out", "straight.pt", prepare=slow_bfloat16)
    assert straight.process.exitcode == 0, straight.stderr
    begin = [*ROUNDED, "--max-steps", 9, "--report-every", 1, "--overwrite"]
    for flags, last in ((begin, 3), (["--resume", "--report-every", 1], 6), (["--resume"], 9)):
        training = train(folder, *flags, prepare=functools.partial(stop_in_step_without_bfloat16, last))
        assert training.process.exitcode == (143 if last < 9 else 0), training.stderr
        assert "bit for bit" not in training.stderr
        assert contents(folder)["training"]["step"] == last
    stored = contents(folder)
    expected = torch.load(folder / "straight.pt", weights_only=True)
    torch.testing.assert_close(stored["training"]["weights"], expected["training"]["weights"], rtol=0, atol=0)


def stop_in_step_without_bfloat16(last):
    slow_bfloat16()
    if last < 9:
        stop_in_step(last)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "other_text", "wanted"),
    [
        (["--resume"], False, "float32"),  # in which it was trained
        (["--force-resume"], True, "auto"),
        (["--force-resume", "--precision", "float32"], True, "float32"),
        (["--overwrite"], False, "auto"),
    ],
)
def test_fresh_start_may_change_precision_with_its_threads(folder, flags, other_text, wanted):
    if other_text:
        (folder / "verse.txt").write_text(make_text(1500, seed=1), encoding="utf-8")
    training = train(folder, *flags, "--max-steps", 50, "--evaluate-every", 10, prepare=change_threads)
    assert training.process.exitcode == 0, training.stderr
    assert {line for line in training.stderr.splitlines() if line.startswith("wanted: ")} == {f"wanted: {wanted}"}


def change_threads():
    from charrnn.cli.trainer import session
    from charrnn.cli.trainer.threads import ThreadKeeper

    ThreadKeeper.adjust = lambda self, model: True
    session.settle_precision_again = lambda run, wanted, found: print(f"wanted: {wanted}", file=sys.stderr)


def slow_bfloat16():
    from charrnn.training import precision

    precision._time_product = lambda left, right: 1.0 if left.dtype == torch.bfloat16 else 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (
            "full_gpu",
            "the GPU is out of memory; verse.pt is as it was after step 20; go on with --resume on a GPU ",
        ),
        ("starved_gpu", "the GPU is out of memory; verse.pt is as it was after step 20; go on with --resume on a "),
        ("broken_gpu", "the GPU has failed (CUDA error: an illegal memory access was encountered); try again, "),
        ("lame_gpu", "the GPU has failed (cuDNN error: CUDNN_STATUS_EXECUTION_FAILED); try again, "),
    ],
)
def test_gpu_failure_is_one_line_and_the_checkpoint_is_kept(folder, prepare, message):
    before = (folder / "verse.pt").read_bytes()
    training = train(folder, "--resume", "--max-steps", 30, prepare=globals()[prepare])
    assert training.process.exitcode == 1
    assert training.stderr.splitlines()[-1].startswith(f"charrnn: {message}")
    assert "Traceback" not in training.stderr
    assert (folder / "verse.pt").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "prepare", "told"),
    [
        (
            ["--resume"],
            "full_gpu_in_trial",
            "the GPU is out of memory; train it on a GPU with more, or with --device cpu",
        ),
        (["--resume"], "little_memory_in_trial", "out of memory; train it where there is more memory"),
        (
            ["--init-from", "verse.pt", "--out", "new.pt"],
            "little_memory_in_trial",
            "out of memory; lower --batch-size or --seq-len, or train it where there is more memory",
        ),
        (
            ["--hidden-size", 8, "--out", "new.pt"],
            "little_memory_in_trial",
            "out of memory; lower --hidden-size, --batch-size or --seq-len",
        ),
    ],
)
def test_out_of_memory_before_the_first_step_suggests_usable_flags(folder, flags, prepare, told):
    training = train(folder, *flags, "--max-steps", 30, prepare=globals()[prepare])
    assert training.process.exitcode == 1
    assert training.stderr.splitlines()[-1] == f"charrnn: {told}"


def full_gpu_in_trial():
    _fail_in_trial(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))


def little_memory_in_trial():
    _fail_in_trial(MemoryError())


def _fail_in_trial(error):
    from charrnn.cli.trainer import machine

    def fail(*_, **__):
        raise error

    machine.probe_precision = fail


def full_gpu():
    _fail_with(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore lines."))


def starved_gpu():
    _fail_with(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))


def broken_gpu():
    _fail_with(RuntimeError("CUDA error: an illegal memory access was encountered\nMore lines."))


def lame_gpu():
    _fail_with(RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"))


def _fail_with(error):
    from charrnn.training import loop

    def fail(run):
        raise error

    loop.take_step = fail


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_out_of_memory_is_reported_in_one_line(folder, number):
    prepare = functools.partial(little_memory, number)
    training = train(folder, *SMALL, "--max-steps", 3, "--out", "new.pt", prepare=prepare)
    assert training.process.exitcode == 1
    assert training.stderr.splitlines()[-1].startswith("charrnn: out of memory; lower --hidden-size, --batch-size")
    assert "Traceback" not in training.stderr


def little_memory(number):
    """Run out of memory as one of the libraries tells it."""
    if number == 0:
        from charrnn.training import loop

        loop.take_step = lambda run: torch.empty(1 << 60)
    else:
        _fail_with(TOLD_BY_OTHERS[number - 1])


@pytest.mark.slow
def test_save_in_progress_when_memory_runs_out_is_written(folder):
    flags = ["--max-steps", 40, "--evaluate-every", 2, "--out", "new.pt"]
    training = train(folder, *SMALL, *flags, prepare=little_memory_amid_a_save)
    told = "charrnn: out of memory; new.pt is as it was after step 2; go on with --resume where there is more memory"
    assert (training.process.exitcode, training.stderr.splitlines()[-1]) == (1, told), training.stderr
    assert torch.load(folder / "new.pt", weights_only=True)["training"]["step"] == 2


def little_memory_amid_a_save():
    from charrnn.training import checkpoint, loop

    write, take_step = checkpoint.write, loop.take_step
    checkpoint.write = lambda *what: (time.sleep(0.5), write(*what))

    def fail_after_an_evaluation(run):
        if run.history:
            raise MemoryError
        return take_step(run)

    loop.take_step = fail_after_an_evaluation


TOLD_BY_OTHERS = [
    ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    OSError("libtorch_global_deps.so: failed to map segment from shared object"),
    RuntimeError("could not create a primitive"),
]


@pytest.mark.parametrize(
    ("flags", "refused", "code"),
    [(["--threads", 2], "", 2), (["--threads", 2, "--members", 2], "member", 2), (["--threads", 1], "", 0)],
)
def test_thread_failure_is_one_line_and_one_thread_suffices(charrnn, text, flags, refused, code):
    prepare = partial(refuse_threads, refused)
    result = charrnn("train", "verse.txt", *SMALL, "--max-steps", 2, "-q", *flags, prepare=prepare)
    told = (
        "charrnn: no more threads can be started here; raise the limit (`ulimit -u`, or the container's on processes), "
        "or use --threads 1\n"
    )
    assert (result.code, result.stderr) == (code, told if code else "")


def refuse_threads(name):
    """Refuse to start threads whose name begins so."""
    begin = threading.Thread.start

    def start(thread):
        if thread.name.startswith(name):
            raise RuntimeError("can't start new thread")
        begin(thread)

    threading.Thread.start = start


OLD_PROCESSOR = {
    "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_processor_without_avx512_trains_as_well(charrnn, text, cell):
    flags = ["--hidden-size", 64, "--max-steps", 30, "--cell", cell, "--json", "--overwrite"]
    losses = []
    for environment in (OLD_PROCESSOR, {}):
        result = charrnn("train", "verse.txt", *flags, env=environment, cold=True)
        assert result.code == 0, result.stderr
        losses.append(json.loads(result.stderr.splitlines()[-1])["best_val_loss"])
    assert losses[0] == pytest.approx(losses[1], abs=0.05)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_missing_gpu_is_reported_in_one_line(charrnn, text):
    result = charrnn("train", "verse.txt", "--device", "cuda")
    assert result.code == 2
    assert result.stderr.startswith("charrnn: --device cuda: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("version", "told"),
    [
        (
            None,
            "this PyTorch is built without CUDA; install another build (pytorch.org), or leave --device out to run",
        ),
        ("13.0", "torch finds no GPU; leave --device out to run on the CPU"),
    ],
)
def test_pytorch_without_cuda_suggests_a_build_with_it(monkeypatch, version, told):
    monkeypatch.setattr(torch.version, "cuda", version)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch_engine, "gpu_trouble", torch_engine.gpu_trouble.__wrapped__)
    with pytest.raises(ConfigError, match=re.escape(f"--device cuda: {told}")):
        torch_engine.require_device("cuda")


@pytest.mark.parametrize(
    ("capability", "built_for", "has_kernels"),
    [
        ((6, 1), ["sm_75", "sm_90"], False),
        ((6, 1), ["sm_50", "sm_60", "sm_90"], True),
        ((8, 0), ["sm_86", "sm_90"], False),
        ((12, 1), ["sm_75", "sm_90a", "compute_90"], True),
        ((12, 1), ["sm_75", "sm_120", "compute_130"], True),
        ((7, 0), ["sm_75", "compute_75"], False),
        ((9, 0), [], True),  # nothing is said
    ],
)
def test_gpu_without_kernels_in_this_pytorch_is_refused(monkeypatch, capability, built_for, has_kernels):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid="GPU-0"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: built_for)
    for module in (machine, torch_engine):
        monkeypatch.setattr(module, "gpu_trouble", torch_engine.gpu_trouble.__wrapped__)
    assert machine.choose_device("auto", ALONE) == ("cuda" if has_kernels else "cpu", "")
    if not has_kernels:
        told = (
            "--device cuda: this PyTorch has no kernels for GPUs of compute capability "
            f"{'.'.join(map(str, capability))}; install another build (pytorch.org), or leave --device out to run "
            "on the CPU"
        )
        with pytest.raises(ConfigError, match=f"^{re.escape(told)}$"):
            machine.choose_device("cuda", ALONE)
