// Generic prediction form, generated from the tensors that a model declares.
//
// The JSON body is what is sent: the fields write into it, and it can be edited by hand.

import { infer, modelUrl, request } from "../api_client.js";
import { byId, definitions, element, plain, setText, share } from "../dom.js";
import { clearFieldErrors, inputError, markField } from "./field_errors.js";
import { outOfVocabulary, rowTensor, tensorFieldset, unlikeTraining, writeRow } from "./tensor_inputs.js";
import { TruthForm } from "./truth_form.js";

const MAX_VALUES = 48;
// Of a longer vector, such as an embedding, only the beginning says anything to people.
const FIRST_VALUES = 8;

export class TensorForm {
  constructor() {
    this.truth = new TruthForm(byId("tensors-truth"), "It was");
    byId("tensor-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    byId("tensor-form").addEventListener("input", () => {
      byId("tensor-form").dataset.edited = "";
      this.writeBody();
    });
  }

  show(model) {
    const signature = JSON.stringify([model.name, model.inputs, model.outputs]);
    this.model = model;
    // A new version with the same tensors keeps what the user has typed.
    if (this.signature === signature) return;
    this.signature = signature;
    delete byId("tensor-form").dataset.edited;
    byId("tensor-form").replaceChildren(...model.inputs.map(tensorFieldset));
    byId("json").open = false;
    setText("url", `POST /v2/models/${model.name}/infer`);
    byId("tensor-rows").replaceChildren(
      ...model.inputs.map((spec) => specRow("→", spec)),
      ...model.outputs.map((spec) => specRow("←", spec)),
    );
    byId("result").replaceChildren();
    this.truth.show(model);
    this.writeBody();
    this.fillExample(model);
  }

  // A row that the version predicted in training says more than zeros; without one these stay.
  async fillExample(model) {
    const { inputs } = await request(`${modelUrl(model.name)}/examples`).catch(() => ({ inputs: [] }));
    if (model !== this.model || "edited" in byId("tensor-form").dataset) return;
    for (const example of inputs) {
      const spec = model.inputs.find(({ name }) => name === example.name);
      if (spec && example.data.length) writeRow(spec, example);
    }
    this.writeBody();
  }

  writeBody() {
    const inputs = this.model.inputs.map(rowTensor).filter(Boolean);
    // Named, so that a copy of the request shows how to leave some out.
    const outputs = this.model.outputs.length > 1 ? { outputs: this.model.outputs.map(({ name }) => ({ name })) } : {};
    byId("request-body").value = JSON.stringify({ inputs, ...outputs }, null, 1);
  }

  async submit() {
    if (!byId("json").open && !byId("tensor-form").reportValidity()) return;
    clearFieldErrors(byId("tensor-form"), "tensor-error");
    try {
      const { response, requestId, milliseconds } = await infer(this.model.name, byId("request-body").value);
      const unknown = outOfVocabulary(response);
      const unlike = unlikeTraining(response);
      byId("result").replaceChildren(
        ...response.outputs.map((output) => this.output(output)),
        ...(unknown.length ? [element("p", "wrong", unknown.map((entry) => `${entry.tensor} “${entry.value}” (row ${entry.row}) is not in the vocabulary.`).join(" "))] : []),
        ...(unlike ? [element("p", "notice", unlike)] : []),
        element("p", "quiet", `Version ${response.model_version}, ${milliseconds} ms`),
      );
      this.truth.ask(requestId);
    } catch (error) {
      this.showError(error);
      this.truth.clear();
    }
  }

  // At the fields of the input that it is about, by its name; who wrote JSON needs the place in it.
  showError({ message }) {
    const of = byId("json").open ? null : inputError(message, this.sent());
    const text = element("p", "wrong", of ? `${of.spec.name}: ${of.text}.` : message);
    text.id = "tensor-error";
    byId("result").replaceChildren(text);
    for (const field of document.querySelectorAll(of ? `[id^="field-${CSS.escape(of.spec.name)}-"]` : "#none")) {
      if (field.matches("input, select, textarea")) markField(field, "tensor-error");
    }
  }

  // The inputs in the order of the request, which leaves out those that have their default.
  sent() {
    return this.model.inputs.filter(rowTensor);
  }

  format(name, value) {
    const spec = this.model.outputs.find((output) => output.name === name);
    return spec?.vocabulary?.[value] ?? (typeof value === "number" ? plain(value) : String(value));
  }

  output({ name, data }) {
    const section = element("section", "answered");
    const labels = this.labelsOf(name, data.length);
    const isSeveral = this.model.outputs.length > 1;
    if (labels || isSeveral) section.append(element("h3", "", name));
    if (labels) section.append(likeliest(labels, data));
    else if (data.length > MAX_VALUES) section.append(vector(data));
    else section.append(this.values(name, data));
    return section;
  }

  // The names of the classes of an output that has a number for each.
  labelsOf(name, count) {
    const spec = this.model.outputs.find((output) => output.name === name);
    const own = spec?.labels?.length ? spec.labels : spec === this.model.outputs[0] ? this.model.labels : [];
    return own.length === count ? own : null;
  }

  values(name, data) {
    const list = element("dl", "figures");
    const title = (index) => (data.length > 1 ? `${name} ${index + 1}` : name);
    list.append(...definitions(data.map((value, index) => [title(index), this.format(name, value)])));
    return list;
  }
}

// The classes, the likeliest first; shares where the numbers are such.
function likeliest(labels, data) {
  const isShare = data.every((value) => value >= 0 && value <= 1);
  const order = data.map((_, index) => index).sort((a, b) => data[b] - data[a]);
  const list = element("dl", "figures");
  list.append(...definitions(order.slice(0, MAX_VALUES).map((index) => [labels[index], isShare ? share(data[index], 1) : plain(data[index])])));
  return list;
}

function vector(data) {
  const first = data.slice(0, FIRST_VALUES).map(plain).join(", ");
  return element("p", "mono vector", `[${first}, … ${data.length - FIRST_VALUES} more]`);
}

function specRow(arrow, spec) {
  const side = (length, axis) => (axis === 0 && spec.lengths?.length ? `up to ${length}` : length);
  const shape = `[n${spec.shape.map((length, axis) => `, ${side(length, axis)}`).join("")}]`;
  const node = element("tr");
  node.append(...[`${arrow} ${spec.name}`, spec.datatype, shape].map((text) => element("td", "", text)));
  return node;
}
