"""The report as a web page: driven in a real browser where there is one, and hostile text in it."""

import base64
import itertools
import json
import re
import shutil
import subprocess
import sys
import unicodedata
from dataclasses import fields
from html import unescape
from importlib import resources

import numpy as np
import pytest
from conftest import make_text, random_model, run_charrnn, save_like, train_briefly
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
from charrnn.display.widths import glyph
from charrnn.errors import CharRNNError, OutputError
from charrnn.escape import one_line, visible

HOSTILE = (
    "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">&lt;\u2028 {{style}}"
)
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no headless browser here")

TELL = """
<script>
function tell(found) {
  found.said = document.body.innerText;
  found.requests = performance.getEntriesByType("resource").length;
  found.wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  found.markup = document.querySelectorAll("img, iframe, link, script[src]").length;
  const out = document.createElement("pre");
  out.id = "found";
  out.textContent = JSON.stringify(found);
  document.body.append(out);
}
</script>
"""

DRIVER = """
<script>
const found = {};
const hover = (node) => node.dispatchEvent(new PointerEvent("pointerover", { bubbles: true, clientX: 9, clientY: 9 }));
const tipText = () => document.getElementById("tip").hidden ? null : document.getElementById("tip").innerText;
window.addEventListener("load", () => {
  const surprise = document.querySelectorAll("#surprise span");
  found.title = document.title;
  found.heads = [...document.querySelectorAll("h2")].map((node) => node.textContent);
  found.characters = [...surprise].map((node) => node.textContent).join("");
  found.before = tipText();
  hover(surprise[3]);
  found.hover = tipText();
  document.getElementById("surprise").dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
  found.next = tipText();
  document.getElementById("surprise").dispatchEvent(new PointerEvent("pointerleave", {}));
  found.after = tipText();
  const tap = (node) => {
    const at = node.getBoundingClientRect();
    const place = { bubbles: true, pointerType: "touch", clientX: at.left + 3, clientY: at.top + 3 };
    for (const kind of ["pointerover", "pointerdown", "pointerup"]) node.dispatchEvent(new PointerEvent(kind, place));
    node.dispatchEvent(new PointerEvent("pointerleave", { ...place, bubbles: false }));
    node.dispatchEvent(new PointerEvent("click", place));
  };
  found.taps = {};
  const curves = document.querySelectorAll("svg.chart");
  const gate = document.querySelector(".small svg"), letter = document.querySelector("text.character");
  for (const [name, node] of Object.entries({ text: surprise[5], curve: curves[0], gate, map: letter })) {
    if (!node) continue;
    tap(node);
    const shown = tipText();
    tap(document.querySelector("h1"));
    found.taps[name] = [shown, tipText()];
  }
  tap(surprise[5]);
  document.getElementById("surprise").dispatchEvent(new Event("scroll"));
  found.scrolled = tipText();
  found.walked = {};
  for (const [name, node] of Object.entries({ curve: curves[0], gate, map: letter.ownerSVGElement })) {
    if (!node) continue;
    found.walked[name] = ["ArrowRight", "ArrowRight", "ArrowLeft"].map((key) => {
      node.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
      return tipText();
    });
    node.dispatchEvent(new FocusEvent("blur"));
    found.walked[name].push(tipText(), node.tabIndex);
  }
  const isTorn = (text) => (word) => {
    const range = document.createRange();
    range.setStart(text, word.index);
    range.setEnd(text, word.index + word[0].length);
    return range.getClientRects().length > 1;
  };
  const tears = ({ firstChild: text }) => [...text.data.matchAll(/\\S+/g)].some(isTorn(text));
  found.torn = [...document.querySelectorAll("th")].filter(tears).map((node) => node.textContent);
  [found.figures, found.list] = [...document.querySelectorAll("details")].map((node) => node.textContent);
  const before = curves[0].getAttribute("viewBox");
  document.getElementById("page").style.width = "400px";
  window.dispatchEvent(new Event("resize"));
  found.redrawn = [before, document.querySelector("svg.chart").getAttribute("viewBox")];
  const narrow = document.querySelector("svg.chart");
  found.steps = [...narrow.querySelectorAll(".axis text[y='256']")].map((node) => node.textContent);
  found.rates = [...curves[1].querySelectorAll("[text-anchor=end]")].map((node) => node.textContent);
  found.over = narrow.querySelectorAll(":scope > text").length;
  found.legend = document.querySelector(".legend").textContent;
  document.getElementById("page").style.width = "";
  window.dispatchEvent(new Event("resize"));
  const cells = document.querySelectorAll("#activations span");
  const colours = () => [...cells].map((node) => node.style.background);
  const underlined = () => [...cells].map((node) => node.style.textDecoration.startsWith("underline"));
  const name = () => document.getElementById("cell").textContent;
  found.first = { name: name(), colours: colours() };
  document.getElementById("group").value = 1;
  document.getElementById("group").dispatchEvent(new Event("change"));
  const unit = document.getElementById("unit");
  unit.value = 7;
  unit.dispatchEvent(new Event("input"));
  found.second = { name: name(), colours: colours(), slider: document.getElementById("slider").value };
  found.underlined = underlined();
  hover(cells[4]);
  found.value = tipText();
  document.querySelector(".findings button:last-child").click();
  found.third = name();
  document.getElementById("group").value = document.getElementById("group").lastChild.value;
  document.getElementById("group").dispatchEvent(new Event("change"));
  const slider = document.getElementById("slider");
  slider.value = slider.max;
  slider.dispatchEvent(new Event("input"));
  found.gate = { name: name(), colours: colours(), number: Number(slider.max) };
  const lines = document.createElement("div");
  lines.className = "text";
  lines.innerHTML = "<span>\u05d0</span><span>\u05d1</span>\\n<span>a</span><span>b</span>";
  document.getElementById("page").append(lines);
  found.starts = [...lines.children].map((node) => node.getBoundingClientRect().left);
  lines.remove();
  const listed = make(document.getElementById("page"), "p", {}, `${named("\u0627")} 12%, ${named("\u0644")} 3%`);
  const left = (sign) => {
    const range = document.createRange(), start = listed.textContent.indexOf(sign);
    range.setStart(listed.firstChild, start);
    range.setEnd(listed.firstChild, start + 1);
    return range.getBoundingClientRect().left;
  };
  found.listed = ["\u0627", "1", "2", "\u0644", "3"].map(left);
  listed.remove();
  tell(found);
});
</script>
"""


