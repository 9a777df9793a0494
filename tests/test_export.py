"""Weights for other programs, read back by torch, by our reader, and from the format's description."""

import dataclasses
import errno
import json
import os
import shutil
import stat
import struct
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import numpy_weights, random_model, run_charrnn

from charrnn.cli.inspector.training_text import describe_absence, find_text
from charrnn.config import ModelConfig
from charrnn.errors import OutputError
from charrnn.storage import outputs
from charrnn.storage.archive import read_checkpoint
from charrnn.storage.export import to_safetensors, to_slim_checkpoint
from charrnn.storage.origin import Origin
from charrnn.text.encoder import CharEncoder


@pytest.fixture
def contents(trained):
    return read_checkpoint(str(trained / "words.pt"))


def run(folder, *arguments):
    return run_charrnn(folder, *arguments, text=True)


def test_safetensors_follows_its_format(contents, trained):
    data = to_safetensors(contents)
    (size,) = struct.unpack("<Q", data[:8])
    assert size % 8 == 0
    header, values = json.loads(data[8 : 8 + size]), data[8 + size :]
    metadata = header.pop("__metadata__")
    assert all(isinstance(value, str) for value in metadata.values())
    assert json.loads(metadata["model"])["hidden_size"] == 48
    assert json.loads(metadata["characters"]) == contents.encoder.characters
    expected = torch.load(trained / "words.pt", weights_only=True)["weights"]
    assert set(header) == set(expected)
    covered = 0
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        assert (entry["dtype"], begin) == ("F32", covered)
        found = np.frombuffer(values[begin:end], dtype="<f4").reshape(entry["shape"])
        np.testing.assert_array_equal(found, expected[name].numpy())
        covered = end
    assert covered == len(values)


@pytest.mark.parametrize(("cell", "kind"), [("lstm", torch.nn.LSTM), ("gru", torch.nn.GRU)])
def test_safetensors_rows_are_in_the_order_of_torch_layers(contents, cell, kind):
    """Read back with the layers of PyTorch, as the README says."""
    shape = {"hidden_size": 6, "num_layers": 2, "embedding_dim": 4}
    model = random_model(ModelConfig(vocab_size=len(contents.encoder), cell=cell, **shape))
    arrays = numpy_weights(model)
    data = to_safetensors(dataclasses.replace(contents, model=model.config, weights=arrays))
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    order = {"lstm": ["input", "forget", "candidate", "output"], "gru": ["reset", "update", "candidate"]}
    assert json.loads(header.pop("__metadata__")["gates"]) == order[cell]
    stored = {
        name: torch.frombuffer(bytearray(data[8 + size :]), dtype=torch.float32)[
            entry["data_offsets"][0] // 4 : entry["data_offsets"][1] // 4
        ].reshape(entry["shape"])
        for name, entry in header.items()
    }
    ids = torch.arange(12).reshape(6, 2)
    x = stored["embedding.weight"][ids]
    for layer in range(2):
        name = f"layers.{layer}"
        other = torch.zeros_like(stored[f"{name}.bias"])
        if cell == "gru":
            other[12:] = stored[f"{name}.bias_hn"]
        network = kind(x.shape[-1], 6)
        own = {f"{part}_l0": stored[f"{name}.{part}"] for part in ("weight_ih", "weight_hh")}
        network.load_state_dict({**own, "bias_ih_l0": stored[f"{name}.bias"], "bias_hh_l0": other})
        norm = (stored[f"norms.{layer}.weight"], stored[f"norms.{layer}.bias"])
        out = torch.nn.functional.layer_norm(network(x)[0], (6,), *norm, eps=1e-5)
        x = x + out if x.shape[-1] == 6 else out
    logits, _ = model(ids, model.initial_state(2))
    torch.testing.assert_close(x @ stored["head.weight"].T + stored["head.bias"], logits, atol=1e-5, rtol=1e-5)


def test_slim_checkpoint_is_readable_by_torch_and_charrnn(contents, trained, tmp_path):
    path = tmp_path / "slim.pt"
    path.write_bytes(to_slim_checkpoint(contents))
    whole, slim = (torch.load(p, weights_only=True) for p in (trained / "words.pt", path))
    assert set(slim) == set(whole)
    for name in set(whole) - {"weights", "training", "made"}:
        assert slim[name] == whole[name], name
    assert slim["origin"]["texts"] == ["words.txt"]
    assert slim["made"] == {name: told for name, told in whole["made"].items() if name != "command"}
    assert set(slim["training"]) == {"step", "seconds", "config", "cold_loss"}
    assert all(torch.equal(slim["weights"][name], weight) for name, weight in whole["weights"].items())
    again = read_checkpoint(str(path))
    assert (again.model, again.history, again.corpus) == (contents.model, contents.history, contents.corpus)
    assert to_slim_checkpoint(again) == path.read_bytes()


