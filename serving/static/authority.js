// What changes what answers: asked for once more, with a reason and an administrator's token.

import { byId, tell } from "./dom.js";
import { Kept } from "./kept.js";

const token = new Kept("overnight-token");

const PLAIN = {
  0: "It is not known whether anything changed; look before you try again.",
  401: "The token was not accepted. Nothing was changed.",
  403: "Nobody may administer here. Nothing was changed.",
  409: "Things have moved. Nothing was changed.",
  503: "Nothing is known to have changed; try again in a moment.",
};

export class Authority {
  constructor() {
    this.dialog = byId("authority");
    byId("authority-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.act();
    });
    byId("cancel").addEventListener("click", () => this.dialog.close());
    byId("target").addEventListener("change", () => this.name());
    byId("token-forget").addEventListener("click", () => {
      this.forget();
      byId("token").focus();
    });
  }

  // `perform` is given { reason, target, token } and answers what to say when it is done.
  open({ title, told, targets = [], action, perform }) {
    this.action = action;
    this.perform = perform;
    tell("authority-title", title);
    tell("authority-told", told);
    byId("target-row").hidden = !targets.length;
    byId("target").replaceChildren(...targets.map(({ value, text }) => new Option(text, value)));
    byId("why").value = "";
    tell("authority-error", "");
    this.showToken();
    this.name();
    this.dialog.showModal();
  }

  name() {
    tell("confirm", this.action(byId("target").value));
  }

  showToken() {
    const known = Boolean(token.read());
    byId("token-row").hidden = known;
    byId("token-known").hidden = !known;
    byId("token").value = "";
  }

  forget() {
    token.keep("");
    this.showToken();
  }

  async act() {
    const reason = byId("why").value.trim();
    const given = token.read() || byId("token").value.trim();
    if (!reason) return this.refuse("Give a reason: whoever looks back will want to know.", "why");
    if (!given) return this.refuse("Give an administrator’s token.", "token");
    byId("confirm").disabled = true;
    tell("authority-error", "");
    try {
      const done = await this.perform({ reason, target: byId("target").value, token: given });
      token.keep(given);
      this.dialog.close();
      return done();
    } catch (error) {
      if (error.status === 401) this.forget();
      const said = [PLAIN[error.status] ?? "", error.message].filter(Boolean).join(" ");
      return this.refuse(said, error.status === 401 ? "token" : "confirm");
    } finally {
      byId("confirm").disabled = false;
    }
  }

  refuse(message, place) {
    byId("confirm").disabled = false;
    tell("authority-error", message);
    byId(place).focus();
  }
}
