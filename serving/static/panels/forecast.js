// Panel of a forecast model: a form for one prediction, its interval, a chart and contributions.

import { infer, modelUrl, request } from "../api_client.js";
import { ForecastChart } from "../charts/forecast_chart.js";
import { isoDate, longDate, parseDay } from "../dates.js";
import { byId, figure, isNumber, plain, setText } from "../dom.js";
import { clearFieldErrors, FieldError, inputError, markField } from "../forms/field_errors.js";
import { TruthForm } from "../forms/truth_form.js";
import { outOfVocabulary, readValue, sizeOf, tensor, tensorFieldset, unlikeTraining, writeValue } from "../forms/tensor_inputs.js";
import { occlusions, showAttribution } from "./attribution.js";

const DEBOUNCE_MS = 250;

export class Forecast {
  constructor() {
    this.chart = new ForecastChart(byId("forecast-chart"), (text) => setText("forecast-chart-detail", text));
    this.truth = new TruthForm(byId("forecast-truth"), "It was");
    this.requestNumber = 0;
    byId("forecast-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.predict();
    });
    byId("forecast-form").addEventListener("input", () => {
      this.followSeries();
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.predict(), DEBOUNCE_MS);
    });
    byId("forecast-example").addEventListener("change", () => {
      this.fill(Number(byId("forecast-example").value));
      this.predict();
    });
  }

  async show(model) {
    const signature = JSON.stringify([model.name, model.inputs, model.outputs, model.forecast]);
    this.model = model;
    this.truth.show(model);
    this.readSpecs(model);
    // A new version with the same tensors keeps what the user has typed.
    if (this.signature !== signature) {
      this.signature = signature;
      this.createFields();
      await this.loadExamples(model);
    }
    if (model === this.model) await this.predict();
  }

  // Each poll brings new objects, and `model.inputs` are compared with these.
  readSpecs({ inputs, outputs, forecast }) {
    const input = (name) => inputs.find((spec) => spec.name === name);
    this.history = input(forecast.history);
    this.lead = input(forecast.lead);
    this.day = input(forecast.day);
    this.features = inputs.filter((spec) => ![this.history, this.lead, this.day].includes(spec));
    this.output = outputs[0].name;
  }

  createFields() {
    byId("forecast-fields").replaceChildren(...this.features.map(tensorFieldset));
    setText("history-label", `${this.history.name}: last ${this.history.shape[0]} days, oldest first`);
    setText("history-help", this.history.description);
    for (const [end, bound] of [["min", this.day.minimum], ["max", this.day.maximum]]) byId("target-day")[end] = isNumber(bound) ? isoDate(bound) : "";
    setText("target-day-help", `${this.lead.minimum} to ${this.lead.maximum} days after the last observed day`);
    this.clear();
  }

  async loadExamples(model) {
    this.examples = [];
    this.histories = [];
    try {
      this.examples = rowsOf(model.inputs, (await request(`${modelUrl(model.name)}/examples`)).inputs);
    } catch {
      // Without examples the form is filled in by hand.
    }
    const select = byId("forecast-example");
    select.replaceChildren(...this.examples.map((row, index) => new Option(this.title(row), index)));
    byId("forecast-examples").hidden = !this.examples.length;
    this.histories = this.examples.map((row) => this.historyOf(row));
    this.belongs = this.typedSeries();
    if (!this.examples.length) return;
    // Starts with an example without fallback values: its contributions show the most.
    const isKnown = (row) => this.features.every((spec) => !spec.otherwise || spec.vocabulary[row[spec.name]] !== spec.otherwise);
    const first = Math.max(this.examples.findIndex(isKnown), 0);
    select.value = String(first);
    this.fill(first);
  }

  title(row) {
    const categories = this.features.map((spec) => spec.vocabulary?.[row[spec.name]]).filter(Boolean);
    return [...categories, longDate(row[this.day.name])].join(" · ");
  }

  fill(index) {
    const row = this.examples[index];
    this.features.forEach((spec) => [row[spec.name]].flat().forEach((value, position) => writeValue(spec, position, value)));
    byId("target-day").value = isoDate(row[this.day.name]);
    byId("last-day").value = isoDate(row[this.day.name] - row[this.lead.name]);
    byId("history-values").value = row[this.history.name].map((value) => plain(value)).join(" ");
    this.belongs = this.typedSeries();
    showNotice("");
  }

  historyOf(row) {
    const names = this.features.filter(isCategory).map((spec) => spec.vocabulary[row[spec.name]] ?? String(row[spec.name]));
    const values = row[this.history.name].map((value) => plain(value)).join(" ");
    return { names, lastDay: isoDate(row[this.day.name] - row[this.lead.name]), values };
  }

  // The series and the last day that the form names now.
  typedSeries() {
    const names = this.features.filter(isCategory).map((spec) => {
      const value = readValue(spec, 0);
      return typeof value === "number" ? (spec.vocabulary[value] ?? "") : String(value ?? "");
    });
    return { names, lastDay: byId("last-day").value };
  }

  // Another series, or another last day, has another history: its own where it is known, else none.
  followSeries() {
    const [before, now] = [this.belongs, this.typedSeries()];
    const isSameSeries = isEqual(before.names, now.names);
    if (isSameSeries && (now.lastDay === before.lastDay || !now.lastDay)) return;
    this.remember(before);
    const known = this.histories.filter(({ names, lastDay }) => isEqual(names, now.names) && (!isSameSeries || lastDay === now.lastDay));
    const newest = known.toSorted((a, b) => b.lastDay.localeCompare(a.lastDay))[0];
    byId("history-values").value = newest?.values ?? "";
    if (newest) this.adopt(newest);
    this.belongs = this.typedSeries();
    const series = now.names.join(" · ") || "this series";
    const until = parseDay(newest?.lastDay ?? now.lastDay);
    showNotice(newest
      ? `History of ${series} up to ${longDate(until)}, the newest that is known here.`
      : `No history of ${series}${isSameSeries ? ` up to ${longDate(until)}` : ""} is known here: enter its last ${this.history.shape[0]} days.`);
  }

  // What was typed for a series is kept for when it is chosen again.
  remember({ names, lastDay }) {
    const values = byId("history-values").value;
    if (!values.trim() || !lastDay) return;
    this.histories = this.histories.filter((known) => !(isEqual(known.names, names) && known.lastDay === lastDay));
    this.histories.push({ names, lastDay, values });
  }

  adopt({ lastDay }) {
    byId("last-day").value = lastDay;
    const lead = parseDay(byId("target-day").value) - parseDay(lastDay);
    const { minimum, maximum } = this.lead;
    if (!(lead >= minimum && lead <= maximum)) byId("target-day").value = isoDate(parseDay(lastDay) + minimum);
  }

  // The form as one row of inputs by name; raises an Error for what is missing or wrong.
  readRow() {
    // First: whatever else is missing, the days to choose follow the last observed one.
    this.linkDays();
    const features = Object.fromEntries(this.features.map((spec) => [spec.name, readFeature(spec)]));
    const missing = this.features.find((spec) => [features[spec.name]].flat().some((value) => value === "" || Number.isNaN(value)));
    if (missing && !missing.nullable) throw new FieldError(`${missing.name} is required.`, this.fieldOf(missing));
    const texts = byId("history-values").value.split(/[\s,;]+/).filter(Boolean);
    const count = this.history.shape[0];
    const history = byId("history-values");
    if (texts.length !== count) throw new FieldError(`${this.history.name}: expected ${count} numbers, one per day; found ${texts.length}.`, history);
    const invalid = texts.find((text) => !isNumber(Number(text)));
    if (invalid) throw new FieldError(`${this.history.name}: “${invalid}” is not a number.`, history);
    const [lastDay, day] = [byId("last-day"), byId("target-day")].map((field) => parseDay(field.value));
    if (!isNumber(lastDay)) throw new FieldError("The last observed day is required.", byId("last-day"));
    if (!isNumber(day)) throw new FieldError("The forecast day is required.", byId("target-day"));
    this.checkDays(lastDay, day);
    return { ...features, [this.history.name]: texts.map(Number), [this.day.name]: day, [this.lead.name]: day - lastDay };
  }

  // One request carries the form's row, the whole horizon and all occlusions, in this order, so that
  // one version answers all that is shown. It only explores: what was asked is the row by itself.
  async predict() {
    const number = (this.requestNumber += 1);
    try {
      const row = this.readRow();
      const horizon = this.horizonOf(row);
      const entries = occlusions(this, row);
      const rows = [row, ...horizon, ...entries.flatMap((entry) => entry.rows)];
      const [{ requestId }, { response, milliseconds }] = await Promise.all([
        infer(this.model.name, this.body([row])),
        infer(this.model.name, this.body(rows), { explores: true }),
      ]);
      if (number !== this.requestNumber) return;
      clearFieldErrors(byId("forecast-form"), "forecast-error");
      this.showResponse({ row, horizon, entries, response, milliseconds });
      this.truth.ask(requestId);
    } catch (error) {
      if (number !== this.requestNumber) return;
      this.clear();
      this.showError(error);
    }
  }

  // At the field that it is about, in the words that the form has for it.
  showError(error) {
    clearFieldErrors(byId("forecast-form"), "forecast-error");
    const of = inputError(error.message, this.model.inputs);
    const field = error.field ?? (of && this.fieldOf(of.spec));
    setText("forecast-error", of ? `${titleOf(field) || of.spec.name}: ${of.text}.` : error.message);
    if (field) markField(field, "forecast-error");
  }

  // The lead is computed from both days, and the later one is chosen freely.
  fieldOf(spec) {
    if (spec === this.history) return byId("history-values");
    return [this.day, this.lead].includes(spec) ? byId("target-day") : byId(`field-${spec.name}-0`);
  }

  // What serving would refuse, said before anything is sent, with the days that are possible.
  checkDays(lastDay, day) {
    if (!this.allowsDay(day)) {
      throw new FieldError(`Forecast day: expected a day from ${isoDate(this.day.minimum)} to ${isoDate(this.day.maximum)}; ${isoDate(day)} is too far from the training data.`, byId("target-day"));
    }
    const { minimum: from, maximum: to } = this.lead;
    if (isNumber(from) && isNumber(to) && (day < lastDay + from || day > lastDay + to)) {
      throw new FieldError(`Forecast day: choose ${longDate(lastDay + from)} to ${longDate(lastDay + to)}, ${from} to ${to} days after the last observed day, which has the history.`, byId("target-day"));
    }
  }

  // The days that can be chosen follow the last observed one.
  linkDays() {
    const lastDay = parseDay(byId("last-day").value);
    const { minimum: from, maximum: to } = this.lead;
    const bound = (step, own, pick) => (isNumber(lastDay) && isNumber(step) ? pick(lastDay + step, isNumber(own) ? own : lastDay + step) : own);
    const [first, last] = [bound(from, this.day.minimum, Math.max), bound(to, this.day.maximum, Math.min)];
    const field = byId("target-day");
    [field.min, field.max] = [first, last].map((day) => (isNumber(day) ? isoDate(day) : ""));
  }

  // The row for every day that this history can forecast, within the days that the model knows.
  horizonOf(row) {
    const lastDay = row[this.day.name] - row[this.lead.name];
    const { minimum: from, maximum: to } = this.lead;
    return Array.from({ length: to - from + 1 }, (_, step) => ({ ...row, [this.lead.name]: from + step, [this.day.name]: lastDay + from + step }))
      .filter((candidate) => this.allowsDay(candidate[this.day.name]));
  }

  allowsDay(day) {
    const { minimum, maximum } = this.day;
    return !(isNumber(minimum) && day < minimum) && !(isNumber(maximum) && day > maximum);
  }

  body(rows) {
    const value = (spec, row) => (spec === this.day && spec.date ? isoDate(row[spec.name]) || "no date" : row[spec.name]);
    return {
      inputs: this.model.inputs.map((spec) => tensor(spec, rows.length, rows.flatMap((row) => value(spec, row)))),
      outputs: [{ name: this.output }],
    };
  }

  showResponse({ row, horizon, entries, response, milliseconds }) {
    const { quantiles: levels, middle } = this.model.forecast;
    const { data } = response.outputs[0];
    const predictions = Array.from({ length: data.length / levels.length }, (_, index) => data.slice(index * levels.length, (index + 1) * levels.length));
    const [quantiles, ...rest] = predictions;
    const days = horizon.map((candidate, index) => ({ day: candidate[this.day.name], values: rest[index] }));
    const coverage = `${plain((levels.at(-1) - levels[0]) * 100)} %`;
    const day = row[this.day.name];
    setText("forecast-error", "");
    setText("forecast-value", figure(quantiles[middle]));
    setText("forecast-interval", `${coverage} interval: ${figure(quantiles[0])} – ${figure(quantiles.at(-1))}`);
    setText("forecast-day", longDate(day));
    setText("forecast-version", `Version ${response.model_version}, ${milliseconds} ms`);
    this.showVocabulary(outOfVocabulary(response));
    showUnlike(unlikeTraining(response));
    this.chart.show({ history: row[this.history.name], lastDay: day - row[this.lead.name], day, quantiles, days, middle, coverage });
    showAttribution(entries, quantiles[middle], rest.slice(horizon.length).map((values) => values[middle]));
    byId("forecast-result").hidden = false;
  }

  // Only the first row of the request is the user's.
  showVocabulary(entries) {
    const notices = entries.filter(({ row }) => row === 0).map((entry) => {
      const { otherwise } = this.features.find((spec) => spec.name === entry.tensor);
      return `${entry.tensor} “${entry.value}” is not in the vocabulary; predicted as “${otherwise}”.`;
    });
    byId("forecast-vocabulary").hidden = !notices.length;
    setText("forecast-vocabulary", notices.join(" "));
  }

  clear() {
    this.truth.clear();
    byId("forecast-result").hidden = byId("attribution").hidden = true;
    this.showVocabulary([]);
    showUnlike("");
    this.chart.clear();
  }
}

