"""The page of several models: its values against those of each model alone, and drawn in a real browser."""

import json
import re
import shutil

import pytest
import torch
from conftest import make_text, run_charrnn, train_briefly
from pages import data_of, drive, needs_browser

from charrnn.analysis.ngrams import BASELINE_NAME
from charrnn.display.page import SEVERAL, render

DRIVER = """
<script>
window.addEventListener("load", () => {
  const text = (query) => [...document.querySelectorAll(query)].map((node) => node.textContent);
  const axis = document.getElementById("axis"), found = { title: document.title, heads: text("h2"), captions: {} };
  for (const by of [...axis.options].map((option) => option.value)) {
    axis.value = by;
    axis.dispatchEvent(new Event("change"));
    const chart = document.querySelector("svg.chart");
    found.captions[by] = [text("figcaption")[0], chart.querySelectorAll("path.curve").length];
    chart.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
    found[by] = document.getElementById("tip").innerText;
  }
  found.legends = [...document.querySelectorAll(".legend")].map((node) => node.textContent);
  const drawn = [...document.querySelectorAll("svg.chart")].slice(-1)[0].querySelectorAll("path.curve");
  found.strokes = [...drawn].map((node) => node.getAttribute("style"));
  found.coloured = [...document.querySelectorAll(".text:not(.sample)")].map((node) => node.textContent);
  found.labels = [...document.querySelectorAll(".text:not(.sample)")].map((node) => node.getAttribute("aria-label"));
  found.headless = [...document.querySelectorAll("th")].filter((node) => !node.textContent).length;
  tell(found);
});
</script>
"""


def compare(folder, *arguments, told=""):
    """The page of some checkpoints, and its values."""
    result = run_charrnn(folder, "inspect", *arguments, "--html", "compared.html", text=True)
    assert (result.returncode, result.stdout) == (0, "compared.html\n")
    assert re.fullmatch(told, result.stderr)
    page = (folder / "compared.html").read_text(encoding="utf-8")
    return page, data_of(page)


def inspect_json(folder, *arguments):
    result = run_charrnn(folder, "inspect", *arguments, "--json", text=True)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    """A folder with an LSTM, `words.pt`, a tanh layer, `tanh.pt`, and their text."""
    own = tmp_path_factory.mktemp("compared")
    for name in ("words.txt", "words.pt"):
        shutil.copy(trained / name, own)
    train_briefly(own, "words.txt", "--cell", "rnn", "--hidden-size", "24", "--max-steps", "60", "--out", "tanh.pt")
    return own


@pytest.fixture(scope="module")
def page(folder):
    return compare(folder, "words.pt", "tanh.pt")


def test_comparison_page_has_what_each_model_has_alone(folder, page):
    _, data = page
    cards = inspect_json(folder, "words.pt", "tanh.pt")
    for model, card in zip(data["models"], cards, strict=True):
        assert model["bits"] == card["best"]["bits_per_char"]
        assert model["history"] == card["history"]
        assert model["verdict"] == card["verdict"]
    assert [model["has_gates"] for model in data["models"]] == [True, False]
    assert data["level"] == cards[0]["baseline"]["loss"] == cards[1]["baseline"]["loss"]
    assert data["note"] == ""
    assert data["absent"] == {}
    rows = {row["name"]: row for row in data["rows"]}
    assert rows["cell"] == {"name": "cell", "cells": ["lstm", "rnn"], "differs": True}
    assert rows["corpus"] == {"name": "corpus", "cells": ["words.txt"] * 2, "differs": False}
    told = run_charrnn(folder, "inspect", "words.pt", "tanh.pt", text=True).stdout.splitlines()
    starred = [re.split("  +", line)[1] for line in told if line.startswith("*")]
    assert [row["name"] for row in data["rows"] if row["differs"]] == starred


def test_comparison_page_has_views_of_one_text(folder, page):
    _, data = page
    seen = inspect_json(folder, "words.pt", "tanh.pt", "--gradients")
    for own, alone in zip(data["gradients"], seen, strict=True):
        assert own.pop("extent").startswith("2,000 characters of the held-out end of words.txt")
        assert own == alone["gradients"]
    text = "".join(one["char"] for one in data["surprise"][0]["characters"])
    assert text == "".join(one["char"] for one in data["surprise"][1]["characters"])
    assert (folder / "words.txt").read_text()[18_000:].startswith(text)
    assert {len(view["characters"]) for view in data["surprise"]} == {600}
    surprise = inspect_json(folder, "tanh.pt", "--text", text)["surprise"]
    assert data["surprise"][1]["bits_per_char"] == pytest.approx(surprise["bits_per_char"], abs=1e-5)
    assert [sample["temperature"] for sample in data["samples"]] == [0.8, 0.8]
    assert data["samples"][0]["text"] != data["samples"][1]["text"]


