// Form fields for input tensors: created from their specs, read and written by position.

import { isoDate, today } from "../dates.js";
import { element, isNumber, plain } from "../dom.js";

const INTEGER_RANGES = { UINT8: [0, 255], INT8: [-128, 127], INT32: [-(2 ** 31), 2 ** 31 - 1], INT64: [null, null] };

export const sizeOf = (shape) => shape.reduce((product, side) => product * side, 1);
const fieldId = (spec, index) => `field-${spec.name}-${index}`;
const fieldOf = (spec, index) => document.getElementById(fieldId(spec, index));

// With an `otherwise` entry the model accepts any text, not only its vocabulary.
const isOpen = (spec) => Boolean(spec.otherwise);
const isText = (spec) => spec.date || isOpen(spec);

export function tensorFieldset(spec) {
  const fieldset = element("fieldset");
  const count = sizeOf(spec.shape);
  fieldset.append(element("legend", "", spec.name));
  const hint = hintOf(spec);
  const hintId = `${fieldId(spec, 0)}-help`;
  if (hint) {
    const help = element("p", "quiet", hint);
    help.id = hintId;
    fieldset.append(help);
  }
  const inputs = element("div", "inputs");
  for (let index = 0; index < count; index += 1) {
    const field = createField(spec, index);
    field.setAttribute("aria-label", count > 1 ? `${spec.name}, ${index + 1} of ${count}` : spec.name);
    if (hint) field.setAttribute("aria-describedby", hintId);
    inputs.append(field);
  }
  if (isOpen(spec)) inputs.append(suggestions(spec));
  fieldset.append(inputs);
  return fieldset;
}

function hintOf(spec) {
  const range = spec.vocabulary?.length ? "" : rangeOf(spec);
  const fallback = isOpen(spec) ? `any other value is treated as “${spec.otherwise}”` : "";
  return [isText(spec) && !spec.date ? "" : spec.description, range, fallback, spec.nullable ? "optional" : ""].filter(Boolean).join(" · ");
}

function rangeOf({ minimum, maximum, date }) {
  const format = date ? isoDate : plain;
  if (isNumber(minimum) && isNumber(maximum)) return `${format(minimum)} to ${format(maximum)}`;
  if (isNumber(minimum)) return `at least ${format(minimum)}`;
  return isNumber(maximum) ? `at most ${format(maximum)}` : "";
}

function suggestions(spec) {
  const list = element("datalist");
  list.id = `vocabulary-${spec.name}`;
  list.append(...spec.vocabulary.map((entry) => new Option(entry)));
  return list;
}

function createField(spec, index) {
  const vocabulary = spec.vocabulary ?? [];
  const isChoice = vocabulary.length > 0 && !isOpen(spec);
  const field = element(isChoice ? "select" : "input");
  field.id = fieldId(spec, index);
  // A closed vocabulary is sent as the index of the entry.
  if (isChoice) field.append(...vocabulary.map((entry, number) => new Option(entry, number)));
  else if (isOpen(spec)) setupText(field, spec);
  else if (spec.date) setupDate(field, spec);
  else if (spec.datatype === "BOOL") field.type = "checkbox";
  else setupNumber(field, spec);
  return field;
}

function setupText(field, spec) {
  field.type = "text";
  field.required = true;
  field.autocomplete = "off";
  field.spellcheck = false;
  field.setAttribute("list", `vocabulary-${spec.name}`);
  field.value = spec.vocabulary.find((entry) => entry !== spec.otherwise) ?? spec.otherwise;
}

function setupDate(field, { minimum, maximum }) {
  field.type = "date";
  field.required = true;
  if (isNumber(minimum)) field.min = isoDate(minimum);
  if (isNumber(maximum)) field.max = isoDate(maximum);
  field.value = isoDate(maximum ?? minimum ?? today());
}

function setupNumber(field, spec) {
  const [lowest, highest] = INTEGER_RANGES[spec.datatype] ?? [null, null];
  const minimum = spec.minimum ?? lowest;
  const maximum = spec.maximum ?? highest;
  field.type = "number";
  field.required = !spec.nullable;
  field.step = spec.datatype in INTEGER_RANGES ? "1" : "any";
  if (minimum !== null) field.min = minimum;
  if (maximum !== null) field.max = maximum;
  field.value = String(Math.min(Math.max(0, minimum ?? 0), maximum ?? Infinity));
}

// The value of a field as it is sent; a default where the tensor has too many values for fields.
export function readValue(spec, index) {
  const field = fieldOf(spec, index);
  if (!field && isText(spec)) return spec.date ? isoDate(spec.minimum ?? 0) : spec.otherwise;
  if (!field) return spec.datatype === "BOOL" ? false : (spec.minimum ?? 0);
  if (field.type === "checkbox") return field.checked;
  if (isText(spec)) return field.value;
  // An empty number is NaN, which JSON writes as null: a missing value.
  return field.type === "number" ? field.valueAsNumber : Number(field.value);
}

export function writeValue(spec, index, value) {
  const field = fieldOf(spec, index);
  if (field.type === "checkbox") field.checked = Boolean(value);
  else if (spec.date) field.value = isoDate(value);
  else field.value = isOpen(spec) ? spec.vocabulary[value] : String(value);
}

// A request tensor of `rows` rows, with its values flat and row-major.
export function tensor(spec, rows, data) {
  return { name: spec.name, datatype: isText(spec) ? "BYTES" : spec.datatype, shape: [rows, ...spec.shape], data };
}

// The values of a request that the model does not know: [{ tensor, row, value }].
export const outOfVocabulary = ({ parameters }) => JSON.parse(parameters?.out_of_vocabulary ?? "[]");
