"""The checkpoint's format: what is promised of the file, and what a damaged or hostile one meets."""

import errno
import functools
import gc
import gzip
import io
import os
import pickle
import re
import stat
import tracemalloc
import zipfile
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import NOWHERE, ROOT

from charrnn.config import ModelConfig, TrainConfig
from charrnn.errors import CheckpointError, OutputError
from charrnn.metrics import HistoryRow
from charrnn.network.model import CharRNN
from charrnn.storage.archive import begins_as_checkpoint, read_checkpoint
from charrnn.storage.export import to_slim_checkpoint
from charrnn.storage.header import Header
from charrnn.storage.origin import CorpusFacts
from charrnn.text.encoder import CharEncoder
from charrnn.text.options import PLAIN
from charrnn.training import checkpoint

CONFIG = ModelConfig(vocab_size=5, cell="gru", hidden_size=6, num_layers=2, embedding_dim=4)
HISTORY = [
    HistoryRow(step=10 * k, epoch=k / 4, train_loss=1.5, val_loss=loss, learning_rate=1e-3, seconds=2.0 * k)
    for k, loss in ((1, 1.4), (2, 1.1), (3, 1.2))
]
TRAINING = TrainConfig(batch_size=2, seq_len=8, max_steps=30, learning_rate=0.1)
SUMMARY = {"step": 30, "seconds": 2.5, "config": asdict(TRAINING)}
CORPUS = CorpusFacts("t.txt", 60, 60, "00ff", [1, 2, 3, 4, 50])
OLDEST = ROOT / "tests" / "checkpoints" / "version-1.pt"
DOUBLED = functools.reduce(lambda inner, _: (inner, inner), range(40), ())
"""A tuple that holds the last one twice, forty times: written out, it would fill terabytes."""


def header(**changes):
    contents = {
        "model": CONFIG,
        "encoder": CharEncoder("abcde"),
        "text_options": PLAIN,
        "history": HISTORY,
        "corpus": CORPUS,
        "origin": NOWHERE,
        "made": {"charrnn": "0.1.0"},
        "training": {**SUMMARY, "state": [[torch.randn(2, 6)]], "numbers": (1, 2**70)},
    }
    return Header(**{**contents, **changes})


def write(path, **changes):
    model = CharRNN(CONFIG)
    checkpoint.write(path, checkpoint.snapshot(header(**{"weights": model.state_dict(), **changes})))
    return model


@pytest.fixture
def path(tmp_path):
    write(tmp_path / "m.pt")
    return tmp_path / "m.pt"


def rewrite(path, change):
    """Save a checkpoint's plain contents anew with torch after changing them."""
    contents = torch.load(path, weights_only=True)
    change(contents)
    torch.save(contents, path)


def test_save_and_read_is_bit_exact(tmp_path):
    model = write(tmp_path / "m.pt")
    contents = read_checkpoint(str(tmp_path / "m.pt"))
    assert contents.model == CONFIG
    assert contents.encoder.characters == "abcde"
    assert contents.history == HISTORY
    assert contents.best == HISTORY[1]
    assert contents.corpus == CORPUS
    assert set(contents.weights) == set(model.state_dict())
    for name, tensor in model.state_dict().items():
        assert contents.weights[name].tobytes() == tensor.numpy().tobytes()


def test_weight_is_read_without_a_copy_and_freed_when_unused(tmp_path):
    """Of four megabytes; before, one was held beside it while it was read, and both until Python looked for cycles."""
    config = replace(CONFIG, cell="rnn", num_layers=1, hidden_size=1024)
    write(tmp_path / "m.pt", model=config, weights=CharRNN(config).state_dict())
    largest = 4 * 1024**2
    gc.disable()
    tracemalloc.start()
    try:
        contents = read_checkpoint(str(tmp_path / "m.pt"))
        held, peak = tracemalloc.get_traced_memory()
        assert peak - held < largest / 2
        del contents
        assert tracemalloc.get_traced_memory()[0] < held - largest
    finally:
        tracemalloc.stop()
        gc.enable()


