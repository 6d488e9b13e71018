import { Slate } from "./drawing.js";
import { Story, byId, element } from "./story.js";

const POLL_MS = 2000;
const TOAST_MS = 6000;

let models = [];
let chosen = null; // the model that is shown, as /api/models tells it
let asking = false;
let askAgain = false;
let toastTimer;

const story = new Story();
const slate = new Slate(byId("drawing"), byId("pen"), { onInk: ask, onClear: showNothing });
byId("clear").addEventListener("click", () => slate.clear());
byId("ask").addEventListener("click", askInJson);
document.addEventListener("visibilitychange", () => document.hidden || refresh());

// A model is asked by drawing when its only input is a picture of bytes.
function isPicture(model) {
  const [input, ...others] = model.inputs ?? [];
  return Boolean(input) && !others.length && input.datatype === "UINT8" && input.shape.length === 2;
}

function seenOutput(model) {
  const [input] = model.inputs;
  return model.outputs.slice(1).find((output) => String(output.shape) === String(input.shape));
}

async function refresh() {
  try {
    const response = await fetch("/api/models", { cache: "no-store" });
    if (!response.ok) throw new Error(`status ${response.status}`);
    models = (await response.json()).models;
  } catch {
    story.showDown();
    return;
  }
  const wanted = decodeURIComponent(location.hash.slice(1)) || chosen?.name;
  const model = models.find((one) => one.name === wanted) ?? models.find((one) => one.version) ?? models[0];
  story.showModels(models, model, choose);
  if (model) show(model);
  else story.showHealth(null);
}

function choose(name) {
  history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  refresh();
}

function show(model) {
  const before = chosen;
  chosen = model;
  story.showHealth(model);
  story.showVersion(model);
  const changed = before?.name !== model.name || before?.version !== model.version;
  if (!changed) return;
  if (before?.name === model.name && model.version) toast(`Now answering: version ${model.version}`);
  const drawn = Boolean(model.version) && isPicture(model);
  byId("picture").hidden = byId("reading").hidden = !drawn;
  byId("tensors").hidden = drawn || !model.version;
  if (drawn) {
    slate.fit(...model.inputs[0].shape);
    makeBars(model);
    if (slate.inked) ask();
  } else if (model.version) {
    showTensors(model);
  }
}

function makeBars(model) {
  const count = model.outputs[0].shape[0] ?? 1;
  const labels = model.labels.length ? model.labels : Array.from({ length: count }, (_, i) => String(i));
  byId("bars").replaceChildren(
    ...labels.map((label) => {
      const bar = element("li");
      bar.dataset.label = label;
      const track = element("span", "track");
      track.append(element("span", "length"));
      bar.append(element("span", "name", label), track, element("span", "share"));
      return bar;
    }),
  );
  if (!slate.inked) showNothing();
}

function showNothing() {
  for (const bar of byId("bars").children) showBar(bar, null, false);
  byId("answer").textContent = "–";
  byId("confidence").textContent = "Nothing drawn yet";
  byId("latency").textContent = "";
  byId("seen").getContext("2d").clearRect(0, 0, byId("seen").width, byId("seen").height);
}

function showBar(bar, probability, wins) {
  const known = probability !== null;
  bar.dataset.probability = known ? String(probability) : "";
  bar.querySelector(".length").style.width = `${(known ? probability : 0) * 100}%`;
  bar.querySelector(".share").textContent = known ? percent(probability) : "";
  bar.toggleAttribute("data-winner", wins);
}

function percent(share) {
  if (share > 0.9995) return "> 99.9 %";
  return `${(share * 100).toFixed(share < 0.0005 ? 0 : 1)} %`;
}

// One request at a time: while one is on its way, more ink only asks for one more after it.
async function ask() {
  askAgain = true;
  if (asking) return;
  asking = true;
  while (askAgain && slate.inked && chosen && isPicture(chosen)) {
    askAgain = false;
    await askOnce(chosen).catch((error) => {
      byId("confidence").textContent = error.message;
    });
  }
  asking = false;
}

async function askOnce(model) {
  const [input] = model.inputs;
  const seen = seenOutput(model);
  const data = slate.pixels();
  const outputs = [model.outputs[0], seen].filter(Boolean).map(({ name }) => ({ name }));
  const inputs = [{ name: input.name, shape: [1, ...input.shape], datatype: input.datatype, data }];
  const started = performance.now();
  const response = await fetch(`/v2/models/${model.name}/infer`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ inputs, outputs }),
  });
  const answer = await response.json();
  const took = performance.now() - started;
  if (!response.ok) throw new Error(answer.error);
  if (!slate.inked) return;
  showAnswer(answer, took);
  paint(answer.outputs[1]?.data ?? data, input.shape);
  if (answer.model_version !== chosen.version) refresh();
}

function showAnswer(answer, took) {
  const probabilities = answer.outputs[0].data;
  const best = probabilities.indexOf(Math.max(...probabilities));
  const bars = [...byId("bars").children];
  bars.forEach((bar, place) => showBar(bar, probabilities[place], place === best));
  byId("answer").textContent = bars[best].dataset.label;
  byId("confidence").textContent = `${percent(probabilities[best])} sure`;
  byId("latency").textContent = `answered in ${took.toFixed(0)} ms`;
}

function paint(data, [rows, columns]) {
  const canvas = byId("seen");
  [canvas.width, canvas.height] = [columns, rows];
  const brightest = Math.max(...data) <= 1 ? 255 : 1; // a network may show fractions
  const image = new ImageData(columns, rows);
  data.forEach((value, place) => image.data.set([value * brightest, value * brightest, value * brightest, 255], place * 4));
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function showTensors(model) {
  const told = [...model.inputs.map((one) => ["in", one]), ...model.outputs.map((one) => ["out", one])];
  byId("tensor-rows").replaceChildren(
    ...told.map(([way, spec]) => {
      const row = element("tr");
      row.append(
        element("td", "", `${way === "in" ? "→" : "←"} ${spec.name}`),
        element("td", "", spec.datatype),
        element("td", "", `[n${spec.shape.map((side) => `, ${side}`).join("")}]`),
      );
      return row;
    }),
  );
  byId("address").textContent = `POST /v2/models/${model.name}/infer`;
  byId("example").value = JSON.stringify({ inputs: model.inputs.map(exampleOf) }, null, 1);
  byId("output").textContent = "";
}

function exampleOf({ name, datatype, shape, minimum }) {
  const count = shape.reduce((product, side) => product * side, 1);
  const value = datatype === "BOOL" ? false : (minimum ?? 0);
  return { name, datatype, shape: [1, ...shape], data: Array(count).fill(value) };
}

async function askInJson() {
  const output = byId("output");
  try {
    const response = await fetch(`/v2/models/${chosen.name}/infer`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: byId("example").value,
    });
    output.textContent = JSON.stringify(await response.json(), null, 1);
  } catch (error) {
    output.textContent = error.message;
  }
}

function toast(text) {
  const place = byId("toast");
  place.textContent = text;
  place.dataset.shown = "";
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => delete place.dataset.shown, TOAST_MS);
}

await refresh();
setInterval(() => document.hidden || refresh(), POLL_MS);
