// The sections of a page of one model, from top to bottom.
const unit = data.card.text.unit, { members } = data.card;
const holdsOut = data.card.training.config.val_fraction > 0;
const isPart = Boolean(data.card.best) && data.card.best.members > members; // its losses are of more than it is
const layerNamed = layerNamer(data.card);
// What a neuron follows, as charrnn.analysis.features has it, its character named.
const followed = (feature) => feature.replace(/^(next is )(.)$/su, (_, words, c) => words + named(c));

function header() {
  document.title = `${data.name}: charrnn`;
  make(page, "h1", {}, data.name);
  make(page, "p", { class: "faint" }, data.summary);
  const card = data.card, figures = make(page, "div", { class: "figures" });
  const facts = card.best ? [
    [number(card.best.val_loss), `nats per ${unit}, the loss`], [number(card.best.bits_per_char, 3), `bits per ${unit}`],
    [number(card.best.perplexity, 2), "perplexity"],
  ] : [];
  if (card.baseline) facts.push([number(card.baseline.bits_per_char, 3), `bits, a ${data.yardstick.name} model`]);
  facts.push([grouped(card.num_parameters), "parameters"]);
  for (const [value, name] of facts) figure(figures, value, name);
  if (card.best) make(page, "p", {}, `The loss is measured on text that ${holdsOut ? "was held out from its training" : "it has learned from"}: the lower, the better. ${
    isPart ? `It is that of all ${card.best.members} members together, of which this is one. ` : ""}${comparison(card)}`);
  make(page, "p", {}, capital(card.verdict) + ".");
}

function comparison(card) {
  if (!card.baseline) return data.absent.baseline ? `A ${data.yardstick.name} model to compare with is not here: ${data.absent.baseline}.` : "";
  const better = card.baseline.bits_per_char - card.best.bits_per_char;
  const { characters, of, learned_from, learned_of } = card.baseline, where = characters < of - 1 ? `${grouped(characters)} of ${grouped(of)} ${unit}s` : "text";
  const rival = `a ${data.yardstick.name} model, which counts what followed the last ${counted(data.yardstick.context, unit)}${
    learned_from < learned_of ? ` and learned from the last ${grouped(learned_from)} ${unit}s of the training text alone` : ""},`;
  const it = isPart ? "The whole model" : "It";
  if (Math.abs(better) < 0.0005) return `${it} is as good as ${rival} on the same ${where}.`;
  return `${it} ${better > 0 ? "beats" : "does not beat"} ${rival} on the same ${where}: it is ${better > 0 ? "better" : "worse"} by ${number(Math.abs(better), 3)} bits per ${unit}.`;
}

function losses() {
  const card = data.card, rows = card.history;
  if (rows.length < 2) return section("How it learned", `Not shown: it was ${rows.length ? "evaluated once" : "never evaluated"}, which makes no curve.`);
  const part = section("How it learned", `Loss in nats per ${unit}${isPart ? `, of all ${card.best.members} members together` : ""
  }, by the steps of the training: the lower, the better${card.losses_compare ? "" :
    "; the training loss is that of a harder task, with things hidden, or of each member alone"}. Point, tap or walk with the arrow keys to read the values.`);
  const baseline = card.baseline;
  chart(part, [
    { name: holdsOut ? "validation, on held-out text" : "validation, on text learned from", points: rows.map((row) => [row.step, row.val_loss]) },
    { name: "training", points: rows.map((row) => [row.step, row.train_loss]) },
  ], { x: "step", levels: baseline ? [{ name: data.yardstick.name, y: baseline.loss }] : [] });
  const rates = rows.map((row) => [row.step, row.learning_rate]);
  chart(part, [{ name: "learning rate", points: rates }],
        { height: 120, x: "step", finest: 0, format: tersely });
  const list = make(part, "details");
  make(list, "summary", {}, "The figures as a list");
  table(list, ["step", "validation", "training", "learning rate"], rows.map((row) => [
    grouped(row.step), number(row.val_loss), number(row.train_loss), row.learning_rate.toExponential(2)]), [0, 1, 2, 3]);
}

