"use strict";
// What the sections of the page are made of: nodes, tables, tips, charts and coloured texts.
// Everything shown comes from the JSON in this page, and reaches the document as text only, never as markup.
// Surrogates that stand for no byte are the mark of rare characters where the text has U+FFFD of its own.
const marked = (value) => typeof value === "string" ? value.replace(/[\udd00-\udfff]/gu, "\ufffd") : value;
const data = JSON.parse(document.getElementById("data").textContent, (_, value) => marked(value));
const page = document.getElementById("page");
const tip = document.getElementById("tip");
const SVG = "http://www.w3.org/2000/svg";

function make(parent, tag, attributes, ...children) {
  const node = parent.namespaceURI === SVG || tag === "svg"
    ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
  node.append(...children.map(String));
  parent.append(node);
  return node;
}
const number = (value, digits = 4) => value === null ? "?" : value.toFixed(digits);
// With as many decimals as the standard error leaves, as in charrnn.cli.inspector.gradient_figures.
function measured(loss, error, unitOfLoss = 1) {
  if (loss === null || error === null) return "no number";
  const value = loss / unitOfLoss, decimals = error > 0 ? -Math.floor(Math.log10(error / unitOfLoss)) : 4;
  return value < 1e6 ? number(value, Math.min(4, Math.max(1, decimals))) : value.toPrecision(2);
}
const counted = (value, noun) => `${grouped(value)} ${noun}${value === 1 ? "" : "s"}`;
const grouped = (value) => value.toLocaleString("en");
const percent = (share, digits = 0) => (100 * share).toFixed(digits) + "%";
const capital = (words) => words[0].toUpperCase() + words.slice(1);
const NAMES = { " ": "space", "\n": "line feed", "\t": "tab" };
// As in charrnn.escape: SIGNS, which are seen though Unicode has them beside those that command, and what joins characters.
const SIGNS = "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u{110bd}\u{110cd}";
const JOINING = /[\n\u00ad\u200c\u200d\u{e0020}-\u{e007f}]/u;
const GLYPHS = { "\n": "\u21b5", "\u00ad": "\u00ac", "\u200d": "\u2040", "\u200c": "\u00a6" }; // as in charrnn.display.widths
const HIDDEN = new RegExp(`(?![${SIGNS}])[\\p{Cc}\\p{Cf}\\p{Cs}\\p{Zl}\\p{Zp}]`, "u");
const point = (c) => "U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
const UNSEEN = new RegExp(`^(?:${HIDDEN.source}|[\\p{Z}\\ufe00-\\ufe0f])$`, "u"); // by itself
const FROM_RIGHT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;
const grounded = (c) => /^\p{M}/u.test(c) ? "\u25cc" + c : c; // or it would lie on what stands before it
const apart = (c) => FROM_RIGHT.test(c) ? `\u2068${c}\u2069` : c; // or it would turn round the figures beside it
const named = (c) => NAMES[c] || (UNSEEN.test(c) ? point(c) : apart(grounded(c)));
const drawn = (c) => GLYPHS[c] || (HIDDEN.test(c) && c !== "\t" ? "\u25a1" : c); // by itself
const running = (text) => [...text].map((c) => JOINING.test(c) ? c : drawn(c)).join("");

function section(title, about) {
  const part = make(page, "section");
  make(part, "h2", {}, title);
  if (about) make(part, "p", { class: "faint" }, about);
  return part;
}

// A section that is not there says why, where the page was to have it.
function missing(title, name) {
  if (data.absent[name]) section(title, `Not shown: ${data.absent[name]}.`);
}

function table(parent, heads, rows, numeric = []) {
  const node = make(make(parent, "div", { class: "scroll", tabindex: 0 }), "table", { class: heads.length ? "" : "facts" });
  if (heads.length) {
    const top = make(make(node, "thead"), "tr");
    heads.forEach((head, i) => {
      const cell = make(top, "th", { class: numeric.includes(i) ? "number" : "" }, head);
      if (/\S{17}/u.test(head)) cell.classList.add("long"); // a model's name
    });
  }
  const body = make(node, "tbody");
  for (const row of rows) {
    const line = make(body, "tr");
    row.forEach((cell, i) => make(line, "td", { class: numeric.includes(i) ? "number" : i ? "wrap" : "" }, cell));
  }
}

