"use strict";
// Everything shown comes from the JSON in this page, and reaches the document as text only, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const unit = data.card.text.unit;
const page = document.getElementById("page");
const tip = document.getElementById("tip");
const SVG = "http://www.w3.org/2000/svg";

function make(parent, tag, attributes, ...children) {
  const node = parent && (parent.namespaceURI === SVG || tag === "svg")
    ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
  node.append(...children.map(String));
  if (parent) parent.append(node);
  return node;
}
const number = (value, digits = 4) => value === null || value === undefined ? "?" : Number(value).toFixed(digits);
// With as many decimals as the standard error leaves, as in charrnn.cli.inspector.gradient_view.
const measured = (value, error) => error === null || !(value < 1e6) ? number(value, 0) :
  number(value, error > 0 ? Math.min(4, Math.max(1, -Math.floor(Math.log10(error)))) : 4);
const grouped = (value) => Number(value).toLocaleString("en");
const NAMES = { " ": "space", "\n": "line feed", "\t": "tab" };
const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;
const point = (c) => "U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
const isNumber = (c) => unit === "byte" && c >= "\x80" && c <= "\xff";
const byteNamed = (c) => isNumber(c) ? "0x" + c.codePointAt(0).toString(16).toUpperCase() : named(c);
const named = (c) => NAMES[c] || (HIDDEN.test(c) ? point(c) : c);
const drawn = (c) => HIDDEN.test(c) && c !== "\n" && c !== "\t" ? "\u25a1" : c;

function section(title, about) {
  const part = make(page, "section");
  make(part, "h2", {}, title);
  if (about) make(part, "p", { class: "faint" }, about);
  return part;
}

function table(parent, heads, rows, numeric = []) {
  const node = make(make(parent, "div", { class: "scroll" }), "table");
  const top = make(make(node, "thead"), "tr");
  heads.forEach((head, i) => make(top, "th", { class: numeric.includes(i) ? "number" : "" }, head));
  const body = make(node, "tbody");
  for (const row of rows) {
    const line = make(body, "tr");
    row.forEach((cell, i) => make(line, "td", { class: numeric.includes(i) ? "number" : i ? "wrap" : "" }, cell));
  }
}

// ---- curves

// Two to seven round numbers from low to high, multiples of 1, 2 or 5 times a power of ten, no finer than finest.
function ticks(low, high, finest) {
  if (!(high > low)) return [low];
  const rough = Math.max((high - low) / 6, Number.MIN_VALUE), power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(finest, power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999));
  const first = Math.ceil(low / step - 1e-9), count = Math.floor(high / step + 1e-9) - first + 1;
  return Array.from({ length: Math.max(count, 0) }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

function chart(parent, curves, { height = 260, levels = [], x = "", log = false, finest = 0.001, format = (v) => number(v, 3) }) {
  const width = Math.max(300, Math.min(parent.clientWidth, 860)), left = 52, bottom = 26;
  const all = curves.flatMap((curve) => curve.points);
  const xs = all.map((p) => p[0]), ys = all.map((p) => p[1]).concat(levels.map((level) => level.y));
  const low = [Math.min(...xs), Math.min(...ys)], high = [Math.max(...xs), Math.max(...ys)];
  const scaleX = (v) => left + (v - low[0]) / (high[0] - low[0] || 1) * (width - left);
  const scaleY = (v) => 8 + (high[1] - v) / (high[1] - low[1] || 1) * (height - bottom - 16);
  const figure = make(parent, "figure");
  const legend = make(figure, "div", { class: "legend" });
  const svg = make(figure, "svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  const axis = make(svg, "g", { class: "axis" });
  for (const value of ticks(low[1], high[1], log ? 1 : finest)) {
    const y = scaleY(value);
    make(axis, "line", { x1: left, x2: width, y1: y, y2: y });
    make(axis, "text", { x: left - 8, y: y + 4, "text-anchor": "end" }, log ? "1e" + value : format(value));
  }
  for (const place of ticks(low[0], high[0], 1)) {
    const at = scaleX(place), anchor = at < left + 20 ? "start" : at > width - 20 ? "end" : "middle";
    make(axis, "text", { x: at, y: height - 4, "text-anchor": anchor }, grouped(place));
  }
  for (const level of levels) {
    make(svg, "line", { class: "level", x1: left, x2: width, y1: scaleY(level.y), y2: scaleY(level.y) });
    make(svg, "text", { x: width, y: scaleY(level.y) - 5, "text-anchor": "end" }, `${level.name} ${format(level.y)}`);
  }
  for (const curve of curves) {
    const path = curve.points.map((p, i) => `${i ? "L" : "M"}${scaleX(p[0]).toFixed(1)} ${scaleY(p[1]).toFixed(1)}`);
    make(svg, "path", { class: "curve", d: path.join(""), style: `stroke:${curve.colour}` });
    const entry = make(legend, "span");
    make(entry, "i", { style: `background:${curve.colour}` });
    entry.append(curve.name);
  }
  make(figure, "figcaption", {}, x);
  const cursor = make(svg, "line", { class: "level", y1: 0, y2: height - bottom, visibility: "hidden" });
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const at = low[0] + ((event.clientX - box.left) / box.width * width - left) / (width - left) * (high[0] - low[0]);
    const near = curves.map((curve) => curve.points.reduce((a, b) => Math.abs(b[0] - at) < Math.abs(a[0] - at) ? b : a));
    cursor.setAttribute("x1", scaleX(near[0][0]));
    cursor.setAttribute("x2", scaleX(near[0][0]));
    cursor.setAttribute("visibility", "visible");
    tip.replaceChildren();
    make(tip, "div", { class: "faint" }, grouped(Math.round(near[0][0])));
    near.forEach((p, i) => make(tip, "div", {}, `${curves[i].name} ${log ? "1e" + number(p[1], 2) : format(p[1])}`));
    showTip(event.clientX, event.clientY);
  });
  svg.addEventListener("pointerleave", () => { hideTip(); cursor.setAttribute("visibility", "hidden"); });
}

