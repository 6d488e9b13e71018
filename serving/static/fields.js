// A form for models that are not asked by drawing, made from the tensors they declare.
//
// The request as JSON is the one truth: fields write into it, and whoever likes edits it by hand.

import { byId, element, plain, tell } from "./dom.js";
import { group, read, sizeOf, tensor } from "./inputs.js";
import { ask } from "./server.js";

const MOST_FIELDS = 24;

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
    const inputs = this.model.inputs.map((spec) => {
      const data = Array.from({ length: sizeOf(spec.shape) }, (_, place) => read(spec, place));
      return tensor(spec, 1, data);
    });
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
        ...asOther(answer),
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

function asOther({ parameters }) {
  const told = parameters?.answered_as_other;
  return told ? [element("p", "wrong", `Not known to the model, and answered as another: ${told}`)] : [];
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
