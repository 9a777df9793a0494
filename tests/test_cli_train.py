"""`charrnn train` as a user runs it: streams read apart, exit codes, files."""

import base64
import contextlib
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import clean_environment, make_text
from processes import FIRST_STEP, Training, tell_first_step, train

from charrnn.cell_types import CELLS
from charrnn.cli.trainer import checking, machine, reading
from charrnn.cli.trainer.announce import _duration, doubt
from charrnn.cli.trainer.checking import check_output
from charrnn.cli.trainer.request import Request
from charrnn.cli.trainer.suggested_commands import command_to_go_on, reading_flags
from charrnn.config import ModelConfig, TrainConfig
from charrnn.display.console import WorkBar
from charrnn.errors import ConfigError, OutputError
from charrnn.network import torch_engine
from charrnn.storage.outputs import check_replaceable, require_output
from charrnn.text.cache import Cache
from charrnn.text.corpus import read_corpus
from charrnn.text.encoder import CharEncoder
from charrnn.text.read_options import ReadOptions
from charrnn.training import loop
from charrnn.training.clock import CLOCK, Clock
from charrnn.training.loop import take_step
from charrnn.training.ranks import ALONE
from charrnn.training.run import TrainingRun
from charrnn.wording import format_seconds

SMALL = ["--hidden-size", "16", "--batch-size", "4", "--seq-len", "16", "--precision", "float32"]


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "verse.txt"
    path.write_text(make_text(3000), encoding="utf-8")
    return path


def test_train_prints_only_the_path_on_stdout(charrnn, text):
    result = charrnn("train", "verse.txt", *SMALL, "--max-steps", 6, "--patience", 3)
    assert result.code == 0, result.stderr
    assert result.stdout == b"verse.pt\n"
    assert "verse.txt: 3,000 characters, 23 distinct; 2,700 to train on, the last 300 held out" in result.stderr
    assert "model: lstm, 1 layer of 16, embedding 64, dropout" in result.stderr
    assert "parameters, chosen for about 0.14 epochs of 2,700 characters" in result.stderr
    assert "training: 6 steps, 4 lanes, windows of 16, adamw at" in result.stderr
    assert "best validation loss" in result.stderr
    assert result.stderr.count("validation ") >= 2
    assert "\x1b" not in result.stderr


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (
            [500, "--seq-len", 64],
            "training: 2 epochs, 500 lanes, windows of 6, |each of 500 lanes has 6 characters, fewer than a window of "
            "64: one update an epoch, 2 in all; a smaller --batch-size makes more",
        ),
        (
            [2, "--seq-len", 2000],
            "training: 2 epochs, 2 lanes, windows of 1,350, |each of 2 lanes has 1,350 characters, fewer than a window "
            "of 2,000: one update an epoch, 2 in all; a smaller --batch-size makes more",
        ),
        ([2, "--seq-len", 1350], "training: 2 epochs, 2 lanes, windows of 1,350, |"),
        ([1, "--seq-len", 3000], "training: 2 epochs, 1 lane, windows of 2,699, |"),
        ([500, "--lines"], "training: 2 epochs, 500 lanes, windows of at most 64 of a line, |"),
    ],
)
def test_more_lanes_than_the_text_fills_are_reported(charrnn, text, flags, told):
    text.write_text(make_text(3000) + "\n" * 600 if "--lines" in flags else make_text(3000), encoding="utf-8")
    trained = charrnn("train", "verse.txt", "--hidden-size", 8, "--epochs", 2, "--batch-size", *flags)
    lines = trained.stderr.splitlines()
    at = next(index for index, line in enumerate(lines) if line.startswith("training: "))
    training, remark = told.split("|")
    assert lines[at].startswith(training)
    assert (lines[at + 1] == remark) if remark else (" lanes has " not in trained.stderr)


def test_quiet_prints_only_the_path(charrnn, text):
    result = charrnn("train", "verse.txt", *SMALL, "--max-steps", 3, "--out", "q.pt", "-q")
    assert (result.code, result.stdout, result.stderr) == (0, b"q.pt\n", "")


def test_json_has_one_object_per_report_and_the_path_last(charrnn, text):
    result = charrnn("train", "verse.txt", *SMALL, "--epochs", 1, "--json")
    said = [json.loads(line) for line in result.stderr.splitlines()]
    assert result.stdout == b"verse.pt\n"
    settings, *reports = (line for line in said if "note" not in line)  # as of other programs on the same cores
    assert settings["told"][0].startswith("verse.txt: ")
    assert (settings["step"], settings["corpus"]["files"], settings["corpus"]["left_out"]) == (0, 1, [])
    assert settings["num_parameters"] > 16 * 16
    card = json.loads(charrnn("inspect", "verse.pt", "--json").stdout)
    alike = settings.keys() - {"step", "told", "corpus", "training"}
    assert {name: settings[name] for name in alike} == {name: card[name] for name in alike}
    assert {"hidden_size", "num_parameters", "text"} < alike
    facts = settings["corpus"].keys() & card["corpus"].keys()
    assert facts == card["corpus"].keys() - {"counts"}
    assert {name: settings["corpus"][name] for name in facts} == {name: card["corpus"][name] for name in facts}
    assert settings["training"].keys() == card["training"].keys()
    assert settings["training"]["config"] == card["training"]["config"]
    assert reports[-1]["checkpoint"] == "verse.pt"
    assert reports[-1]["progress"] == 1
    assert all("checkpoint" not in report for report in reports[:-1])
    assert [r["step"] for r in reports] == sorted(r["step"] for r in reports)
    assert reports[-1]["val_perplexity"] > 1
    assert reports[-1]["best_cold_loss"] > 0


