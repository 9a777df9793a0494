"""`charrnn inspect --score`: whole texts, unknown and rare characters, and what they cost."""

import base64
import gzip
import itertools
import json
import math
import shutil
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_text, numpy_weights, random_model, save_like, train_briefly
from scores import ALPHABET
from torch.nn import functional

from charrnn.analysis import dynamic, losses
from charrnn.cli.inspector.fitting import unknown_price
from charrnn.cli.inspector.scoring import score_text
from charrnn.cli.inspector.subject import read_subjects
from charrnn.config import ModelConfig, config_from_dict
from charrnn.network.model import CharRNN
from charrnn.text import encoder
from charrnn.text.encoder import CharEncoder
from charrnn.text.unknowns import unknown_surprisal


def test_unknown_characters_are_counted_skipped_replaced_or_refused(command, trained):
    contents = torch.load(trained / "words.pt", weights_only=True)
    price = unknown_surprisal(contents["corpus"]["characters"], 23) / math.log(2)
    known = float(command("words.pt", "--score", "-", "--by", "line", stdin="Tin sole\n").done.stdout.split(b"\t")[0])

    def bits(rule):
        result = command("words.pt", "--score", "-", "--by", "line", "--unknown", rule, stdin="Tin s§ole\n")
        return float(result.stdout.split(b"\t")[0])

    assert bits("skip") == pytest.approx(known, abs=1e-4)
    assert bits("count") == pytest.approx((9 * known + price) / 10, abs=1e-3)
    near = command("words.pt", "--score", "-", "--by", "line", "--unknown", "nearest", stdin="Tïn sole\n")
    assert float(near.stdout.split(b"\t")[0]) == pytest.approx(known, abs=1e-4)
    whole = json.loads(command("words.pt", "--score", "-", "--json", stdin="Tin s§ole\n").done.stdout)
    assert (whole["unknown"], whole["characters"]) == (1, 9)
    clean = json.loads(command("words.pt", "--score", "-", "--json", stdin="Tin sole\n").done.stdout)
    assert whole["bits_per_char"] == pytest.approx((8 * clean["bits_per_char"] + price) / 9)


@pytest.mark.parametrize(
    ("newline", "returns", "rule", "is_end"),
    [("lf", 0, "count", True), ("keep", 0, "count", False), ("keep", 0, "nearest", True), ("keep", 1, "count", True),
     ("keep", 0.5, "count", False)],
)  # fmt: skip
def test_carriage_return_is_excluded_from_a_line_if_the_model_has_crlf(
    command, trained, newline, returns, rule, is_end
):
    """The bits do not change: they are over what the model reads."""
    (trained / "ends.txt").write_bytes(
        b"".join(b"Tin" + b"\r" * (i < returns * 100) + b"\n" for i in range(100)) + b"sole nap tuna\n" * 2
    )
    flags = ["--hidden-size", "4", "--max-steps", "1", "--batch-size", "1"]
    train_briefly(trained, "ends.txt", "--overwrite", "--newline", newline, *flags)
    lines = ["--score", "-", "--by", "line", "--unknown", rule]
    bits, length, text = command("ends.pt", *lines, stdin="Tin\r\nsole\n").done.stdout.split(b"\n")[0].split(b"\t")
    assert (length, text) == ((b"3", b"Tin") if is_end else (b"4", b"Tin\r"))
    record = json.loads(command("ends.pt", "--json", *lines, stdin="Tin\r\n").done.stdout)
    assert (record["length"], record["text"]) == (3 + (not is_end), "Tin" + "\r" * (not is_end))
    assert record["bits_per_char"] == pytest.approx(float(bits), abs=1e-4)
    both = command("ends.pt", "words.pt", *lines, stdin="Tin\r\n").done.stdout.split(b"\t")[-1]
    assert both == (b"Tin\n" if rule == "nearest" else b"Tin\r\n"), "words.pt reads a CR of its own"


@pytest.mark.parametrize(("newline", "rule"), [("lf", "count"), ("keep", "nearest")])
def test_model_without_a_line_feed_skips_crlf(command, trained, newline, rule):
    save_like(trained, "long.pt", characters="".join(sorted(ALPHABET.replace("\n", "z"))), text={"newline": newline})
    for models in (["long.pt"], ["long.pt", "words.pt"]):
        lines = [*models, "--score", "-", "--by", "line", "--unknown", rule]
        of_windows, plain = (command(*lines, stdin=f"tin{end}sole{end}{end}").done.stdout for end in ("\r\n", "\n"))
        bits = [[row.split(b"\t")[0] for row in rows.splitlines()] for rows in (of_windows, plain)]
        assert bits[0] == bits[1]
    counted = command("long.pt", "--score", "-", "--by", "line", stdin="tin\r\n").done.stdout
    assert counted.endswith(b"\ttin\n" if newline == "lf" else b"\ttin\r\n"), "else the CR is one that it never saw"