function surprise() {
  const view = data.surprise;
  if (!view) return missing("Where it is surprised", "surprise");
  const part = section("Where it is surprised",
    `${capital(view.extent)}, ${surpriseFigure(view)}. ${SURPRISE_EXPLAINED}`);
  surpriseText(part, view, data.name).id = "surprise";
}

function neurons() {
  const seen = data.activations;
  if (!seen) return missing("What its neurons do", "neurons");
  const part = section("What its neurons do",
    `Every neuron as it reads ${seen.extent}: blue and underlined below zero, orange above, no colour at zero. ` +
    `${seen.groups.some((entry) => entry.part === "c") ? "Of a memory c its tanh is shown. " : ""}` +
    `${data.has_gates ? "A gate goes from 0, shut and without colour, to 1, open and orange. " : ""}` +
    "Point, tap or walk with the arrow keys to read the values.");
  const bytes = Uint8Array.from(atob(seen.values), (c) => c.charCodeAt(0));
  const values = new Int8Array(bytes.buffer), length = seen.characters.length;
  const found = data.neurons.found;
  make(part, "p", { class: "faint" }, found.length
    ? "These follow something in the text. The number is the correlation, from \u22121 to 1, on the half of the text that " +
      "they were not chosen on, and beyond what chance gives among all comparisons:"
    : data.neurons.note ? capital(data.neurons.note) + "." : "None follows what was looked for beyond chance.");
  const list = make(part, "div", { class: "findings" });
  for (const finding of found) {
    const button = make(list, "button", { type: "button", "data-unit": finding.unit }, followed(finding.feature) + " ");
    make(button, "small", {}, finding.unit + " ");
    make(button, "b", {}, signedNumber(finding.effect));
    button.addEventListener("click", () => choose(finding.unit));
  }
  const controls = make(part, "div", { class: "controls" });
  make(controls, "label", { for: "group" }, "layer");
  const group = make(controls, "select", { id: "group" });
  const PARTS = { c: "memory, tanh of c", h: seen.groups.some((entry) => entry.part === "c") ? "output h" : "state h" };
  seen.groups.forEach((entry, i) => {
    make(group, "option", { value: i }, entry.units ? "gates, found or asked for" : `${layerNamed(entry.layer)}, ${PARTS[entry.part]}`);
  });
  const count = (entry) => entry.units ? entry.units.length : seen.size;
  const titled = (entry, unit) =>
    entry.units ? entry.units[unit] : `${entry.layer}:${unit}${entry.part === "h" ? ":h" : ""}`;
  make(controls, "label", { for: "unit" }, "unit");
  const box = make(controls, "input", { id: "unit", type: "number", min: 0, max: seen.size - 1, value: 0 });
  const names = make(controls, "select", { id: "named", "aria-label": "gate" }); // in the place of a number
  for (const entry of seen.groups) (entry.units || []).forEach((unit, i) => make(names, "option", { value: i }, unit));
  const slider = make(controls, "input", { id: "slider", type: "range", min: 0, max: seen.size - 1, value: 0, "aria-label": "unit" });
  const name = make(part, "p", { id: "cell", class: "faint", role: "status" });
  const shown = colouredText(part, seen.characters, "text coloured by a cell");
  shown.box.id = "activations";
  let start = 0;
  function draw(wanted) {
    const entry = seen.groups[Number(group.value)];
    box.max = slider.max = count(entry) - 1;
    const unit = Math.max(0, Math.min(count(entry) - 1, Math.round(Number(wanted)) || 0));
    slider.value = names.value = unit;
    if (document.activeElement !== box || entry.units) box.value = unit; // not while it is typed
    box.hidden = Boolean(entry.units);
    names.hidden = !entry.units;
    start = (Number(group.value) * seen.size + unit) * length;
    shown.spans.forEach((span, i) => {
      const value = values[start + i] / 127;
      Object.assign(span.style, { background: signed(value), textDecoration: belowZero(value) });
    });
    const title = titled(entry, unit);
    name.textContent = `cell ${title}` + (members > 1 ? `, of ${layerNamed(Number(title.split(":")[0]))}` : "");
    const own = found.filter((finding) => finding.unit === title);
    if (own.length) name.textContent += ", follows " + own.map((finding) => `${followed(finding.feature)} (${signedNumber(finding.effect)})`).join(", ");
    for (const button of list.children) button.setAttribute("aria-pressed", button.dataset.unit === title);
  }
  function choose(title) {
    const [layer, number, part] = title.split(":");
    const place = seen.groups.findIndex((entry) =>
      entry.units ? entry.units.includes(title) : entry.layer === Number(layer) && entry.part === (part || "c"));
    group.value = place;
    draw(seen.groups[place].units ? seen.groups[place].units.indexOf(title) : number);
  }
  group.addEventListener("change", () => draw(slider.value));
  for (const control of [box, names, slider]) control.addEventListener("input", () => draw(control.value));
  explore(shown, (i) => make(tip, "div", {}, `${named(seen.characters[i])}: ${number(seen.scale * values[start + i] / 127, 2)}`));
  choose(seen.first);
}
const signedNumber = (value) => (value > 0 ? "+" : "\u2212") + Math.abs(value).toFixed(2);