def test_going_back_to_the_best_weights_is_reported(charrnn, text):
    text.write_text("".join(np.random.default_rng(0).choice(list("abcdefgh\n"), 900)))  # nothing in it to be learned
    flags = [*SMALL, "--dropout", 0, "--recall", 0, "--epochs", 40, "--learning-rate", 0.02, "--log", "verse.jsonl"]
    result = charrnn("train", "verse.txt", *flags, "--json").done
    notes = "\n".join(json.loads(line).get("note", "") for line in result.stderr.splitlines())
    rows = [json.loads(line) for line in text.with_name("verse.jsonl").read_text().splitlines()]
    told = re.findall(r"no gain in 3 evaluations: back to the weights of step ([\d,]+), with a lower", notes)
    assert len(told) == rows[-2]["rewinds"] > 0, "one at the end would lead nowhere"
    assert {int(step) for step in told} <= {row["step"] for row in rows if row["is_best"]}


def test_json_has_the_requested_samples(charrnn, text):
    result = charrnn("train", "verse.txt", *SMALL, "--epochs", 1, "--json", "--sample-every", 1)
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    samples = [line["sample"] for line in lines if "sample" in line]
    assert len(samples) == sum(line.get("val_loss") is not None for line in lines)
    assert all(samples)


def test_json_covers_notes_and_errors(charrnn, text):
    lines = charrnn("train", "verse.txt", *SMALL, "--max-steps", 3, "--json").done.stderr.splitlines()
    assert all(json.loads(line) for line in lines)
    told = "verse.pt: exists; continue it with --resume, replace it with --overwrite, or choose another file with --out"
    assert json.loads(charrnn("train", "verse.txt", "--json").stderr) == {"error": told}
    assert json.loads(charrnn("train", "verse.txt", "--json", "-q").stderr) == {"error": told}
    mistyped = ["train", "verse.txt", "--epochs", 1, "--epochs", 2, "--json"]
    told = "--epochs is given twice; it takes one value; `charrnn train -h` tells more"
    assert json.loads(charrnn(*mistyped).stderr) == {"error": told}
    assert json.loads(charrnn(*mistyped, "-q").stderr) == {"error": told}
    assert list(json.loads(charrnn("train", "verse.txt", "--json", "--seed", "x").stderr)) == ["error"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a file's name is text")
def test_json_has_the_bytes_of_an_undecodable_checkpoint_name(charrnn, text):
    name = os.fsdecode(b"caf\xe9.pt")
    result = charrnn("train", "verse.txt", *SMALL, "--max-steps", 3, "--json", "--out", name)
    told = json.loads(result.stderr.splitlines()[-1])
    assert told["checkpoint"] == "caf\ufffd.pt"
    assert base64.b64decode(told["checkpoint_bytes"]) + b"\n" == result.stdout
    (text.parent / "words.pt").write_bytes((text.parent / name).read_bytes())
    alone, (first, second) = (
        json.loads(charrnn("inspect", *names, "--json").stdout) for names in ([name], [name, "words.pt"])
    )
    assert alone["checkpoint_bytes"] == first["checkpoint_bytes"] == told["checkpoint_bytes"]
    assert "checkpoint_bytes" not in second


@pytest.mark.skipif(shutil.which("localedef") is None, reason="needs localedef")
@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["train", "verse.txt", *SMALL, "--max-steps", 1, "--json", "--out"], "m\u00f6d.pt"),
        (["inspect", "words.pt", "--export"], "\u00f6x.safetensors"),
        (["inspect", "words.pt", "--embeddings", "--html"], "\u00f6x.html"),
        (["inspect", "words.pt", "--text", "Tin", "--svg"], "\u00f6x.svg"),
    ],
)
def test_printed_path_is_exact_in_any_locale(charrnn, text, trained, words, name):
    locale = ["localedef", "-c", "-i", "POSIX", "-f", "ISO-8859-1", text.parent / "x.ISO-8859-1"]
    subprocess.run(locale, capture_output=True)
    latin = {"LOCPATH": str(text.parent), "LC_ALL": "x.ISO-8859-1", "PYTHONUTF8": "0"}
    probe = [sys.executable, "-c", "import sys; print(sys.getfilesystemencoding())"]
    if b"8859" not in subprocess.run(probe, env={**clean_environment(), **latin}, capture_output=True).stdout:
        pytest.skip("there is no such locale")
    shutil.copy(trained / "words.pt", text.parent)
    result = charrnn(*words, name, env=latin, cold=True).done
    assert result.stdout == f"{name}\n".encode()
    assert (text.parent / name).exists()
    if "--json" in words:
        assert json.loads(result.stderr.splitlines()[-1])["checkpoint"] == name


