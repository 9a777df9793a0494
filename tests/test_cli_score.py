"""`charrnn inspect --score`: whole texts, and lines as a filter in a pipe."""

import base64
import contextlib
import gzip
import itertools
import json
import math
import os
import re
import shutil
import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import (
    make_text,
    most_held,
    numpy_weights,
    random_model,
    read_until,
    run_charrnn,
    save_like,
    train_briefly,
)
from torch.nn import functional

from charrnn.analysis import dynamic, losses
from charrnn.cli.inspector import filtering, fitting
from charrnn.cli.inspector.fitting import unknown_price
from charrnn.cli.inspector.scoring import score_text
from charrnn.cli.inspector.subject import read_subjects
from charrnn.config import ModelConfig, config_from_dict
from charrnn.network.model import CharRNN, forecasts_on
from charrnn.recall import recall_columns
from charrnn.text import encoder
from charrnn.text.encoder import CharEncoder
from charrnn.text.unknowns import unknown_surprisal

ALPHABET = "".join(sorted({*make_text(20_000)}))
"""Of the trained model."""


@pytest.fixture
def command(trained):
    """Arguments of a command on the trained model and on one of other letters, and how to run it."""
    save_like(trained, "zoo.pt", characters="".join(sorted("BKMNRST\n abeiklmnoprst" + "z")))  # z for u

    def run(*arguments, stdin=""):
        given = stdin if isinstance(stdin, bytes) else stdin.encode("utf-8", "surrogateescape")
        return run_charrnn(trained, "inspect", *arguments, input=given)

    return run


def torch_bits(folder, line):
    """Bits per character of a line that follows a line feed, by torch's model, its own line feed included."""
    contents = torch.load(folder / "words.pt", weights_only=True)
    model = CharRNN(config_from_dict(ModelConfig, contents["model"])).eval()
    model.load_state_dict(contents["weights"])
    characters = CharEncoder(contents["characters"]).encode("\n" + line)
    recalled = forecasts_on(model.device, recall_columns(characters[:-1, None], model.config.recall))
    ids = torch.from_numpy(characters.astype(np.int64))
    with torch.no_grad():
        logits, _ = model(ids[:-1, None], model.initial_state(1), recalled)
    return functional.cross_entropy(logits[:, 0], ids[1:]).item() / math.log(2)


LINES = ["Banana tin sole mare kilo", "nub nub nub", "", "Tuna"]


def test_line_scores_equal_the_bits_computed_by_torch(command, trained):
    result = command("words.pt", "--score", "-", "--by", "line", stdin="\n".join(LINES))
    assert (result.returncode, result.stderr) == (0, b"")
    rows = [line.split("\t") for line in result.stdout.decode().splitlines()]
    assert [row[1:] for row in rows] == [[str(len(line)), line] for line in LINES]
    ended = [line + "\n" for line in LINES[:-1]] + [LINES[-1]]
    assert [float(row[0]) for row in rows] == pytest.approx([torch_bits(trained, line) for line in ended], abs=1e-4)


def test_line_score_does_not_depend_on_other_lines(command):
    text = make_text(30_000, seed=9)
    whole = command("words.pt", "--score", "-", "--by", "line", stdin=text).done.stdout.decode().splitlines()
    assert [row.split("\t")[2] for row in whole] == text.split("\n")
    few = command("words.pt", "--score", "-", "--by", "line", stdin="".join(text.splitlines(True)[700:710])).done.stdout
    for alone, among in zip(few.decode().splitlines(), whole[700:710], strict=True):
        assert float(alone.split("\t")[0]) == pytest.approx(float(among.split("\t")[0]), abs=2e-4)


def test_above_prints_only_surprising_lines(command):
    result = command("words.pt", "--score", "-", "--by", "line", "--above", "3.5", stdin="Banana tin\nxkqj\nTin sole\n")
    assert [row.split("\t")[2] for row in result.stdout.decode().splitlines()] == ["xkqj"]
    none = command("words.pt", "--score", "-", "--by", "line", "--above", "99", stdin="Banana tin\nTin sole\n")
    assert (none.returncode, none.stdout, none.stderr) == (0, b"", b"")


def test_blank_line_is_never_above(command):
    lines = ("words.pt", "--score", "-", "--by", "line")
    assert command(*lines, stdin="\r\nTin\n\n").done.stdout.count(b"\n") == 3
    assert command(*lines, "--above", "0.001", stdin="\r\nTin\n\n").done.stdout.endswith(b"\t3\tTin\n")
    assert command(*lines, "--above", "0.001", stdin="\r\nTin\n\n").done.stdout.count(b"\n") == 1


