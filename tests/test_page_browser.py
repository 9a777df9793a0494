"""The report as a web page, driven in a real browser where there is one, and hostile text in it."""

import base64
import re
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
from conftest import make_text, random_model, save_like, train_briefly
from pages import BROWSER, HOSTILE, data_of, drive, needs_browser, write_report

from charrnn.analysis.ngrams import BASELINE_NAME
from charrnn.config import ModelConfig
from charrnn.display.page import render
from charrnn.display.widths import glyph
from charrnn.escape import one_line, visible


@pytest.fixture(scope="module", params=[1000, 500], ids=["wide", "narrow"])
def driven(report, tmp_path_factory, request):
    """The data of a page, what a driver found on it in a browser, wide or narrow, and what the console said."""
    found, console = drive(report, tmp_path_factory.mktemp("driven"), request.param)
    return data_of(report), found, console


@needs_browser
def test_page_opens_without_errors_or_requests(driven):
    _, found, console = driven
    assert console == []
    assert (found["requests"], found["markup"], found["wide"]) == (0, 0, 0)
    assert found["title"] == "words: charrnn"
    assert found["torn"] == [], "no word at the head of a table"


@needs_browser
def test_page_has_all_its_sections(driven):
    data, found, _ = driven
    assert found["heads"] == [
        "How it learned", "Where it is surprised", "What its neurons do", "How its gates open and shut",
        "How far back it remembers", "Its alphabet", "What it writes", "Its weights", "Its vocabulary",
        "Where it comes from",
    ]  # fmt: skip
    radii = [f"{one['radius']:.3f}" for one in data["gradients"]["spectral_radius"]]
    assert all(radius in found["said"] for radius in radii)


@needs_browser
def test_hovered_character_shows_its_surprisal_and_guesses(driven):
    data, found, _ = driven
    shown = data["surprise"]["characters"]
    assert found["characters"] == "".join(one["char"] for one in shown).replace("\n", "↵")
    assert found["before"] is found["after"] is None
    for text, one in ((found["hover"], shown[3]), (found["next"], shown[4])):
        assert f"{one['bits']:.2f} bits" in text
        assert f"{100 * one['top'][0][1]:.1f}%" in text


@needs_browser
def test_tap_opens_a_tip_and_another_or_a_scroll_closes_it(driven):
    _, found, _ = driven
    for name, (shown_tip, closed) in found["taps"].items():
        assert shown_tip, f"a tap on the {name} opens the tip"
        assert closed is None, f"a tap elsewhere closes the tip of the {name}"
    assert set(found["taps"]) == {"text", "curve", "gate", "map"}
    assert found["scrolled"] is None


@needs_browser
def test_right_to_left_text_stands_at_the_right(driven):
    _, found, _ = driven
    alef, bet, a, b = found["starts"]
    assert a < b < bet < alef, "Hebrew stands from the right to the left, and at the right"
    assert found["listed"] == sorted(found["listed"]), "each figure stands behind its letter"


@needs_browser
def test_arrow_keys_walk_along_the_figures(driven):
    data, found, _ = driven
    for name, (once, twice, back, left, order) in found["walked"].items():
        assert once == back != twice, f"the arrow keys walk along the {name}"
        assert (left, order) == (None, 0)
    losses, gates, letters = (found["walked"][name][0] for name in ("curve", "gate", "map"))
    row = data["card"]["history"][0]
    assert f"{row['step']}{row['val_loss']:.4f}{row['train_loss']:.4f}" in found["figures"], "beside the curves"
    assert losses.split("\n")[:2] == [f"step: {row['step']}", f"validation, on held-out text {row['val_loss']:.3f}"]
    assert gates.split("\n")[0] == "0:0:i"
    first = data["embeddings"]["characters"][0]
    assert (first["char"], letters.split(":")[0]) == (" ", "space")
    assert letters.split(": ")[1] in found["list"], "what the tip says stands there as text too"


@needs_browser
def test_chart_is_redrawn_for_another_width(driven):
    _, found, _ = driven
    assert found["redrawn"][0] != found["redrawn"][1] == "0 0 360 260"