def test_printed_path_never_looks_like_a_flag(charrnn, text):
    text.rename(text.with_name("-verse.txt"))
    result = charrnn("train", "./-verse.txt", *SMALL, "--max-steps", 3, "-q")
    assert (result.code, result.text) == (0, f".{os.sep}-verse.pt\n")
    assert len(charrnn("sample", result.text.strip(), "-n", 5, "-q").stdout) == 5


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


@pytest.mark.skipif(os.name == "nt", reason="there a working directory cannot be deleted")
def test_missing_working_directory_is_reported_in_one_line(text):
    command = f"mkdir gone && cd gone && rmdir ../gone && {sys.executable} -m charrnn train {text}"
    result = subprocess.run(["bash", "-c", command], cwd=text.parent, capture_output=True, timeout=100)
    told = b"charrnn: the working directory is gone; go to another with `cd`\n"
    assert (result.returncode, result.stdout, result.stderr) == (2, b"", told)


def test_file_in_a_missing_working_directory_is_refused(tmp_path, monkeypatch):
    def refuse():
        raise FileNotFoundError

    monkeypatch.setattr(os, "getcwd", refuse)
    require_output(str(tmp_path / "x.html"), "--html")
    with pytest.raises(OutputError, match=r"^--html x\.html: the working directory is gone; go to another with `cd`$"):
        require_output("x.html", "--html")


NO_FLAGS = {
    "options": {}, "explicit": {}, "log": None, "resume": False, "resume_from": None, "force": False,
    "overwrite": False, "quiet": True, "as_json": False, "started": 0.0,
}  # fmt: skip


def test_checkpoint_keeps_its_name_when_the_text_is_gone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("texts.v1", "out"):
        (tmp_path / folder).mkdir()
    requests = [Request(texts=("texts.v1",), reading=ReadOptions(), out=out, **NO_FLAGS) for out in (None, "out")]
    named = [request.path for request in requests]
    assert named == [Path("texts.v1.pt"), Path("out/texts.v1.pt")]
    for folder in ("texts.v1", "out"):
        (tmp_path / folder).rmdir()
    assert [request.path for request in requests] == named