function gates() {
  if (!data.gates) return missing("How its gates open and shut", "gates");
  const part = section("How its gates open and shut",
    `On ${data.gates.extent}. Each point is a unit: to the right, the share of characters at which its gate is shut ` +
    "(below 0.1, also called left-saturated); upwards, the share at which it is open (above 0.9, right-saturated). " +
    (data.gates.note ? capital(data.gates.note) + ". " : "") +
    "Point, tap or walk with the arrow keys to read them.");
  const grid = make(part, "div", { class: "small" });
  for (const gate of data.gates.gates) {
    const figure = make(grid, "figure");
    make(figure, "figcaption", {}, `${layerNamed(gate.layer)}, ${gate.gate}`);
    const svg = make(figure, "svg", { viewBox: "0 0 160 152", role: "img", class: "chart", tabindex: 0, "aria-label": `${gate.gate} gate of ${layerNamed(gate.layer)}` });
    const axis = make(svg, "g", { class: "axis" });
    const x = (share) => 40 + 112 * share, y = (share) => 122 - 116 * share;
    make(axis, "path", { d: `M${x(0)} ${y(1)}V${y(0)}H${x(1)}M${x(0)} ${y(1)}L${x(1)} ${y(0)}` });
    for (const value of [0, 0.5, 1]) {
      make(axis, "text", { x: x(value), y: 136, "text-anchor": "middle" }, value);
      make(axis, "text", { x: 35, y: y(value) + 4, "text-anchor": "end" }, value);
    }
    make(axis, "text", { x: x(0.5), y: 150, "text-anchor": "middle" }, "shut");
    make(axis, "text", { x: 10, y: y(0.5), "text-anchor": "middle", transform: `rotate(-90 10 ${y(0.5)})` }, "open");
    const points = gate.open.map((open, i) => make(svg, "circle", { cx: x(gate.shut[i]), cy: y(open), r: 2.2 }));
    make(figure, "figcaption", {}, `mean ${gate.mean.toFixed(2)}, open ${percent(gate.open_share)}, shut ${percent(gate.shut_share)}`);
    let current = null;
    function show(i, atX, atY, byKey) {
      for (const circle of svg.querySelectorAll(".on")) circle.classList.remove("on");
      points[i].classList.add("on");
      tip.replaceChildren();
      make(tip, "div", {}, `${gate.layer}:${i * gate.step}:${gate.letter}`);
      make(tip, "div", {}, `open ${percent(gate.open[i], 1)}, shut ${percent(gate.shut[i], 1)}`);
      showTip(svg, atX, atY, () => { points[i].classList.remove("on"); current = null; }, byKey);
      current = i;
    }
    pointing(svg, "pointermove", (event) => {
      const box = svg.getBoundingClientRect(), scale = 160 / box.width;
      const at = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
      const far = (i) => Math.hypot(x(gate.shut[i]) - at[0], y(gate.open[i]) - at[1]);
      show(points.reduce((best, _, i) => far(i) < far(best) ? i : best, 0), event.clientX, event.clientY);
    });
    walking(svg, points.length, () => current, (next) => {
      svg.scrollIntoView({ block: "nearest" });
      const at = points[next].getBoundingClientRect();
      show(next, at.left, at.bottom, true);
    });
  }
}