def write_report(folder, *arguments, checkpoint="words.pt", told=""):
    result = run_charrnn(folder, "inspect", checkpoint, "--html", "report.html", *arguments, text=True)
    assert (result.returncode, result.stdout) == (0, "report.html\n")
    assert re.fullmatch(told, result.stderr)
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def report(trained):
    """The page of the trained model with all its views."""
    return write_report(trained)


def drive(page, folder, width=1000, driver=DRIVER):
    """Open a page with a driver in it, which tells what it found: that, and what the browser's console said."""
    path = folder / "driven.html"
    path.write_text(page.replace("</body>", TELL + driver + "</body>"), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=3000"]
    flags += [f"--window-size={width},900", f"--user-data-dir={folder / 'profile'}", "--dump-dom"]
    result = subprocess.run([BROWSER, *flags, path.as_uri()], capture_output=True, encoding="utf-8", timeout=120)
    (found,) = re.findall(r'<pre id="found">(.*?)</pre>', result.stdout, re.S)
    return json.loads(unescape(found)), [line for line in result.stderr.splitlines() if "CONSOLE" in line]


def data_of(page):
    (written,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    return json.loads(written)


@needs_browser
@pytest.mark.parametrize("width", [1000, 500])
def test_page_opens_without_errors_and_its_hover_and_browser_work(report, tmp_path, width):
    data = data_of(report)
    found, console = drive(report, tmp_path, width)
    assert console == []
    assert (found["requests"], found["markup"], found["wide"]) == (0, 0, 0)
    assert found["title"] == "words: charrnn"
    assert found["torn"] == [], "no word at the head of a table"
    assert found["heads"] == [
        "How it learned", "Where it is surprised", "What its neurons do", "How its gates open and shut",
        "How far back it remembers", "Its alphabet", "What it writes", "Its weights", "Its vocabulary",
        "Where it comes from",
    ]  # fmt: skip
    shown = data["surprise"]["characters"]
    assert found["characters"] == "".join(one["char"] for one in shown).replace("\n", "↵")
    assert found["before"] is found["after"] is None
    for text, one in ((found["hover"], shown[3]), (found["next"], shown[4])):
        assert f"{one['bits']:.2f} bits" in text
        assert f"{100 * one['top'][0][1]:.1f}%" in text
    for name, (shown_tip, closed) in found["taps"].items():
        assert shown_tip, f"a tap on the {name} opens the tip"
        assert closed is None, f"a tap elsewhere closes the tip of the {name}"
    assert set(found["taps"]) == {"text", "curve", "gate", "map"}
    assert found["scrolled"] is None
    alef, bet, a, b = found["starts"]
    assert a < b < bet < alef, "Hebrew stands from the right to the left, and at the right"
    assert found["listed"] == sorted(found["listed"]), "each figure stands behind its letter"
    first = data["embeddings"]["characters"][0]
    for name, (once, twice, back, left, order) in found["walked"].items():
        assert once == back != twice, f"the arrow keys walk along the {name}"
        assert (left, order) == (None, 0)
    losses, gates, letters = (found["walked"][name][0] for name in ("curve", "gate", "map"))
    row = data["card"]["history"][0]
    assert f"{row['step']}{row['val_loss']:.4f}{row['train_loss']:.4f}" in found["figures"], "beside the curves"
    assert losses.split("\n")[:2] == [f"step: {row['step']}", f"validation, on held-out text {row['val_loss']:.3f}"]
    assert gates.split("\n")[0] == "0:0:i"
    assert (first["char"], letters.split(":")[0]) == (" ", "space")
    assert letters.split(": ")[1] in found["list"], "what the tip says stands there as text too"
    assert found["redrawn"][0] != found["redrawn"][1] == "0 0 360 260"
    radii = [f"{one['radius']:.3f}" for one in data["gradients"]["spectral_radius"]]
    assert all(radius in found["said"] for radius in radii)
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
    assert found["third"].startswith(f"cell {data['neurons']['found'][-1]['unit']}, follows ")
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


@pytest.mark.parametrize("cell", CELLS)
def test_page_data_has_gates_and_the_update_gate_direction_of_every_cell(trained, tmp_path, cell):
    config = ModelConfig(vocab_size=23, cell=cell, hidden_size=12, num_layers=1, embedding_dim=8)
    save_like(trained, tmp_path / "words.pt", random_model(config))
    data = data_of(write_report(tmp_path, "--text", make_text(400)))
    assert data["has_gates"] == ("gates" in data) == bool(REFERENCE[cell].gates)
    if data["has_gates"]:
        assert data["gates"]["note"] == (UPDATE_KEEPS if "update" in REFERENCE[cell].gates else "")


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