@needs_browser
def test_chosen_cell_colours_the_text(driven):
    data, found, _ = driven
    seen = data["activations"]
    values = np.frombuffer(base64.b64decode(seen["values"]), dtype=np.int8)
    states = [group for group in seen["groups"] if "layer" in group]
    gates = [unit for group in seen["groups"] for unit in group.get("units", [])]
    assert values.size == (len(states) * seen["size"] + len(gates)) * len(seen["characters"])
    values = values[: len(states) * seen["size"] * len(seen["characters"])]
    values = values.reshape(len(states), seen["size"], len(seen["characters"]))
    assert (found["second"]["name"], seen["groups"][1]["part"]) == ("cell 0:7", "c")
    assert found["second"]["slider"] == "7"
    negative = [colour.startswith("rgba(var(--cold)") for colour in found["second"]["colours"]]
    assert negative == found["underlined"] == (values[1, 7] < 0).tolist(), "a line tells it on paper too"
    assert len(set(negative)) == 2
    assert found["first"]["colours"] != found["second"]["colours"]
    assert f"{seen['scale'] * values[1, 7, 4] / 127:.2f}" in found["value"]


@needs_browser
def test_found_unit_and_gate_can_be_chosen(driven):
    data, found, _ = driven
    assert found["third"].startswith(f"cell {data['neurons']['found'][-1]['unit']}, follows ")
    gates = [unit for group in data["activations"]["groups"] for unit in group.get("units", [])]
    assert gates, "some follow something in this text"
    assert found["gate"]["name"].split(",")[0] == f"cell {gates[-1]}"
    assert found["gate"]["number"] == len(gates) - 1
    assert not any(colour.startswith("rgba(var(--cold)") for colour in found["gate"]["colours"]), "none is negative"


@needs_browser
@pytest.mark.parametrize(
    ("slope", "rates"),
    [(1e-6, ["1.05e-2", "1.10e-2", "1.15e-2"]), (-5e-11, [f"9.9999{last}e-3" for last in (2, 4, 6, 8)])],
)
def test_chart_labels_its_first_and_last_step_without_covering_its_curves(report, tmp_path, slope, rates):
    data = data_of(report)
    for row, step in zip(data["card"]["history"], np.linspace(50, 1650, len(data["card"]["history"])), strict=True):
        row["step"] = int(step)
        row["learning_rate"] = 0.01 + slope * int(step)
    found, _ = drive(render(data), tmp_path)
    assert found["steps"] == ["50", "1,650"]
    assert found["rates"] == rates
    assert found["over"] == 0
    assert found["legend"].endswith(f"training{BASELINE_NAME} {data['card']['baseline']['loss']:.3f}")


def said_on(page, folder, change):
    """What stands on a page, in a browser, whose values were changed."""
    data = data_of(page)
    change(data)
    found, console = drive(render(data), folder)
    assert console == []
    return found["said"]