def test_undecodable_byte_survives_a_slim_checkpoint(contents, tmp_path):
    encoder = CharEncoder(contents.encoder.characters[:-1] + "\udcff")
    path = tmp_path / "slim.pt"
    path.write_bytes(to_slim_checkpoint(dataclasses.replace(contents, encoder=encoder)))
    assert read_checkpoint(str(path)).encoder.characters == encoder.characters


def test_slim_checkpoint_samples_alike_and_its_size_is_reported(trained, tmp_path):
    result = run(tmp_path, "inspect", trained / "words.pt", "--export", "slim.pt")
    assert (result.returncode, result.stdout) == (0, "slim.pt\n")
    sizes = [path.stat().st_size for path in (tmp_path / "slim.pt", trained / "words.pt")]
    assert result.stderr.startswith(f"{sizes[0]:,} bytes, {sizes[0] / sizes[1]:.0%} of the {sizes[1]:,} of ")
    shutil.copy(trained / "words.pt", tmp_path / "a\nb.pt")
    assert run(tmp_path, "inspect", "a\nb.pt", "--export", "slim2.pt").stderr.endswith(" of a\\nb.pt\n")
    assert sizes[0] < 0.4 * sizes[1]
    texts = [run(tmp_path, "sample", p, "--seed", 3, "-q").stdout for p in ("slim.pt", trained / "words.pt")]
    assert texts[0] == texts[1] != ""
    checked = run(tmp_path, "inspect", "slim.pt", "--verify").stdout
    assert "its state was left out, as an export does: nothing goes on from here" in checked


def test_slim_checkpoint_contains_no_paths(contents, tmp_path):
    paths = {
        "texts": ["/home/me/secret/words.txt"], "include": ["secret*"], "exclude": ["secret*"], "cache": "secret",
        "run": "abcdef012345", "parents": ["0123456789ab"], "left_at": [5], "init_from": "C:\\secret\\old.pt",
        "init_run": "0123456789ab",
    }  # fmt: skip
    command = "charrnn train /home/me/secret/words.txt"
    told = {"command": f"{command} --resume", "begun_by": command, "job": "my-job"}
    private = dataclasses.replace(contents, origin=Origin(**paths), made=contents.made | told)
    for data in (to_slim_checkpoint(private), to_safetensors(private)):
        assert not [word for word in (b"secret", b"my-job", contents.made["command"].encode()) if word in data]
    (tmp_path / "slim.pt").write_bytes(to_slim_checkpoint(private))
    public = read_checkpoint(str(tmp_path / "slim.pt")).origin
    known = Origin(texts=["words.txt"], run=paths["run"], init_from="old.pt")
    assert public == known, "names that a reader asks for, and no more"
    (tmp_path / "whole.pt").write_bytes(to_slim_checkpoint(contents))
    shown = run(tmp_path, "inspect", "slim.pt")
    assert (shown.returncode, shown.stderr) == (0, "")
    names = [line[:6].rstrip() for line in shown.stdout.splitlines()]
    assert names[names.index("made") + 1] == "traine"
    compared = run(tmp_path, "inspect", "slim.pt", "whole.pt")
    assert (compared.returncode, compared.stderr) == (0, "")


def test_slim_checkpoint_finds_the_val_text_and_contains_no_folder(contents, trained, tmp_path, monkeypatch):
    text = (trained / "words.txt").read_bytes()
    (tmp_path / "a.txt").write_bytes(text[:18_000])
    (tmp_path / "b c.txt").write_bytes(text[18_000:])
    monkeypatch.chdir(tmp_path)
    for typed in ("/home/me/secret/b c.txt", "C:\\secret\\b c.txt"):
        corpus = dataclasses.replace(contents.corpus, name="a.txt")
        origin = Origin(texts=["/home/me/secret/a.txt"], val_texts=[typed])
        (tmp_path / "slim.pt").write_bytes(
            to_slim_checkpoint(dataclasses.replace(contents, corpus=corpus, origin=origin)),
        )
        assert b"secret" not in (tmp_path / "slim.pt").read_bytes()
        slim = read_checkpoint("slim.pt")
        assert slim.origin == Origin(texts=["a.txt"], val_texts=["b c.txt"], run=origin.run)
        assert to_slim_checkpoint(slim) == (tmp_path / "slim.pt").read_bytes()
        for given in (None, "a.txt"):
            found = find_text(slim, "slim.pt", given)
            assert slim.encoder.decode(found.train).encode() == text[:18_000]
    (tmp_path / "b c.txt").unlink()
    assert describe_absence(slim, "slim.pt").endswith("; --corpus FILE gives both as one")


