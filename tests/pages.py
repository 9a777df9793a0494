"""Pages of reports for tests: written, read, and opened in a browser."""

import json
import re
import shutil
import subprocess
from html import unescape

import pytest
from conftest import run_charrnn

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
