// The sections of a page of several models, from top to bottom.
const models = data.models;
const listed = (words) => words.length < 3 ? words.join(" and ") : `${words.slice(0, -1).join(", ")} and ${words[words.length - 1]}`;

const isPart = (model) => model.losses_of > model.members; // its losses are of more than it is
const ofAll = (model) => isPart(model) ? `, of all ${model.losses_of} members together` : "";
const notShown = (part, name, view) => make(part, "p", { class: "faint" }, `${name}: not shown, since ${view.absent}.`);

function header() {
  const names = models.map((model) => model.name);
  document.title = `${listed(names)}: charrnn`;
  make(page, "h1", {}, listed(names));
  const figures = make(page, "div", { class: "figures" });
  for (const model of models) {
    figure(figures, number(model.bits, 3), `${model.name}, bits per ${model.unit}${model.holds_out ? "" : " learned from"}${ofAll(model)}`);
  }
  if (data.note) make(page, "p", {}, capital(data.note) + ".");
  for (const model of models) make(page, "p", {}, `${model.name}: ${model.verdict}.`);
}

const AXES = {
  step: ["steps", (row) => row.step], epoch: ["passes over the text", (row) => row.epoch],
  seconds: ["seconds of training", (row) => row.seconds],
};

function losses() {
  const shown = models.filter((model) => model.history.length > 1).map((model, i) => ({ ...model, colour: i }));
  const without = models.filter((model) => model.history.length < 2).map((model) => model.name);
  const hasTraining = shown.length <= 6; // one colour for each
  const harder = shown.filter((model) => !model.losses_compare).map((model) => model.name);
  const told = [`Loss in nats per ${unitsOf(models)}: the lower, the better`];
  if (hasTraining && harder.length) told[0] += `; the training loss of ${listed(harder)} is that of a harder task, with things hidden, or of each member alone`;
  if (!hasTraining) told.push("Training losses are left out, as there are so many models");
  if (without.length) told.push(`Evaluated less than twice, which makes no curve: ${listed(without)}`);
  if (shown.length) told.push("Point, tap or walk with the arrow keys to read the values");
  const part = section("How they learned", told.join(". ") + ".");
  if (!shown.length) return;
  const controls = make(part, "div", { class: "controls" });
  make(controls, "label", { for: "axis" }, "by");
  const axis = make(controls, "select", { id: "axis" });
  for (const [value, [words]] of Object.entries(AXES)) make(axis, "option", { value }, words);
  const curves = (place) => [
    ...shown.map((model) => ({
      name: `${model.name}, ${model.holds_out ? "validation" : "on text learned from"}${ofAll(model)}`, style: model.colour,
      points: model.history.map((row) => [place(row), row.val_loss]),
    })),
    ...(hasTraining ? shown : []).map((model) => ({
      name: `${model.name}, training`, style: model.colour + 6, points: model.history.map((row) => [place(row), row.train_loss]),
    })),
  ];
  const levels = data.level === null ? [] : [{ name: data.yardstick.name, y: data.level }];
  const again = drawing(part, (frame, width) => {
    const [words, place] = AXES[axis.value];
    drawChart(frame, width, curves(place), { x: words, levels, height: 320 });
  });
  axis.addEventListener("change", again);
}

function settings() {
  const differing = data.rows.filter((row) => row.differs), same = data.rows.filter((row) => !row.differs);
  const part = section("What differs", differing.length ? "" : "Nothing but the name.");
  if (differing.length) table(part, ["setting", ...models.map((model) => model.name)], differing.map((row) => [row.name, ...row.cells]));
  if (!same.length) return;
  const details = make(part, "details");
  make(details, "summary", {}, "What is the same in all of them");
  table(details, [], same.map((row) => [row.name, row.cells[0]]));
}

function surprise() {
  if (!data.surprise) return missing("Where they are surprised", "surprise");
  const part = section("Where they are surprised", SURPRISE_EXPLAINED);
  data.surprise.forEach((view, i) => {
    if (view.absent) return notShown(part, models[i].name, view);
    make(part, "p", { class: "faint" }, `${models[i].name}, ${view.extent}: ${surpriseFigure(view)}`);
    surpriseText(part, view, models[i].name);
  });
}

function gradients() {
  if (!data.gradients) return missing("How far back they remember", "gradients");
  const seen = data.gradients.map((view, i) => ({
    name: models[i].name, view, layerNamed: layerNamer(models[i]), hasGates: models[i].has_gates,
  }));
  const shown = seen.filter(({ view }) => !view.absent);
  const readers = new Map();
  for (const { name, view } of shown) readers.set(view.extent, [...(readers.get(view.extent) || []), name]);
  const read = readers.size > 1 ? [...readers].map(([extent, names]) => `${listed(names)} on ${extent}`).join("; ") : `on ${[...readers.keys()][0]}`;
  const part = section("How far back they remember",
    shown.length ? `Measured ${read}. A model ${gradientExplained(shown.map(({ view }) => view))}` : "");
  for (const { name, view } of seen) if (view.absent) notShown(part, name, view);
  if (shown.length) gradientViews(part, shown);
}

function samples() {
  const part = section("What they write", "Each from where a text begins, at one temperature.");
  data.samples.forEach((sample, i) => sample.absent ? notShown(part, models[i].name, sample)
    : sampleText(part, `${models[i].name}, temperature ${sample.temperature}`, sample.text));
}

header(); losses(); settings(); surprise(); gradients(); samples();
make(make(page, "footer"), "p", { class: "faint" }, `Written by charrnn ${data.version}.`);
