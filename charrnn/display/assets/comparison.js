// The sections of a page of several models, from top to bottom.
const models = data.models;
const listed = (words) => words.length < 3 ? words.join(" and ") : `${words.slice(0, -1).join(", ")} and ${words[words.length - 1]}`;

function header() {
  const names = models.map((model) => model.name);
  document.title = `${listed(names)}: charrnn`;
  make(page, "h1", {}, listed(names));
  const figures = make(page, "div", { class: "figures" });
  for (const model of models) {
    const fact = make(figures, "div");
    make(fact, "strong", {}, model.bits === null ? "?" : number(model.bits, 3));
    make(fact, "span", {}, `${model.name}, bits per ${model.unit}`);
  }
  if (data.note) make(page, "p", {}, capital(data.note) + ".");
  table(page, [], models.map((model) => [model.name, capital(model.verdict) + "."]));
}

const AXES = {
  step: ["steps", (row) => row.step], epoch: ["passes over the text", (row) => row.epoch],
  seconds: ["seconds of training", (row) => row.seconds],
};

function losses() {
  const shown = models.map((model, i) => ({ ...model, colour: i })).filter((model) => model.history.length > 1);
  const without = models.filter((model) => model.history.length < 2).map((model) => model.name);
  const told = without.length ? ` Evaluated less than twice, which makes no curve: ${listed(without)}.` : "";
  const unit = unitsOf(models), hasTraining = models.length <= 6; // one colour for each
  const harder = models.filter((model) => !model.losses_compare).map((model) => model.name);
  const task = harder.length ? `; the training loss of ${listed(harder)} is that of a harder task, with things hidden, or of each member alone` : "";
  const part = section("How they learned", `Loss in nats per ${unit}: the lower, the better${task}.${told}` +
    `${shown.length ? " Point, tap or walk with the arrow keys to read the values." : ""}`);
  if (!shown.length) return;
  const controls = make(part, "div", { class: "controls" });
  make(controls, "label", { for: "axis" }, "by");
  const axis = make(controls, "select", { id: "axis" });
  for (const [value, [words]] of Object.entries(AXES)) make(axis, "option", { value }, words);
  const curves = (place) => [
    ...shown.map((model) => ({ name: `${model.name}, validation`, style: model.colour, points: model.history.map((row) => [place(row), row.val_loss]) })),
    ...(hasTraining ? shown : []).map((model) => ({
      name: `${model.name}, training`, style: model.colour + 6, points: model.history.map((row) => [place(row), row.train_loss]),
    })),
  ];
  const levels = data.level === null ? [] : [{ name: data.yardstick, y: data.level }];
  const again = drawing(part, (figure, width) => {
    const [words, place] = AXES[axis.value];
    drawChart(figure, width, curves(place), { x: words, levels, height: 320 });
  });
  axis.addEventListener("change", again);
}

function settings() {
  const heads = ["", ...models.map((model) => model.name)];
  const differing = data.rows.filter((row) => row.differs), same = data.rows.filter((row) => !row.differs);
  const part = section("What differs", "");
  table(part, heads, differing.map((row) => [row.name, ...row.cells]));
  if (!same.length) return;
  const details = make(part, "details");
  make(details, "summary", {}, "What is the same in all of them");
  table(details, [], same.map((row) => [row.name, row.cells[0]]));
}

function surprise() {
  if (!data.surprise) return missing("Where they are surprised", "surprise");
  const part = section("Where they are surprised", SURPRISE_EXPLAINED);
  data.surprise.forEach((view, i) => {
    make(part, "p", { class: "faint" }, `${models[i].name}, ${view.extent}: ${number(view.bits_per_char, 3)} bits per character`);
    surpriseText(part, view);
  });
}

function gradients() {
  const views = data.gradients;
  if (!views) return missing("How far back they remember", "gradients");
  const extents = new Set(views.map((view) => view.extent));
  const read = extents.size > 1 ? views.map((view, i) => `${models[i].name} on ${view.extent}`).join("; ") : `on ${[...extents][0]}`;
  const part = section("How far back they remember", `Measured ${read}. A model ${gradientExplained(views)}`);
  gradientViews(part, views.map((view, i) => ({
    name: models[i].name, view, layerNamed: layerNamer(models[i]), hasGates: models[i].has_gates,
  })));
}

function samples() {
  if (!data.samples) return missing("What they write", "samples");
  const part = section("What they write", `Each from where a text begins, at a temperature of ${data.samples[0].temperature}.`);
  data.samples.forEach((sample, i) => sampleText(part, models[i].name, sample.text));
}

header(); losses(); settings(); surprise(); gradients(); samples();
make(make(page, "footer"), "p", { class: "faint" }, `Written by charrnn ${data.version}.`);
