// What one or two versions read in the same drawing.

import { byId, element, tell } from "./dom.js";
import { ask } from "./server.js";

const NONE = "";

// A model is asked by drawing when its only input is a picture of bytes.
export function isPicture(model) {
  const [input, ...others] = model.inputs ?? [];
  return Boolean(input) && !others.length && input.datatype === "UINT8" && input.shape.length === 2;
}

function percent(share) {
  if (share > 0.9995) return "> 99.9 %";
  return `${(share * 100).toFixed(share < 0.0005 ? 0 : 1)} %`;
}

// One version's answer: the elements whose ids begin with a prefix.
class Panel {
  constructor(prefix) {
    this.place = (name) => byId(prefix + name);
    this.bars = this.place("bars");
  }

  make(labels) {
    this.bars.replaceChildren(
      ...labels.map((label) => {
        const bar = element("li");
        bar.dataset.label = label;
        const track = element("span", "track");
        track.append(element("span", "length"));
        bar.append(element("span", "name", label), track, element("span", "share"));
        return bar;
      }),
    );
  }

  show(probabilities, took) {
    const best = probabilities.indexOf(Math.max(...probabilities));
    const bars = [...this.bars.children];
    bars.forEach((bar, place) => this.bar(bar, probabilities[place], place === best));
    this.place("answer").textContent = bars[best].dataset.label;
    this.place("confidence").textContent = `${percent(probabilities[best])} sure`;
    this.place("latency").textContent = `answered in ${took.toFixed(0)} ms`;
    return { label: bars[best].dataset.label, sure: probabilities[best] };
  }

  empty(told) {
    for (const bar of this.bars.children) this.bar(bar, null, false);
    this.place("answer").textContent = "–";
    this.place("confidence").textContent = told;
    this.place("latency").textContent = "";
  }

  bar(bar, probability, wins) {
    const known = probability !== null;
    bar.dataset.probability = known ? String(probability) : "";
    bar.querySelector(".length").style.width = `${(known ? probability : 0) * 100}%`;
    bar.querySelector(".share").textContent = known ? percent(probability) : "";
    bar.toggleAttribute("data-winner", wins);
  }
}

export class Reading {
  constructor(slate, { onMoved }) {
    this.slate = slate;
    this.onMoved = onMoved;
    this.mine = new Panel("");
    this.other = new Panel("other-");
    this.asking = this.askAgain = false;
    byId("other").addEventListener("change", () => this.compare());
  }

  show(model) {
    this.model = model;
    this.slate.fit(...model.inputs[0].shape);
    const count = model.outputs[0].shape[0] ?? 1;
    const labels = model.labels.length ? model.labels : Array.from({ length: count }, (_, i) => String(i));
    this.mine.make(labels);
    this.other.make(labels);
    tell("panel-version", model.version);
    this.clear();
    if (this.slate.inked) this.ask();
  }

  offer(model) {
    this.challenger = model.challenger?.version;
    const select = byId("other");
    const others = model.loaded.filter((version) => version !== model.version);
    const told = JSON.stringify(others);
    if (select.dataset.told === told) return;
    const before = select.value;
    select.dataset.told = told;
    const nobody = new Option(others.length ? "nobody" : "no other is loaded", NONE);
    select.replaceChildren(nobody, ...others.map((version) => new Option(version, version)));
    select.disabled = !others.length;
    select.value = others.includes(before) ? before : NONE;
    this.compare();
  }

  compare() {
    const version = byId("other").value;
    byId("other-panel").hidden = byId("agreement").hidden = version === NONE;
    byId("compared").toggleAttribute("data-two", version !== NONE);
    tell("other-version", version);
    tell("agreement", "");
    this.other.empty(this.slate.inked ? "asking …" : "Nothing drawn yet");
    if (version !== NONE && this.slate.inked) this.ask();
  }

  clear() {
    if (!this.model) return;
    this.mine.empty("Nothing drawn yet");
    this.other.empty("Nothing drawn yet");
    tell("agreement", "");
    byId("seen").getContext("2d").clearRect(0, 0, byId("seen").width, byId("seen").height);
  }

  // One request at a time: while one is on its way, more ink only asks for one more after it.
  async ask() {
    this.askAgain = true;
    if (this.asking) return;
    this.asking = true;
    while (this.askAgain && this.slate.inked && this.model) {
      this.askAgain = false;
      await this.askOnce(this.model).catch((error) => {
        tell("confidence", error.message);
        if (error.status === 404) this.onMoved();
      });
    }
    this.asking = false;
  }

  async askOnce(model) {
    const [input] = model.inputs;
    const seen = model.outputs.slice(1).find((one) => String(one.shape) === String(input.shape));
    const data = this.slate.pixels();
    const outputs = [model.outputs[0], seen].filter(Boolean).map(({ name }) => ({ name }));
    const inputs = [{ name: input.name, shape: [1, ...input.shape], datatype: input.datatype, data }];
    const version = byId("other").value;
    const base = `/v2/models/${model.name}`;
    // Compared by name; otherwise asked as everybody asks, so a canary may answer.
    const [mine, other] = version === NONE
      ? [await timed(`${base}/infer`, { inputs, outputs })]
      : await Promise.all([
          timed(`${base}/versions/${model.version}/infer`, { inputs, outputs }),
          timed(`${base}/versions/${version}/infer`, { inputs, outputs: outputs.slice(0, 1) }).catch((error) => ({ error })),
        ]);
    if (!this.slate.inked || model !== this.model) return;
    const told = this.mine.show(mine.answer.outputs[0].data, mine.took);
    paint(mine.answer.outputs[1]?.data ?? data, input.shape);
    if (other && version === byId("other").value) this.showOther(told, other);
    this.name(model, mine);
  }

  name(model, { answer: { model_version: version }, took }) {
    if (version === model.version) return;
    if (version === this.challenger) tell("latency", `answered in ${took.toFixed(0)} ms by the challenger`);
    else this.onMoved();
  }

  showOther(mine, { error, answer, took }) {
    if (error) {
      this.other.empty(error.message);
      tell("agreement", "");
      return;
    }
    const other = this.other.show(answer.outputs[0].data, took);
    const points = (other.sure - mine.sure) * 100;
    const surer = Math.abs(points) < 0.05 ? "equally sure" : `${Math.abs(points).toFixed(1)} points ${points > 0 ? "surer" : "less sure"}`;
    const agree = other.label === mine.label;
    byId("agreement").toggleAttribute("data-differ", !agree);
    tell("agreement", agree ? `Both read ${mine.label}; the compared version is ${surer}.` : `They differ: the champion reads ${mine.label}, the compared version ${other.label}.`);
  }
}

async function timed(path, body) {
  const started = performance.now();
  const answer = await ask(path, { method: "POST", body });
  return { answer, took: performance.now() - started };
}

function paint(data, [rows, columns]) {
  const canvas = byId("seen");
  [canvas.width, canvas.height] = [columns, rows];
  const brightest = Math.max(...data) <= 1 ? 255 : 1; // a network may show fractions
  const image = new ImageData(columns, rows);
  data.forEach((value, place) => image.data.set([value * brightest, value * brightest, value * brightest, 255], place * 4));
  canvas.getContext("2d").putImageData(image, 0, 0);
}