def test_line_with_invalid_bytes_is_scored_as_odd(command):
    lines = ("words.pt", "--score", "-", "--by", "line")
    result = command(*lines, stdin="Banana tin\nTin \udcff\udce9 sole\nTin \udcff\nTin sole\n")
    rows = [row.split(b"\t") for row in result.stdout.splitlines()]
    assert [row[2] for row in rows] == [b"Banana tin", b"Tin \xff\xe9 sole", b"Tin \xff", b"Tin sole"]
    assert min(float(row[0]) for row in rows[1:3]) > 3.5 > max(float(rows[0][0]), float(rows[3][0]))
    told = (
        b"standard input: line 2 is not valid UTF-8; such bytes are taken as characters that the model does not know\n"
    )
    assert (result.returncode, result.stderr) == (0, b"charrnn: " + told)
    picture = command(*lines, stdin="\udc89PNG\r\n\x1a\n\0\0\0\rIHDR\n")
    assert (picture.returncode, picture.stdout) == (2, b"")
    assert picture.stderr == b"charrnn: standard input: is a picture (PNG), not text; give a text file\n"
    strict = command(*lines, "--unknown", "error", stdin="Tin\nTin \udcff\n")
    assert (strict.returncode, strict.stdout.count(b"\n")) == (2, 1)
    assert b"line 2 is not valid UTF-8 at byte 4 (0xff)" in strict.stderr


@pytest.mark.parametrize("shown", ["", "lines", "no terminal"])
def test_progress_is_shown_on_a_terminal_without_lines(tmp_path, monkeypatch, capsys, shown):
    (tmp_path / "app.log").write_bytes(b"x" * 400)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(filtering, "is_live", lambda: shown != "no terminal")
    monkeypatch.setattr("sys.stdout.isatty", lambda: shown == "lines")
    monkeypatch.setattr(filtering.time, "monotonic", iter([0, 5, 20, 50, 81, 99, 999]).__next__)
    waiting = filtering.Waiting("app.log")
    for _ in range(5):
        waiting(80)
    told = "app.log: 40% scored, about 30 s left\napp.log: 80% scored, about 20 s left\n"
    assert capsys.readouterr().err == ("" if shown else told)


def test_json_has_an_object_per_line(command):
    result = command("words.pt", "--score", "-", "--by", "line", "--json", stdin='Tin "é"\n')
    (row,) = [json.loads(line) for line in result.stdout.decode().splitlines()]
    figures = {"bits_per_char": None, "worst": None}
    assert {**row, **figures} == {"line": 1, "length": 7, "text": 'Tin "é"', **figures}


def test_line_is_answered_before_the_next_and_a_gone_reader_ends_it_silently(trained, start):
    process = start(trained, "inspect", "words.pt", "--score", "-", "--by", "line")
    for word in (b"Banana", b"Tin"):
        process.stdin.write(word + b"\n")
        process.stdin.flush()
        answer = read_until(process.stdout.fileno(), b"\n")  # while the input is still open
        assert answer.endswith(b"\t" + word + b"\n")
    process.stdout.close()
    for _ in range(50):
        try:
            process.stdin.write(b"Sole\n")
            process.stdin.flush()
        except BrokenPipeError:
            break
        time.sleep(0.02)
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    assert (process.wait(timeout=30), process.stderr.read()) == (0, b"")


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