def test_missing_home_folder_suggests_the_cache_flags(tmp_path, monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    reading = ReadOptions(cache=Cache(tmp_path))
    assert reading_flags(Request(texts=("-",), reading=reading, out=None, **NO_FLAGS)) == [f"--cache {tmp_path}"]


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


@pytest.mark.slow
@pytest.mark.parametrize("cell", sorted(CELLS))
def test_every_cell_trains_and_samples(charrnn, text, cell):
    result = charrnn("train", "verse.txt", *SMALL, "--max-steps", 4, "--cell", cell, "--num-layers", 2, "-q")
    assert result.code == 0, result.stderr
    assert len(charrnn("sample", "verse.pt", "-n", 30).text) == 30


@pytest.mark.slow
def test_existing_file_is_never_overwritten(charrnn, text):
    kept = text.with_name("verse.pt")
    kept.write_bytes(b"precious")
    result = charrnn("train", "verse.txt", *SMALL, "--max-steps", 3)
    assert result.code == 2
    assert result.stdout == b""
    told = "charrnn: verse.pt: exists and is not a checkpoint; choose another file with --out\n"
    assert result.stderr == told, "neither --resume nor --overwrite would take it"
    assert kept.read_bytes() == b"precious"
    asked = charrnn("train", "verse.txt", *SMALL, "--max-steps", 3, "--overwrite")
    assert (asked.code, asked.stdout) == (2, b"")
    assert asked.stderr.startswith("charrnn: verse.pt: is not a checkpoint, and --overwrite replaces no other file; ")
    assert kept.read_bytes() == b"precious"
    kept.write_bytes(b"")  # as mktemp leaves it
    empty = charrnn("train", "verse.txt", *SMALL, "--max-steps", 3)
    assert empty.stderr == "charrnn: verse.pt: exists; replace it with --overwrite, or choose another file with --out\n"
    for max_steps in (3, 4):
        done = charrnn("train", "verse.txt", *SMALL, "--max-steps", max_steps, "--overwrite", "-q")
        assert done.code == 0, done.stderr
        assert torch.load(kept, weights_only=True)["training"]["step"] == max_steps


def test_missing_text_is_reported_before_an_existing_output(charrnn, text):
    text.with_name("verse.pt").touch()
    result = charrnn("train", "verse", *SMALL)
    assert (result.code, result.stderr) == (2, "charrnn: verse: no such file; did you mean verse.txt?\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothere.txt"], "nothere.txt: no such file; give a text file, or - for standard input"),
        (
            ["verse.txt", "--out=~/my/v.pt"],
            "~/my: no such folder; the shell expands ~ only at the beginning of a word ",
        ),
        (["verse.txt", "-o", "no/where.pt"], "no: no such folder; make it, or choose another place with --out"),
        (["verse.txt", "-o", "verse.txt"], "verse.txt: is the text itself; give another file with --out"),
        (["verse.txt", "-o", "-"], "--out -: it writes a file; name one"),
        (["verse.txt", "--log", "-"], "--log -: it writes a file; name one"),
        (["verse.txt", "--out", ""], "--out is empty: it writes a file; name one"),
        ([""], "a text's name is empty; give a file, a folder, or - for standard input"),
        (["verse.txt", "-o", f"{'x' * 245}.pt"], f"{'x' * 245}.pt: cannot be written (File name too long); give anoth"),
        (["verse.txt", "-o", f"{'x' * 300}.pt"], f"{'x' * 300}.pt: cannot be written (File name too long); give anoth"),
        (["verse.txt", "--log", "short.txt"], "short.txt: is not the log of a training; give another file with --log"),
        (["verse.txt", "--log", "short.txt", "--overwrite"], "short.txt: is not the log of a training; give another"),
        (["verse.txt", "--log", "package.json", "--overwrite"], "package.json: is not the log of a training; give an"),
        (["verse.txt", "--log", "short.txt", "--resume"], "short.txt: is not the log of a training; give another fi"),
        (["verse.txt", "--out", "notes.md", "--overwrite"], "notes.md: is not a checkpoint, and --overwrite replaces"),
        (
            ["verse.txt", "--out", "main.zip", "--overwrite"],
            "main.zip: is not a checkpoint, and --overwrite replaces no other file; delete it, or give another --out",
        ),
        (["main.zip"], "main.zip: is a zip archive, as Word, LibreOffice and EPUB write, not plain text; unpack it"),
        (["verse.txt", "--time", "0s"], "--time is 0s; it must be at least 1 and at most 1,000,000,000 seconds"),
        (["verse.txt", "--recall", "0", "--recall-dropout", "0.5"], "--recall-dropout hides what is recalled, and"),
        (["verse.txt", "--lines", "--recall-dropout", "0.5"], "--recall-dropout hides what is recalled, and nothing"),
        (["verse.txt", "--hidden-size", "0"], "--hidden-size is 0; it must be at least 1"),
        (["verse.txt", "--time", "soon"], "--time is 'soon'; write it as 90s, 10m, 1h30m or 2d, or in seconds"),
        (["verse.txt", "--resume", "--overwrite"], "--resume goes on with a checkpoint and --overwrite replaces it"),
        (["verse.txt", "--resume"], "verse.pt: no checkpoint of that name here; --out NAME.pt says which one to cont"),
        (["verse.txt", "--resume", "--out", "v.pt"], "v.pt: no checkpoint of that name here; without --resume a train"),
        (
            ["verse.txt", "--resume-or-start", "--resume"],
            "--resume-or-start finds out by itself whether a train",
        ),
        (
            ["verse.txt", "--resume-or-start", "--resume-from", "v.pt"],
            "--resume-or-start finds out by itself wheth",
        ),
        (["verse.txt", "--log", "new.log/"], "--log new.log/: is a folder's name, and it writes a file; name one\n"),
        (["verse.txt", "--batch-size", "9000"], "--batch-size 9000 asks for at least 9,001 characters to train on"),
        (["short.txt"], "short.txt: 3 characters, but at least 4 are needed"),
        (["empty.txt"], "empty.txt: no characters"),
        (["latin.txt"], "latin.txt: not valid UTF-8 at byte 3"),
    ],
)
def test_bad_input_is_one_line_with_the_documented_exit_code(charrnn, text, arguments, message):
    text.with_name("short.txt").write_text("abc")
    text.with_name("empty.txt").write_text("")
    text.with_name("package.json").write_text('{"name": "charrnn"}')
    text.with_name("notes.md").write_text("see charrnn for how")
    text.with_name("latin.txt").write_bytes(b"caf\xe9")
    with zipfile.ZipFile(text.with_name("main.zip"), "w") as archive:
        archive.writestr("charrnn-main/README.md", "precious")
    before = sorted(os.listdir(text.parent))
    result = charrnn("train", *arguments)
    is_missing = message.startswith(("verse.pt: no", "v.pt: no"))
    assert result.code == (1 if is_missing else 2), "1: a checkpoint that cannot be used"
    assert result.stdout == b""
    assert result.stderr.startswith(f"charrnn: {message}")
    assert result.stderr.count("\n") == 1
    assert sorted(os.listdir(text.parent)) == before