function gradients() {
  const view = data.gradients;
  if (!view) return missing("How far back it remembers", "gradients");
  const part = section("How far back it remembers", `Measured on ${view.extent}. A model ${gradientExplained([view])}`);
  gradientViews(part, [{ name: data.name, view, layerNamed, hasGates: data.has_gates }]);
}

const KINDS = { vowel: "first", letter: "second", capital: "third", digit: "fourth", punctuation: "fifth", "white space": "sixth", other: "ink" };

// Moves labels that would lie on each other apart, the more frequent ones the least.
function spread(places, width, height) {
  for (let round = 0; round < 80; round++) {
    for (let i = 0; i < places.length; i++) {
      for (let j = 0; j < i; j++) {
        const a = places[j], b = places[i], dx = b[0] - a[0], dy = b[1] - a[1];
        const overlapX = 14 - Math.abs(dx), overlapY = 17 - Math.abs(dy);
        if (overlapX <= 0 || overlapY <= 0) continue;
        const axis = overlapX < overlapY ? 0 : 1, push = (axis ? overlapY : overlapX) * ((axis ? dy : dx) < 0 ? -1 : 1);
        b[axis] += 0.7 * push;
        a[axis] -= 0.3 * push;
      }
    }
    for (const place of places) {
      place[0] = Math.max(10, Math.min(width - 10, place[0]));
      place[1] = Math.max(18, Math.min(height - 8, place[1]));
    }
  }
  return places;
}

function embeddings() {
  const view = data.embeddings;
  if (!view) return;
  const shown = view.characters, few = shown.length < view.all;
  const isFlat = shown.length > 1 && shown.every((one) => one.place[1] === shown[0].place[1]);
  const part = section("Its alphabet", `${capital(unit)}s that are expected in the same places lie together` +
    `${members > 1 ? " for its first member" : ""}${few ? `: the ${shown.length} most frequent of ${grouped(view.all)}` : ""}. ` +
    `${isFlat ? "With one unit there is but one direction, from left to right: the height means nothing. " : ""}Point at one, tap it, or walk with the arrow keys, to see its neighbours.`);
  const alike = (one) => one.near.map((other) => named(other[0])).join(", ");
  drawing(part, (figure, width) => {
    const height = Math.max(360, Math.min(width, 480));
    const list = make(figure, "div", { class: "legend" });
    for (const kind of Object.keys(KINDS).filter((kind) => shown.some((one) => one.kind === kind))) {
      make(list, "span", { style: `color:var(--${KINDS[kind]})` }, { letter: "other letters", capital: "capitals", vowel: "vowels", digit: "digits" }[kind] || kind);
    }
    const svg = make(figure, "svg", { viewBox: `0 0 ${width} ${height}`, role: "group", class: "chart", tabindex: 0, "aria-label": "map of the alphabet" });
    const scaled = (axis, from, to) => { // what is shown fills the frame
      const all = shown.map((one) => one.place[axis]), low = Math.min(...all), range = Math.max(...all) - low || 1;
      return all.map((value) => from + (to - from) * (value - low) / range);
    };
    const rank = new Map(shown.map((_, i) => i).sort((a, b) => shown[a].place[0] - shown[b].place[0]).map((i, k) => [i, k]));
    const down = isFlat ? shown.map((_, i) => 20 + (height - 32) * (0.618 * rank.get(i) % 1)) : scaled(1, height - 12, 20);
    const places = spread(scaled(0, 16, width - 16).map((x, i) => [x, down[i]]), width, height);
    const spans = shown.map(({ char, kind }, i) => make(svg, "text", {
      class: "character", "data-i": i, x: places[i][0], y: places[i][1], "text-anchor": "middle", style: `fill:var(--${KINDS[kind]})`,
    }, { ...GLYPHS, " ": "\u2423", "\t": "\u2192" }[char] || (UNSEEN.test(char) || [...char].length > 1 ? "\u25a1" : grounded(char))));
    explore({ box: svg, spans }, (i) => make(tip, "div", {}, `${named(shown[i].char)}: ${alike(shown[i])}`));
  });
  const words = make(part, "details");
  make(words, "summary", {}, "The neighbours as a list");
  table(words, [unit, "expected where it is, the nearest first"], shown.map((one) => [named(one.char), alike(one)]));
}