@needs_browser
def test_page_says_what_its_figures_are_over(report, tmp_path):
    before = drive(report, tmp_path)[0]["said"]
    assert " 6-gram model, which counts what followed the last 5 characters, on the same text: it is " in before
    assert "Of a memory c its tanh is shown. A gate goes from 0" in before
    assert "not whether a memory fades: that is for the gates to decide" in before
    assert "as the median over 128 places in the text" in before
    assert "A curve ends where less than 1e-09 is left." in before
    assert (
        "A row of several lengths of context is the mean over them. Each is over the same 1,744 characters." in before
    )
    assert re.search(r"^5 to 8\t", before, re.M)
    assert "23 characters, the most frequent first, with their share of the text." in before

    def change(data):
        card = data["card"]
        card["baseline"] |= {"characters": 900, "of": 2000, "learned_from": 1000, "learned_of": 18_000}
        data["has_gates"] = False
        data["gradients"]["contexts_cut"] = True
        data["gradients"]["spectral_radius"][0]["radius"] = None
        for flow in data["gradients"]["flow"]:
            flow["norms"] = [1.0] * len(flow["norms"])
        card["vocab_size"] = 1527
        data["vocabulary"] = [[chr(0x4E00 + i), 1] for i in range(200)]
        for one in data["embeddings"]["characters"]:
            one["place"][1] = 0.0
        of_lines = {"characters": 3, "longest": [], "median": 0.0, "copied": {}}
        cut = {"length": 600, "text": "🤖" * 400}
        few, none = ({**of_lines, "lines": lines, "copied_lines": share} for lines, share in ((2, 0.5), (0, None)))
        data["novelty"] = {"text": "some.txt", "of": 900, "here": few | {"longest": [cut]}, "held_out": none}
        card["best"]["members"] = 2

    said = said_on(report, tmp_path, change)
    assert "last 5 characters and learned from the last 1,000 characters of the training text alone, on the" in said
    assert "on the same 900 of 2,000 characters: it is " in said
    assert "below 1 a state fades by itself" in said
    assert "A gate goes from 0" not in said
    assert "A curve ends" not in said
    assert re.search(r"spectral radius\n.*?\binput\s+no number\n", said)
    assert "1,744 characters; more context would leave less than half of so short a text." in said
    assert "1,527 characters, the 200 most frequent first, with their share of the text; the others are not" in said
    assert "With one unit there is but one direction" in said
    assert re.search(r"lines that stand in it\s+50\.0%\s+-\n", said)
    assert "How much of the first 3 of the 900 characters of some.txt stands in the training text" in said
    assert "600\t" + "🤖" * 400 + "…" in said
    assert "Does it recite?" not in said
    assert "It is that of all 2 members together, of which this is one. The whole model " in said
    assert "Loss in nats per character, of all 2 members together, by the steps" in said
    assert "measured on text that was held out from its training" in said

    def hold_out_nothing(data):
        change(data)
        data["card"]["training"]["config"]["val_fraction"] = 0
        data["card"]["baseline"], data["novelty"]["held_out"] = None, None
        data["absent"]["baseline"] = "nothing was held out of its text"

    of_learned = said_on(report, tmp_path, hold_out_nothing)
    assert "The loss is measured on text that it has learned from: the lower" in of_learned
    assert "A 6-gram model to compare with is not here: nothing was held out of its text." in of_learned
    assert "validation, on text learned from" in of_learned
    assert "stands in the training text, word for word.\n" in of_learned
    assert re.search(r"lines that stand in it\s+50\.0%\n", of_learned)
    one = said_on(report, tmp_path, lambda data: data["card"].update(vocab_size=1))
    assert "1 character, with its share of the text." in one
    other = said_on(report, tmp_path, lambda data: data.update(yardstick={"name": "4-gram", "context": 3}))
    assert " 4-gram model, which counts what followed the last 3 characters, on the same text: it is " in other
    assert "6-gram" not in other


KEYS = """
<script>
window.addEventListener("load", () => {
  const text = document.getElementById("surprise"), spans = [...text.children], found = { walked: {} };
  const event = (key, more) => new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more });
  const press = (...of) => document.activeElement.dispatchEvent(event(...of));
  text.focus();
  const at = () => spans.findIndex((node) => node.classList.contains("on"));
  for (const key of ["End", "Home", "ArrowDown", "ArrowUp"]) {
    press(key);
    found.walked[key] = at();
  }
  found.taken = !press("ArrowRight");
  found.left = press("ArrowLeft", { altKey: true });
  found.last = spans.length - 1;
  found.below = spans[found.walked.ArrowDown].getBoundingClientRect().top > spans[0].getBoundingClientRect().bottom - 3;
  document.querySelector("svg.chart").focus();
  document.getElementById("page").style.width = "400px";
  window.dispatchEvent(new Event("resize"));
  found.focused = document.activeElement === document.querySelector("svg.chart");
  found.headless = [...document.querySelectorAll("th")].filter((node) => !node.textContent).length;
  found.unheard = [...document.querySelectorAll("#cell:not([role=status])")].length;
  tell(found);
});
</script>
"""