def test_comparison_page_has_the_requested_views_and_text(folder):
    _, data = compare(folder, "words.pt", "tanh.pt", "--text", "Tin sole")
    for view in data["surprise"]:
        assert "".join(one["char"] for one in view["characters"]) == "Tin sole"
        assert all(len(one["top"]) == 5 for one in view["characters"])
    assert data["absent"]["gradients"] == "8 characters are too few to go back 100 in"
    _, data = compare(folder, "words.pt", "tanh.pt", "--text", "Tin ß")
    assert [view["unknown"] for view in data["surprise"]] == [1, 1]
    _, data = compare(folder, "words.pt", "tanh.pt", "--text", "ßß")
    assert [view["unknown"] for view in data["surprise"]] == [2, 2]
    assert data["absent"] == {"gradients": "the text that was given: no characters that words.pt knows"}
    _, data = compare(folder, "words.pt", "tanh.pt", "--gradients", "--text-file", "words.txt")
    assert {view["extent"] for view in data["gradients"]} == {"20,000 characters of words.txt"}


def test_comparison_page_says_what_is_missing_and_what_does_not_compare(folder, tmp_path):
    for name in ("words.pt", "words.txt", "tanh.pt"):
        shutil.copy(folder / name, tmp_path)
    train_briefly(tmp_path, "words.txt", "--lines", "--hidden-size", "24", "--max-steps", "30", "--out", "lines.pt")
    (tmp_path / "a; b.txt").write_text(make_text(6_000)[::-1], encoding="utf-8")
    train_briefly(tmp_path, "a; b.txt", "--hidden-size", "24", "--max-steps", "30", "--out", "other.pt")
    _, data = compare(tmp_path, "words.pt", "lines.pt")
    told = "it learned line by line and forgets at every line's end"
    assert (data["absent"], data["gradients"][1]) == ({}, {"absent": told})
    assert data["gradients"][0]["flow"], "the other remembers"
    assert compare(tmp_path, "lines.pt", "lines.pt")[1]["gradients"] == [{"absent": told}] * 2
    _, data = compare(tmp_path, "words.pt", "other.pt")
    assert data["note"].startswith("these models learned from different texts")
    assert data["level"] is None
    (tmp_path / "a; b.txt").unlink()
    _, data = compare(tmp_path, "words.pt", "other.pt", told="charrnn: compared.html: lacks sections .*\n")
    reason = "of other, for lack of the text that it learned from: a; b.txt has not been found"
    assert data["absent"] == {"surprise": reason, "gradients": reason}


def test_too_short_one_of_several_texts_is_named(folder, tmp_path):
    for name in ("words.pt", "words.txt"):
        shutil.copy(folder / name, tmp_path)
    (tmp_path / "few.txt").write_text(make_text(400), encoding="utf-8")
    train_briefly(tmp_path, "few.txt", "--hidden-size", "8", "--max-steps", "3")
    result = run_charrnn(tmp_path, "inspect", "words.pt", "few.pt", "--gradients", "--html", "y.html", text=True)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("charrnn: the held-out end of few.txt: 40 characters are too few to go back 100 in")


def test_short_text_of_a_lines_model_leaves_the_gradients_of_the_others(folder, tmp_path):
    for name in ("words.pt", "words.txt"):
        shutil.copy(folder / name, tmp_path)
    (tmp_path / "verse.txt").write_text("Tin sole\n" * 12, encoding="utf-8")
    train_briefly(tmp_path, "verse.txt", "--lines", "--hidden-size", "8", "--max-steps", "3")
    for models in (("words.pt", "verse.pt"), ("verse.pt", "words.pt", "verse.pt")):
        _, data = compare(tmp_path, *models)
        measured = [view.get("extent") for view in data["gradients"]]
        of_words = "2,000 characters of the held-out end of words.txt"
        assert (data["absent"], measured) == ({}, [of_words if name == "words.pt" else None for name in models])
    _, data = compare(tmp_path, "words.pt", "verse.pt", "--text", make_text(80))
    assert data["absent"] == {"gradients": "80 characters are too few to go back 100 in"}


def test_model_with_overflowing_values_leaves_the_others_their_views(folder, tmp_path):
    for name in ("words.pt", "words.txt", "tanh.pt"):
        shutil.copy(folder / name, tmp_path)
    contents = torch.load(folder / "words.pt", weights_only=True)
    contents["weights"] = {name: weight * 1e37 for name, weight in contents["weights"].items()}
    torch.save(contents, tmp_path / "wild.pt")
    _, data = compare(tmp_path, "wild.pt", "tanh.pt")
    for name in ("surprise", "samples"):
        wild, tanh = data[name]
        assert wild.keys() == {"absent"}
        assert "absent" not in tanh
    result = run_charrnn(tmp_path, "inspect", "wild.pt", "wild.pt", "--gradients", "--html", "y.html", text=True)
    assert (result.returncode, result.stdout, (tmp_path / "y.html").exists()) == (1, "", False)