function titleOf(field) {
  if (field?.id === "history-values") return "";
  return field?.labels?.[0]?.textContent ?? "";
}

const isCategory = ({ vocabulary, shape }) => Boolean(vocabulary?.length) && sizeOf(shape) === 1;
const isEqual = (some, others) => some.length === others.length && some.every((each, index) => each.trim().toLowerCase() === others[index].trim().toLowerCase());

function showNotice(text) {
  byId("history-notice").hidden = !text;
  setText("history-notice", text);
}

function showUnlike(text) {
  byId("forecast-unlike").hidden = !text;
  setText("forecast-unlike", text);
}

function readFeature(spec) {
  const values = Array.from({ length: sizeOf(spec.shape) }, (_, index) => readValue(spec, index));
  return spec.shape.length ? values : values[0];
}

// Tensors as a list of rows by input name.
function rowsOf(specs, tensors) {
  const rows = Array.from({ length: tensors[0]?.shape[0] ?? 0 }, () => ({}));
  for (const { name, data, shape } of tensors) {
    const spec = specs.find((candidate) => candidate.name === name);
    const width = data.length / shape[0];
    rows.forEach((row, index) => {
      const values = data.slice(index * width, (index + 1) * width);
      row[name] = spec.shape.length ? values : values[0];
    });
  }
  return rows;
}