// What depends on the width is drawn again when that changes.
const drawings = [];
function drawing(parent, draw) {
  const figure = make(parent, "figure");
  const again = () => {
    const hadFocus = figure.contains(document.activeElement);
    figure.replaceChildren();
    draw(figure, Math.max(240, Math.min(parent.clientWidth, 860)));
    if (hadFocus) figure.querySelector("[tabindex]").focus({ preventScroll: true });
  };
  drawings.push(again);
  again();
  return again;
}
let lastWidth = page.clientWidth;
addEventListener("resize", () => {
  if (page.clientWidth === lastWidth) return;
  lastWidth = page.clientWidth;
  closeTip();
  for (const again of drawings) again();
});
addEventListener("beforeprint", () => { for (const part of document.querySelectorAll("details")) part.open = true; });

// ---- the tip: a mouse opens it by its place, a finger by a tap; the next tap elsewhere, or scrolling, closes it

let opened = null;
function closeTip() {
  tip.hidden = true;
  if (!opened) return;
  const { close } = opened;
  opened = null;
  close();
}
function showTip(owner, x, y, close, byKey = false) {
  if (opened && opened.owner !== owner) closeTip();
  opened = { owner, close, byKey };
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(8, Math.min(x + 14, innerWidth - box.width - 8)) + "px";
  tip.style.top = (y + box.height + 24 > innerHeight ? Math.max(8, y - box.height - 14) : y + 18) + "px";
}
document.addEventListener("pointerdown", (event) => { if (opened && !opened.owner.contains(event.target)) closeTip(); });
document.addEventListener("keydown", (event) => { if (event.key === "Escape") closeTip(); });
document.addEventListener("scroll", () => { if (opened && !opened.byKey) closeTip(); }, { capture: true, passive: true });

function pointing(owner, kind, show) {
  const isFinger = (event) => event.pointerType === "touch";
  owner.addEventListener(kind, (event) => { if (kind === "pointermove" || !isFinger(event)) show(event); });
  owner.addEventListener("click", show);
  owner.addEventListener("pointerleave", (event) => { if (!isFinger(event)) closeTip(); });
}

// Where the box has the focus, the arrow keys go from one of so many to the next, or to that above or below; Home and End
// go to the first and the last.
function walking(box, count, current, show, vertical = () => null) {
  box.addEventListener("blur", closeTip);
  box.addEventListener("keydown", (event) => {
    const from = current(), beside = (step) => from === null ? 0 : Math.max(0, Math.min(count - 1, from + step));
    const next = {
      ArrowRight: () => beside(1), ArrowLeft: () => beside(-1), Home: () => 0, End: () => count - 1,
      ArrowDown: () => vertical(from, 1), ArrowUp: () => vertical(from, -1),
    }[event.key];
    const found = next && count ? next() : null;
    if (found === null || event.altKey || event.ctrlKey || event.metaKey) return; // such as back, in a browser
    event.preventDefault();
    show(found);
  });
}

// The place of what stands nearest above or below, or null.
function nearestLine(spans, from, direction) {
  if (from === null) return null;
  const boxes = spans.map((span) => span.getBoundingClientRect()), own = boxes[from];
  const lines = boxes.map((box) => Math.round((box.top - own.top) * direction / own.height));
  const aside = boxes.map((box) => Math.abs(box.left - own.left)), near = Math.min(...lines.filter((far) => far > 0));
  return lines.reduce((best, far, i) => far === near && (best === null || aside[i] < aside[best]) ? i : best, null);
}

