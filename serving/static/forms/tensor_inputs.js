// Form fields for input tensors: created from their specs, read and written by position.

import { isoDate, today } from "../dates.js";
import { element, isNumber, plain } from "../dom.js";
import { isPicture, pictureField, pictureOf } from "./picture_field.js";

const INTEGER_RANGES = { UINT8: [0, 255], INT8: [-128, 127], INT32: [-(2 ** 31), 2 ** 31 - 1], INT64: [null, null] };

export const sizeOf = (shape) => shape.reduce((product, side) => product * side, 1);
// More values than this are typed as one list.
const MAX_FIELDS = 24;
const fieldId = (spec, index) => `field-${spec.name}-${index}`;
const fieldOf = (spec, index) => document.getElementById(fieldId(spec, index));

// With an `otherwise` entry the model accepts any text, not only its vocabulary.
const isOpen = (spec) => Boolean(spec.otherwise);
const isFreeText = (spec) => Boolean(spec.text);
const isText = (spec) => spec.date || isOpen(spec) || isFreeText(spec);
const acceptsMissing = (spec) => spec.nullable || Boolean(spec.missing);
const isList = (spec) => Boolean(spec.lengths?.length) || (!isFreeText(spec) && sizeOf(spec.shape) > MAX_FIELDS);
const hasDefault = (spec) => spec.default !== undefined && spec.default !== null;
const defaultText = (spec) => [spec.default].flat().map(String).join(", ");

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
  if (isPicture(spec)) {
    fieldset.append(pictureField(spec));
    return fieldset;
  }
  if (isList(spec)) {
    fieldset.append(listField(spec, hint ? hintId : ""));
    return fieldset;
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
  const list = isList(spec) && !isPicture(spec) ? listHint(spec) : "";
  const optional = hasDefault(spec) ? `optional: ${defaultText(spec)} when empty` : acceptsMissing(spec) ? "optional" : "";
  return [isOpen(spec) ? "" : spec.description, range, fallback, list, optional].filter(Boolean).join(" · ");
}

function listHint({ shape, lengths }) {
  const count = lengths?.length ? `at most ${shape[0]}` : shape[0];
  return shape.length > 1 ? `JSON: ${count} lists of ${shape.slice(1).join(" x ")}` : `${count} values, separated by commas`;
}

function listField(spec, helpId) {
  const field = element("textarea");
  field.id = fieldId(spec, 0);
  field.rows = 3;
  field.spellcheck = false;
  field.autocomplete = "off";
  field.setAttribute("aria-label", spec.name);
  if (helpId) field.setAttribute("aria-describedby", helpId);
  field.value = hasDefault(spec) ? "" : JSON.stringify(filled(spec)).replace(/^\[|\]$/g, spec.shape.length > 1 ? "$&" : "");
  return field;
}

// A row of the least value there is: of a list whose length varies, a short one.
function filled(spec) {
  const [length, ...inner] = spec.shape;
  const value = spec.otherwise || Math.max(0, spec.minimum ?? 0);
  const nested = inner.reduceRight((within, side) => Array(side).fill(within), value);
  return Array(spec.lengths?.length ? Math.min(spec.lengths[0], 4) : length).fill(nested);
}

// Values of a list: JSON where it begins like that, else numbers or texts between commas.
function listOf(text) {
  const trimmed = text.trim();
  if (!trimmed) return [];
  if (trimmed.startsWith("[")) {
    try {
      return JSON.parse(trimmed);
    } catch {
      return [trimmed]; // the server says what is wrong with it
    }
  }
  return trimmed.split(/[,;\s]+/).filter(Boolean).map((part) => (part === "null" ? null : Number.isNaN(Number(part)) ? part : Number(part)));
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
  const field = element(isChoice ? "select" : isFreeText(spec) ? "textarea" : "input");
  field.id = fieldId(spec, index);
  // A closed vocabulary is sent as the index of the entry.
  if (isChoice) field.append(...(mayBeEmpty(spec) ? [new Option("–", "")] : []), ...vocabulary.map((entry, number) => new Option(entry, number)));
  else if (isFreeText(spec)) field.rows = spec.shape.length ? 1 : 3;
  else if (isOpen(spec)) setupText(field, spec);
  else if (spec.date) setupDate(field, spec);
  else if (spec.datatype === "BOOL") field.type = "checkbox";
  else setupNumber(field, spec);
  return field;
}

const mayBeEmpty = (spec) => acceptsMissing(spec) || hasDefault(spec);

function setupText(field, spec) {
  field.type = "text";
  field.required = !mayBeEmpty(spec);
  field.autocomplete = "off";
  field.spellcheck = false;
  field.setAttribute("list", `vocabulary-${spec.name}`);
  field.value = mayBeEmpty(spec) ? "" : (spec.vocabulary.find((entry) => entry !== spec.otherwise) ?? spec.otherwise);
}

function setupDate(field, spec) {
  const { minimum, maximum } = spec;
  field.type = "date";
  field.required = !mayBeEmpty(spec);
  if (isNumber(minimum)) field.min = isoDate(minimum);
  if (isNumber(maximum)) field.max = isoDate(maximum);
  field.value = mayBeEmpty(spec) ? "" : isoDate(maximum ?? minimum ?? today());
}

