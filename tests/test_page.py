"""The report as a web page: its data, its size, its colours, and what it says of what is missing."""

import base64
import itertools
import json
import re
import shutil
from dataclasses import fields
from importlib import resources

import pytest
from conftest import make_text, random_model, run_charrnn, save_like
from pages import HOSTILE, data_of, write_report
from reference_cells import REFERENCE

from charrnn.analysis.ngrams import BASELINE_NAME, ORDER
from charrnn.cell_types import CELLS
from charrnn.cli.inspector import alphabet_view, html_page, unit_views, webpage
from charrnn.cli.inspector.cards import show_card
from charrnn.cli.inspector.flags import InspectFlags
from charrnn.cli.inspector.novelty_view import LONGEST_STRETCH
from charrnn.cli.inspector.recording import Excerpt, Recording
from charrnn.cli.inspector.subject import Subject, read_subjects
from charrnn.cli.inspector.surprise_view import MOST_GUESSES
from charrnn.cli.inspector.unit_views import UPDATE_KEEPS
from charrnn.config import ModelConfig
from charrnn.display.page import MARK, render
from charrnn.display.svg import picture
from charrnn.errors import CharRNNError, OutputError


@pytest.mark.parametrize("cell", CELLS)
def test_page_data_has_gates_and_the_update_gate_direction_of_every_cell(trained, tmp_path, cell):
    config = ModelConfig(vocab_size=23, cell=cell, hidden_size=12, num_layers=1, embedding_dim=8)
    save_like(trained, tmp_path / "words.pt", random_model(config))
    data = data_of(write_report(tmp_path, "--text", make_text(400)))
    assert data["has_gates"] == ("gates" in data) == bool(REFERENCE[cell].gates)
    if data["has_gates"]:
        assert data["gates"]["note"] == (UPDATE_KEEPS if "update" in REFERENCE[cell].gates else "")


def test_page_is_self_contained_and_small(report):
    assert len(report.encode()) < 3_000_000
    assert set(re.findall(r"\w+://[^\s\"'<)]*", report)) <= {"http://www.w3.org/2000/svg"}, "a name, not an address"
    assert not re.search(r"url\(|@import|<link|src=", report)
    assert "prefers-color-scheme: dark" in report


def colours_of(page, is_dark):
    """The palette of the page, each colour as red, green and blue."""
    blocks = re.findall(r":root \{(.*?)\}", page, re.S)
    names = dict(re.findall(r"--([a-z]+): ([^;]+);", blocks[0] + (blocks[1] if is_dark else "")))
    return {name: rgb(value) for name, value in names.items() if name != "shade"}


def rgb(value):
    return (
        [int(value[i : i + 2], 16) for i in (1, 3, 5)] if value[0] == "#" else [int(part) for part in value.split(",")]
    )


def over(colour, ground, alpha):
    return [alpha * a + (1 - alpha) * b for a, b in zip(colour, ground, strict=True)]


def contrast(one, other):
    """By WCAG 2.2: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio."""

    def luminance(colour):
        parts = [value / 255 for value in colour]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def colours_of_picture(drawn, is_dark):
    """What a picture's style says of each class, and of the letters themselves, likewise."""
    light, dark = re.search(r"<style>(.*?)@media(.*?)</style>", drawn, re.S).groups()
    return {name: rgb(value) for name, value in re.findall(r"(\w+) \{[^}]*?fill: (#\w+)", light + dark * is_dark)}


@pytest.mark.parametrize("is_dark", [False, True])
def test_every_text_contrasts_with_its_background(is_dark):
    colours, drawn = colours_of(render({}), is_dark), colours_of_picture(picture([], ""), is_dark)
    drawn |= {"ink": drawn["text"], "panel": drawn["paper"], "faint": drawn["below"]}
    for palette in (colours, drawn):
        grounds = [
            over(palette[tint], palette["panel"], step / 20 * 0.85) for tint in ("hot", "cold") for step in range(21)
        ]
        assert all(contrast(palette["ink"], ground) >= 4.5 for ground in grounds), "of a heat or a cell"
        for ground in (palette["paper"], palette["panel"]):
            assert contrast(palette["faint"], ground) >= 4.5
    for name in ("first", "second", "third", "fourth", "fifth", "sixth"):
        assert contrast(colours[name], colours["paper"]) >= 4.5, f"{name}: characters of the map"


