"""`charrnn inspect --score` with several models: one column each, texts of unlike forms, and the same characters."""

import json
import re

import numpy as np
import pytest
from conftest import make_text, random_model, save_like
from scores import ALPHABET, torch_bits

from charrnn.config import ModelConfig


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