@pytest.mark.parametrize(
    "texts", [["sub/w.pt"], ["verse.pt"], ["verse.pt", "--resume"], ["verse.txt", "--resume", "verse.pt"]]
)
def test_checkpoint_given_as_a_text_is_reported_first(charrnn, text, texts):
    (text.parent / "sub").mkdir()
    for name in ("verse.pt", "sub/w.pt"):
        torch.save({"format": "charrnn"}, text.parent / name)
    given = next(name for name in texts if name.endswith(".pt"))
    told = f"{given}: is a checkpoint, not a text; to go on with it, give its text and --out {given} --resume, or "
    refused = charrnn("train", *texts)
    assert (refused.code, refused.stdout) == (2, b"")
    assert refused.stderr == f"charrnn: {told}--resume-from {given} and another --out\n"
    as_bytes = charrnn("train", given, "--unit", "byte", "--out", "no/where.pt")
    assert as_bytes.stderr.startswith("charrnn: no: no such folder"), "any bytes can be learned from"


def test_dangling_link_is_reported_by_its_missing_folder(charrnn, text):
    far = text.parent / "far" / "m.pt"
    text.with_name("link.pt").symlink_to(far)
    result = charrnn("train", "verse.txt", "--out", "link.pt")
    assert (result.code, result.stdout) == (2, b"")
    assert result.stderr.startswith(
        f"charrnn: {far.parent}: no such folder; make it, or choose another place with --out"
    )


def test_full_disk_on_stdout_still_reports_the_checkpoint(text):
    command = [sys.executable, "-m", "charrnn", "train", "verse.txt", *SMALL, "--max-steps", "3", "-q"]
    with open("/dev/full", "wb") as full:
        result = subprocess.run(command, cwd=text.parent, stdout=full, stderr=subprocess.PIPE, timeout=300, check=False)
    told = b"charrnn: standard output: No space left on device; the checkpoint is saved as verse.pt\n"
    assert (result.returncode, result.stderr) == (1, told)
    assert (text.parent / "verse.pt").read_bytes()[:2] == b"PK"


def test_error_messages_are_escaped(charrnn):
    result = charrnn("train", "a\nb\x1b[31m.txt")
    assert result.stderr == "charrnn: a\\nb␛[31m.txt: no such file; give a text file, or - for standard input\n"


@pytest.mark.parametrize("flag", ["--out", "--log"])
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "mine"])
def test_out_and_log_refuse_dev_stdout(text, flag, name):
    text.with_name("mine").symlink_to("/dev/stdout")
    command = [sys.executable, "-m", "charrnn", "train", "verse.txt", flag, name, "--overwrite"]
    with open(text.with_name("x.pt"), "wb") as out:
        result = subprocess.run(command, cwd=text.parent, stdout=out, stderr=subprocess.PIPE, timeout=300, check=False)
    told = f"charrnn: {flag} {name}: names an open stream, and it writes a file; name one"
    told += "; to a pipe, --json writes such lines on stderr: --json 2> PIPE" * (flag == "--log")
    assert (result.returncode, result.stderr.decode()) == (2, f"{told}\n")
    assert text.with_name("x.pt").read_bytes() == b""


@pytest.mark.slow
def test_process_substitution_text_names_the_checkpoint_stdin(text):
    command = f"{sys.executable} -m charrnn train <(cat verse.txt) {' '.join(SMALL)} --max-steps 3 -q"
    result = subprocess.run(["bash", "-c", command], cwd=text.parent, capture_output=True, timeout=300, check=False)
    assert (result.returncode, result.stdout) == (0, b"stdin.pt\n"), result.stderr


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="a system where no path names what is open")
def test_process_substitution_is_a_hyphen_in_suggested_commands():
    reader, writer = os.pipe()
    os.write(writer, make_text(200).encode())
    os.close(writer)
    path = f"/dev/fd/{reader}"
    request = Request(texts=(path,), reading=ReadOptions(val_texts=(path,), cache=None), out=None, **NO_FLAGS)
    assert command_to_go_on(request, 1) == "charrnn train - --val-text - --no-cache --resume"
    assert read_corpus([path]).name == "stdin"
    os.close(reader)


def refusal_of(path, why):
    told = f"{path}: cannot be replaced ({why}); give another file with --out"
    return pytest.raises(OutputError, match=f"^{re.escape(told)}$")


@pytest.mark.parametrize(("mode", "user", "is_refused"), [
    (0o1777, "other", True), (0o777, "other", False), (0o1777, "owner", False), (0o1777, "root", False),
])  # fmt: skip
@pytest.mark.parametrize("is_link", [False, True])
def test_sticky_folder_of_another_owner_is_refused_before_training(text, monkeypatch, is_link, mode, user, is_refused):
    folder, owner = text.with_name("all"), os.geteuid()
    folder.mkdir()
    (folder / "there.pt").touch()
    path = folder / "there.pt"
    if is_link:
        path = text.with_name("link.pt")
        path.symlink_to(folder / "there.pt")
    folder.chmod(mode)
    monkeypatch.setattr(os, "geteuid", lambda: {"other": owner + 1, "owner": owner, "root": 0}[user])
    request = Request(texts=(str(text),), reading=ReadOptions(), out=str(path), **NO_FLAGS | {"overwrite": True})
    with (
        refusal_of(path, "another user's, in a folder where only its owner may")
        if is_refused
        else contextlib.nullcontext()
    ):
        check_output(request)