def test_torch_loads_it_safely_with_the_same_contents(path):
    contents = torch.load(path, weights_only=True)
    assert contents["format_version"] == 1
    assert contents["characters"] == "abcde"
    stored = read_checkpoint(str(path)).weights
    assert all((tensor.numpy() == stored[name]).all() for name, tensor in contents["weights"].items())


def test_torch_load_also_checks_unneeded_records(path):
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = next(info for info in archive.infolist() if info.filename.endswith("/version"))
        place = data.index(archive.read(info), info.header_offset + 30 + len(info.filename))
    data[place] ^= 1
    path.write_bytes(data)
    read_checkpoint(str(path))
    with pytest.raises(CheckpointError, match="CRC"):
        read_checkpoint(str(path), with_training=True)


def test_training_state_is_read_on_request(path):
    state = torch.load(path, weights_only=True)["training"]
    loaded = read_checkpoint(str(path), with_training=True).training
    assert np.array_equal(loaded["state"][0][0], state["state"][0][0])
    assert loaded["numbers"] == (1, 2**70)
    assert read_checkpoint(str(path)).training == SUMMARY


def test_view_is_stored_without_its_base(tmp_path):
    write(tmp_path / "small.pt", training=SUMMARY)
    write(tmp_path / "view.pt", training={**SUMMARY, "x": torch.zeros(1_000_000)[:1]})
    assert (tmp_path / "view.pt").stat().st_size < (tmp_path / "small.pt").stat().st_size + 1000


def test_snapshot_is_unaffected_by_further_training(tmp_path):
    model = CharRNN(CONFIG)
    before = model.head.bias.detach().clone()
    training = {**SUMMARY, "weights": model.state_dict()}
    contents = checkpoint.snapshot(header(weights=model.state_dict(), training=training))
    with torch.no_grad():
        model.head.bias += 1
    checkpoint.write(tmp_path / "m.pt", contents)
    stored = read_checkpoint(str(tmp_path / "m.pt"), with_training=True)
    assert torch.equal(torch.from_numpy(stored.weights["head.bias"]), before)
    assert torch.equal(torch.from_numpy(stored.training["weights"]["head.bias"]), before)


def test_last_weights_equal_to_the_best_share_memory_in_a_snapshot(tmp_path):
    best = CharRNN(CONFIG).state_dict()
    last = {name: tensor.clone() for name, tensor in best.items()}
    last["head.bias"] += 1
    contents = checkpoint.snapshot(header(weights=best, training={**SUMMARY, "weights": last}), weights_stay=True)
    kept, copied = contents["weights"], contents["training"]["weights"]
    assert [name for name in last if copied[name].data_ptr() != kept[name].data_ptr()] == ["head.bias"]
    assert copied["head.bias"].data_ptr() != last["head.bias"].data_ptr()
    checkpoint.write(tmp_path / "m.pt", contents)
    stored = read_checkpoint(str(tmp_path / "m.pt"), with_training=True)  # which takes a record for one tensor only
    assert all(torch.equal(torch.from_numpy(stored.weights[name]), best[name]) for name in best)
    assert all(torch.equal(torch.from_numpy(stored.training["weights"][name]), last[name]) for name in last)


def test_every_truncation_is_refused(path):
    data = path.read_bytes()
    for length in [*range(0, len(data), 97), len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match=r"m\.pt: not a whole charrnn checkpoint"):
            read_checkpoint(str(path))


def test_flipped_byte_is_refused_or_harmless(path):
    """Flips inside padding, or in records that only training needs, are harmless to a reader of the weights."""
    data = bytearray(path.read_bytes())
    expected = read_checkpoint(str(path))
    refused = 0
    for place in range(0, len(data), 13):
        data[place] ^= 0xFF
        path.write_bytes(data)
        data[place] ^= 0xFF
        try:
            contents = read_checkpoint(str(path))
        except CheckpointError:
            refused += 1
            continue
        assert contents.model == expected.model
        assert all((contents.weights[name] == array).all() for name, array in expected.weights.items())
    assert refused > len(data) / 13 / 4