function setupNumber(field, spec) {
  const [lowest, highest] = INTEGER_RANGES[spec.datatype] ?? [null, null];
  const minimum = spec.minimum ?? lowest;
  const maximum = spec.maximum ?? highest;
  field.type = "number";
  field.required = !mayBeEmpty(spec);
  field.step = spec.datatype in INTEGER_RANGES ? "1" : "any";
  if (minimum !== null) field.min = minimum;
  if (maximum !== null) field.max = maximum;
  field.value = hasDefault(spec) ? "" : String(Math.min(Math.max(0, minimum ?? 0), maximum ?? Infinity));
}

// The value of a field as it is sent; a default where the tensor has too many values for fields.
export function readValue(spec, index) {
  const field = fieldOf(spec, index);
  if (!field && isText(spec)) return spec.date ? isoDate(spec.minimum ?? 0) : spec.otherwise;
  if (!field) return spec.datatype === "BOOL" ? false : (spec.minimum ?? 0);
  if (field.type === "checkbox") return field.checked;
  if (field.value === "" && acceptsMissing(spec)) return null;
  if (isText(spec)) return field.value;
  // An empty number is NaN, which JSON writes as null: a missing value.
  return field.type === "number" ? field.valueAsNumber : Number(field.value);
}

export function writeValue(spec, index, value) {
  const field = fieldOf(spec, index);
  // Categories and dates are published by name or by number.
  const isName = typeof value === "string";
  if (field.type === "checkbox") field.checked = Boolean(value);
  else if (spec.date) field.value = isName ? value : isoDate(value);
  else if (isOpen(spec)) field.value = isName ? value : spec.vocabulary[value];
  else field.value = String(isName && spec.vocabulary?.length ? spec.vocabulary.indexOf(value) : value);
}

// A request tensor of `rows` rows, with its values flat and row-major.
export function tensor(spec, rows, data) {
  return { name: spec.name, datatype: isText(spec) ? "BYTES" : spec.datatype, shape: [rows, ...spec.shape], data };
}

// One row of an input as a request tensor, from its fields; null where it is left to its default.
export function rowTensor(spec) {
  if (isPicture(spec)) {
    return { name: spec.name, datatype: "BYTES", shape: [1], data: [pictureOf(spec) ?? ""] };
  }
  if (isList(spec)) return listTensor(spec);
  const count = sizeOf(spec.shape);
  const fields = Array.from({ length: count }, (_, index) => fieldOf(spec, index));
  if (hasDefault(spec) && fields.every((field) => field.type !== "checkbox" && field.value === "")) return null;
  return tensor(spec, 1, fields.map((_, index) => readValue(spec, index)));
}

function listTensor(spec) {
  const { value } = fieldOf(spec, 0);
  if (hasDefault(spec) && value.trim() === "") return null;
  const row = listOf(value);
  const datatype = row.flat(Infinity).some((each) => typeof each === "string") ? "BYTES" : spec.datatype;
  const shape = spec.lengths?.length ? [1, row.length, ...spec.shape.slice(1)] : [1, ...spec.shape];
  return { name: spec.name, datatype, shape, data: [row] };
}

// Put the first row of a request tensor into the fields, as far as there are any for it.
export function writeRow(spec, { shape, data }) {
  if (isPicture(spec)) return;
  if (isList(spec)) {
    const row = Array.isArray(data[0]) ? data[0] : data.slice(0, data.length / shape[0]);
    fieldOf(spec, 0).value = spec.shape.length > 1 ? JSON.stringify(row) : (row ?? []).join(", ");
    return;
  }
  for (let index = 0; index < sizeOf(spec.shape); index += 1) {
    if (data[index] === null) fieldOf(spec, index).value = "";
    else if (isFreeText(spec)) fieldOf(spec, index).value = data[index];
    else writeValue(spec, index, data[index]);
  }
}

const unknownValues = ({ parameters }) => JSON.parse(parameters?.out_of_vocabulary ?? "[]");
const unlikeReasons = ({ parameters }) => JSON.parse(parameters?.unlike_training ?? "[]").filter(({ row }) => row === 0);

// The values of a request that the model does not know, without those that `unlikeTraining` names: [{ tensor, row, value }].
export function outOfVocabulary(response) {
  const named = unlikeReasons(response).map(({ input }) => input);
  return unknownValues(response).filter(({ tensor, row }) => row !== 0 || !named.includes(tensor));
}

// Why the first row of a request is unlike what the version learned from; empty where it is not.
export function unlikeTraining(response) {
  const values = new Map(unknownValues(response).filter(({ row }) => row === 0).map(({ tensor, value }) => [tensor, ` “${value}”`]));
  const texts = unlikeReasons(response).map(({ input, why }) => (input ? `${input}${values.get(input) ?? ""} is ${why}` : why));
  return texts.length ? `Unlike what it learned from: ${texts.join("; ")}.` : "";
}
