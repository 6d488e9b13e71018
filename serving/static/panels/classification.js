// Panel of an image classifier: the prediction of one or two versions for the same drawing.

import { infer } from "../api_client.js";
import { byId, element, setText } from "../dom.js";
import { unlikeTraining } from "../forms/tensor_inputs.js";
import { TruthForm } from "../forms/truth_form.js";

const NONE = "";
const EMPTY = "Nothing drawn yet";

// A model gets the drawing pad when its only input is a grey image, and its answer has a number for each class.
export function isImageModel(model) {
  const [input, ...others] = model.inputs ?? [];
  const isGrey = Boolean(input) && !others.length && input.datatype === "UINT8" && input.shape.length === 2;
  return isGrey && !input.picture && model.outputs[0].shape.length === 1;
}

function percent(probability) {
  if (probability > 0.9995) return "> 99.9 %";
  return `${(probability * 100).toFixed(probability < 0.0005 ? 0 : 1)} %`;
}

// The prediction of one version, in the elements whose ids begin with a prefix.
class Prediction {
  constructor(prefix) {
    this.part = (name) => byId(prefix + name);
    this.bars = this.part("bars");
  }

  setLabels(labels) {
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

  show(response, milliseconds) {
    const probabilities = response.outputs[0].data;
    this.setUnlike(unlikeTraining(response));
    const best = probabilities.indexOf(Math.max(...probabilities));
    const bars = [...this.bars.children];
    bars.forEach((bar, index) => this.setBar(bar, probabilities[index], index === best));
    const { label } = bars[best].dataset;
    this.part("label").textContent = label;
    this.part("confidence").textContent = `probability ${percent(probabilities[best])}`;
    this.part("latency").textContent = `${milliseconds} ms`;
    return { label, confidence: probabilities[best] };
  }

  clear(message) {
    for (const bar of this.bars.children) this.setBar(bar, null, false);
    this.part("label").textContent = "–";
    this.part("confidence").textContent = message;
    this.part("latency").textContent = "";
    this.setUnlike("");
  }

  // The probabilities of what is unlike everything learned mean little, however high they are.
  setUnlike(text) {
    this.part("unlike").hidden = !text;
    this.part("unlike").textContent = text;
  }

  setBar(bar, probability, isBest) {
    bar.dataset.probability = probability ?? "";
    bar.querySelector(".length").style.width = `${(probability ?? 0) * 100}%`;
    bar.querySelector(".share").textContent = probability === null ? "" : percent(probability);
    bar.toggleAttribute("data-winner", isBest);
  }
}

export class Classification {
  constructor(pad, { onStale }) {
    this.pad = pad;
    this.onStale = onStale;
    this.champion = new Prediction("");
    this.compared = new Prediction("compared-");
    this.truth = new TruthForm(byId("classification-truth"), "It was a");
    this.isBusy = this.isOutdated = false;
    byId("compare-version").addEventListener("change", () => this.compare());
  }

  show(model) {
    this.model = model;
    this.pad.resize(...model.inputs[0].shape);
    setText("drawing-title", model.labels.join("") === "0123456789" ? "Draw a digit" : "Draw a picture");
    const count = model.outputs[0].shape[0] ?? 1;
    const labels = model.labels.length ? model.labels : Array.from({ length: count }, (_, index) => String(index));
    this.champion.setLabels(labels);
    this.compared.setLabels(labels);
    setText("champion-version", model.version);
    this.truth.show(model);
    this.clear();
    if (this.pad.hasInk) this.predict();
  }

  // Offers all loaded versions for comparison.
  updateVersions(model) {
    this.challenger = model.challenger?.version;
    const select = byId("compare-version");
    const versions = model.loaded.filter((version) => version !== model.version);
    const signature = JSON.stringify(versions);
    if (select.dataset.signature === signature) return;
    const selected = select.value;
    select.dataset.signature = signature;
    const none = new Option(versions.length ? "none" : "no other version is loaded", NONE);
    select.replaceChildren(none, ...versions.map((version) => new Option(version, version)));
    select.disabled = !versions.length;
    select.value = versions.includes(selected) ? selected : NONE;
    this.compare();
  }

