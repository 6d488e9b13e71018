// What is told around the answers: which model, which version, since when, by whom and why.

import { ago, byId, element, isNumber, numbers, share, tell, when, who } from "./dom.js";
import { figure, named, quality } from "./versions.js";

export function showModels(models, chosen, choose) {
  const names = models.map((model) => model.name);
  const nav = byId("models");
  if (nav.dataset.names !== String(names)) {
    nav.dataset.names = String(names);
    nav.replaceChildren(
      ...names.map((name) => {
        const button = element("button", "", name);
        button.type = "button";
        button.addEventListener("click", () => choose(name));
        return button;
      }),
    );
  }
  for (const button of nav.children) {
    button.setAttribute("aria-pressed", String(button.textContent === chosen?.name));
  }
}

export function showHealth(model) {
  if (!model) lamp("down", "no model is served yet");
  else if (!model.version) lamp("down", model.ready ? "loading" : "no verified version yet");
  else if (model.sync_error) lamp("trouble", "answering; the store is out of reach");
  else if (!model.ready) lamp("trouble", "answering; a version is loading");
  else lamp("ready", "answering");
}

export function showDown() {
  lamp("down", "serving cannot be reached");
}

// A server that asks for keys shows nothing without one, not even which models there are.
export function showDoor(message) {
  lamp("down", "a key is needed");
  for (const card of document.querySelectorAll("main > .card")) card.hidden = true;
  byId("door").hidden = false;
  tell("door-error", message);
}

export function showNothing(model) {
  const answers = Boolean(model?.version);
  byId("nothing").hidden = answers;
  if (answers) return;
  tell("nothing-text", reasonForNothing(model));
}

function reasonForNothing(model) {
  if (!model) return "No model has a champion in the store. Train and promote one: overnight retrain digits";
  if (model.load_error) return `${model.name} cannot be loaded here: ${model.load_error}`;
  if (model.sync_error) return `The store is out of reach, and this host remembers no version of ${model.name}: ${model.sync_error}`;
  return `${model.name} has no champion yet. Train and promote one: overnight retrain ${model.name}`;
}

function lamp(state, text) {
  byId("health").dataset.state = state;
  tell("health-text", text);
}

// `version` is what is remembered of the one that answers, if anything.
export function showVersion(model, version) {
  showRefusals(model.refused);
  byId("trouble-row").hidden = !model.sync_error;
  tell("trouble", model.sync_error ?? "");
  tell("version", model.version ?? "none yet");
  if (!model.version) return;
  byId("trained").replaceChildren(when(model.trained_at));
  tell("rows", `${numbers.format(model.trained_on_rows)} ${model.name === "digits" ? "digits" : "rows"}`);
  const measured = model.accuracy === null && version ? quality(version) : null;
  tell("measure", measured ? named(measured.metric) : "accuracy");
  tell("accuracy", measured ? told(measured) : accuracy(model));
  const { alias } = model;
  tell("action", alias?.action === "rolled back" ? "Rolled back" : "Promoted");
  byId("promoted").replaceChildren(...(alias ? [`by ${who(alias)}, `, when(alias.at)] : ["not promoted: a rehearsal"]));
  tell("reason", alias?.reason || "–");
}

function told(measured) {
  const { value, low, high, n } = measured;
  const interval = isNumber(low) && isNumber(high) ? ` (95 %: ${figure(measured, low)} – ${figure(measured, high)})` : "";
  return `${figure(measured, value)}${interval} on ${numbers.format(n)} held out`;
}

function accuracy({ accuracy, accuracy_low: low, accuracy_high: high, holdout_rows: rows }) {
  if (accuracy === null) return "not measured";
  const interval = low === null || high === null ? "" : ` (95 %: ${share(low)} – ${share(high)})`;
  return `${share(accuracy)}${interval} on ${numbers.format(rows)} held out`;
}

function showRefusals(refused) {
  const details = byId("refusals");
  details.hidden = !refused.length;
  const told = JSON.stringify(refused);
  if (details.dataset.told === told) return;
  details.dataset.told = told;
  details.querySelector("summary").textContent = `${refused.length} refused here`;
  details.querySelector("ul").replaceChildren(
    ...refused.map((one) => element("li", "", `${one.version}, ${ago(one.at)}: ${one.reason}`)),
  );
}