// Things of which one is looked at: by mouse, by tap, or by the arrow keys where the box has the focus.
function explore({ box, spans }, fill) {
  let current = null;
  const leave = () => {
    if (current !== null && spans[current]) spans[current].classList.remove("on");
    current = null;
  };
  function show(i, x, y, byKey) {
    if (i === null) return closeTip();
    leave();
    current = i;
    spans[i].classList.add("on");
    tip.replaceChildren();
    fill(i);
    const at = spans[i].getBoundingClientRect();
    showTip(box, x ?? at.left, y ?? at.bottom, leave, byKey);
  }
  const index = (event) => event.target.dataset && event.target.dataset.i !== undefined ? Number(event.target.dataset.i) : null;
  pointing(box, "pointerover", (event) => show(index(event), event.clientX, event.clientY));
  walking(box, spans.length, () => current, (next) => {
    spans[next].scrollIntoView({ block: "nearest" });
    show(next, undefined, undefined, true);
  }, (from, direction) => nearestLine(spans, from, direction));
}

// ---- curves

const COLOURS = ["first", "second", "third", "fourth", "fifth", "sixth"].map((name) => `var(--${name})`);
// Curves differ in their dashes too, and six more in their width, as not everyone tells the colours apart.
const DASHES = ["none", "7 4", "2 3", "12 3 2 3", "16 5", "8 3 2 3 2 3"], WIDTHS = [2, 1, 3, 4.5];
const stroke = (i) =>
  `stroke:${COLOURS[i % 6]};stroke-dasharray:${DASHES[i % 6]};stroke-width:${WIDTHS[Math.floor(i / 6) % 4]}`;

