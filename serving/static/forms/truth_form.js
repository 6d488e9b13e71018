// "It was a …": sends what was true of the answer above to this server, by the id of its request.

import { modelUrl, request } from "../api_client.js";
import { element, isNumber } from "../dom.js";
import { sizeOf } from "./tensor_inputs.js";

export class TruthForm {
  constructor(form, title) {
    this.form = form;
    this.id = `${form.id}-value`;
    this.label = element("label", "", title);
    this.label.htmlFor = this.id;
    this.button = element("button", "", "Send");
    this.button.type = "submit";
    this.status = element("p", "quiet");
    this.status.setAttribute("role", "status");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
  }

  // Offers the classes of the model's first output, or a field for its number.
  show(model) {
    const signature = JSON.stringify([model.name, model.takes_labels, model.labels, model.outputs[0]]);
    this.model = model;
    if (this.signature === signature) return;
    this.signature = signature;
    this.field = model.takes_labels ? truthField(model) : null;
    this.clear();
    if (!this.field) return;
    this.field.id = this.id;
    this.form.replaceChildren(this.label, this.field, this.button, this.status);
  }

  // From now on about the answer of this request.
  ask(requestId) {
    if (!this.field) return;
    this.requestId = requestId;
    this.sent = null;
    this.field.value = "";
    this.say("");
    this.form.hidden = false;
  }

  clear() {
    this.requestId = null;
    this.form.hidden = true;
  }

  say(text, isWrong = false) {
    this.status.textContent = text;
    this.status.className = isWrong ? "wrong" : "quiet";
  }

  async send() {
    const { requestId, field, sent } = this;
    const truth = field.value.trim();
    if (!truth) {
      field.focus();
      return this.say(field.type === "number" ? "Enter a number." : "Choose what it was.", true);
    }
    if (truth === sent) return this.say(`Sent already: ${truth}.`);
    this.button.disabled = true;
    try {
      const body = { request: requestId, row: 0, truth: field.type === "number" ? Number(truth) : truth, origin: "page" };
      await request(`${modelUrl(this.model.name)}/feedback`, { method: "POST", body });
      // Another answer may be shown by now.
      if (requestId !== this.requestId) return undefined;
      this.sent = truth;
      return this.say(sent ? `Accepted. You sent ${sent} before: of two truths neither counts.` : `Accepted: it was ${truth}. Thank you.`);
    } catch (error) {
      return requestId === this.requestId && this.say(`Not accepted: ${error.message}`, true);
    } finally {
      this.button.disabled = false;
    }
  }
}

function truthField({ labels, outputs, forecast }) {
  const [output] = outputs;
  const classes = output.labels?.length ? output.labels : labels;
  if (classes.length) {
    const select = element("select");
    select.append(new Option("…", ""), ...classes.map((name) => new Option(name, name)));
    return select;
  }
  // Of a vector nobody knows the truth, but of a forecast it is one number.
  if (!forecast && sizeOf(output.shape) !== 1) return null;
  const field = element("input");
  field.type = "number";
  field.step = "any";
  field.autocomplete = "off";
  if (isNumber(output.minimum)) field.min = output.minimum;
  return field;
}