function showTip(x, y) {
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(8, Math.min(x + 14, innerWidth - box.width - 8)) + "px";
  tip.style.top = (y + box.height + 24 > innerHeight ? Math.max(8, y - box.height - 14) : y + 18) + "px";
}
function hideTip() { tip.hidden = true; }

// ---- texts with a colour for each character

function colouredText(parent, characters, label) {
  const box = make(parent, "div", { class: "text", tabindex: 0, role: "group", "aria-label": label });
  const spans = characters.map((c, i) => {
    const span = make(box, "span", { "data-i": i }, c === "\n" ? "\u21b5" : drawn(c));
    if (c === "\n") { span.className = "feed"; box.append("\n"); }
    return span;
  });
  return { box, spans };
}
const heat = (bits) => `rgba(var(--hot), ${Math.min(bits / 8, 1) * 0.85})`;
const signed = (v) => `rgba(var(${v < 0 ? "--cold" : "--hot"}), ${Math.min(Math.abs(v), 1) * 0.85})`;

function explore({ box, spans }, fill) {
  let current = null;
  function show(i, x, y) {
    if (current !== null) spans[current].classList.remove("on");
    current = i;
    if (i === null) return hideTip();
    spans[i].classList.add("on");
    tip.replaceChildren();
    fill(i);
    const at = spans[i].getBoundingClientRect();
    showTip(x ?? at.left, y ?? at.bottom);
  }
  const index = (event) => event.target.dataset && event.target.dataset.i !== undefined ? Number(event.target.dataset.i) : null;
  for (const kind of ["pointerover", "click"]) {
    box.addEventListener(kind, (event) => show(index(event), event.clientX, event.clientY));
  }
  box.addEventListener("pointerleave", () => show(null));
  box.addEventListener("blur", () => show(null));
  box.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step || !spans.length) return;
    event.preventDefault();
    const next = current === null ? 0 : Math.max(0, Math.min(spans.length - 1, current + step));
    spans[next].scrollIntoView({ block: "nearest" });
    show(next);
  });
}

// ---- the sections