def test_flipped_byte_in_a_tensor_is_refused_by_torch(path):
    with zipfile.ZipFile(path) as archive:
        info = next(info for info in archive.infolist() if info.filename.endswith("data/0"))
    data = bytearray(path.read_bytes())
    data[data.index(zipfile.ZipFile(path).read(info)) + 5] ^= 1
    path.write_bytes(data)
    torch.load(path, weights_only=True)
    with pytest.raises(CheckpointError, match="CRC"):
        read_checkpoint(str(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format="other"), "not a charrnn checkpoint"),
        (lambda c: c.update(format_version=2), "format version 2, and this charrnn reads up to 1.*later charrnn"),
        (lambda c: c.update(format_version="1"), "format version '1'"),
        (lambda c: c.update(format_version=DOUBLED), r"format version \(\(\(\("),
        (lambda c: c["model"].update(hidden_size=DOUBLED), r"hidden_size is \(\(\(.* where int belongs"),
        (lambda c: c.pop("history"), "history is missing, or is not a list"),
        (lambda c: c["model"].update(hidden_size=7), r"weight_ih has shape \(18, 4\).*asks for \(21, 4\)"),
        (lambda c: c["model"].update(hidden_size=10**12), "hidden-size is 1000000000000"),
        (lambda c: c["model"].update(vocab_size=6), "5 characters where the config asks for 6"),
        (lambda c: c["model"].update(num_layers=True), "num_layers is True where int belongs"),
        (lambda c: c["history"][0].update(val_loss=float("nan")), "is not a number"),
        (lambda c: c["history"][1].update(step=10), "steps that do not rise"),
        (lambda c: c["history"][0].update(step=-1), "steps that do not rise"),
        (lambda c: c["history"][2].update(step=31), "history has step 31, and training made 30"),
        (lambda c: c["corpus"].update(counts=[1]), "not those of its characters"),
        (lambda c: c["corpus"].update(counts=["1"] * 5), "not those of its characters"),
        (lambda c: c["corpus"].update(bytes=10**5000), "a size that is not a count"),
        (lambda c: c["training"].update(step="x"), "training has no step"),
        (lambda c: c["training"].update(seconds=float("inf")), "training has no step or no seconds"),
        (lambda c: c["training"]["config"].update(epochs=float("inf")), "--epochs is inf"),
        (lambda c: c["text"].update(unit=2), "TextOptions.unit is 2 where str belongs"),
        (lambda c: c["text"].update(lowercase="yes"), "TextOptions.lowercase is 'yes' where bool belongs"),
        (lambda c: c["weights"].update({"head.bias": c["weights"]["layers.0.weight_hh"][0, :5]}), "is used twice"),
        (lambda c: c["model"].update(cell="a" * 9999), r"--cell is 'a+\.\.\.a+'; it must be one of lstm, gru"),
        (lambda c: c["text"].update(encoding="a" * 9999), r"--encoding is 'a+\.\.\.a+'; give one of texts"),
        (lambda c: c["model"].update(colour="red"), "missing or unknown fields: colour"),
        (lambda c: c.update(model=[1]), "model is missing, or is not a dict"),
        (lambda c: c.update(characters="edcba"), "not in code-point order"),
        (lambda c: c["weights"].pop("head.bias"), "weights missing or unknown: head.bias"),
        (
            lambda c: c["weights"].update({"head.bias": torch.zeros(5, dtype=torch.float64)}),
            "head.bias is not a float32",
        ),
        (lambda c: c["weights"].update({"head.bias": [0.0] * 5}), "head.bias is not a float32 tensor"),
        (lambda c: c["weights"].update({"head.weight": torch.zeros(6, 5).T}), "not contiguous"),
        (lambda c: c["weights"].update({"head.weight": torch.zeros(1).expand(5, 6)}), "not contiguous"),
        (lambda c: c["history"].append({"step": 1}), "history has a row with missing"),
        (lambda c: c["history"][0].update(val_loss="1"), "is not a number"),
        (lambda c: c["corpus"].update(counts="many"), "corpus has other fields"),
        (lambda c: c["made"].update(torch=2), "made has something that is not text"),
        (lambda c: c.pop("origin"), "origin is missing, or is not a dict"),
        (lambda c: c["origin"].update(texts=["a", 2]), r"Origin.texts is \['a', 2\] where list\[str\] belongs"),
        (lambda c: c["origin"].update(texts=DOUBLED), r"Origin.texts is \(\(\(.* where list\[str\] belongs"),
        (lambda c: c["origin"].update(texts=["a/" * 50_000] * 20_000), "it says the same text too often"),
        (lambda c: c["origin"].update(run="a" * 11), "the name of a run is not one of 12 hexadecimal digits"),
        (
            lambda c: c["origin"].update(parents=["a" * 12, "\n"]),
            "the name of a run is not one of 12 hexadecimal digits",
        ),
        (lambda c: c["origin"].update(init_run=""), "the name of a run is not one of 12 hexadecimal digits"),
        (lambda c: c["origin"].update(threads_given=1), "Origin.threads_given is 1 where bool belongs"),
        (lambda c: c["origin"].update(init_from=["a"]), r"Origin.init_from is \['a'\] where str \| None belongs"),
        (lambda c: c["weights"]["head.bias"].fill_(float("nan")), "head.bias holds NaN or infinity"),
        (lambda c: c["weights"]["head.bias"][3:].fill_(float("-inf")), "head.bias holds NaN or infinity"),
        (lambda c: c["training"].update(x=torch.zeros([1] * 9)), "a tensor has too many dimensions"),
        (lambda c: c.update(characters="aabcd"), "not in code-point order"),
        (lambda c: c.update(has_unknown="yes"), "has_unknown is missing, or is not a bool"),
        (lambda c: c.update(has_unknown=True), "5 characters where the config asks for 4"),
        (lambda c: (c["text"].update(unit="byte"), c.update(characters="abcd\u0100")), "are more than bytes"),
        (lambda c: (c["text"].update(lines=True), c["model"].update(recall=9)), "kept apart are recalled"),
        (lambda c: c["text"].update(lines=True), "there is no line feed to end them"),
        (lambda c: c["history"][0].update(val_loss=1e300), "is not a number"),
        (lambda c: c["training"].update(step=True), "training has no step"),
        (lambda c: c["training"].update(cold_loss="1"), "a loss in cold windows that is not a number"),
    ],
)
def test_any_damage_inside_is_one_checkpoint_error(path, change, message):
    rewrite(path, change)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_checkpoint(str(path))
    assert "\n" not in str(caught.value)


