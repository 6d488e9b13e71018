// Confirmation dialog of an administrative action: asks for a reason and an administrator token.

import { byId, setText } from "../dom.js";
import { SessionValue } from "../session_value.js";

const storedToken = new SessionValue("overnight-token");

const MESSAGES = {
  0: "It is unknown whether anything changed; check before you try again.",
  400: "Nothing was changed.",
  401: "This token is not known here. Nothing was changed.",
  403: "No administrator token is configured here. Nothing was changed.",
  404: "Nothing was changed.",
  409: "Nothing was changed.",
  503: "Nothing is known to have changed; try again in a moment.",
};

export class AdminDialog {
  constructor() {
    this.dialog = byId("admin-dialog");
    byId("admin-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    byId("cancel").addEventListener("click", () => this.dialog.close());
    byId("target").addEventListener("change", () => this.labelButton());
    byId("token-remove").addEventListener("click", () => {
      this.removeToken();
      byId("token").focus();
    });
  }

  // `perform` gets { reason, target, token } and returns what to do once the dialog is closed;
  // `label` turns the chosen target into the text of the button.
  open({ title, text, targets = [], label, perform }) {
    Object.assign(this, { label, perform });
    setText("admin-title", title);
    setText("admin-text", text);
    byId("target-row").hidden = !targets.length;
    byId("target").replaceChildren(...targets.map((target) => new Option(target.text, target.value)));
    byId("reason-input").value = "";
    setText("admin-error", "");
    this.showToken();
    this.labelButton();
    this.dialog.showModal();
  }

  labelButton() {
    setText("confirm", this.label(byId("target").value));
  }

  showToken() {
    const isStored = Boolean(storedToken.get());
    byId("token-row").hidden = isStored;
    byId("token-stored").hidden = !isStored;
    byId("token").value = "";
  }

  removeToken() {
    storedToken.set("");
    this.showToken();
  }

  async submit() {
    const reason = byId("reason-input").value.trim();
    const token = storedToken.get() || byId("token").value.trim();
    if (!reason) return this.showError("A reason is required.", "reason-input");
    if (!token) return this.showError("An administrator token is required.", "token");
    byId("confirm").disabled = true;
    setText("admin-error", "");
    try {
      const afterClose = await this.perform({ reason, target: byId("target").value, token });
      storedToken.set(token);
      this.dialog.close();
      return afterClose();
    } catch (error) {
      if (error.status === 401) this.removeToken();
      const message = [MESSAGES[error.status] ?? "", error.message].filter(Boolean).join(" ");
      return this.showError(message, error.status === 401 ? "token" : "confirm");
    } finally {
      byId("confirm").disabled = false;
    }
  }

  showError(message, fieldId) {
    byId("confirm").disabled = false; // a disabled button cannot take the focus
    setText("admin-error", message);
    byId(fieldId).focus();
  }
}