@pytest.mark.parametrize(("mounted", "is_refused"), [
    ("my\\040model.pt", True), ("my model.pt", False), ("other.pt", False), (None, False),
])  # fmt: skip
def test_mounted_file_is_refused_before_training(text, monkeypatch, mounted, is_refused):
    path, mounts = text.with_name("my model.pt"), text.with_name("mountinfo")
    path.touch()
    if mounted is not None:  # else it is another system
        mounts.write_text(f"42 27 254:0 /a.pt {text.with_name(mounted)} rw,relatime - ext4 /dev/vda rw\n")
    monkeypatch.setattr(checking, "MOUNTS", mounts)
    request = Request(texts=(str(text),), reading=ReadOptions(), out=str(path), **NO_FLAGS | {"overwrite": True})
    with (
        refusal_of(path, "it is mounted by itself; mount its folder instead")
        if is_refused
        else contextlib.nullcontext()
    ):
        check_output(request)


def test_resume_from_a_link_loop_does_not_replace_an_existing_file(text):
    path, loop = text.with_name("there.pt"), text.with_name("loop.pt")
    path.touch()
    loop.symlink_to(loop.name)
    flags = NO_FLAGS | {"resume": True, "resume_from": str(loop)}
    with pytest.raises(OutputError, match=f"^{re.escape(str(path))}: exists; replace it with --overwrite, or "):
        check_output(Request(texts=(str(text),), reading=ReadOptions(), out=str(path), **flags))


def test_unreadable_file_is_refused_without_suggesting_a_flag(text, monkeypatch):
    path, log = text.with_name("there.pt"), text.with_name("there.log")
    for file in (path, log):
        file.write_bytes(b"PK")
    told = "exists and cannot be read (Permission denied); check its permissions, or give another file with"

    def refuse(path, *_):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(Path, "open", refuse)
    for may_replace in (False, True):
        flags = NO_FLAGS | {"overwrite": may_replace}
        request = Request(texts=(str(text),), reading=ReadOptions(), out=str(path), **flags)
        with pytest.raises(OutputError, match=f"^{re.escape(f'{path}: {told} --out')}$"):
            check_output(request)
    flags |= {"log": str(log)}
    request = Request(texts=(str(text),), reading=ReadOptions(), out=str(text.with_name("new.pt")), **flags)
    with pytest.raises(OutputError, match=f"^{re.escape(f'{log}: {told} --log')}$"):
        check_output(request)
    with pytest.raises(
        OutputError, match=r"cannot be replaced \(Permission denied\); choose another place with --html$"
    ):
        check_replaceable(str(path), "<!--", "a page", "--html")


@pytest.mark.parametrize(("number", "mend"), [
    (errno.EMFILE, "raise their limit, `ulimit -n`"), (errno.EROFS, "give another file with --out"),
])  # fmt: skip
def test_advice_for_a_file_that_cannot_be_created_depends_on_the_error(text, monkeypatch, number, mend):
    def refuse(*_):
        raise OSError(number, reason)

    reason = os.strerror(number)
    monkeypatch.setattr(os, "open", refuse)
    request = Request(texts=(str(text),), reading=ReadOptions(), out="m.pt", **NO_FLAGS)
    with pytest.raises(OutputError, match=f"^{re.escape(f'm.pt: cannot be written ({reason}); {mend}')}$"):
        check_output(request)


def test_device_file_is_not_replaced(charrnn, text):
    result = charrnn("train", "verse.txt", "--out", "/dev/null", "--overwrite")
    assert (result.code, result.stderr) == (2, "charrnn: /dev/null: is not a regular file; give another with --out\n")
    result = charrnn("train", "verse.txt", "--log", "/dev/null")
    assert (result.code, result.stderr) == (2, "charrnn: /dev/null: is not a regular file; give another with --log\n")


@pytest.mark.skipif(os.name == "nt", reason="no named pipe lies in a folder there")
def test_log_to_a_pipe_suggests_json(charrnn, text):
    os.mkfifo(text.with_name("pipe"))
    told = "pipe: is not a regular file; give another with --log; to a pipe, --json writes such lines on stderr: --json"
    assert charrnn("train", "verse.txt", "--log", "pipe").stderr == f"charrnn: {told} 2> PIPE\n"


@pytest.mark.slow
def test_closed_stderr_reader_does_not_end_the_training(text):
    command = f"{sys.executable} -m charrnn train verse.txt {' '.join(SMALL)} --max-steps 30 2> >(head -n 1 >/dev/null)"
    result = subprocess.run(["bash", "-c", command], cwd=text.parent, capture_output=True, timeout=120)
    assert (result.returncode, result.stdout) == (0, b"verse.pt\n")
    assert torch.load(text.with_name("verse.pt"), weights_only=True)["training"]["step"] == 30