@pytest.mark.parametrize("is_dark", [False, True])
def test_colours_of_curves_differ_in_lightness(is_dark):
    colours = colours_of(render({}), is_dark)
    for alike in (("first", "fourth", "fifth"), ("second", "third", "sixth")):  # without red and green
        for one, other in itertools.combinations(alike, 2):
            assert contrast(colours[one], colours[other]) > 1.25


def test_page_stays_small_with_all_views(trained):
    page = write_report(trained, "--top-k", "100000", "--novelty", "20000", "--embeddings", "--neurons", "--gates")
    assert len(page.encode()) < 3_000_000
    data = data_of(page)
    assert max(len(one["top"]) for one in data["surprise"]["characters"]) == MOST_GUESSES
    assert all(len(one["text"]) <= LONGEST_STRETCH for one in data["novelty"]["here"]["longest"])


def test_training_on_thousands_of_files_has_a_card_and_a_page(trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    texts = ["words.txt", *(f"<letters>/{number:07}.txt" for number in range(50_000))]
    command = f"charrnn train {' '.join(texts)}"
    assert len(command) > 1_000_000
    save_like(trained, "letters.pt", made={"command": command}, origin={"texts": texts})
    (subject,) = read_subjects(["letters.pt"])
    monkeypatch.setattr(Subject, "why_no_training_text", None)  # not asked for where the text is there
    show_card(subject)
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) < 400
    assert f"... and {len(command) - 300:,} characters more" in " ".join(shown.split())
    assert json.loads(run_charrnn(trained, "inspect", "letters.pt", "--json").stdout)["made"]["command"] == command
    page = write_report(trained, checkpoint="letters.pt")
    assert len(page.encode()) < 1_000_000
    assert dict(data_of(page)["origin"])["by"].startswith("charrnn train words.txt <letters>/0000000.txt ")


def test_large_alphabet_and_long_history_are_shown_in_part(trained, monkeypatch):
    monkeypatch.chdir(trained)
    monkeypatch.setattr(alphabet_view, "MOST_MAPPED", 7)
    monkeypatch.setattr(unit_views, "MOST_POINTS", 20)
    (subject,) = read_subjects(["words.pt"])
    assert "note" not in alphabet_view.embeddings_view(subject).data
    shown = alphabet_view.embeddings_section(subject)["embeddings"]
    counts = subject.contents.corpus.counts
    assert (len(shown["characters"]), shown["all"]) == (7, len(counts))
    assert shown["characters"][0]["char"] == subject.contents.encoder.spelled[counts.index(max(counts))]
    assert {one["kind"] for one in shown["characters"]} <= {"vowel", "letter", "white space", "capital"}
    monkeypatch.setattr(alphabet_view, "MOST_COMPARED", 9)
    view, names = alphabet_view.embeddings_view(subject), subject.contents.encoder.names
    frequent = [names[i] for i in subject.contents.ids_by_frequency[:9]]
    alike = view.data["expected_alike"]
    assert list(alike) == [name for name in names if name in frequent]
    assert {name for near in alike.values() for name, _ in near} <= set(frequent)
    *lines, blank, note = view.lines(80, False)
    assert blank == ""
    assert note == view.data["note"] == "the 9 most frequent of 23 characters are compared"
    drawn = [line.split()[0] for line in lines[-9:]]
    assert [one for one in drawn if one.isalpha()][1:] == [one for one in frequent if one.isalpha()], "space has a name"
    gates = unit_views.gates_section(Recording(subject, Excerpt("Tin sole", "x", 8)))["gates"]["gates"]
    assert [(len(gate["open"]), gate["step"]) for gate in gates] == [(16, 3)] * 3
    monkeypatch.setattr(html_page, "MOST_EVALUATIONS", 4)
    assert html_page.thinned(list(range(11))) == [1, 4, 7, 10]
    assert html_page.thinned([1, 2]) == [1, 2]