def test_score_of_a_learned_text_warns(command, trained):
    told = b"charrnn: words.txt: words learned from most of it; the loss on another text would be higher\n"
    assert command("words.pt", "--score", "words.txt").stderr == told
    table = command("zoo.pt", "words.pt", "--score", "words.txt")
    assert b"words.txt: zoo, words learned from most of it" in table.stderr
    words = (trained / "words.txt").read_bytes()
    (trained / "other.txt").write_bytes(words[::-1])
    (trained / "words.gz").write_bytes(gzip.compress(words))
    lines = ("--by", "line", "--above", "99")
    assert command("words.pt", "--score", "words.txt", *lines).stderr == told
    assert command("words.pt", "--score", "words.gz", *lines).stderr == told.replace(b".txt", b".gz")
    assert command("words.pt", "--score", "other.txt", *lines).stderr == b""
    piped = command("words.pt", "--score", "-", *lines, stdin=words).stderr
    assert piped == told.replace(b"words.txt", b"standard input")
    for path, text, is_own in (
        ("words.txt", b"", True), ("other.txt", b"", False), ("words.gz", b"", True), ("-", words, True),
        ("-", words[:-1], False),
    ):  # fmt: skip
        result = command("words.pt", "--score", path, "--json", stdin=text)
        assert (json.loads(result.stdout)["learned"], result.stderr) == (is_own, b"")


@pytest.mark.parametrize(
    ("origin", "is_other"),
    [
        ({"texts": ["a.txt", "b.txt"]}, None),
        ({"texts": ["words.txt"], "val_texts": ["b.txt"]}, None),
        ({"texts": ["."]}, None),
        ({"texts": ["folder/that/is/gone"]}, None),
        ({"texts": ["words.txt"], "init_from": "base.pt"}, None),
        ({"texts": ["words.txt"]}, False),
        ({"texts": ["-"]}, False),
    ],
)
def test_part_of_a_learned_text_is_recognized_if_it_was_one_file(command, trained, origin, is_other):
    save_like(trained, "several.pt", origin=origin, corpus={"name": origin["texts"][0]})
    words = (trained / "words.txt").read_bytes()
    for text, is_own in ((words, True), (words[:-1], is_other), (words[::-1], is_other)):
        assert json.loads(command("several.pt", "--score", "-", "--json", stdin=text).done.stdout)["learned"] is is_own


def test_dynamic_score_is_shown_beside_the_static_one(command):
    text = make_text(3000, seed=3)
    result = json.loads(command("words.pt", "--score", "-", "--dynamic", "--json", stdin=text).done.stdout)
    static = json.loads(command("words.pt", "--score", "-", "--json", stdin=text).done.stdout)
    assert result["loss"] == pytest.approx(static["loss"], abs=1e-6)
    assert result["dynamic"]["loss"] < result["loss"]
    table = command("words.pt", "--score", "-", "--dynamic", stdin=text).done.stdout.decode().splitlines()
    assert table[-1].startswith("dynamic ")


def test_dynamic_score_counts_unknown_characters_like_the_static_one(trained):
    (subject,) = read_subjects([str(trained / "words.pt")])
    totals = []
    for rule in ("count", "skip"):
        score = score_text(subject, "Banana \u00e9 tin sole\n", "-", rule=rule, dynamic=True)
        totals.append((score.dynamic * score.characters, score.loss * score.characters))
    (dynamic, static), (of_known, static_of_known) = totals
    assert dynamic - of_known == pytest.approx(static - static_of_known) == pytest.approx(unknown_price(subject))


def test_nonfinite_dynamic_score_is_reported(command, trained):
    shape = {"vocab_size": 23, "hidden_size": 12, "num_layers": 1, "embedding_dim": 8, "layer_norm": False}
    model = random_model(ModelConfig(cell="rnn-relu", **shape))
    model.state_dict()["embedding.weight"] *= 1e20  # squares of gradients overflow
    save_like(trained, "growing.pt", model)
    text = make_text(200)
    assert command("growing.pt", "--score", "-", stdin=text).returncode == 0
    for flags in ([], ["--json"]):
        result = command("growing.pt", "--score", "-", "--dynamic", *flags, stdin=text)
        assert (result.returncode, result.stdout) == (1, b"")
        assert result.stderr.startswith(b"charrnn: the model's values are not numbers any more")
        assert result.stderr.count(b"\n") == 1