def test_several_models_get_a_column_each_and_the_best_is_named(command, trained):
    text = make_text(3000, seed=3)
    result = command("words.pt", "zoo.pt", "--score", "-", "--by", "line", stdin=text)
    rows = [line.split("\t") for line in result.stdout.decode().splitlines()]
    assert {len(row) for row in rows} == {5}
    assert all(row[2] == ("words" if float(row[0]) <= float(row[1]) else "zoo") for row in rows if row[0] != row[1])
    telling = [row[2] for row in rows if "u" in row[4]]
    assert len(telling) > 20
    assert set(telling) == {"words"}
    table = command("zoo.pt", "words.pt", "--score", "-", stdin=text).done.stdout.decode()
    assert table.splitlines()[0].split() == ["zoo", "words"]
    last = re.fullmatch(r"fits best: words, by (\d\.\d{4}) bits per character", table.splitlines()[-1])
    scores = json.loads(command("zoo.pt", "words.pt", "--score", "-", "--json", stdin=text).done.stdout)
    assert scores["best"] == "words"
    assert float(last[1]) == pytest.approx(scores["margin_bits"], abs=1e-4)
    bits = [scores["models"][name]["bits_per_char"] for name in ("words", "zoo")]
    assert scores["margin_bits"] == pytest.approx(bits[1] - bits[0])
    (trained / "twin.pt").write_bytes((trained / "words.pt").read_bytes())
    twins = command("words.pt", "twin.pt", "--score", "-", stdin=text).done.stdout.decode()
    assert twins.endswith("fits best: no difference\n")
    assert scores["models"]["words"]["loss"] < scores["models"]["zoo"]["loss"]
    one = json.loads(command("words.pt", "--score", "-", "--json", stdin=text).done.stdout)
    assert scores["models"]["words"] == {name: value for name, value in one.items() if name != "text"}


@pytest.mark.parametrize("rule", ["count", "skip"])
def test_worst_place_of_a_line_is_the_peak_of_five_neighbours(command, rule):
    lines = ["Banana tin sole qq mare", "Tin§ sole§§ nap", "Tin", *(["§"] if rule == "count" else []), ""]
    arguments = ("words.pt", "--unknown", rule, "--json")
    scored = command(*arguments, "--score", "-", "--by", "line", stdin="".join(line + "\n" for line in lines))
    for line, found in zip(lines, map(json.loads, scored.stdout.splitlines()), strict=True):
        seen = json.loads(command(*arguments, f"--text={line}\n").done.stdout)["surprise"]["characters"]
        bits = [one["bits"] for one in seen]
        means = [sum(bits[i : i + 5]) / 5 for i in range(len(bits) - 4)] or [sum(bits) / len(bits)]
        assert found["worst"] == pytest.approx(max(means), abs=1e-3)
        assert found["bits_per_char"] == pytest.approx(sum(bits) / len(bits), abs=1e-3)
    both = json.loads(
        command("words.pt", "zoo.pt", "--json", "--score", "-", "--by", "line", stdin="Tin sole\n").done.stdout
    )
    assert set(both["worst"]) == {"words", "zoo"}


def test_line_of_unknown_characters_has_no_bits_when_skipped_and_fits_no_model(command, trained):
    save_like(trained, "cyrillic.pt", characters="\n" + "".join(chr(0x430 + i) for i in range(22)))
    arguments = ("words.pt", "cyrillic.pt", "--score", "-", "--by", "line", "--unknown", "skip")
    result = command(*arguments, "--json", stdin="Tin sole\nабв\n§§\n")
    found = [*map(json.loads, result.stdout.splitlines())]
    assert [row["best"] for row in found] == ["words", "cyrillic", None]
    nothing = {"words": [False, True, True], "cyrillic": [True, False, True]}
    assert {name: [row["bits_per_char"][name] is None for row in found] for name in nothing} == nothing
    assert b"these models do not read the text alike (--unknown skip)" in result.stderr
    rows = [
        row.split("\t") for row in command(*arguments, stdin="Tin sole\nабв\n§§\n").done.stdout.decode().splitlines()
    ]
    assert [row[1:3] for row in rows] == [["nan", "words"], [rows[1][1], "cyrillic"], ["nan", "-"]]
    above = command(*arguments, "--above", "0.01", stdin="Tin sole\n§§\n").done.stdout.decode()
    assert above.endswith("\tTin sole\n"), "a model that knows nothing of it has no say"
    whole = json.loads(command(*arguments[:4], "--unknown", "skip", "--json", stdin="Tin sole\nабв\n").done.stdout)
    assert whole["unlike"] == ["--unknown skip"]


@pytest.fixture
def crlf_models(trained):
    """Three models with the same weights that know CR, one of which reads CR LF as LF, and one small letters alone."""
    characters = "".join(sorted(ALPHABET.replace("B", "\r")))
    for name, changes in {"keep": {}, "lf": {"newline": "lf"}, "low": {"lowercase": True}}.items():
        save_like(trained, f"{name}.pt", characters=characters, text=changes)
    return "tin sole\r\nmare nap\r\nkilo\r\n" * 9