@needs_browser
def test_page_can_be_read_by_keyboard(report, tmp_path):
    found, console = drive(report, tmp_path, driver=KEYS)
    assert console == []
    walked = found["walked"]
    assert (walked["End"], walked["Home"], walked["ArrowUp"]) == (found["last"], 0, 0)
    assert 0 < walked["ArrowDown"] < found["last"]
    assert found["below"]
    assert found["taken"]
    assert found["left"], "alt with an arrow goes back to another page"
    assert found["focused"], "a chart that is drawn anew, as when the page is zoomed, keeps the focus"
    assert (found["headless"], found["unheard"]) == (0, 0)


FORCED = """
<script>
const adjust = (query) => getComputedStyle(document.querySelector(query)).forcedColorAdjust;
tell({ kept: [".text", ".legend", ".character"].map(adjust), others: adjust("h2") });
</script>
"""


@needs_browser
def test_colours_of_a_page_survive_a_high_contrast_setting(report, tmp_path):
    found, _ = drive(report, tmp_path, driver=FORCED)
    assert (found["kept"], found["others"]) == (["none"] * 3, "auto")


MARKS = """
<script>
window.addEventListener("load", () => {
  const fading = document.querySelector("svg.chart[aria-label$='characters back']");
  const right = fading.getBoundingClientRect().right;
  const drawn = [...fading.querySelectorAll(".curve")].map((node) => node.getBoundingClientRect());
  tell({ sizes: drawn.map((box) => [box.width, box.height]), within: drawn.every((box) => box.right <= right) });
});
</script>
"""


@needs_browser
def test_gradient_gone_after_one_step_is_visible_in_its_chart(report, tmp_path):
    data = data_of(report)
    for flow in data["gradients"]["flow"]:
        flow["norms"] = [1.0, 1e-12, *[0.0] * (len(flow["norms"]) - 2)]
    found, console = drive(render(data), tmp_path, driver=MARKS)
    assert console == []
    assert len(found["sizes"]) == len(data["gradients"]["flow"])
    assert min(min(size) for size in found["sizes"]) > 2
    assert found["within"]


@needs_browser
def test_right_to_left_and_invisible_characters_are_named_apart(report, tmp_path):
    def change(data):
        for finding, c in zip(data["neurons"]["found"], "\u0644\u0301\u00a0\n\udfff", strict=False):
            finding["feature"] = f"next is {c}"

    said = said_on(report, tmp_path, change)
    units = [finding["unit"] for finding in data_of(report)["neurons"]["found"]]
    signs = ("\u2068\u0644\u2069", "\u25cc\u0301", "U+00A0", "line feed", "\ufffd")
    assert len(units) >= len(signs)
    for told, unit in zip(signs, units, strict=False):
        assert f"next is {told} {unit} " in said


SHOW = """
<script>
tell({
  running: [...running(String.fromCodePoint(...POINTS))],
  drawn: POINTS.map((point) => drawn(String.fromCodePoint(point))),
});
</script>
"""


@needs_browser
def test_page_shows_format_characters_like_a_terminal(report, tmp_path):
    characters = [c for c in map(chr, range(sys.maxunicode)) if unicodedata.category(c) in ("Cf", "Zl", "Zp")]
    driver = SHOW.replace("POINTS", f"[{', '.join(str(ord(c)) for c in characters)}]")
    found, _ = drive(report, tmp_path, driver=driver)
    assert found["running"] == [c if visible(c) == c else "□" for c in characters]
    assert found["drawn"] == [glyph(c) if one_line(c) == c else "□" for c in characters], "each by itself"


@needs_browser
def test_page_shows_the_note_of_the_gates(report, tmp_path):
    assert data_of(report)["gates"]["note"] == ""
    said = said_on(report, tmp_path, lambda data: data["gates"].update(note="open is shut"))
    assert "right-saturated). Open is shut. Point, tap" in said