@pytest.mark.slow
def test_training_runs_with_all_streams_closed(text):
    command = f"{sys.executable} -m charrnn train verse.txt {' '.join(SMALL)} --max-steps 3 <&- >&- 2>&-"
    assert subprocess.run(["bash", "-c", command], cwd=text.parent, timeout=120).returncode == 0
    assert text.with_name("verse.pt").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "stream"),
    [
        ("sample verse.pt --length 9 --quiet >&-", "output"),
        ("inspect verse.pt --score verse.txt --by line >&-", "output"),
        ("inspect verse.pt --json >&-", "output"),
        ("--version >&-", "output"),
        ("--version <&- >&-", "input or standard output"),
        ("inspect verse.pt --score - --by line <&-", "input"),
        ("inspect verse.pt --score - <&-", "input"),
        ("sample verse.pt --prompt - <&-", "input"),
        ("sample verse.pt --interactive <&-", "input"),
    ],
)
def test_closed_stdin_or_stdout_is_reported(charrnn, text, command, stream):
    charrnn("train", "verse.txt", *SMALL, "--max-steps", 3)
    command = f"{sys.executable} -m charrnn {command}"
    result = subprocess.run(["bash", "-c", command], cwd=text.parent, capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stdout) == (2 if stream == "input" else 1, "")
    *_, told = result.stderr.splitlines()
    assert told.startswith(f"charrnn: standard {stream}: ")
    assert "Bad file descriptor" in told


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


@pytest.mark.slow
def test_resume_of_a_finished_run_changes_nothing(charrnn, text):
    charrnn("train", "verse.txt", *SMALL, "--max-steps", 5, "--time", "10m", "-q")
    before = text.with_name("verse.pt").read_bytes()
    told = "charrnn: verse.pt: already at its end; give a larger --epochs, --max-steps or --time to train on\n"
    for quiet in ([], ["-q"]):
        result = charrnn("train", "verse.txt", "--resume", *quiet)
        assert (result.code, result.stdout) == (0, b"verse.pt\n")
        assert told == result.stderr if quiet else told in result.stderr
    assert text.with_name("verse.pt").read_bytes() == before


def test_resumed_run_at_its_end_says_that_it_is_only_evaluated():
    text = make_text(3000)
    encoder = CharEncoder(text)
    model = ModelConfig(vocab_size=len(encoder), cell="gru", hidden_size=8, num_layers=1, embedding_dim=4)
    ids = encoder.encode(text)
    passed = "already at its end: the steps since its last evaluation are evaluated, and no more are made"
    for max_steps, seconds, told in ((2, 0, ""), (2, 4000, ""), (1, 0, passed), (3, 4000, passed)):
        config = TrainConfig(batch_size=2, seq_len=8, max_steps=max_steps, learning_rate=0.01, time_limit=3600.0)
        run = TrainingRun.start(model, config, ids[:2000], ids[2000:], started=CLOCK.now() - seconds)
        take_step(run)
        take_step(run)
        assert (run.progress, run.finished) == (1, False)
        assert doubt(run).partition(";")[0] == told


@pytest.mark.slow
def test_time_over_before_the_first_step_is_reported_even_if_quiet(charrnn, text):
    result = charrnn("train", "verse.txt", *SMALL, "--time", "1s", "-q", cold=True)
    told = "charrnn: verse.pt: --time 1 s is over before a step is made; one is, and no more; give a longer --time\n"
    assert (result.code, result.stdout, result.stderr) == (0, b"verse.pt\n", told)
    assert torch.load(text.with_name("verse.pt"), weights_only=True)["training"]["step"] == 1


def all_but_the_clock(path):
    """Everything of a checkpoint that a resumed run must have in common with a straight one."""
    contents = torch.load(path, weights_only=True)
    training = contents["training"]
    for row in contents["history"]:
        del row["seconds"]
    timed = {"seconds", "evaluation_seconds", "pace", "config"}
    kept = {name: value for name, value in training.items() if name not in timed}
    return {"weights": contents["weights"], "history": contents["history"], "training": kept}


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_interrupted_and_resumed_run_equals_a_straight_one_bit_for_bit(text, threads):
    folder, steps = text.parent, 100
    options = [*SMALL, "--num-layers", 2, "--dropout", 0.3, "--max-steps", steps]
    straight = train(folder, *options, "--out", "straight.pt", "-q", threads=threads)
    assert straight.process.exitcode == 0, straight.stderr
    cut = train(folder, *options, prepare=stop_amid_it, threads=threads)
    assert cut.process.exitcode == 130, cut.stderr
    assert "validation" in cut.stderr
    assert STOP_AT <= saved_step(text) < steps
    assert train(folder, "--resume", "-q", threads=threads).process.exitcode == 0
    straight, resumed = (all_but_the_clock(folder / name) for name in ("straight.pt", "verse.pt"))
    assert resumed["history"] == straight["history"]
    torch.testing.assert_close(resumed["weights"], straight["weights"], rtol=0, atol=0)
    assert resumed["training"]["random_state"] == straight["training"]["random_state"]
    for part in ("weights", "optimizer", "state"):
        torch.testing.assert_close(resumed["training"][part], straight["training"][part], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("steps", "evaluate_every", "line_end_id", "evaluations"),
    [
        (1, None, None, 2),  # that of the step, and the one in cold windows
        (1, None, 3, 1),
        (10, None, None, 5),  # every third step, and the last
        (1000, None, None, 5),
        (1000, 10, None, 101),
    ],
)
def test_remaining_time_includes_evaluations(steps, evaluate_every, line_end_id, evaluations):
    config = SimpleNamespace(time_limit=None, evaluate_every=evaluate_every, evaluations=4)
    run = SimpleNamespace(
        finished=False, config=config, total_steps=steps + 50, planned_steps=steps, step=50, line_end_id=line_end_id,
        is_out_of_patience=False, evaluation_seconds=600.0, lanes=SimpleNamespace(chars_per_window=89),
    )  # fmt: skip
    expected = format_seconds(600 * evaluations + steps)
    assert _duration(run, chars_per_second=100.0) == f"takes about {expected}"