def test_models_of_unlike_text_forms_compare_by_the_given_text(command, crlf_models):
    result = json.loads(command("keep.pt", "lf.pt", "--score", "-", "--json", stdin=crlf_models).done.stdout)
    models = result["models"]
    assert [each["characters"] for each in models.values()] == [len(crlf_models) - 1] * 2
    assert result["best"] == min(models, key=lambda name: models[name]["loss"])
    alone = json.loads(command("lf.pt", "--score", "-", "--json", stdin=crlf_models).done.stdout)
    assert alone["characters"] == len(crlf_models) - 1 - crlf_models.count("\r")
    total = alone["loss"] * alone["characters"]
    assert total == pytest.approx(models["lf"]["loss"] * models["lf"]["characters"], rel=1e-6)
    both = command("keep.pt", "lf.pt", "--score", "-", "--by", "line", stdin="kilo\r\n").done.stdout.split(b"\t")
    one = command("lf.pt", "--score", "-", "--by", "line", stdin="kilo\r\n").done.stdout.split(b"\t")
    assert float(both[1]) == pytest.approx(float(one[0]) * 5 / 6, abs=1e-4)


def test_models_of_unlike_text_forms_are_reported(command, crlf_models):
    told = "these models do not read the text alike ({}): what one of them reads may be easier to predict"

    def note(*models, text=crlf_models):
        shown = command(*models, "--score", "-", stdin=text).done.stdout.decode()
        by_line = command(*models, "--score", "-", "--by", "line", stdin=text).stderr.decode()
        unlike = json.loads(command(*models, "--score", "-", "--json", stdin=text).done.stdout)["unlike"]
        sentence = told.format(", ".join(unlike))
        assert bool(unlike) == (sentence in " ".join(shown.split())) == (f"charrnn: {sentence}\n" == by_line)
        return unlike

    assert note("keep.pt", "lf.pt") == ["--newline"]
    assert note("keep.pt", "low.pt", text="Tin\n") == ["--lowercase"]
    assert note("lf.pt", "low.pt", text="Tin\r\n") == ["--newline", "--lowercase"]
    assert note("lf.pt", "keep.pt", "low.pt", text="tin sole\n") == [], "it is the same for all of them"
    near = ("words.pt", "zoo.pt", "--unknown", "nearest")  # of which the second has Z for U
    assert note(*near, text="tuna zoo\n") == [], "nothing is near what one of them knows"
    assert note(*near, text="Tïn sole\n") == [], "both read it without the accent"
    assert note("words.pt", "keep.pt", "--unknown", "nearest", text="Banana\n") == ["--unknown nearest"], "b for B"
    card = " ".join(command("keep.pt", "low.pt").done.stdout.decode().split())
    assert card.endswith("their losses cannot be compared"), "and no score gives them one text"


@pytest.fixture
def apart(trained):
    """A model that writes an accent behind its letter."""
    save_like(trained, "apart.pt", characters=ALPHABET.replace("u", "") + "\u0308")


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize(
    "view",
    [
        ["--score", "umlaut.txt"],
        ["--score", "umlaut.txt", "--by", "line"],
        ["--text-file", "umlaut.txt"],
        ["--text", "T\u00e4n"],
    ],
)
def test_text_known_in_the_other_unicode_form_suggests_unknown_nearest(command, trained, view):
    (trained / "umlaut.txt").write_text("T\u00e4n n\u00e4t\u00eb\n" * 999)
    told = "'\u00e4' (U+00E4), which apart.pt knows as 'a' (U+0061), '◌\u0308' (U+0308); --unknown nearest reads it so"
    for rule in ("count", "skip"):
        result = command("words.pt", "apart.pt", *view, "--unknown", rule, "--json")
        source = "--text" if "--text" in view else "umlaut.txt"
        assert (result.returncode, result.stderr.decode()) == (0, f"charrnn: {source} has {told}\n")
    assert b"knows as" not in command("words.pt", "apart.pt", *view, "--unknown", "nearest").stderr
    assert command("words.pt", *view).stderr == b""


@pytest.mark.parametrize(
    "view", [["--score", "crlf.txt"], ["--score", "crlf.txt", "--by", "line"], ["--text-file", "crlf.txt"]]
)
def test_line_ends_unknown_to_the_model_suggest_unknown_nearest(command, trained, view):
    save_like(trained, "with_cr.pt", characters="".join(sorted(ALPHABET.replace("u", "\r"))))
    (trained / "crlf.txt").write_bytes(b"Tin sole\r\nmare\r\n" * 999)
    told = b"charrnn: crlf.txt has lines that end by CR LF, and words.pt knows no CR; --unknown nearest reads LF\n"
    for rule in ("count", "skip"):
        assert command("words.pt", "with_cr.pt", *view, "--unknown", rule, "--json").stderr.count(told) == 1
    assert told not in command("words.pt", *view, "--unknown", "nearest").stderr
    assert b"CR LF" not in command("with_cr.pt", *view).stderr


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


