"""`charrnn train` as a user runs it: streams read apart, exit codes, files."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import clean_environment, make_text
from runs import NO_FLAGS

from charrnn.cell_types import CELLS
from charrnn.cli.trainer.request import Request
from charrnn.cli.trainer.suggested_commands import command_to_go_on, reading_flags
from charrnn.text.cache import Cache
from charrnn.text.corpus import read_corpus
from charrnn.text.read_options import ReadOptions

SMALL = ["--hidden-size", "16", "--batch-size", "4", "--seq-len", "16", "--precision", "float32"]


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


def test_missing_home_folder_suggests_the_cache_flags(tmp_path, monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    reading = ReadOptions(cache=Cache(tmp_path))
    assert reading_flags(Request(texts=("-",), reading=reading, out=None, **NO_FLAGS)) == [f"--cache {tmp_path}"]


@pytest.mark.slow
@pytest.mark.parametrize("cell", sorted(CELLS))
def test_every_cell_trains_and_samples(charrnn, text, cell):
    result = charrnn("train", "verse.txt", *SMALL, "--max-steps", 4, "--cell", cell, "--num-layers", 2, "-q")
    assert result.code == 0, result.stderr
    assert len(charrnn("sample", "verse.pt", "-n", 30).text) == 30


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