function novelty() {
  const view = data.novelty;
  if (!view) return;
  const isSample = view.text === null, here = isSample ? "the sample" : view.text, judged = view.here.characters;
  const whole = isSample ? "a sample" : judged < view.of ? `the first ${grouped(judged)} of the ${grouped(view.of)} characters of ${here}` : here;
  const part = section(isSample ? "Does it recite?" : "What stands in its text?",
    `How much of ${whole} stands in the training text, word for word${view.held_out ? ", and how much of the held-out text does" : ""}.`);
  const judgedTexts = view.held_out ? [view.here, view.held_out] : [view.here];
  table(part, view.held_out ? ["what", here, "held-out text"] : ["what", here], [
    ["characters", ...judgedTexts.map((one) => grouped(one.characters))],
    ...("lines" in view.here ? [
      ["whole lines", ...judgedTexts.map((one) => grouped(one.lines))],
      ["lines that stand in it", ...judgedTexts.map((one) => one.lines ? percent(one.copied_lines, 1) : "-")],
    ] : []),
    ...Object.keys(view.here.copied).map((n) => [`in stretches of ${n} or more`,
      ...judgedTexts.map((one) => percent(one.copied[n], 1))]),
  ], [1, 2]);
  if (view.note) make(part, "p", { class: "faint" }, capital(view.note) + ".");
  if (!view.here.longest.length) return;
  make(part, "p", { class: "faint" }, `The longest stretches of ${here} that stand there:`);
  table(part, [`characters`, "stretch"], view.here.longest.map((one) =>
    [grouped(one.length), running(one.text.replaceAll("\n", "\u21b5")) + ([...one.text].length < one.length ? "\u2026" : "")]));
}

function samples() {
  if (!data.samples) return missing("What it writes", "samples");
  const part = section("What it writes", "Each from where a text begins; the higher the temperature, the more daring.");
  for (const sample of data.samples) sampleText(part, `temperature ${sample.temperature}`, sample.text);
}

function parameters() {
  const card = data.card;
  table(section("Its weights", "The numbers that it learned, in the order in which they are applied" +
    `${members > 1 ? ", those of all members together" : ""}; the norm is the root of the sum of their squares.`),
    ["weight", "shape", "count", "share", "norm"], data.weights.map((weight) => [
    weight.name, weight.shape.map(grouped).join("\u00a0\u00d7\u00a0"), grouped(weight.count), percent(weight.share, 1), number(weight.norm, 2),
  ]), [2, 3, 4]);
  const listed = data.vocabulary, all = card.vocab_size, total = card.corpus.characters || 1, few = listed.length < all;
  const part = section("Its vocabulary", all === 1 ? `${counted(1, unit)}, with its share of the text.` :
    `${counted(all, unit)}, the ${few ? `${listed.length} ` : ""}most frequent first, with their share of the text${few ? "; the others are not listed" : ""}.`);
  make(part, "p", {}, listed.map(([c, n]) => `${named(c)}\u00a0${percent(n / total, 1)}`).join(", "));
  table(section("Where it comes from", "The text that it learned from, and how it was made."), [], data.origin);
}

header(); losses(); surprise(); neurons(); gates(); gradients(); embeddings(); novelty(); samples(); parameters();
make(make(page, "footer"), "p", { class: "faint" }, `Written by charrnn ${data.version}.`);