def test_slim_checkpoint_cannot_be_resumed(trained, tmp_path):
    (tmp_path / "words.txt").write_bytes((trained / "words.txt").read_bytes())
    run(tmp_path, "inspect", trained / "words.pt", "--export", "words.pt")
    result = run(tmp_path, "train", "words.txt", "--resume", "--max-steps", 200)
    assert result.returncode == 1
    assert result.stderr == (
        "charrnn: words.pt: was exported without what it takes to go on; resume the checkpoint that it comes from, "
        "or begin a training with its weights by --init-from words.pt --overwrite in place of --resume\n"
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_checkpoint_from_a_pipe_has_no_size_to_compare(trained, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cp", trained / "words.pt", tmp_path / "pipe"]):
        result = run(tmp_path, "inspect", "pipe", "--export", "slim.pt")
    size = (tmp_path / "slim.pt").stat().st_size
    assert (result.returncode, result.stdout, result.stderr) == (0, "slim.pt\n", f"{size:,} bytes\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["weights.bin"], "--export is 'weights.bin'; name it .safetensors, or .pt"),
        (["words.txt.pt"], "words.txt.pt: exists and is not an export of charrnn; choose another name with --export"),
        (["none/w.pt"], "none: no such folder; make it, or choose another place with --export"),
        (["w.pt", "--json"], "--export writes a file; leave --json out"),
    ],
)
def test_unwritable_export_is_reported_in_one_line(trained, tmp_path, arguments, message):
    (tmp_path / "words.txt.pt").write_text("mine")
    result = run(tmp_path, "inspect", trained / "words.pt", "--export", *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"charrnn: {message}")
    assert (tmp_path / "words.txt.pt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["words.txt.pt"]


@pytest.mark.parametrize(("flag", "name"), [("--export", "-w.pt"), ("--html", "-page.html"), ("--svg", "-text.svg")])
def test_printed_path_never_looks_like_a_flag(trained, tmp_path, flag, name):
    seen = ["--text", "a word"] if flag == "--svg" else []
    result = run(tmp_path, "inspect", trained / "words.pt", f"{flag}={name}", *seen)
    assert (result.returncode, result.stdout) == (0, f".{os.sep}{name}\n"), result.stderr
    assert (tmp_path / name).exists()


def test_unwritable_export_is_refused_before_reading_a_checkpoint(tmp_path):
    (tmp_path / "mine.pt").write_text("mine")
    told = {"w.bin": "--export is 'w.bin'", "mine.pt": "mine.pt: exists", "none/w.pt": "none: no such folder"}
    told |= {f"mine.pt{end}": f"--export mine.pt{end}: is a folder's name, and it writes" for end in ("/", "/.", "//")}
    for name, message in told.items():
        assert run(tmp_path, "inspect", "no.pt", "--export", name).stderr.startswith(f"charrnn: {message}")


@pytest.mark.parametrize("name", ["slim.pt", "slim.safetensors"])
def test_empty_file_and_earlier_export_are_replaced_but_no_training_checkpoint(tmp_path, trained, name):
    export = ("inspect", trained / "words.pt", "--export")
    (tmp_path / name).touch()  # as mktemp does
    assert run(tmp_path, *export, name).returncode == 0
    before = (tmp_path / name).read_bytes()
    old = dataclasses.replace(read_checkpoint(str(trained / "words.pt")), history=[])
    written = to_slim_checkpoint(old) if name == "slim.pt" else to_safetensors(old) + b" "
    assert written != before
    (tmp_path / name).write_bytes(written)
    assert run(tmp_path, *export, name).returncode == 0
    assert (tmp_path / name).read_bytes() == before
    if name == "slim.pt":
        itself = run(tmp_path, "inspect", name, "--export", f"./{name}")
        assert itself.stderr.startswith("charrnn: ./slim.pt: is the model that is to be exported; "), "of its members"
        assert (tmp_path / name).read_bytes() == before
    shutil.copy(trained / "words.pt", tmp_path / name)
    refused = run(tmp_path, *export, name)
    assert refused.stderr.startswith(f"charrnn: {name}: exists and is not an export of charrnn; ")


def test_failed_replacement_leaves_nothing_beside_it(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, "Input/output error")

    (tmp_path / "x").write_bytes(b"old")
    monkeypatch.setattr(outputs.os, "replace", refuse)
    with pytest.raises(OutputError, match="Input/output error"):
        outputs.write_whole(str(tmp_path / "x"), b"new", "--out")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("x", b"old")]


def test_temporary_files_of_killed_processes_are_removed_and_of_living_ones_kept(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    names = [f".x.{gone.pid}.tmp", f".x.{'9' * 30}.tmp", ".x.1.tmp", f".y.{gone.pid}.tmp"]
    for name in names:
        (tmp_path / name).touch()
    outputs.write_whole(str(tmp_path / "x"), b"new", "--out")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".x.1.tmp", f".y.{gone.pid}.tmp", "x"]


def test_replaced_file_keeps_its_mode(tmp_path):
    path = tmp_path / "x"
    for mode in (0o600, 0o664, 0o444):
        path.touch()
        path.chmod(mode)
        outputs.write_whole(str(path), b"new", "--out")
        assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_file_replaced_by_root_keeps_its_owner(tmp_path):
    path = tmp_path / "x"
    path.touch()
    os.chown(path, 12, 34)
    outputs.write_whole(str(path), b"new", "--out")
    assert (path.stat().st_uid, path.stat().st_gid) == (12, 34)