def test_missing_inputs_of_a_page_are_reported_before_the_work(trained, tmp_path, monkeypatch):
    shutil.copy(trained / "words.pt", tmp_path)  # away from its text
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Subject, "sample", lambda *_: pytest.fail("a sample is written"))
    none = {field.name: None for field in fields(InspectFlags)}
    for flag, message in (
        ({"text_file": "gone.txt"}, "gone.txt: no such file"),
        ({"novelty": "9"}, "nothing to compare"),
    ):
        (subject,) = read_subjects(["words.pt"])
        with pytest.raises(CharRNNError, match=message):
            webpage.collect(subject, InspectFlags(**{**none, **flag}))


def test_page_of_a_model_with_overflowing_values_says_so(trained, tmp_path):
    shape = {"vocab_size": 23, "hidden_size": 12, "num_layers": 1, "embedding_dim": 8, "layer_norm": False}
    model = random_model(ModelConfig(cell="rnn-relu", **shape))
    model.state_dict()["layers.0.weight_hh"] += 5
    save_like(trained, tmp_path / "words.pt", model)
    (tmp_path / "words.txt").write_text((trained / "words.txt").read_text())
    data = data_of(write_report(tmp_path))
    told = "are not numbers any more: its weights let them grow without bound"
    assert data["absent"]["neurons"] == f"the model's values {told} on this text"
    assert data["absent"]["samples"] == f"the model's scores {told}"
    assert not {"activations", "samples"} & set(data)


def test_page_of_an_unknown_text_shows_only_its_surprise_and_says_why(trained):
    data = data_of(write_report(trained, "--text", "\u65e5\u672c"))
    assert (data["surprise"]["unknown"], data["surprise"]["extent"]) == (2, "2 characters of the text that was given")
    told = "the text that was given: no characters that words.pt knows"
    assert data["absent"] == dict.fromkeys(("neurons", "gates", "gradients"), told)
    for flags in (["--gates"], ["--unknown", "skip"], ["--unknown", "error"]):
        arguments = ("inspect", "words.pt", "--html", "refused.html", "--text", "\u65e5", *flags)
        refused = run_charrnn(trained, *arguments, text=True)
        assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (1 + ("error" not in flags), "", 1)
        assert refused.stderr.startswith("charrnn: --text")


def test_page_of_some_views_says_why_common_sections_are_missing(trained, deep_folder):
    (deep_folder / "words.pt").write_bytes((trained / "words.pt").read_bytes())
    page = write_report(deep_folder, "--embeddings", told="charrnn: report.html: lacks sections that need .*\n")
    assert set(data_of(page)["absent"]) == {"baseline", "surprise"}


def test_cell_values_in_a_page_are_bounded_for_any_model_size(trained, monkeypatch):
    monkeypatch.chdir(trained)
    monkeypatch.setattr(unit_views, "ACTIVATION_BYTES", 5_000)
    (subject,) = read_subjects(["words.pt"])
    shown = unit_views._activations(Recording(subject, Excerpt(make_text(1600), "x", 1600)), ["0:3:o"])
    cells, rest = divmod(len(base64.b64decode(shown["values"])), len(shown["characters"]))
    assert (cells > 2 * 48, rest) == (True, 0)
    assert 5_000 - cells < cells * len(shown["characters"]) <= 5_000


def test_page_has_exactly_the_requested_views(trained):
    data = data_of(write_report(trained, "--embeddings", "--novelty", "50", "--text", "Tin sole", "--top-k", "2"))
    assert {"embeddings", "novelty", "surprise"} <= set(data)
    assert not {"neurons", "activations", "gates", "gradients"} & set(data)
    assert [len(one["top"]) for one in data["surprise"]["characters"]] == [2] * 8
    assert [sample["temperature"] for sample in data["samples"]] == [0.5, 0.8, 1.1]