function header() {
  document.title = `${data.name}: charrnn`;
  make(page, "h1", {}, data.name);
  make(page, "p", { class: "faint" }, data.summary);
  const card = data.card, figures = make(page, "div", { class: "figures" });
  const facts = card.best ? [
    [number(card.best.val_loss), `nats per ${unit}`], [number(card.best.bits_per_char, 3), `bits per ${unit}`],
    [number(card.best.perplexity, 2), "perplexity"],
  ] : [];
  if (card.baseline) facts.push([number(card.baseline.bits_per_char, 3), "bits, a 6-gram model"]);
  facts.push([grouped(card.num_parameters), "parameters"]);
  for (const [value, name] of facts) {
    const fact = make(figures, "div");
    make(fact, "strong", {}, value);
    make(fact, "span", {}, name);
  }
  make(page, "p", {}, card.verdict[0].toUpperCase() + card.verdict.slice(1) + ".");
}

function losses() {
  const card = data.card, rows = card.history;
  if (rows.length < 2) return;
  const part = section("How it learned", `Loss in nats per ${unit}${card.losses_compare ? "" :
    "; the training loss is that of a harder task, with things hidden, or of each member alone"}.`);
  const baseline = card.baseline;
  chart(part, [
    { name: "validation", colour: "var(--first)", points: rows.map((row) => [row.step, row.val_loss]) },
    { name: "training", colour: "var(--second)", points: rows.map((row) => [row.step, row.train_loss]) },
  ], { x: "step", levels: baseline ? [{ name: "6-gram", y: baseline.loss }] : [] });
  const rates = rows.map((row) => [row.step, row.learning_rate]);
  chart(part, [{ name: "learning rate", colour: "var(--third)", points: rates }],
        { height: 120, x: "step", finest: 0, format: (v) => v.toExponential(1) });
}

function surprise() {
  const view = data.surprise;
  if (!view) return;
  const part = section("Where it is surprised",
    `${view.text[0].toUpperCase()}${view.text.slice(1)}, ${number(view.bits_per_char, 3)} bits per character. The warmer a character, the less it was ` +
    "expected. Point at one, or walk with the arrow keys, to see what was expected instead.");
  const shown = colouredText(part, view.characters.map((one) => one.char), "text coloured by surprise");
  shown.box.id = "surprise";
  shown.spans.forEach((span, i) => { span.style.background = heat(view.characters[i].bits); });
  explore(shown, (i) => {
    const one = view.characters[i];
    make(tip, "div", {}, `${named(one.char)}: ${number(one.bits, 2)} bits`);
    const list = make(make(tip, "table"), "tbody");
    for (const [character, share] of one.top) {
      const row = make(list, "tr");
      make(row, "td", {}, named(character));
      make(row, "td", {}, (100 * share).toFixed(1) + "%");
      make(make(row, "td"), "span", { class: "bar", style: `width:${Math.round(90 * share)}px` });
    }
  });
}