class Payload:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("protocol", [2, 4])
def test_pickle_with_a_payload_is_refused_and_not_executed(path, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    replace_record(path, "data.pkl", pickle.dumps({"format": "charrnn", "x": Payload()}, protocol=protocol))
    with pytest.raises(CheckpointError, match=r"asks for (posix|nt)\.mkdir|the instruction FRAME"):
        read_checkpoint(str(path))
    assert not Path("executed").exists()


def replace_record(path, name, data, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path) as archive:
        records = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for record, old in records.items():
            archive.writestr(record, data if record.endswith(name) else old)


def test_other_byte_order_is_refused(path):
    replace_record(path, "byteorder", b"big")
    with pytest.raises(CheckpointError, match="byte order is not little-endian"):
        read_checkpoint(str(path))


def test_duplicate_zip_entry_is_refused(path):
    """Programs may differ in which of the two they read."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other/version", b"3\n")
    with pytest.raises(CheckpointError, match="record 'other/version' stands twice"):
        read_checkpoint(str(path))


@pytest.mark.parametrize(
    ("more", "message"), [(2**30, "its records are larger than the file"), (4, "data/0 is shorter than the file says")]
)
def test_record_claiming_more_than_its_size_is_refused(path, more, message):
    """Otherwise the file could make it allocate any amount of memory, or read uninitialized memory as numbers."""
    data = bytearray(path.read_bytes())
    place = data.rindex(b"PK\x01\x02", 0, data.rindex(b"/data/0")) + 24  # its size, in the directory
    size = int.from_bytes(data[place : place + 4], "little")
    data[place : place + 4] = (size + more).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(str(path))


def test_record_too_short_for_its_tensor_is_refused(path):
    replace_record(path, "data/0", bytes(4))
    with pytest.raises(CheckpointError, match="data/0 is shorter than its tensor"):
        read_checkpoint(str(path))


def test_stride_of_a_dimension_of_one_is_ignored(path):
    row = torch.arange(6.0)[:, None].T  # its strides are 1 and 1, and torch calls it contiguous
    rewrite(path, lambda c: c["training"].update(x=row))
    np.testing.assert_array_equal(read_checkpoint(str(path), with_training=True).training["x"], row)


def test_exponentially_nested_structure_is_read_at_once(path):
    def change(contents):
        for _ in range(60):
            contents["training"]["bomb"] = [contents["training"].get("bomb", 1)] * 2

    rewrite(path, change)
    assert read_checkpoint(str(path)).training["step"] == 30
    assert len(read_checkpoint(str(path), with_training=True).training["bomb"]) == 2


def test_twenty_thousand_texts_and_evaluations_are_read(path):
    """The pickle stores each field name once, not in every row."""
    texts = [f"a folder/of many letters/{number}.txt" for number in range(20_000)]
    rows = [asdict(replace(HISTORY[0], step=step)) for step in range(20_000)]
    rewrite(
        path, lambda c: (c["origin"].update(texts=texts), c.update(history=rows), c["training"].update(step=20_000))
    )
    contents = read_checkpoint(str(path))
    assert contents.origin.texts == texts
    assert len(contents.history) == 20_000


@pytest.mark.parametrize("bit", range(8))
def test_any_flipped_bit_of_the_zip_directory_is_refused_or_harmless(path, bit):
    data, weights = bytearray(path.read_bytes()), read_checkpoint(str(path)).weights
    num_refused = num_read = 0
    for place in range(data.rindex(b"PK\x01\x02") - 400, len(data)):
        data[place] ^= 1 << bit
        path.write_bytes(data)
        data[place] ^= 1 << bit
        try:
            contents = read_checkpoint(str(path))
        except CheckpointError:
            num_refused += 1
            continue
        num_read += 1
        assert contents.model == CONFIG
        assert {*contents.weights} == {*weights}
        assert all(np.array_equal(contents.weights[name], values) for name, values in weights.items())
    assert num_refused > 100, "what says where the records are and what they hold"
    assert num_read > 100, "times and rights"


def test_compressed_record_is_refused(path):
    replace_record(path, "data/0", bytes(10_000_000), zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="compressed"):
        read_checkpoint(str(path))


def zipped(*names):
    """The bytes of a zip archive with files of these names."""
    with zipfile.ZipFile(buffer := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, "<moon/>")
    return buffer.getvalue()


def test_checkpoint_is_recognized_by_its_first_bytes(path):
    exported, again = path.with_name("slim.pt"), path.with_name("again.pt")
    exported.write_bytes(to_slim_checkpoint(read_checkpoint(str(path))))
    torch.save(torch.load(path, weights_only=True), again)
    for ours in (path, exported, again, OLDEST):
        assert begins_as_checkpoint(ours)
        ours_cut = path.with_name("cut.pt")
        ours_cut.write_bytes(ours.read_bytes()[:1000])
        assert begins_as_checkpoint(ours_cut), "what is damaged is ours still"


def test_fields_missing_in_the_oldest_file_get_their_original_meaning():
    """A default that changed would change how such a file goes on; a new field has to say here what it means."""
    plain, read = torch.load(OLDEST, weights_only=True), read_checkpoint(str(OLDEST))
    filled = {}
    for given, config in (
        (plain["model"], read.model),
        (plain["text"], read.text_options),
        (plain["training"]["config"], read.train_config),
        (plain["origin"], read.origin),
    ):
        values = asdict(config)
        filled |= {name: values.pop(name) for name in values.keys() - given.keys()}
        assert values == given
    assert filled == {
        "rewind": True, "rewind_after": 3, "val_bounded": False, "init_run": None, "learned": [],
        "learned_held_out": False, "precision_given": False,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["charrnn-main/README.md", "charrnn/data.pkl"])
def test_archive_containing_our_name_is_no_checkpoint(tmp_path, name):
    (tmp_path / "main.zip").write_bytes(zipped(name))
    assert not begins_as_checkpoint(tmp_path / "main.zip")


@pytest.mark.parametrize("contents", [{"name": "charrnn"}, {"format": "charrnn2"}, {"charrnn": "format"}])
def test_torch_file_of_another_program_is_no_checkpoint(tmp_path, contents):
    torch.save(contents, tmp_path / "other.pt")
    assert not begins_as_checkpoint(tmp_path / "other.pt")


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.txt", b"Tin soles", "is a text; `charrnn train` learns from it, and `charrnn inspect CHECKPOINT --score` "),
        (
            "m.txt",
            "T\N{LATIN SMALL LETTER I WITH DIAERESIS}n".encode() * 256,
            "is a text; .* scores it; did you mean .*m.pt\\?$",
        ),
        ("a.log", b'{"run": "0123456789ab", "step": 1}', "is a training's log, not a checkpoint; give the one"),
        ("m.log", b'{"run": "0123456789ab", "step": 1}', r"is a training's log, .*; did you mean .*m.pt\?$"),
        ("a.safetensors", b"\x40" + bytes(7) + b'{"__metadata__":', "holds weights for other programs; give the .pt"),
        ("m.safetensors", b"\x40" + bytes(7) + b'{"__metadata__":', "holds weights for other programs; did you mea"),
        ("a.png", b"\x89PNG\r\n\x1a\n\0", r"is a picture \(PNG\), not a checkpoint; give a file that `charrnn train"),
        ("m.png", b"\x89PNG\r\n\x1a\n\0", r"is a picture \(PNG\), not a checkpoint; did you mean .*m.pt\?$"),
        (
            "a.docx",
            zipped("[Content_Types].xml", "word/document.xml"),
            "is a zip archive, as Word, .* write, not a checkpoint; saved as plain text, `charrnn train` learns",
        ),
        ("m.odt", zipped("mimetype"), r"is a zip archive, as Word, .* write, not a checkpoint; did you mean .*m.pt\?$"),
        (
            "a.pdf",
            b"%PDF-1.4\n%\xe2\xe3",
            "is a PDF document, not a checkpoint; saved as plain text, `charrnn train` lea",
        ),
        (
            "a.rtf",
            b"{\\rtf1 The moon}",
            "is a rich-text document, not a checkpoint; saved as plain text, `charrnn train",
        ),
        (
            "a.zip",
            zipped("letter.txt"),
            "not a whole charrnn checkpoint .*; it is damaged or of another kind, use a co",
        ),
        ("l.txt", "Gr\xfc\xdfe".encode("latin-1") * 99, "is not a checkpoint; `charrnn train` learns from texts$"),
        ("g.txt", "\u8bd7\u6b4c".encode("gbk") * 99, "is not a checkpoint; `charrnn train` learns from texts$"),
        ("u.txt", "Tin".encode("utf-16"), "is not a checkpoint; `charrnn train` learns from texts$"),
        ("m.txt", "Tin".encode("utf-16"), r"is not a checkpoint; did you mean .*m.pt\?$"),
        (
            "z.txt.gz",
            gzip.compress(b"Tin", mtime=0),
            "is compressed by gzip, not a checkpoint; `charrnn train` learns from texts$",
        ),
        ("b.bin", b"\xff\0\xff", "not a whole charrnn checkpoint; it is damaged or of another kind, use a copy or tra"),
        ("c.pt", b"PK\x03\x04", r"not a whole charrnn checkpoint \(File is not a zip file\); it is damaged or of"),
        ("e.pt", b"", r"not a whole charrnn checkpoint \(it is empty\); it is damaged"),
        ("p.pt", pickle.dumps({"format": "charrnn"}), "not a whole charrnn checkpoint"),
        ("r.pt", np.random.default_rng(0).bytes(5000), "not a whole charrnn checkpoint"),
    ],
)
def test_error_names_what_kind_of_file_it_is(path, name, data, told):
    path.with_name(name).write_bytes(data)
    with pytest.raises(CheckpointError, match=rf"{name}: {told}"):
        read_checkpoint(str(path.with_name(name)))


def test_unexpanded_home_folder_is_reported(monkeypatch):
    monkeypatch.setenv("HOME", "/home/tin nap")
    told = (
        "~/m.pt: no such file; the shell expands ~ only at the beginning of a word and outside quotes, if at all; "
        "write '/home/tin nap/m.pt'"
    )
    with pytest.raises(CheckpointError, match=re.escape(told)):
        read_checkpoint("~/m.pt")


def test_web_address_is_reported_as_such():
    told = "https://x.org/m.pt: is an address, and charrnn fetches nothing; download it, and give the file"
    with pytest.raises(CheckpointError, match=re.escape(told)):
        read_checkpoint("https://x.org/m.pt")


def test_plain_state_dict_is_refused(tmp_path):
    torch.save(CharRNN(CONFIG).state_dict(), tmp_path / "b.pt")
    with pytest.raises(CheckpointError, match="charrnn checkpoint"):
        read_checkpoint(str(tmp_path / "b.pt"))


def test_endless_input_is_refused_after_a_few_bytes(monkeypatch):
    class Endless:
        def fileno(self):
            return device.fileno()

        def read(self, size=-1):
            assert 0 < size < 100, "it has no end"
            return b"\0" * size

    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=Endless()))
    with (
        open(os.devnull, "rb") as device,
        pytest.raises(CheckpointError, match="standard input: not a whole charrnn checkpoint"),
    ):
        read_checkpoint("-")


def test_file_as_standard_input_is_read_where_it_lies(path, monkeypatch):
    """The training state is left out; what a pipe holds, or the rest of a file, is read whole, but never held twice."""
    write(path, training={**SUMMARY, "x": torch.zeros(1_000_000)})
    size, weights = path.stat().st_size, read_checkpoint(str(path)).weights
    for skipped, most in ((0, size // 2), (5, size * 3 // 2)):
        path.write_bytes(b"\0" * skipped + path.read_bytes())
        with path.open("rb") as file:
            file.read(skipped)
            monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=file))
            tracemalloc.start()
            found = read_checkpoint("-").weights
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert peak < most
        for name, values in weights.items():
            np.testing.assert_array_equal(found[name], values)


def test_dangling_link_is_reported_with_its_final_target(tmp_path):
    (tmp_path / "verse.pt").symlink_to("next.pt")
    (tmp_path / "next.pt").symlink_to("gone.pt")
    gone = os.path.realpath(tmp_path / "gone.pt")
    told = f"{tmp_path}/verse.pt: is a link to {gone}, which is not there; fetch or mount that, or give another file"
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(str(tmp_path / "verse.pt"))
    assert str(caught.value) == told


def test_permission_advice_is_given_only_for_permission_errors(tmp_path, monkeypatch):
    (tmp_path / "round.pt").symlink_to("round.pt")
    (tmp_path / "file").touch()
    reasons = {
        "round.pt": "Too many levels of symbolic links",
        "file/m.pt": "Not a directory",
        "m" * 300: "File name too",
    }
    for name, told in reasons.items():
        with pytest.raises(CheckpointError, match=rf"^{tmp_path / name}: cannot be read \({told}.*\)$"):
            read_checkpoint(str(tmp_path / name))

    def refuse(path, *_):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "stat", refuse)  # as in a folder that is closed to this user
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(CheckpointError, match=r"^m\.pt: cannot be read \(Permission denied\); check its permissions$"):
        read_checkpoint("m.pt")


def test_missing_file_and_folder_are_reported(tmp_path):
    with pytest.raises(CheckpointError, match=r"no\.pt: no such file; `charrnn train TEXT` writes one"):
        read_checkpoint(str(tmp_path / "no.pt"))
    with pytest.raises(CheckpointError, match="is a folder"):
        read_checkpoint(str(tmp_path))


def test_saving_replaces_the_file_whole_and_leaves_nothing_beside_it(path):
    old = path.read_bytes()
    write(path)
    assert path.read_bytes() != old
    assert os.listdir(path.parent) == ["m.pt"]


def test_save_is_synced_before_and_after_its_rename(path, monkeypatch):
    """Else a power cut could leave an empty file under the name of a checkpoint that was whole."""
    done, fsync, replace = [], os.fsync, os.replace

    def sync(descriptor):
        status = os.fstat(descriptor)
        done.append("folder" if stat.S_ISDIR(status.st_mode) else status.st_size)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", lambda *paths: done.append("rename") or replace(*paths))
    write(path)
    assert done == [path.stat().st_size, "rename", "folder"]


def test_failed_save_keeps_the_old_file_and_leaves_nothing_beside_it(path, monkeypatch):
    old = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match=r"m\.pt: the checkpoint cannot be written \(No space left on device\)"):
        write(path)
    assert path.read_bytes() == old
    assert os.listdir(path.parent) == ["m.pt"]


def test_saving_keeps_a_link_and_uses_the_umask(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "m.pt").symlink_to(tmp_path / "store" / "real.pt")
    former = os.umask(0o027)
    try:
        write(tmp_path / "m.pt")
    finally:
        os.umask(former)
    assert (tmp_path / "m.pt").is_symlink()
    assert (tmp_path / "store" / "real.pt").stat().st_mode & 0o777 == 0o640


def test_sampling_reads_only_the_best_weights(path, monkeypatch):
    read = []
    original = zipfile.ZipFile.open
    monkeypatch.setattr(
        zipfile.ZipFile, "open", lambda self, info, *rest: read.append(info.filename) or original(self, info, *rest)
    )
    contents = read_checkpoint(str(path))
    assert len([name for name in read if "/data/" in name]) == len(contents.weights)


def test_missing_checkpoint_suggests_the_one_named_like_the_text(tmp_path):
    (tmp_path / "My Poems.txt").write_text("verse")
    for name in ("My Poems.txt", "My Poems"):
        with pytest.raises(CheckpointError) as without:
            read_checkpoint(str(tmp_path / name))
        assert "did you mean" not in str(without.value)
    (tmp_path / "My Poems.pt").write_bytes(b"")
    for name in ("My Poems.txt", "My Poems"):
        with pytest.raises(CheckpointError, match=r"; did you mean .*My Poems\.pt'\?$"):
            read_checkpoint(str(tmp_path / name))


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("peoms.pt", "did you mean texts/poems.pt?"), ("Poem.pt", "did you mean texts/poems.pt?"),
        ("peoms", "did you mean texts/poems.pt?"), ("verse.pt", "`charrnn train TEXT` writes one"),
        ("pomes.txt", "`charrnn train TEXT` writes one"),
    ],
)  # fmt: skip
def test_missing_checkpoint_suggests_one_of_similar_name(tmp_path, monkeypatch, typed, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts").mkdir()
    for name in ("poems.pt", "verses.txt", "pomes.md"):
        (tmp_path / "texts" / name).write_bytes(b"")
    with pytest.raises(CheckpointError) as refused:
        read_checkpoint(f"texts/{typed}")
    assert str(refused.value) == f"texts/{typed}: no such file; {told}"