@pytest.mark.parametrize(("unit", "is_dynamic"), [("character", False), ("byte", False), ("byte", True)])
def test_whole_text_score_holds_little_more_than_the_text(trained, monkeypatch, unit, is_dynamic):
    """Additional memory per character of a text three times as long: its ids, and which bytes begin a character."""
    (subject,) = read_subjects([str(trained / "words.pt")])
    config = ModelConfig(vocab_size=23, cell="gru", hidden_size=4, num_layers=1, embedding_dim=4, recall=20)
    contents = replace(
        subject.contents, model=config, encoder=CharEncoder(subject.contents.encoder.characters, unit),
        weights=numpy_weights(random_model(config)),
    )  # fmt: skip
    monkeypatch.setattr(losses, "PIECE", 1 << 11 if is_dynamic else 1 << 14)
    monkeypatch.setattr(dynamic, "PIECE", 1 << 11)
    monkeypatch.setattr(encoder, "AT_ONCE", 1 << 11)
    length, peaks = 4_000 if is_dynamic else 40_000, []
    for copies in (1, 1, 3):  # the first has what is made once and kept
        text = make_text(length) * copies + "§"
        scored = replace(subject, contents=contents)
        tracemalloc.start()
        try:
            score_text(scored, text, "-", rule="count", dynamic=is_dynamic)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[2] - peaks[1] < (16 if is_dynamic else 8) * 2 * length, "it was some thirty bytes for each"


@pytest.fixture
def byte_model(trained):
    """A model of bytes with random weights that knows the two bytes of some Cyrillic letters."""
    alphabet = "".join(sorted({*"\n abT", *map(chr, range(0x80, 0xC0)), "\xd0", "\xd1"}))
    config = ModelConfig(vocab_size=len(alphabet), cell="lstm", hidden_size=12, num_layers=1, embedding_dim=8)
    corpus = {"counts": [1] * len(alphabet), "characters": len(alphabet)}
    changes = {"characters": alphabet, "corpus": corpus, "text": {"unit": "byte"}}
    save_like(trained, "bytes.pt", random_model(config), **changes)
    return CharEncoder(alphabet, unit="byte")


def test_byte_model_is_scored_by_character(command, trained, byte_model):
    text = "Tаб аб\nба\n"
    contents = torch.load(trained / "bytes.pt", weights_only=True)
    model = CharRNN(config_from_dict(ModelConfig, contents["model"])).eval()
    model.load_state_dict(contents["weights"])
    ids = torch.from_numpy(byte_model.encode(text).astype(np.int64))
    assert len(ids) > len(text)
    with torch.no_grad():
        logits, _ = model(ids[:-1, None], model.initial_state(1))
    total = functional.cross_entropy(logits[:, 0], ids[1:], reduction="sum").item()
    whole = json.loads(command("bytes.pt", "--score", "-", "--json", stdin=text).done.stdout)
    assert (whole["characters"], whole["loss"]) == (len(text) - 1, pytest.approx(total / (len(text) - 1), abs=1e-4))
    hits = (logits[:, 0].argmax(-1) == ids[1:]).tolist()
    widths = [len(character.encode()) for character in text[1:]]
    right = sum(all(hits[end - width : end]) for width, end in zip(widths, itertools.accumulate(widths), strict=True))
    assert whole["accuracy"] == pytest.approx(right / (len(text) - 1))
    line = command("bytes.pt", "--score", "-", "--by", "line", "--json", stdin="аб\n").done.stdout
    seen = json.loads(command("bytes.pt", "--text", "аб\n", "--json").done.stdout)
    assert json.loads(line)["bits_per_char"] == pytest.approx(seen["surprise"]["bits_per_char"], abs=1e-4)


def test_byte_model_is_described_in_bytes(command, byte_model):
    card = command("bytes.pt").done.stdout.decode()
    assert f"{len(byte_model)} bytes: " in card
    assert "<0xD0> <0xD1>" in card
    assert " bits per byte)" in card
    assert "bytes: \\n space T a b <0x80>" in card
    assert "haracter" not in card.split("\n  sha256")[0]
    both = command("bytes.pt", "words.pt").done.stdout.decode()
    assert "bits per byte" in both
    assert "bits per character" in both


def test_invalid_text_in_json_is_replaced_with_its_bytes_beside_it(command, byte_model):
    result = command("bytes.pt", "--score", "-", "--by", "line", "--json", stdin="a\udcffb\nabc\n")
    odd, plain = map(json.loads, result.stdout.decode("utf-8", "strict").splitlines())
    assert (odd["text"], base64.b64decode(odd["bytes"])) == ("a\ufffdb", b"a\xffb")
    assert b"\\u" not in result.stdout, "no lone surrogate, which strict readers refuse"
    assert "bytes" not in plain