// Two to seven round numbers from low to high, multiples of 1, 2 or 5 times a power of ten, no finer than finest.
function ticks(low, high, finest, most = 6) {
  if (!(high > low)) return [low];
  const rough = Math.max((high - low) / most, Number.MIN_VALUE), power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(finest, power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999));
  const first = Math.ceil(low / step - 1e-9), count = Math.floor(high / step + 1e-9) - first + 1;
  return Array.from({ length: Math.max(count, 0) }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

// In powers of ten, with as many digits as tell the axis's values apart, or as there is room for.
const tersely = (value, axis) =>
  value.toExponential([1, 2, 3, 4].find((digits) => axis.every((one) => Number(one.toExponential(digits)) === one)) ?? 5);

function legend(figure, entries) {
  const list = make(figure, "div", { class: "legend" });
  for (const [name, style] of entries) {
    const entry = make(list, "span");
    const sign = make(entry, "svg", { viewBox: "0 0 44 8", "aria-hidden": "true" });
    make(sign, "line", { class: "curve", x1: 0, x2: 44, y1: 4, y2: 4, style });
    entry.append(name);
  }
}

function chart(parent, curves, options) {
  if (curves.length) drawing(parent, (figure, width) => drawChart(figure, width, curves, options));
}

function drawChart(figure, width, curves, { height = 260, levels = [], x = "", log = false, finest = 0.001, format = (v) => number(v, 3) }) {
  const left = 52, bottom = 26;
  const all = curves.flatMap((curve) => curve.points);
  const xs = all.map((p) => p[0]), ys = all.map((p) => p[1]).concat(levels.map((level) => level.y));
  const low = [Math.min(...xs), Math.min(...ys)], high = [Math.max(...xs), Math.max(...ys)];
  const scaleX = (v) => left + (v - low[0]) / (high[0] - low[0] || 1) * (width - left);
  const scaleY = (v) => 8 + (high[1] - v) / (high[1] - low[1] || 1) * (height - bottom - 16);
  legend(figure, curves.map((curve, i) => [curve.name, stroke(curve.style ?? i)]).concat(
    levels.map((level) => [`${level.name} ${format(level.y)}`, "stroke:var(--faint);stroke-dasharray:3 4;stroke-width:1"])));
  const svg = make(figure, "svg", { viewBox: `0 0 ${width} ${height}`, role: "img", class: "chart", tabindex: 0, "aria-label": `${curves.map((curve) => curve.name).join(", ")} by ${x}` });
  const axis = make(svg, "g", { class: "axis" });
  const levelled = ticks(low[1], high[1], log ? 1 : finest);
  for (const value of levelled) {
    const y = scaleY(value);
    make(axis, "line", { x1: left, x2: width, y1: y, y2: y });
    make(axis, "text", { x: left - 8, y: y + 4, "text-anchor": "end" }, log ? "1e" + value : format(value, levelled));
  }
  const round = ticks(low[0], high[0], 1, width < 480 ? 3 : 6);
  for (const place of round.length > 1 ? round : new Set([low[0], high[0]])) {
    const at = scaleX(place), anchor = at < left + 20 ? "start" : at > width - 20 ? "end" : "middle";
    make(axis, "text", { x: at, y: height - 4, "text-anchor": anchor }, grouped(place));
  }
  for (const level of levels) {
    make(svg, "line", { class: "level", x1: left, x2: width, y1: scaleY(level.y), y2: scaleY(level.y) });
  }
  curves.forEach((curve, i) => {
    const places = curve.points.map((p) => [scaleX(p[0]).toFixed(1), scaleY(p[1]).toFixed(1)]), style = stroke(curve.style ?? i);
    const [[cx, cy], ...others] = places;
    if (others.length) make(svg, "path", { class: "curve", d: "M" + places.map((place) => place.join(" ")).join("L"), style });
    else make(svg, "circle", { class: "curve", cx, cy, r: 3, style });
  });
  make(figure, "figcaption", {}, x);
  const cursor = make(svg, "line", { class: "level", y1: 0, y2: height - bottom, visibility: "hidden" });
  const nearest = (points, at) => points.reduce((a, b) => Math.abs(b[0] - at) < Math.abs(a[0] - at) ? b : a);
  const places = [...new Set(xs)].sort((a, b) => a - b);
  let current = null;
  function show(i, atX, atY, byKey) {
    const at = places[i];
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, scaleX(at));
    cursor.setAttribute("visibility", "visible");
    tip.replaceChildren();
    make(tip, "div", { class: "faint" }, `${x}: ${grouped(at)}`);
    for (const curve of curves) {
      if (at > curve.points[curve.points.length - 1][0]) continue; // it has ended before
      const [, value] = curve.points.findLast(([place]) => place <= at) || [];
      if (value === undefined) continue; // it begins later
      make(tip, "div", {}, `${curve.name} ${log ? (10 ** value).toPrecision(2) : format(value, levelled)}`);
    }
    showTip(svg, atX, atY, () => { cursor.setAttribute("visibility", "hidden"); current = null; }, byKey);
    current = i;
  }
  pointing(svg, "pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const at = low[0] + ((event.clientX - box.left) / box.width * width - left) / (width - left) * (high[0] - low[0]);
    show(places.indexOf(nearest(all, at)[0]), event.clientX, event.clientY);
  });
  walking(svg, places.length, () => current, (next) => {
    svg.scrollIntoView({ block: "nearest" });
    const box = svg.getBoundingClientRect();
    show(next, box.left + scaleX(places[next]) / width * box.width, box.top, true);
  });
}

// ---- texts with a colour for each character

function colouredText(parent, characters, label) {
  const box = make(parent, "div", { class: "text", tabindex: 0, role: "group", "aria-label": label });
  const spans = characters.map((c, i) => {
    const span = make(box, "span", { "data-i": i }, drawn(c));
    if (c === "\n") box.append("\n");
    return span;
  });
  return { box, spans };
}
const heat = (bits) => `rgba(var(--hot), ${Math.min(bits / 8, 1) * 0.85})`;
// A line below what is below zero, as in grey its colour is that of what is above.
const belowZero = (v) => v < 0 ? `underline 2px color-mix(in srgb, var(--ink) ${percent(Math.min(-v, 1))}, transparent)` : "";
const signed = (v) => `rgba(var(${v < 0 ? "--cold" : "--hot"}), ${Math.min(Math.abs(v), 1) * 0.85})`;
