// A form for models that are not asked by drawing, made from the tensors they declare.
//
// The request as JSON is the one truth: fields write into it, and whoever likes edits it by hand.

import { byId, element, isNumber, plain, tell } from "./dom.js";
import { ask } from "./server.js";

const MOST_FIELDS = 24;
const WHOLE = { UINT8: [0, 255], INT8: [-128, 127], INT32: [-(2 ** 31), 2 ** 31 - 1], INT64: [null, null] };

const sizeOf = (shape) => shape.reduce((product, side) => product * side, 1);

export class Fields {
  constructor() {
    byId("fields").addEventListener("submit", (event) => {
      event.preventDefault();
      this.ask();
    });
    byId("fields").addEventListener("input", () => this.write());
  }

  show(model) {
    const told = JSON.stringify([model.name, model.inputs, model.outputs]);
    this.model = model;
    // What somebody has typed outlives a new version that takes the same.
    if (this.told === told) return;
    this.told = told;
    const easy = model.inputs.every((spec) => sizeOf(spec.shape) <= MOST_FIELDS);
    byId("fields").replaceChildren(...(easy ? model.inputs.map(group) : []));
    byId("fields").hidden = !easy;
    byId("json").open = !easy;
    tell("address", `POST /v2/models/${model.name}/infer`);
    byId("tensor-rows").replaceChildren(
      ...model.inputs.map((spec) => tensorRow("→", spec)),
      ...model.outputs.map((spec) => tensorRow("←", spec)),
    );
    byId("result").replaceChildren();
    this.write();
  }

  write() {
    const inputs = this.model.inputs.map((spec) => ({
      name: spec.name,
      datatype: spec.datatype,
      shape: [1, ...spec.shape],
      data: Array.from({ length: sizeOf(spec.shape) }, (_, place) => read(spec, place)),
    }));
    byId("example").value = JSON.stringify({ inputs }, null, 1);
  }

  async ask() {
    if (!byId("fields").hidden && !byId("json").open && !byId("fields").reportValidity()) return;
    const place = byId("result");
    const started = performance.now();
    try {
      const answer = await ask(`/v2/models/${this.model.name}/infer`, { method: "POST", body: byId("example").value });
      const took = `${(performance.now() - started).toFixed(0)} ms`;
      place.replaceChildren(
        ...answer.outputs.map((output) => this.answer(output)),
        element("p", "quiet", `answered in ${took} by ${answer.model_version}`),
      );
    } catch (error) {
      place.replaceChildren(element("p", "wrong", error.message));
    }
  }

  word(output, value) {
    const spec = this.model.outputs.find((one) => one.name === output);
    return spec?.vocabulary?.[value] ?? (typeof value === "number" ? plain(value) : String(value));
  }

  answer({ name, data }) {
    const group = element("section", "answered");
    const list = element("dl", "figures");
    const labels = this.model.labels.length === data.length ? this.model.labels : null;
    data.slice(0, 48).forEach((value, place) => {
      const pair = element("div");
      const title = labels?.[place] ?? (data.length > 1 ? `${name} ${place + 1}` : name);
      pair.append(element("dt", "", title), element("dd", "", this.word(name, value)));
      list.append(pair);
    });
    if (labels) group.append(element("h3", "", name));
    group.append(list);
    return group;
  }
}

const idOf = (spec, place) => `field-${spec.name}-${place}`;

function group(spec) {
  const set = element("fieldset");
  const count = sizeOf(spec.shape);
  set.append(element("legend", "", spec.name));
  const missing = spec.nullable ? "may be left empty" : "";
  const hint = [spec.description, spec.vocabulary?.length ? "" : range(spec), missing].filter(Boolean).join(" · ");
  if (hint) {
    const help = element("p", "quiet", hint);
    help.id = `${idOf(spec, 0)}-help`;
    set.append(help);
  }
  const inputs = element("div", "inputs");
  for (let place = 0; place < count; place += 1) {
    const field = input(spec, place);
    field.setAttribute("aria-label", count > 1 ? `${spec.name}, ${place + 1} of ${count}` : spec.name);
    if (hint) field.setAttribute("aria-describedby", `${idOf(spec, 0)}-help`);
    inputs.append(field);
  }
  set.append(inputs);
  return set;
}

function range({ minimum, maximum }) {
  if (isNumber(minimum) && isNumber(maximum)) return `${plain(minimum)} to ${plain(maximum)}`;
  if (isNumber(minimum)) return `at least ${plain(minimum)}`;
  return isNumber(maximum) ? `at most ${plain(maximum)}` : "";
}

// Words where the model knows words; what is sent is their number.
function choice(words) {
  const field = element("select");
  field.append(...words.map((word, place) => new Option(word, place)));
  return field;
}

function input(spec, place) {
  const words = spec.vocabulary ?? [];
  const field = words.length ? choice(words) : element("input");
  field.id = idOf(spec, place);
  if (words.length) return field;
  if (spec.datatype === "BOOL") {
    field.type = "checkbox";
    return field;
  }
  const [lowest, highest] = WHOLE[spec.datatype] ?? [null, null];
  const minimum = spec.minimum ?? lowest;
  const maximum = spec.maximum ?? highest;
  field.type = "number";
  field.required = !spec.nullable;
  field.step = spec.datatype in WHOLE ? "1" : "any";
  if (minimum !== null) field.min = minimum;
  if (maximum !== null) field.max = maximum;
  field.value = String(Math.min(Math.max(0, minimum ?? 0), maximum ?? Infinity));
  return field;
}

function read(spec, place) {
  const field = byId(idOf(spec, place));
  if (!field) return spec.datatype === "BOOL" ? false : (spec.minimum ?? 0);
  if (field.type === "checkbox") return field.checked;
  // An empty field is not a number, which JSON tells as null: a missing value.
  return field.type === "number" ? field.valueAsNumber : Number(field.value);
}

function tensorRow(arrow, spec) {
  const made = element("tr");
  made.append(
    element("td", "", `${arrow} ${spec.name}`),
    element("td", "", spec.datatype),
    element("td", "", `[n${spec.shape.map((side) => `, ${side}`).join("")}]`),
  );
  return made;
}