def test_id_of_rare_characters_costs_the_price_of_an_unknown_one(command, trained):
    contents = torch.load(trained / "words.pt", weights_only=True)
    characters = contents["characters"][:-1]
    save_like(trained, "rare.pt", characters=characters, has_unknown=True)
    text, unknown = "Tin sole\n" * 9, contents["characters"][-1] + "§§"
    plain = json.loads(command("rare.pt", "--score", "-", "--json", stdin=text).done.stdout)
    odd = json.loads(command("rare.pt", "--score", "-", "--json", stdin=text + unknown).done.stdout)
    assert (plain["unknown"], odd["unknown"]) == (0, 3)
    price = unknown_surprisal(contents["corpus"]["characters"], len(characters) + 1)
    total = plain["loss"] * plain["characters"] + 3 * price
    assert odd["loss"] == pytest.approx(total / (plain["characters"] + 3), abs=1e-4)
    refused = command("rare.pt", "--score", "-", "--unknown", "error", stdin=text + unknown)
    assert refused.returncode == 1


@pytest.mark.parametrize("first", ["", "u"])
def test_rare_character_id_is_read_and_costs_what_rare_characters_do(command, trained, first):
    """A model whose last character is called rare, beside itself: it knows all others as well, that one excepted."""
    contents = torch.load(trained / "words.pt", weights_only=True)
    *others, rare = contents["characters"]
    assert rare == "u"
    save_like(trained, "rare.pt", characters="".join(others), has_unknown=True)
    text = first + "Tin sole\nmutabun rubu\n"

    def characters(model):
        shown = json.loads(command(model, "--text-file", "-", "--json", stdin=text).done.stdout)["surprise"][
            "characters"
        ]
        return [one["bits"] for one in shown]

    def total(model, *more):
        found = json.loads(command(model, "--score", "-", "--json", *more, stdin=text).done.stdout)
        return [found["characters"] * each["bits_per_char"] for each in (found, found.get("dynamic", found))]

    price = unknown_surprisal(contents["corpus"]["characters"], len(others) + 1) / math.log(2)
    plain, with_rare = characters("words.pt"), characters("rare.pt")
    expected = [price if character == "u" else bits for character, bits in zip(text, plain, strict=True)]
    np.testing.assert_allclose(with_rare, expected, atol=2e-4)
    lines = command("rare.pt", "--score", "-", "--by", "line", "--json", stdin=text).done.stdout.splitlines()
    scored = [json.loads(line)["bits_per_char"] for line in lines[:1]]
    end = text.index("\n") + 1
    np.testing.assert_allclose(scored, [np.mean(expected[:end])], atol=1e-3)
    more = price * text[1:].count("u")  # the first character of a stream is not predicted
    known, *_ = total("rare.pt")
    assert known - more < total("words.pt")[0], "what stands for the rare ones is read and not counted twice"
    engine = read_subjects([str(trained / "words.pt")])[0].engine
    ids = CharEncoder(contents["characters"]).encode(text)
    (reading,) = losses.read_pieces(engine, ids, lanes=1)
    counts = np.array([character != "u" for character in text[1:]])
    assert known == pytest.approx(reading.surprisals[counts].sum() / math.log(2) + more, abs=1e-2)
    static, adapted = total("rare.pt", "--dynamic")
    assert static == pytest.approx(known)
    assert adapted == pytest.approx(known, abs=1e-2), "nothing is learned before a segment is over"


@pytest.mark.parametrize("more", [[], ["--dynamic"]])
def test_entirely_unknown_text_costs_the_unknown_price_per_character(command, trained, byte_model, more):
    save_like(trained, "cyrillic.pt", characters="\n" + "".join(chr(0x430 + i) for i in range(22)))
    result = json.loads(command("words.pt", "cyrillic.pt", "--score", "-", "--json", *more, stdin="где").done.stdout)
    words = result["models"]["words"]
    price = unknown_surprisal(20_000, 23)
    assert (result["best"], words["characters"], words["unknown"], words["accuracy"]) == ("cyrillic", 2, 3, 0)
    assert [words["loss"], words.get("dynamic", words)["loss"]] == pytest.approx([price, price])
    for known in ("T", "б"):  # of one byte and of two
        of_bytes = json.loads(command("bytes.pt", "--score", "-", "--json", *more, stdin=known + "§").done.stdout)
        price = unknown_surprisal(len(byte_model), len(byte_model))
        assert (of_bytes["characters"], of_bytes["loss"]) == (1, pytest.approx(price))
    skipped = command("words.pt", "cyrillic.pt", "--score", "-", "--unknown", "skip", *more, stdin="где")
    assert (skipped.returncode, skipped.stdout) == (2, b"")


def test_control_characters_in_a_model_name_do_not_break_rows(command, trained):
    shutil.copy(trained / "words.pt", trained / "a\nb\tc.pt")
    result = command("a\nb\tc.pt", "zoo.pt", "--score", "-", "--by", "line", stdin="Tin sole\nmare\n")
    assert [row.split("\t")[2:] for row in result.stdout.decode().splitlines()] == [
        ["a\\nb    c", "8", "Tin sole"], ["a\\nb    c", "4", "mare"],
    ]  # fmt: skip