def test_unknown_characters_are_counted_within_the_shown_text_only(trained):
    text = make_text(1600, seed=2)
    (trained / "odd.txt").write_text(f"¿{text}¡¡", encoding="utf-8")
    data = data_of(write_report(trained, "--text-file", "odd.txt"))
    assert data["activations"]["extent"].endswith("; 1 character that it does not know is left out")
    assert data["gates"]["extent"].endswith("; 3 characters that it does not know are left out")
    (trained / "odd.txt").write_text(f"{text}¡¡", encoding="utf-8")
    data = data_of(write_report(trained, "--text-file", "odd.txt"))
    assert data["activations"]["extent"] == "the first 1,500 of 1,600 characters of odd.txt"
    (trained / "odd.txt").write_text(make_text(30_000, seed=2))
    data = data_of(write_report(trained, "--text-file", "odd.txt", "--unknown", "skip"))
    assert data["surprise"]["extent"] == "the first 1,500 of 30,000 characters of odd.txt"


def test_page_names_the_baseline_of_its_losses(trained):
    data = data_of(write_report(trained, "--embeddings"))
    assert data["yardstick"] == {"name": BASELINE_NAME, "context": ORDER - 1}
    assert BASELINE_NAME not in resources.files("charrnn.display").joinpath("assets/page.js").read_text(
        encoding="utf-8"
    )


def test_requested_gate_is_in_the_page(trained):
    seen = data_of(write_report(trained, "--cell", "0:3:f", "--cell", "0:3:h", "--cell", "0:3"))["activations"]
    assert "0:3:f" in seen["groups"][-1]["units"]
    assert all(unit[-1] in "ifo" for unit in seen["groups"][-1]["units"])
    assert seen["first"] == "0:3:f"


def test_all_data_of_the_page_is_drawn(report, trained):
    script = resources.files("charrnn.display").joinpath("assets/page.js").read_text(encoding="utf-8")
    for name in {*data_of(report), *data_of(write_report(trained, "--novelty", "50"))}:
        assert re.search(rf"\bdata\.{name}\b", script), f"{name} is read"
    sections = re.findall(r"^function (\w+)\(\)", script, re.M)
    assert {"header", "novelty", "parameters"} < set(sections)
    for name in sections:
        assert re.search(rf"(^|; ){name}\(\);", script, re.M), f"{name} is drawn"


def test_data_cannot_end_its_own_script():
    page = render({"text": HOSTILE})
    assert page.count("</script>") == 2
    assert data_of(page) == {"text": HOSTILE}


def test_only_an_empty_file_or_an_earlier_report_is_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(webpage, "collect", lambda *_: {"text": text, "absent": {}})
    (tmp_path / "report.html").touch()
    for text in ("one", "two"):
        webpage.write_report([None], "report.html", {})
        assert data_of((tmp_path / "report.html").read_text()) == {"text": text, "absent": {}}
    assert MARK in (tmp_path / "report.html").read_text()
    (tmp_path / "mine.html").write_text("my own page")
    with pytest.raises(OutputError, match=r"mine.html: exists and is not a report of charrnn's"):
        webpage.write_report([None], "mine.html", {})
    assert (tmp_path / "mine.html").read_text() == "my own page"
    for name, reason in (("none/report.html", "no such folder; make it"), (".", "exists and is not a report")):
        with pytest.raises(OutputError, match=reason):
            webpage.write_report([None], name, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.html", "report.html"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--json"], "--html writes a file; leave --json out"),
        (["--score", "-"], "--score does not go with other output; leave --html out"),
    ],
)
def test_html_with_json_or_score_is_refused(trained, arguments, message):
    result = run_charrnn(trained, "inspect", "words.pt", "--html", "r.html", *arguments, text=True)
    assert result.returncode == 2
    assert result.stderr.startswith(f"charrnn: {message}")