function neurons() {
  const seen = data.activations;
  if (!seen) return;
  const part = section("Its neurons",
    `Every cell as it reads ${seen.source}: blue where it is negative, orange where it is positive.`);
  const bytes = Uint8Array.from(atob(seen.values), (c) => c.charCodeAt(0));
  const values = new Int8Array(bytes.buffer), length = seen.characters.length;
  const found = data.neurons ? data.neurons.found : [];
  if (found.length) {
    make(part, "p", { class: "faint" },
      "These follow something in the text, measured on a half that they were not chosen on (r) and beyond what chance " +
      "gives among all comparisons:");
  }
  const list = make(part, "div", { class: "findings" });
  for (const finding of found) {
    const button = make(list, "button", { type: "button", "data-unit": finding.unit }, finding.feature + " ");
    make(button, "b", {}, (finding.effect > 0 ? "+" : "\u2212") + Math.abs(finding.effect).toFixed(2));
    button.addEventListener("click", () => choose(finding.unit));
  }
  const controls = make(part, "div", { class: "controls" });
  make(controls, "label", { for: "group" }, "layer");
  const group = make(controls, "select", { id: "group" });
  seen.groups.forEach((entry, i) => {
    make(group, "option", { value: i }, entry.units ? "gates, found or asked for" : `${entry.layer}, ${entry.part}`);
  });
  const count = (entry) => entry.units ? entry.units.length : seen.size;
  const titled = (entry, unit) =>
    entry.units ? entry.units[unit] : `${entry.layer}:${unit}${entry.part === "h" ? ":h" : ""}`;
  make(controls, "label", { for: "unit" }, "unit");
  const box = make(controls, "input", { id: "unit", type: "number", min: 0, max: seen.size - 1, value: 0 });
  const slider = make(controls, "input", { id: "slider", type: "range", min: 0, max: seen.size - 1, value: 0, "aria-label": "unit" });
  const name = make(part, "p", { id: "cell", class: "faint" });
  const shown = colouredText(part, seen.characters, "text coloured by a cell");
  shown.box.id = "activations";
  let start = 0;
  function draw() {
    const entry = seen.groups[Number(group.value)];
    const unit = Math.max(0, Math.min(count(entry) - 1, Math.round(Number(box.value)) || 0));
    box.max = slider.max = count(entry) - 1;
    start = (Number(group.value) * seen.size + unit) * length;
    shown.spans.forEach((span, i) => { span.style.background = signed(values[start + i] / 127); });
    const title = titled(entry, unit);
    name.textContent = `cell ${title}`;
    for (const finding of found) {
      if (finding.unit === title) name.textContent += `, ${finding.feature} (r ${finding.effect.toFixed(2)})`;
    }
    for (const button of list.children) button.setAttribute("aria-pressed", button.dataset.unit === title);
  }
  function choose(title) {
    const [layer, number, part] = title.split(":");
    const place = seen.groups.findIndex((entry) =>
      entry.units ? entry.units.includes(title) : entry.layer === Number(layer) && entry.part === (part || "c"));
    const entry = seen.groups[place];
    group.value = place;
    box.max = slider.max = count(entry) - 1;
    box.value = slider.value = entry.units ? entry.units.indexOf(title) : number;
    draw();
  }
  group.addEventListener("change", () => { draw(); box.value = slider.value = Math.min(Number(box.value), box.max); });
  box.addEventListener("input", () => { slider.value = box.value; draw(); });
  slider.addEventListener("input", () => { box.value = slider.value; draw(); });
  explore(shown, (i) => make(tip, "div", {}, `${named(seen.characters[i])}: ${number(seen.scale * values[start + i] / 127, 2)}`));
  if (found.length) choose(found[0].unit); else draw();
}

function gates() {
  if (!data.gates) return;
  const part = section("Its gates",
    "Each point is a cell: how often its gate is shut (below 0.1, to the right) and how often open (above 0.9, upwards).");
  const grid = make(part, "div", { class: "small" });
  for (const gate of data.gates.gates) {
    const figure = make(grid, "figure");
    const svg = make(figure, "svg", { viewBox: "0 0 180 180", role: "img" });
    const axis = make(svg, "g", { class: "axis" });
    make(axis, "path", { d: "M10 4V170H176" });
    make(axis, "path", { d: "M10 4L176 170" });
    gate.open.forEach((open, i) => make(svg, "circle", {
      cx: 10 + 166 * gate.shut[i], cy: 170 - 166 * open, r: 2.2, style: "fill:rgb(var(--hot));opacity:.55",
    }));
    make(figure, "figcaption", {}, `layer ${gate.layer}, ${gate.gate}: mean ${gate.mean.toFixed(2)}`);
  }
}

// As in charrnn.cli.inspector.gradient_view: a curve ends where it has fallen to a billionth.
function fallen(shares) {
  const end = shares.findIndex((share) => !(share >= 1e-9));
  return end < 0 ? shares : shares.slice(0, end);
}

function gradients() {
  const view = data.gradients;
  if (!view) return;
  const part = section("How long its memory is",
    `The norm of the derivative of a ${unit}'s loss by the state k ${unit}s before, over that at 0; and the loss ` +
    "with only so much context.");
  const colours = ["var(--first)", "var(--second)", "var(--third)", "var(--faint)"];
  chart(part, view.flow.filter((flow) => flow.norms[0] > 0).map((flow, i) => ({
    name: `layer ${flow.layer}, by ${flow.part}`, colour: colours[i % 4],
    points: fallen(flow.norms.map((norm) => norm / flow.norms[0])).map((share, k) => [k, Math.log10(share)]),
  })), { x: `k, ${unit}s back`, log: true });
  const last = view.flow[0].norms.length - 1;
  const grows = (flow) => flow.remainder === null || flow.remainder > 1;
  const far = (flow, k) => k !== null ? k : grows(flow) ? "it grows" : "beyond " + last;
  const left = (share) => share === null ? "no number" : share > 1 ? share.toPrecision(2) + " times" : share.toPrecision(2);
  table(part, ["layer", "by", "falls to a half at k =", "to a hundredth at", `left at ${last}`],
        view.flow.map((flow) => [flow.layer, flow.part, far(flow, flow.half), far(flow, flow.hundredth),
                                 left(flow.remainder)]), [2, 3, 4]);
  table(part, [`${unit}s of context, up to`, "loss, nats", "bits"],
        view.loss_by_context.map((row) => [row.length, measured(row.loss, row.error),
                                           measured(row.loss / Math.LN2, row.error / Math.LN2)]), [0, 1, 2]);
}