  compare() {
    const version = byId("compare-version").value;
    byId("compared-panel").hidden = byId("agreement").hidden = version === NONE;
    byId("predictions").toggleAttribute("data-two", version !== NONE);
    setText("compared-version", version);
    setText("agreement", "");
    this.compared.clear(this.pad.hasInk ? "loading …" : EMPTY);
    if (version !== NONE && this.pad.hasInk) this.predict();
  }

  clear() {
    if (!this.model) return;
    this.champion.clear(EMPTY);
    this.compared.clear(EMPTY);
    setText("agreement", "");
    this.truth.clear();
    byId("model-input").getContext("2d").clearRect(0, 0, byId("model-input").width, byId("model-input").height);
  }

  // One request at a time: strokes during a request cause only one more after it.
  async predict() {
    this.isOutdated = true;
    if (this.isBusy) return;
    this.isBusy = true;
    while (this.isOutdated && this.pad.hasInk && this.model) {
      this.isOutdated = false;
      await this.predictOnce(this.model).catch((error) => {
        setText("confidence", error.message);
        if (error.status === 404) this.onStale();
      });
    }
    this.isBusy = false;
  }

  async predictOnce(model) {
    const { name } = model;
    const [input] = model.inputs;
    const preprocessed = model.outputs.slice(1).find((output) => String(output.shape) === String(input.shape));
    const data = this.pad.pixels();
    const outputs = [model.outputs[0], preprocessed].filter(Boolean).map((output) => ({ name: output.name }));
    const inputs = [{ name: input.name, shape: [1, ...input.shape], datatype: input.datatype, data }];
    const version = byId("compare-version").value;
    // Half a stroke is nothing that anybody asks about.
    const explores = this.pad.isDrawing;
    // A comparison names both versions; a plain request may be answered by a canary.
    const [champion, compared] = version === NONE
      ? [await infer(name, { inputs, outputs }, { explores })]
      : await Promise.all([
          infer(`${name}/versions/${model.version}`, { inputs, outputs }, { explores }),
          infer(`${name}/versions/${version}`, { inputs, outputs: outputs.slice(0, 1) }, { explores: true }).catch((error) => ({ error })),
        ]);
    if (!this.pad.hasInk || model !== this.model) return;
    const prediction = this.champion.show(champion.response, champion.milliseconds);
    if (explores) this.truth.clear();
    else this.truth.ask(champion.requestId);
    paintInput(champion.response.outputs[1]?.data ?? data, input.shape);
    if (compared && version === byId("compare-version").value) this.showCompared(prediction, compared);
    const { model_version: answeredBy } = champion.response;
    if (answeredBy === model.version) return;
    if (answeredBy === this.challenger) setText("latency", `${champion.milliseconds} ms, answered by the challenger`);
    else this.onStale();
  }

  showCompared(champion, { error, response, milliseconds }) {
    if (error) {
      this.compared.clear(error.message);
      setText("agreement", "");
      return;
    }
    const compared = this.compared.show(response, milliseconds);
    const points = (compared.confidence - champion.confidence) * 100;
    const difference = Math.abs(points) < 0.05 ? "equal" : `${Math.abs(points).toFixed(1)} points ${points > 0 ? "higher" : "lower"}`;
    const agree = compared.label === champion.label;
    byId("agreement").toggleAttribute("data-differ", !agree);
    setText("agreement", agree ? `Both predict ${champion.label}; the probability given by the compared version is ${difference}.` : `Predictions differ: ${champion.label} by the champion, ${compared.label} by the compared version.`);
  }
}

function paintInput(data, [rows, columns]) {
  const canvas = byId("model-input");
  [canvas.width, canvas.height] = [columns, rows];
  const scale = Math.max(...data) <= 1 ? 255 : 1; // preprocessed pixels may be fractions
  const image = new ImageData(columns, rows);
  data.forEach((value, index) => image.data.set([value * scale, value * scale, value * scale, 255], index * 4));
  canvas.getContext("2d").putImageData(image, 0, 0);
}