def test_above_with_several_models_leaves_out_what_fits_any_of_them(command):
    arguments = ["--score", "-", "--by", "line", "--above", "4"]
    text = "Banana tin\nBanana tuna\nBanana tzna\nxkqj\n"  # one knows no z, the other no u
    (row,) = command("words.pt", "zoo.pt", *arguments, stdin=text).done.stdout.decode().splitlines()
    assert row.endswith("\txkqj")


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


ORDINARY = [
    "request GET /items/{0} 200 in {1} ms", "user {2} logged in from 10.0.{3}.{1}", "query took {1} ms, {0} rows",
    "cache hit for key item:{0}", "queue length {3}, {1} workers",
]  # fmt: skip
ODD = [
    "Traceback (most recent call last):", '  File "/srv/app/main.py", line 88, in handle', "KeyError: 'session'",
    "2026-03-04T10:11:12 ERROR db: deadlock detected, transaction rolled back", "Connection reset by peer",
    "2026-05-06T01:02:03 INFO api: request GET /../../etc/passwd 404 in 3 ms", "GET / HTTP/1.1",
    "kernel: Out of memory: Killed process 4211 (python3)", "-----BEGIN PRIVATE KEY-----", "äöü",
    "2026-08-09T11:12:13 INFO api: request POST /items/12' OR '1'='1 500 in 9 ms", "panic: runtime error",
    "2026-02-11T04:05:06 CRITICAL cache: connection refused (111)", "at java.lang.Thread.run(Thread.java:748)",
    "2026-07-07T07:07:07 INFO mail: user eve password changed to hunter2", "segfault at 0 ip 00007f3a error 4",
    "2026-10-10T10:10:10 WARN db: disk 98% full on /var/lib", "\x1b[31merror: index out of range",
    "2026-01-02T03:04:05 INFO api: request DELETE /users/* 200 in 1 ms", "2026-01-02T03:04:05 INFO db: DROP TABLE x",
]  # fmt: skip


def make_log(num_lines, seed):
    generator = np.random.default_rng(seed)
    lines = []
    for _ in range(num_lines):
        month, day, hour, minute, second = (int(generator.integers(1, n)) for n in (13, 29, 24, 60, 60))
        values = (generator.integers(1, 9999), generator.integers(1, 300), generator.choice(["anna", "bert", "eve"]))
        message = generator.choice(ORDINARY).format(*values, generator.integers(0, 256))
        level, service = generator.choice(["INFO", "INFO", "DEBUG"]), generator.choice(["auth", "api", "db", "mail"])
        lines.append(f"2026-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02} {level} {service}: {message}")
    return lines


@pytest.mark.slow
def test_odd_lines_of_a_log_stand_out_after_a_short_training(command, trained):
    """20 odd lines among 20,000 ordinary ones: at least 18 are among the 40 most surprising."""
    (trained / "app.log").write_text("\n".join(make_log(20_000, 1)) + "\n")
    train_briefly(trained, "app.log", "--hidden-size", "128", "--max-steps", "200")
    lines = make_log(20_000, 2)
    for place, odd in enumerate(ODD):
        lines.insert(991 * (place + 1), odd)
    result = command("app.pt", "--score", "-", "--by", "line", stdin="\n".join(lines) + "\n")
    rows = [row.split("\t", 2) for row in result.stdout.decode().split("\n")[:-1]]
    most = sorted(rows, key=lambda row: -float(row[0]))[:40]
    assert sum(text in ODD for _, _, text in most) >= 18


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="only Linux tells what a process held at most")
def test_lines_are_scored_in_constant_memory(trained):
    """Three times as many lines as fill all that is scored at once take no more memory, to a few megabytes."""
    peaks = []
    for copies in (10, 30):
        (trained / "many.txt").write_text(make_text(60_000) * copies)
        arguments = ["words.pt", "--score", "many.txt", "--by", "line", "--above", "90"]
        peaks.append(most_held(trained, "inspect", *arguments))
    assert peaks[1] - peaks[0] < 10_000_000


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