function embeddings() {
  const view = data.embeddings;
  if (!view) return;
  const part = section("Its alphabet", `${unit[0].toUpperCase()}${unit.slice(1)}s that are expected in the same places lie together.`);
  const figure = make(part, "figure");
  const width = Math.max(300, Math.min(part.clientWidth, 860));
  const svg = make(figure, "svg", { viewBox: `0 0 ${width} 440`, role: "img" });
  for (const [character, [x, y]] of Object.entries(view.places)) {
    const shown = { " ": "\u2423", "\n": "\u21b5", "\t": "\u2192" }[character] || (isNumber(character) || HIDDEN.test(character) ? "\u25a1" : character);
    const node = make(svg, "text", { class: "character", x: width / 2 + (width / 2 - 20) * x, y: 225 - 205 * y, "text-anchor": "middle" }, shown);
    node.addEventListener("pointerover", (event) => {
      tip.replaceChildren();
      make(tip, "div", {}, `${byteNamed(character)}: ${view.expected_alike[character].map((one) => byteNamed(one[0])).join(", ")}`);
      showTip(event.clientX, event.clientY);
    });
    node.addEventListener("pointerout", hideTip);
  }
}

function novelty() {
  const view = data.novelty;
  if (!view) return;
  const part = section("Does it recite?", "How much of a sample stands in the training text, word for word, and how much of the held-out text does.");
  table(part, ["", "the sample", "held-out text"], [
    ["characters", grouped(view.sample.characters), grouped(view.held_out.characters)],
    ...Object.keys(view.sample.copied).map((n) => [`in stretches of ${n} or more`,
      (100 * view.sample.copied[n]).toFixed(1) + "%", (100 * view.held_out.copied[n]).toFixed(1) + "%"]),
  ], [1, 2]);
  make(part, "p", { class: "faint" }, "The longest:");
  for (const stretch of view.sample.longest) make(part, "div", { class: "text sample" }, [...stretch].map(drawn).join(""));
}

function samples() {
  if (!data.samples.length) return;
  const part = section("What it writes", "");
  for (const sample of data.samples) {
    make(part, "p", { class: "faint" }, `temperature ${sample.temperature}`);
    make(part, "div", { class: "text sample" }, [...sample.text].map(drawn).join(""));
  }
}

function parameters() {
  const card = data.card;
  table(section("Its parameters", ""), ["weight", "shape", "count", "share", "norm"], card.parameters.map((weight) => [
    weight.name, weight.shape.join(" \u00d7 "), grouped(weight.count), (100 * weight.share).toFixed(1) + "%", number(weight.norm, 2),
  ]), [2, 3, 4]);
  const counts = [...card.characters].map((c, i) => [c, card.corpus.counts[i]]).sort((a, b) => b[1] - a[1]);
  const total = card.corpus.characters || 1;
  const part = section("Its vocabulary", `${grouped(counts.length)} ${unit}s, the most frequent first.`);
  make(part, "p", {}, counts.slice(0, 200).map(([c, n]) => `${byteNamed(c)}\u00a0${(100 * n / total).toFixed(1)}%`).join(", "));
  const origin = section("Where it comes from", "");
  table(origin, ["", ""], data.origin);
}

header(); losses(); surprise(); neurons(); gates(); gradients(); embeddings(); novelty(); samples(); parameters();
make(make(page, "footer"), "p", { class: "faint" }, `Written by charrnn ${data.version}.`);