STOP_AT = 40
"""Steps, of which there is an evaluation at every 25th."""


def stop_amid_it():
    step = loop.take_step

    def take_step(run):
        if run.step == STOP_AT:
            os.kill(os.getpid(), signal.SIGINT)
        return step(run)

    loop.take_step = take_step


def test_json_ends_with_the_path_after_a_signal_and_at_the_end(text):
    for prepare, code, flags, end in (
        (stop_amid_it, 130, ["--max-steps", 100], "interrupted"),
        (None, 0, ["--resume", "--max-steps", 60], None),
        (None, 0, ["--resume"], "finished"),
    ):
        training = train(text.parent, *SMALL, *flags, "--json", prepare=prepare)
        assert training.process.exitcode == code, training.stderr
        last = json.loads(training.stderr.splitlines()[-1])
        stored = {"step": saved_step(text), "checkpoint": "verse.pt"}
        assert {name: last[name] for name in stored} == stored
        assert end is None or last == {**stored, end: True}


def saved_step(text):
    return torch.load(text.with_name("verse.pt"), weights_only=True)["training"]["step"]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [
    (signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGXCPU, 152),
])  # fmt: skip
def test_signal_saves_and_prints_the_resume_command(charrnn, text, number, code):
    training = Training(text.parent, *SMALL, "--max-steps", 10**8, prepare=tell_first_step)
    training.wait_for(FIRST_STEP)
    training.kill(number)
    assert training.wait() == code
    assert training.stdout == ""
    assert "go on with: charrnn train verse.txt --resume" in training.stderr
    assert "Traceback" not in training.stderr
    step = saved_step(text)
    assert f"stopped after step {step:,}, saved" in training.stderr
    assert charrnn("inspect", "verse.pt").code == 0
    assert len(charrnn("sample", "verse.pt", "-n", 10).text) == 10
    resumed = charrnn("train", "verse.txt", "--resume", "--max-steps", step + 5)
    assert resumed.code == 0, resumed.stderr
    assert f"going on after step {step:,}" in resumed.stderr


@pytest.mark.slow
def test_time_limit_includes_reading_the_text(text):
    training = train(text.parent, *SMALL, "--time", "5s", "--json", prepare=slow_reading)
    assert training.process.exitcode == 0, training.stderr
    settings, *reports = (line for line in map(json.loads, training.stderr.splitlines()) if "step" in line)
    config = settings["training"]["config"]
    assert (config["time_limit"], config["max_steps"]) == (5, None)
    assert reports[0]["seconds"] >= SLOW_READING, "so much of it was over before the first step"
    assert reports[0]["seconds_left"] <= 5 - SLOW_READING
    assert reports[-1]["progress"] == 1, "it is what ended the training"
    assert reports[-1]["ended_by"] == "time"


@pytest.mark.parametrize("is_watched", [True, False])
def test_pause_around_reading_is_hardly_taken_off_the_reading_time(text, monkeypatch, is_watched):
    now, shown = [0.0], []
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(reading, "CLOCK", clock := Clock())
    monkeypatch.setattr(reading, "has_viewer", lambda _: is_watched)
    monkeypatch.setattr(WorkBar, "__call__", lambda _, done: shown.append(done))

    def stop():
        now[0] += 1000.0
        clock.leave_out_pause()

    def read(texts, how, progress):
        for done in (1, 2):
            now[0] += 10.0
            progress(done)
        stop()
        now[0] += 10.0
        return texts

    monkeypatch.setattr(reading, "read_corpus", read)
    request = Request(texts=(str(text),), reading=ReadOptions(), out=None, **NO_FLAGS)
    assert reading.read_texts(request, request.reading, ALONE) == request.texts
    stop()
    assert clock.now() == 30.0
    assert shown == [1, 2] * is_watched


SLOW_READING = 2.0
"""Seconds."""


def slow_reading():
    read = reading.read_corpus
    reading.read_corpus = lambda *arguments, **options: (time.sleep(SLOW_READING), read(*arguments, **options))[1]