def test_line_invalid_in_another_encoding_is_replaced_with_its_bytes_beside_it(command, trained):
    save_like(trained, "windows.pt", text={"encoding": "cp1252"})
    line = b"caf\xe9 \x81"
    arguments = ("windows.pt", "--score", "-", "--by", "line")
    typed = (line + b"\ncaf\xe9\n").decode("utf-8", "surrogateescape")
    odd, plain = map(
        json.loads, command(*arguments, "--json", stdin=typed).done.stdout.decode("utf-8", "strict").splitlines()
    )
    assert (base64.b64decode(odd["bytes"]), odd["text"]) == (line, "café \ufffd")
    assert (plain["text"], "bytes" in plain) == ("café", False)
    rows = command(*arguments, stdin=typed).done.stdout.splitlines()
    assert [row.split(b"\t")[-1] for row in rows] == [line, "café".encode()]


@pytest.mark.parametrize(
    "unlike", [("strict", "surrogateescape"), ("replace", "strict"), ("replace", "surrogateescape")]
)
def test_handling_of_invalid_bytes_does_not_depend_on_the_order_of_models(command, trained, unlike):
    for name in unlike:
        save_like(trained, f"{name}.pt", text={"errors": name})
    paths = [f"{name}.pt" for name in unlike]
    for more in ([], ["--by", "line"]):
        found = []
        for order in (paths, paths[::-1]):
            result = command(*order, "--score", "-", "--json", *more, stdin="Tin \udcff sole\n")
            assert result.returncode == 0, result.stderr
            record = json.loads(result.stdout)
            found.append(record.get("models", {**record, "best": None}))
        assert found[0] == found[1]


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


def test_first_character_is_free_for_every_model(command, trained):
    """Two models of the same weights: the last character is rare to one, and simply unknown to the other."""
    save_like(trained, "rare.pt", characters=ALPHABET[:-1], has_unknown=True)
    save_like(trained, "unknown.pt", characters=ALPHABET[:-1] + "z")
    text = "ub" + "Tin sole\n" * 20
    found = json.loads(command("rare.pt", "unknown.pt", "--score", "-", "--json", stdin=text).done.stdout)
    rare, unknown = (model["bits_per_char"] for model in found["models"].values())
    assert abs(rare - unknown) * len(text) < 17, "bits: its price are 35"


def test_same_characters_count_for_every_model(command, trained):
    """All but that: who does not know it reads a line feed in its place, and so does a model of lines before a text."""
    config = ModelConfig(vocab_size=23, cell="gru", hidden_size=12, num_layers=1, embedding_dim=8)
    model = random_model(config)
    save_like(trained, "stream.pt", model)
    save_like(trained, "quotes.pt", model, characters=ALPHABET[:-1] + "\u201c")
    save_like(trained, "lines.pt", model, text={"lines": True})

    def scored(text, *names):
        found = json.loads(command(*names, "--score", "-", "--json", stdin=text).done.stdout)
        return [(each["characters"], each["bits_per_char"]) for each in found.get("models", {"": found}).values()]

    assert scored("\u201cTin sole", "words.pt") == [(8, pytest.approx(torch_bits(trained, "Tin sole"), abs=1e-4))]
    stream, quotes, lines = scored("\u201cTin sole", "stream.pt", "quotes.pt", "lines.pt")
    assert stream == lines
    assert stream[0] == quotes[0] == 8
    assert [quotes] == scored("uTin sole", "stream.pt"), "the same ids"
    seen = json.loads(command("stream.pt", "--text", "Tin sole", "--json").done.stdout)["surprise"]["characters"]
    mean = np.mean([one["bits"] for one in seen[1:]])
    assert scored("Tin sole", "stream.pt", "lines.pt")[1] == (7, pytest.approx(mean, abs=1e-3))
    assert scored("Tin sole", "lines.pt")[0][0] == 8, "a line's first is not free where no stream is beside it"


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


@pytest.mark.parametrize("models", [["words.pt"], ["words.pt", "zoo.pt"]])
def test_lines_before_a_refused_one_are_scored_and_its_number_is_reported(command, models):
    lines = (*models, "--score", "-", "--by", "line", "--unknown")
    stdin = "Tin\n" * 3000 + "sole\nmare§\nkilo\n"
    refused = command(*lines, "error", stdin=stdin)
    assert (refused.returncode, refused.stderr.count(b"\n")) == (1, 1)
    assert refused.stderr.decode().startswith("charrnn: standard input: line 3,002 has '§' (U+00A7), which this model ")
    assert [row.split(b"\t")[-1] for row in refused.stdout.splitlines()] == [b"Tin"] * 3000 + [b"sole"]


