// Generic prediction form, generated from the tensors that a model declares.
//
// The JSON body is what is sent: the fields write into it, and it can be edited by hand.

import { infer } from "../api_client.js";
import { byId, definitions, element, plain, setText } from "../dom.js";
import { outOfVocabulary, readValue, sizeOf, tensor, tensorFieldset } from "./tensor_inputs.js";

const MAX_FIELDS = 24;
const MAX_VALUES = 48;

export class TensorForm {
  constructor() {
    byId("tensor-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    byId("tensor-form").addEventListener("input", () => this.writeBody());
  }

  show(model) {
    const signature = JSON.stringify([model.name, model.inputs, model.outputs]);
    this.model = model;
    // A new version with the same tensors keeps what the user has typed.
    if (this.signature === signature) return;
    this.signature = signature;
    const hasFields = model.inputs.every((spec) => sizeOf(spec.shape) <= MAX_FIELDS);
    byId("tensor-form").replaceChildren(...(hasFields ? model.inputs.map(tensorFieldset) : []));
    byId("tensor-form").hidden = !hasFields;
    byId("json").open = !hasFields;
    setText("url", `POST /v2/models/${model.name}/infer`);
    byId("tensor-rows").replaceChildren(
      ...model.inputs.map((spec) => specRow("→", spec)),
      ...model.outputs.map((spec) => specRow("←", spec)),
    );
    byId("result").replaceChildren();
    this.writeBody();
  }

  writeBody() {
    const inputs = this.model.inputs.map((spec) => tensor(spec, 1, Array.from({ length: sizeOf(spec.shape) }, (_, index) => readValue(spec, index))));
    byId("request-body").value = JSON.stringify({ inputs }, null, 1);
  }

  async submit() {
    if (!byId("tensor-form").hidden && !byId("json").open && !byId("tensor-form").reportValidity()) return;
    try {
      const { response, milliseconds } = await infer(this.model.name, byId("request-body").value);
      const unknown = outOfVocabulary(response);
      byId("result").replaceChildren(
        ...response.outputs.map((output) => this.output(output)),
        ...(unknown.length ? [element("p", "wrong", unknown.map((entry) => `${entry.tensor} “${entry.value}” (row ${entry.row}) is not in the vocabulary.`).join(" "))] : []),
        element("p", "quiet", `Version ${response.model_version}, ${milliseconds} ms`),
      );
    } catch (error) {
      byId("result").replaceChildren(element("p", "wrong", error.message));
    }
  }

  format(name, value) {
    const spec = this.model.outputs.find((output) => output.name === name);
    return spec?.vocabulary?.[value] ?? (typeof value === "number" ? plain(value) : String(value));
  }

  output({ name, data }) {
    const section = element("section", "answered");
    const labels = this.model.labels.length === data.length ? this.model.labels : null;
    const title = (index) => labels?.[index] ?? (data.length > 1 ? `${name} ${index + 1}` : name);
    const list = element("dl", "figures");
    list.append(...definitions(data.slice(0, MAX_VALUES).map((value, index) => [title(index), this.format(name, value)])));
    if (labels) section.append(element("h3", "", name));
    section.append(list);
    return section;
  }
}

function specRow(arrow, spec) {
  const shape = `[n${spec.shape.map((side) => `, ${side}`).join("")}]`;
  const node = element("tr");
  node.append(...[`${arrow} ${spec.name}`, spec.datatype, shape].map((text) => element("td", "", text)));
  return node;
}