@needs_browser
@pytest.mark.parametrize("width", [1000, 500])
def test_comparison_page_draws_itself(page, tmp_path, width):
    written, data = page
    found, console = drive(written, tmp_path, width, DRIVER)
    assert console == []
    assert (found["requests"], found["markup"], found["wide"]) == (0, 0, 0)
    assert found["title"] == "words and tanh: charrnn"
    assert found["heads"] == [
        "How they learned", "What differs", "Where they are surprised", "How far back they remember", "What they write",
    ]  # fmt: skip
    words = {"step": "steps", "epoch": "passes over the text", "seconds": "seconds of training"}
    assert found["captions"] == {by: [told, 4] for by, told in words.items()}
    first = min((model["history"][0] for model in data["models"]), key=lambda row: row["step"])
    assert found["step"].startswith(f"steps: {first['step']}\n")
    begun = [model["name"] for model in data["models"] if model["history"][0]["step"] == first["step"]]
    told = re.findall(r"^(\w+), validation ", found["step"], re.M)
    assert told == begun == ["tanh"], "the other has no loss yet"
    assert f"tanh, validation {data['models'][1]['history'][0]['val_loss']:.3f}" in found["step"]
    curves = ["words, validation", "tanh, validation", "words, training", "tanh, training"]
    assert found["legends"][0] == "".join(curves) + f"{BASELINE_NAME} {data['level']:.3f}"
    flows = [f"{name}, layer\u00a00, by {part}" for name, part in (("words", "h"), ("words", "c"), ("tanh", "h"))]
    assert found["legends"][1] == "".join(flows)
    assert len(found["coloured"]) == 2
    assert found["labels"] == [f"{name}: text coloured by surprise" for name in ("words", "tanh")]
    assert found["headless"] == 0
    for model in data["models"]:
        assert f"{model['bits']:.3f}" in found["said"]
    assert f"{data['surprise'][1]['bits_per_char']:.3f} bits per character" in found["said"]
    radius = data["gradients"][1]["spectral_radius"][0]["radius"]
    assert re.search(rf"tanh\s+layer\s0\s+\S+\s+{radius:.3f}", found["said"])
    assert "context\twords, bits per character\ttanh, bits per character" in found["said"]


@needs_browser
def test_comparison_page_says_what_its_figures_are_of(page, tmp_path):
    _, data = page
    data = json.loads(json.dumps(data))
    data["models"][1]["history"] = []
    data["models"][1]["bits"] = None
    data["models"][0] |= {"holds_out": False, "losses_of": 3}
    data["surprise"][0]["unknown"] = 2
    data["surprise"][1] = data["gradients"][1] = data["samples"][1] = {"absent": "its values are no numbers"}
    name = data["models"][0]["name"] = "<b>a name</b>" + "-and-so-on" * 12
    found, console = drive(render(data, SEVERAL), tmp_path, 500, DRIVER)
    assert console == []
    assert found["wide"] == 0, "a long name makes no page wider"
    assert "Evaluated less than twice, which makes no curve: tanh." in found["said"]
    assert found["captions"]["step"] == ["steps", 2]
    assert f"{name}, bits per character learned from, of all 3 members together" in found["said"]
    assert found["legends"][0].startswith(f"{name}, on text learned from, of all 3 members together")
    assert ", 2 characters that it does not know among them" in found["said"]
    assert found["said"].count("tanh: not shown, since its values are no numbers.") == 3
    assert len(found["legends"]) == 2


@needs_browser
def test_equal_models_are_reported_and_many_have_distinct_curves(page, tmp_path):
    _, data = page
    data = json.loads(json.dumps(data))
    for row in data["rows"]:
        row["differs"] = False
    found, console = drive(render(data, SEVERAL), tmp_path, driver=DRIVER)
    assert console == []
    assert "What differs\n\nNothing but the name." in found["said"]
    for name in ("models", "surprise", "gradients", "samples"):
        data[name] = data[name] * 4
    found, console = drive(render(data, SEVERAL), tmp_path, driver=DRIVER)
    assert console == []
    assert found["captions"]["step"] == ["steps", 8]
    assert "Training losses are left out, as there are so many models." in found["said"]
    assert "that of a harder task" not in found["said"]
    without_colour = {style.partition(";")[2] for style in found["strokes"]}
    assert len(without_colour) == len(found["strokes"]) == 12, "to be told apart on paper too"