@pytest.mark.parametrize("rule", ["count", "error"])
def test_line_is_encoded_once_per_model(trained, tmp_path, monkeypatch, capsysbinary, rule):
    (tmp_path / "lines.txt").write_text("Tin\nsole\nTin sole\n")
    made, real = [], fitting.encode_known
    monkeypatch.setattr(fitting, "encode_known", lambda text, *rest: made.append(text) or real(text, *rest))
    subjects = read_subjects([str(trained / "words.pt")] * 2)
    filtering.filter_lines(subjects, str(tmp_path / "lines.txt"), rule=rule, above=None, as_json=True)
    assert sorted(made) == sorted(["Tin\n", "sole\n", "Tin sole\n"] * 2)
    assert capsysbinary.readouterr().out.count(b"\n") == 3


def test_line_with_overflowing_scores_is_the_oddest(command, trained):
    contents = torch.load(trained / "words.pt", weights_only=True)
    weights = {name: weight * 1e30 for name, weight in contents["weights"].items()}
    save_like(trained, "huge.pt", weights=weights)
    rows = command("huge.pt", "--score", "-", "--by", "line", "--above", "9", stdin="Tin\nsole\n").done.stdout
    assert rows == b"inf\t3\tTin\ninf\t4\tsole\n"
    record = command("huge.pt", "--score", "-", "--by", "line", "--json", stdin="Tin\n").done.stdout
    assert json.loads(record)["bits_per_char"] is None
    whole = command("huge.pt", "--score", "-", stdin="Tin\nsole\n")
    assert (whole.returncode, whole.stdout) == (1, b"")
    assert b"not numbers any more" in whole.stderr


def test_encoding_aliases_are_one_encoding(command, trained):
    save_like(trained, "alias.pt", text={"encoding": "UTF8"})
    assert command("words.pt", "alias.pt", "--score", "words.txt").returncode == 0


def test_non_utf8_file_name_in_json_is_replaced_with_its_bytes_beside_it(command, trained):
    path = os.fsencode(trained) + b"/caf\xe9.txt"
    with open(path, "wb") as file:
        file.write(b"Banana tin sole\n")
    result = command("words.pt", "--score", os.fsdecode(path), "--json")
    record = json.loads(result.stdout.decode("utf-8", "strict"))
    assert (record["text"], base64.b64decode(record["bytes"])) == (path.decode("utf-8", "replace"), path)


def test_non_utf8_checkpoint_name_in_json_is_replaced(command, trained):
    path = os.fsdecode(os.fsencode(trained) + b"/caf\xe9.pt")
    shutil.copy(trained / "words.pt", path)
    for flags in (["--json"], ["--verify", "--json"]):
        names = []
        for line in command(path, "words.pt", *flags).done.stdout.decode("utf-8", "strict").splitlines():
            found = json.loads(line)
            names += [one["checkpoint"] for one in (found if isinstance(found, list) else [found])]
        assert names == [os.fsencode(path).decode("utf-8", "replace"), "words.pt"]


def test_control_characters_in_a_model_name_do_not_break_rows(command, trained):
    shutil.copy(trained / "words.pt", trained / "a\nb\tc.pt")
    result = command("a\nb\tc.pt", "zoo.pt", "--score", "-", "--by", "line", stdin="Tin sole\nmare\n")
    assert [row.split("\t")[2:] for row in result.stdout.decode().splitlines()] == [
        ["a\\nb    c", "8", "Tin sole"], ["a\\nb    c", "4", "mare"],
    ]  # fmt: skip


def test_models_of_different_encodings_refuse_one_file(command, trained):
    save_like(trained, "latin.pt", text={"encoding": "latin-1"})
    for way in (["--score", "words.txt"], ["--score", "words.txt", "--by", "line"], ["--text-file", "words.txt"]):
        refused = command("words.pt", "latin.pt", *way)
        assert (refused.returncode, refused.stdout) == (2, b"")
        assert b"different encodings (utf-8, latin-1)" in refused.stderr


