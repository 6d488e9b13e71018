// A forecast asked for by hand: what is known until a day, the days that follow, and why.

import { Course } from "./course.js";
import { dayOf, inFull, iso } from "./days.js";
import { byId, isNumber, plain, tell } from "./dom.js";
import { group, read, tensor, write } from "./inputs.js";
import { questions, showResting } from "./resting.js";
import { ask } from "./server.js";

const PATIENCE_MS = 250;

export class Forecast {
  constructor() {
    this.course = new Course(byId("course"), (told) => tell("course-told", told));
    this.turn = 0;
    byId("forecast-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.ask();
    });
    byId("forecast-form").addEventListener("input", () => {
      clearTimeout(this.waiting);
      this.waiting = setTimeout(() => this.ask(), PATIENCE_MS);
    });
    byId("forecast-example").addEventListener("change", () => {
      this.fill(Number(byId("forecast-example").value));
      this.ask();
    });
  }

  // What somebody has typed outlives a new version that takes the same.
  async show(model) {
    const told = JSON.stringify([model.name, model.inputs, model.outputs, model.forecast]);
    this.model = model;
    if (this.told !== told) {
      this.told = told;
      this.prepare(model);
      await this.begin(model);
    }
    if (model === this.model) await this.ask();
  }

  prepare({ inputs, outputs, forecast }) {
    const named = (name) => inputs.find((spec) => spec.name === name);
    this.history = named(forecast.history);
    this.lead = named(forecast.lead);
    this.day = named(forecast.day);
    this.others = inputs.filter((spec) => ![this.history, this.lead, this.day].includes(spec));
    this.days = this.history.shape[0];
    this.answered = outputs[0].name;
    byId("forecast-fields").replaceChildren(...this.others.map(group));
    tell("known-label", `${this.history.name}: ${this.days} days until then, oldest first`);
    tell("known-help", this.history.description);
    for (const [end, bound] of [["min", this.day.minimum], ["max", this.day.maximum]]) byId("asked-day")[end] = isNumber(bound) ? iso(bound) : "";
    tell("asked-help", `${this.lead.minimum} to ${this.lead.maximum} days after the last known one`);
    this.empty();
  }

  async begin(model) {
    this.examples = [];
    try {
      this.examples = rowsOf(model.inputs, (await ask(`/api/models/${model.name}/examples`)).inputs);
    } catch {
      // Without examples the fields are filled by hand.
    }
    const select = byId("forecast-example");
    select.replaceChildren(...this.examples.map((row, place) => new Option(this.title(row), place)));
    byId("forecast-begin").hidden = !this.examples.length;
    if (!this.examples.length) return;
    // One whose words are all known shows the most.
    const known = (row) => this.others.every((spec) => !spec.otherwise || spec.vocabulary[row[spec.name]] !== spec.otherwise);
    const first = Math.max(this.examples.findIndex(known), 0);
    select.value = String(first);
    this.fill(first);
  }

  title(row) {
    const words = this.others.map((spec) => spec.vocabulary?.[row[spec.name]]).filter(Boolean);
    return [...words, inFull(row[this.day.name])].join(" · ");
  }

  fill(place) {
    const row = this.examples[place];
    this.others.forEach((spec) => [row[spec.name]].flat().forEach((value, at) => write(spec, at, value)));
    byId("asked-day").value = iso(row[this.day.name]);
    byId("known-day").value = iso(row[this.day.name] - row[this.lead.name]);
    byId("known-values").value = row[this.history.name].map((value) => plain(value)).join(" ");
  }

  // The question as it stands in the form.
  asked() {
    const texts = byId("known-values").value.split(/[\s,;]+/).filter(Boolean);
    if (texts.length !== this.days) throw new Error(`${this.history.name}: ${this.days} numbers are needed, one a day, and there are ${texts.length}.`);
    const wrong = texts.find((text) => !isNumber(Number(text)));
    if (wrong) throw new Error(`${this.history.name}: “${wrong}” is no number.`);
    const [known, day] = [byId("known-day"), byId("asked-day")].map((field) => dayOf(field.value));
    if (!isNumber(known)) throw new Error("Say until which day the history goes.");
    if (!isNumber(day)) throw new Error("Say which day is asked for.");
    const row = Object.fromEntries(this.others.map((spec) => [spec.name, valueOf(spec)]));
    const missing = this.others.find((spec) => [row[spec.name]].flat().some((value) => value === "" || Number.isNaN(value)));
    if (missing && !missing.nullable) throw new Error(`${missing.name} is missing.`);
    return { ...row, [this.history.name]: texts.map(Number), [this.day.name]: day, [this.lead.name]: day - known };
  }

  async ask() {
    const turn = (this.turn += 1);
    const { model } = this;
    try {
      const row = this.asked();
      const course = this.courseOf(row);
      const why = questions(this, row);
      const rows = [row, ...course, ...why.flatMap((one) => one.rows)];
      const started = performance.now();
      const answer = await ask(`/v2/models/${model.name}/infer`, { method: "POST", body: this.request(rows) });
      if (turn === this.turn) this.answer({ row, course, why, answer, took: performance.now() - started });
    } catch (error) {
      if (turn !== this.turn) return;
      this.empty();
      tell("forecast-error", error.message);
    }
  }

  // Every day that can be asked for with this history, within the days that the model knows.
  courseOf(row) {
    const known = row[this.day.name] - row[this.lead.name];
    const { minimum: from, maximum: to } = this.lead;
    return Array.from({ length: to - from + 1 }, (_, step) => ({ ...row, [this.lead.name]: from + step, [this.day.name]: known + from + step }))
      .filter((one) => this.allows(one[this.day.name]));
  }

  allows(day) {
    const { minimum, maximum } = this.day;
    return !(isNumber(minimum) && day < minimum) && !(isNumber(maximum) && day > maximum);
  }

  request(rows) {
    const { model } = this;
    const value = (spec, row) => (spec === this.day && spec.date ? iso(row[spec.name]) || "no date" : row[spec.name]);
    return {
      inputs: model.inputs.map((spec) => tensor(spec, rows.length, rows.flatMap((row) => value(spec, row)))),
      outputs: [{ name: this.answered }],
    };
  }

  answer({ row, course, why, answer, took }) {
    const { quantiles, middle } = this.model.forecast;
    const width = quantiles.length;
    const { data } = answer.outputs[0];
    const told = Array.from({ length: data.length / width }, (_, place) => data.slice(place * width, (place + 1) * width));
    const [asked, ...rest] = told;
    const days = course.map((one, place) => ({ day: one[this.day.name], values: rest[place] }));
    const share = `${plain((quantiles.at(-1) - quantiles[0]) * 100)} %`;
    const [day, known] = [row[this.day.name], row[this.day.name] - row[this.lead.name]];
    tell("forecast-error", "");
    tell("forecast-value", figure(asked[middle]));
    tell("forecast-interval", `${share} between ${figure(asked[0])} and ${figure(asked.at(-1))}`);
    tell("forecast-day", inFull(day));
    tell("forecast-took", `answered in ${took.toFixed(0)} ms by ${answer.model_version}`);
    showOther(this.others, row, answer.parameters);
    this.course.show({ history: row[this.history.name], known, day, asked, days, middle, share });
    showResting(why, asked[middle], rest.slice(course.length).map((values) => values[middle]));
    byId("forecast-answer").hidden = false;
  }

  empty() {
    byId("forecast-answer").hidden = byId("resting").hidden = true;
    showOther([], {}, null);
    this.course.clear();
  }
}

