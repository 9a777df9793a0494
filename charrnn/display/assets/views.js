// What a page of one model and a page of several both show.

// Layers are counted through, member after member.
const layerNamer = ({ num_layers: layers, members }) => (k) =>
  members > 1 ? `member\u00a0${Math.floor(k / layers)}, layer\u00a0${k % layers}` : `layer\u00a0${k}`;

const SURPRISE_EXPLAINED = "The warmer a character, the less it was expected. Point at one, tap it, or walk with the " +
  "arrow keys, to see what was expected instead.";

function surpriseText(part, view, name) {
  const shown = colouredText(part, view.characters.map((one) => one.char), `${name}: text coloured by surprise`);
  shown.spans.forEach((span, i) => { span.style.background = heat(view.characters[i].bits); });
  explore(shown, (i) => {
    const one = view.characters[i];
    make(tip, "div", {}, `${named(one.char)}: ${number(one.bits, 2)} bits`);
    const list = make(make(tip, "table"), "tbody");
    for (const [character, share] of one.top) {
      const row = make(list, "tr");
      make(row, "td", {}, named(character));
      make(row, "td", {}, percent(share, 1));
      make(make(row, "td"), "span", { class: "bar", style: `width:${Math.round(90 * share)}px` });
    }
  });
  return shown.box;
}

// A model may be surprised most by what it does not know, which costs as much as to write it by other means.
const surpriseFigure = (view) => `${number(view.bits_per_char, 3)} bits per character${
  view.unknown ? `, ${counted(view.unknown, "character")} that it does not know among them` : ""}`;

function figure(parent, value, name) {
  const fact = make(parent, "div");
  make(fact, "strong", {}, value);
  make(fact, "span", {}, name);
}

function sampleText(part, title, text) {
  make(part, "p", { class: "faint" }, title);
  make(part, "div", { class: "text sample" }, running(text));
}

// As in charrnn.cli.inspector.gradient_figures: a curve ends where it has fallen to a billionth.
function fallen(shares) {
  const end = shares.findIndex((share) => !(share >= 1e-9));
  return end < 0 ? shares : shares.slice(0, end);
}

function isCut(norms) {
  const end = fallen(norms.map((norm) => norm / norms[0])).length;
  return norms[0] > 0 && end < norms.length && norms[end] !== null;
}

const unitsOf = (views, ending = "") => [...new Set(views.map((view) => view.unit + ending))].join(" or ");

function gradientExplained(views) {
  const unit = unitsOf(views), units = unitsOf(views, "s"), places = Math.max(...views.map((view) => view.flow[0].places));
  return `can learn from what stood k ${units} before only as far as the gradient reaches: ` +
    `the norm of the derivative of the loss of one ${unit} by the state k ${units} before, over that at 0` +
    `${places > 1 ? `, as the median over ${places} places in the text` : ""}. The state is h, what a layer gives out${
      views.some((view) => view.flow.some((flow) => flow.part === "c")) ? ", or c, an LSTM's memory" : ""}. Point, tap or walk with the arrow keys to read the values.`;
}