def test_encoding_flag_overrides_that_of_the_model(command, trained):
    save_like(trained, "wide.pt", text={"encoding": "utf-16"})
    expected = command("words.pt", "--score", "words.txt").done.stdout
    refused = command("wide.pt", "--score", "words.txt")
    assert (refused.returncode, refused.stdout) == (2, b"")
    assert command("wide.pt", "--score", "words.txt", "--encoding", "utf-8").done.stdout == expected
    lines = command("words.pt", "--score", "words.txt", "--by", "line").done.stdout
    assert command("wide.pt", "--score", "words.txt", "--by", "line", "--encoding", "utf-8").done.stdout == lines
    assert b"fits best" in command("words.pt", "wide.pt", "--score", "words.txt", "--encoding", "ascii").done.stdout
    for flags, told in (
        (["--text", "a", "--encoding", "utf-8"], b"--encoding is about a file that is read; give --score, --text-file"),
        (["--score", "words.txt", "--encoding", "klingon"], b"--encoding is 'klingon'; give one of texts that"),
    ):
        refused = command("words.pt", *flags)
        assert (refused.returncode, refused.stderr.count(b"\n")) == (2, 1)
        assert told in refused.stderr


@pytest.mark.parametrize(
    "way", [["--score"], ["--score", "--by", "line"], ["--text-file"], ["--novelty"], ["--score", "--dynamic"]]
)
def test_utf8_text_misread_by_the_model_warns_unless_an_encoding_is_given(command, trained, way):
    save_like(trained, "windows.pt", text={"encoding": "windows-1252"})
    told = (
        b"is valid UTF-8, and is read as windows-1252, as the model's text was; if it is UTF-8, give --encoding utf-8"
    )
    for encoding in ("utf-8", "windows-1252"):
        (trained / "text.txt").write_text("Tin so\nTïn sole, töne à stone\n" * 9, encoding=encoding)
        for flags in ([], ["--encoding", "utf-8"], ["--encoding", "windows-1252"]):
            read = command("windows.pt", way[0], "text.txt", *way[1:], *flags)
            is_told = not flags and encoding == "utf-8"
            assert read.stderr.count(b"charrnn: text.txt: " + told + b"\n") == is_told
            assert read.returncode == 0 or (encoding, flags) == ("windows-1252", ["--encoding", "utf-8"])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_lines_of_a_text_with_a_utf16_or_utf32_mark_are_refused(command, trained, encoding):
    (trained / "wide.txt").write_text("Tin sole\n", encoding=encoding)
    told = f"is marked at its beginning as {encoding.upper()}, whose lines cannot be read one by one; convert it "
    for path, name in (("wide.txt", "wide.txt"), ("-", "standard input")):
        refused = command("words.pt", "--score", path, "--by", "line", stdin=(trained / "wide.txt").read_bytes())
        assert (refused.returncode, refused.stdout) == (2, b"")
        assert refused.stderr.decode() == f"charrnn: {name}: {told}(iconv -f {encoding} -t utf-8)\n"


def test_letters_like_a_utf16_mark_are_read_in_a_single_byte_encoding(command, trained):
    (trained / "letters.txt").write_bytes(b"\xff\xfe Tin sole\n")
    flags = ["--by", "line", "--unknown", "count"]
    read = command("words.pt", "--score", "letters.txt", *flags, "--encoding", "latin-1")
    assert (read.returncode, read.stdout.count(b"\n")) == (0, 1), read.stderr
    (trained / "letters.txt").write_text("Tin sole\n", encoding="utf-16")
    refused = command("words.pt", "--score", "letters.txt", *flags, "--encoding", "latin-1")
    assert b"is marked at its beginning as UTF-16" in refused.stderr


def test_character_models_choose_the_encoding_shared_with_byte_models(command, trained):
    assert ALPHABET.isascii(), "bytes are their characters then"
    save_like(trained, "bytes.pt", text={"unit": "byte"})
    save_like(trained, "wide.pt", text={"encoding": "utf-16"})
    (trained / "wide.txt").write_text((trained / "words.txt").read_text(), encoding="utf-16")
    for order in (("wide.pt", "bytes.pt"), ("bytes.pt", "wide.pt")):
        assert b"no difference" in command(*order, "--score", "wide.txt").done.stdout
        assert b"no difference" in command(*order, "--score", "words.txt", "--encoding", "utf-8").done.stdout
    refused = command("bytes.pt", "--score", "words.txt", "--encoding", "latin-1")
    assert (refused.returncode, refused.stderr.count(b"\n")) == (2, 1)