@needs_browser
def test_page_of_a_byte_model_counts_bytes(trained, tmp_path):
    (tmp_path / "words.txt").write_text((trained / "words.txt").read_text() + "tüna\n" * 9, encoding="utf-8")
    train_briefly(tmp_path, "words.txt", "--unit", "byte", "--hidden-size", "48", "--max-steps", "60")
    page = write_report(tmp_path)
    found, console = drive(page, tmp_path)
    assert console == []
    for words in (
        "nats per byte",
        "bits per byte",
        "k, bytes back",
        "bytes of context",
        "the loss of one byte",
        "<0xC3>",
    ):
        assert words in found["said"], words
    assert "nats per character" not in found["said"]
    assert "Ã" not in found["said"], "a byte is no letter"
    kinds = {one["char"]: one["kind"] for one in data_of(page)["embeddings"]["characters"]}
    assert (kinds["a"], kinds["<0xC3>"]) == ("vowel", "other"), "nor is it of a letter's colour"


@needs_browser
def test_name_of_rare_characters_is_in_the_vocabulary(trained, tmp_path):
    (tmp_path / "words.txt").write_text((trained / "words.txt").read_text() + "1¿2¡3\n", encoding="utf-8")
    train_briefly(tmp_path, "words.txt", "--min-count", "5", "--hidden-size", "48", "--max-steps", "60")
    page = write_report(tmp_path)
    found, console = drive(page, tmp_path)
    assert console == []
    data = data_of(page)
    kinds = {one["char"]: one["kind"] for one in data["embeddings"]["characters"]}
    assert kinds["<rare>"] == "other", "it is no letter, and no sign"
    size = data["card"]["vocab_size"]
    assert f"{size} characters, the most frequent first, with their share of the text." in found["said"]
    assert "<rare>\u00a0" in found["said"]


@needs_browser
def test_hostile_text_is_shown_and_never_run(trained, tmp_path):
    text = (HOSTILE + "\n" + make_text(300)) * 5
    save_like(trained, tmp_path / "words.pt", made={"command": HOSTILE}, corpus={"name": HOSTILE})
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    page = write_report(tmp_path, "--text-file", "text.txt")
    assert page.count("<script") == 2
    found, console = drive(page, tmp_path)
    assert console == []
    assert (found["title"], found["markup"]) == ("words: charrnn", 0)
    assert found["characters"].startswith(HOSTILE[:20])


@needs_browser
def test_missing_section_says_why(trained, deep_folder):
    config = ModelConfig(vocab_size=23, cell="rnn", hidden_size=12, num_layers=2, embedding_dim=8, members=2)
    save_like(trained, deep_folder / "words.pt", random_model(config), history=[])
    page = write_report(deep_folder, told="charrnn: report.html: lacks sections that need .*\n")
    reason = "for lack of the text that it learned from: words.txt has not been found"
    absent = data_of(page)["absent"]
    assert absent == {**dict.fromkeys(("baseline", "surprise", "neurons", "gradients"), reason),
                      "gates": "its cell is rnn, which has no gates"}  # fmt: skip
    path = deep_folder / "page.html"
    path.write_text(page, encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={deep_folder / 'profile'}", "--dump-dom"]
    shown = subprocess.run([BROWSER, *flags, path.as_uri()], capture_output=True, encoding="utf-8", timeout=120).stdout
    assert f"Not shown: {reason}." in shown
    assert "Not shown: it was never evaluated, which makes no curve." in shown
    (deep_folder / "words.txt").write_text((trained / "words.txt").read_text())
    shown = data_of(write_report(deep_folder))
    assert set(shown["absent"]) == {"gates"}
    assert [weight["shape"] for weight in shown["weights"]][:2] == [[2, 23, 8], [2, 12, 8]]


@needs_browser
def test_requested_cell_is_shown_before_found_ones(report, tmp_path):
    data = data_of(report)
    shown = [data["activations"]["first"], "0:5"]
    assert shown[0] == data["neurons"]["found"][0]["unit"]
    for unit in shown:
        data["activations"]["first"] = unit
        found, console = drive(render(data), tmp_path)
        assert console == []
        assert found["first"]["name"].split(",")[0] == f"cell {unit}"