// Each model has a name, its view, layerNamed and hasGates; the name of one alone is left out.
function gradientViews(part, models) {
  const several = models.length > 1, shift = Number(several), units = unitsOf(models.map((model) => model.view), "s");
  const last = models[0].view.flow[0].norms.length - 1;
  const row = (model, ...cells) => several ? [model.name, ...cells] : cells;
  const head = (...cells) => several ? ["model", ...cells] : cells;
  const numeric = (...columns) => columns.map((column) => column + shift);
  const ofColours = several && models.length <= 6 && models.every((model) => model.view.flow.length <= 4); // one for each model
  const flows = models.flatMap((model, i) => model.view.flow.map((flow, k) => [model, flow, ofColours ? i + 6 * k : undefined]));
  chart(part, flows.filter(([, flow]) => flow.norms[0] > 0).map(([model, flow, style]) => ({
    name: row(model, model.layerNamed(flow.layer), `by ${flow.part}`).join(", "), style,
    points: fallen(flow.norms.map((norm) => norm / flow.norms[0])).map((share, k) => [k, Math.log10(share)]),
  })), { x: `k, ${units} back`, log: true });
  if (flows.some(([, flow]) => isCut(flow.norms))) {
    make(part, "p", { class: "faint" }, "A curve ends where less than 1e-09 is left.");
  }
  const grows = (flow) => flow.remainder === null || flow.remainder > 1;
  const far = (flow, k) => k !== null ? k : !flow.norms[0] ? "no number" : grows(flow) ? "it grows" : "beyond " + last;
  const rounded = (share) => !share ? "0" : share >= 10 && share < 1e4 ? grouped(Math.round(share)) : share < 10 && share >= 1 ? String(Number(share.toPrecision(2))) : share >= 1 ? share.toPrecision(2) : share < 1e-4 ? share.toExponential(0) : share.toPrecision(1);
  const left = (share) => share === null ? "no number" : rounded(share) + (share > 1 ? " times" : "");
  const between = (shares) => shares ? `${rounded(shares[0])} to ${rounded(shares[1])}` : "";
  table(part, head("layer", "by", "falls to a half at k =", "to a hundredth at", `left at ${last}`, "in the middle half of the places"),
        flows.map(([model, flow]) => row(model, model.layerNamed(flow.layer), flow.part, far(flow, flow.half), far(flow, flow.hundredth),
                                         left(flow.remainder), between(flow.middle_half))), numeric(2, 3, 4, 5));
  if (models.some((model) => model.hasGates)) {
    make(part, "p", { class: "faint" }, "The spectral radius of a gate's recurrent weights says how strongly the state before moves " +
      "that gate, not whether a memory fades: that is for the gates to decide.");
  }
  if (models.some((model) => !model.hasGates)) {
    make(part, "p", { class: "faint" }, `The spectral radius of a layer's recurrent weights${several ? ", where it has no gates," : ""} is the ` +
      "most by which they can stretch a state for good: below 1 a state fades by itself, above 1 it can grow.");
  }
  table(part, head("layer", "gate", "spectral radius"),
        models.flatMap((model) => model.view.spectral_radius.map((one) =>
          row(model, model.layerNamed(one.layer), one.gate, one.radius === null ? "no number" : number(one.radius, 3)))), numeric(2));
  const counts = new Set(models.map(({ view }) => `${grouped(view.loss_by_context[0].characters)} ${view.unit}s`));
  make(part, "p", { class: "faint" }, "The loss where the model may look back only so far: as long as it falls, what stands further back still helps. " +
    "A row of several lengths of context is the mean over them. " +
    `Each is over the same ${counts.size > 1 ? `${units} of a text` : [...counts][0]}${
      models.some(({ view }) => view.contexts_cut) ? "; more context would leave less than half of so short a text" : ""}.`);
  const heads = several ? models.map(({ name, view }) => `${name}, bits per ${view.unit}`) : ["loss, nats", "bits"];
  const found = models.map(({ view }) => new Map(view.loss_by_context.map((one) => [one.most, one])));
  const lengths = new Map(models.flatMap(({ view }) => view.loss_by_context.map((one) => [one.most, one.fewest])));
  const losses = (one) => !one ? [""] : several ? [measured(one.loss, one.error, Math.LN2)] : [measured(one.loss, one.error), measured(one.loss, one.error, Math.LN2)];
  table(part, [`${units} of context`, ...heads],
        [...lengths].sort((a, b) => a[0] - b[0]).map(([most, fewest]) =>
          [fewest < most ? `${fewest} to ${most}` : most, ...found.flatMap((rows) => losses(rows.get(most)))]),
        heads.map((_, i) => i + 1).concat(0));
}
