// Form fields for the tensors that a model declares, and what was written into them.

import { iso } from "./days.js";
import { element, isNumber, plain } from "./dom.js";

const WHOLE = { UINT8: [0, 255], INT8: [-128, 127], INT32: [-(2 ** 31), 2 ** 31 - 1], INT64: [null, null] };

export const sizeOf = (shape) => shape.reduce((product, side) => product * side, 1);
export const idOf = (spec, place) => `field-${spec.name}-${place}`;

// Words that nobody has listed are worth sending where the model has one for all of them.
const isOpen = (spec) => Boolean(spec.otherwise);
const isText = (spec) => spec.date || isOpen(spec);

export function group(spec) {
  const set = element("fieldset");
  const count = sizeOf(spec.shape);
  set.append(element("legend", "", spec.name));
  const hint = hintOf(spec);
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
  if (isOpen(spec)) inputs.append(suggestions(spec));
  set.append(inputs);
  return set;
}

function hintOf(spec) {
  const range = spec.vocabulary?.length ? "" : rangeOf(spec);
  const others = isOpen(spec) ? `any other is answered as “${spec.otherwise}”` : "";
  const missing = spec.nullable ? "may be left empty" : "";
  return [isText(spec) && !spec.date ? "" : spec.description, range, others, missing].filter(Boolean).join(" · ");
}

function rangeOf({ minimum, maximum, date }) {
  const told = date ? iso : plain;
  if (isNumber(minimum) && isNumber(maximum)) return `${told(minimum)} to ${told(maximum)}`;
  if (isNumber(minimum)) return `at least ${told(minimum)}`;
  return isNumber(maximum) ? `at most ${told(maximum)}` : "";
}

function suggestions(spec) {
  const list = element("datalist");
  list.id = `words-${spec.name}`;
  list.append(...spec.vocabulary.map((word) => new Option(word)));
  return list;
}

function input(spec, place) {
  const words = spec.vocabulary ?? [];
  const isChoice = words.length > 0 && !isOpen(spec);
  const field = element(isChoice ? "select" : "input");
  field.id = idOf(spec, place);
  // What is sent for a choice is the number of its word.
  if (isChoice) field.append(...words.map((word, number) => new Option(word, number)));
  else if (isOpen(spec)) open(field, spec);
  else if (spec.date) dated(field, spec);
  else if (spec.datatype === "BOOL") field.type = "checkbox";
  else numeric(field, spec);
  return field;
}

function open(field, spec) {
  field.type = "text";
  field.required = true;
  field.autocomplete = "off";
  field.spellcheck = false;
  field.setAttribute("list", `words-${spec.name}`);
  field.value = spec.vocabulary.find((word) => word !== spec.otherwise) ?? spec.otherwise;
}

function dated(field, { minimum, maximum }) {
  field.type = "date";
  field.required = true;
  if (isNumber(minimum)) field.min = iso(minimum);
  if (isNumber(maximum)) field.max = iso(maximum);
  field.value = iso(maximum ?? minimum ?? Math.floor(Date.now() / 86_400_000));
}

function numeric(field, spec) {
  const [lowest, highest] = WHOLE[spec.datatype] ?? [null, null];
  const minimum = spec.minimum ?? lowest;
  const maximum = spec.maximum ?? highest;
  field.type = "number";
  field.required = !spec.nullable;
  field.step = spec.datatype in WHOLE ? "1" : "any";
  if (minimum !== null) field.min = minimum;
  if (maximum !== null) field.max = maximum;
  field.value = String(Math.min(Math.max(0, minimum ?? 0), maximum ?? Infinity));
}

// What stands in a field, as it is sent.
export function read(spec, place) {
  const field = document.getElementById(idOf(spec, place));
  if (!field && isText(spec)) return spec.date ? iso(spec.minimum ?? 0) : spec.otherwise;
  if (!field) return spec.datatype === "BOOL" ? false : (spec.minimum ?? 0);
  if (field.type === "checkbox") return field.checked;
  if (isText(spec)) return field.value;
  // An empty field is not a number, which JSON tells as null: a missing value.
  return field.type === "number" ? field.valueAsNumber : Number(field.value);
}

// A value as the field shows it.
export function write(spec, place, value) {
  const field = document.getElementById(idOf(spec, place));
  if (field.type === "checkbox") field.checked = Boolean(value);
  else if (spec.date) field.value = iso(value);
  else field.value = isOpen(spec) ? spec.vocabulary[value] : String(value);
}

// A tensor of a request, of the values of all its rows one after the other.
export function tensor(spec, rows, data) {
  return { name: spec.name, datatype: isText(spec) ? "BYTES" : spec.datatype, shape: [rows, ...spec.shape], data };
}