// Numbers of things, as short as they can be told.
export const figure = (value) => (isNumber(value) ? plain(Math.abs(value) < 100 ? Number(value.toFixed(1)) : Math.round(value)) : "–");

function valueOf(spec) {
  const values = Array.from({ length: spec.shape.reduce((one, two) => one * two, 1) }, (_, place) => read(spec, place));
  return spec.shape.length ? values : values[0];
}

// The answer names every row; only the first one was asked by the person.
function showOther(specs, row, parameters) {
  const told = parameters?.answered_as_other ?? "";
  const strange = specs.filter((spec) => told.split(", ").includes(`${spec.name}[0]`));
  byId("forecast-other").hidden = !strange.length;
  tell("forecast-other", strange.map((spec) => `The model does not know ${spec.name} “${row[spec.name]}” and answers for “${spec.otherwise}”.`).join(" "));
}

// Tensors as rows by name.
function rowsOf(specs, tensors) {
  const rows = Array.from({ length: tensors[0]?.shape[0] ?? 0 }, () => ({}));
  for (const { name, data, shape } of tensors) {
    const spec = specs.find((one) => one.name === name);
    const width = data.length / shape[0];
    rows.forEach((row, place) => {
      const values = data.slice(place * width, (place + 1) * width);
      row[name] = spec.shape.length ? values : values[0];
    });
  }
  return rows;
}

