// Header and summary: models, health, and the champion with its training and promotion.

import { actor, ago, byId, element, numbers, setText, timeElement } from "../dom.js";
import { headline, metricName, onHoldout } from "../metric_format.js";

export function showModels(models, selected) {
  const names = models.map((model) => model.name);
  const nav = byId("models");
  // Recreated only on a change, or the focus would be lost with every poll.
  if (nav.dataset.names !== String(names)) {
    nav.dataset.names = String(names);
    nav.replaceChildren(
      ...names.map((name) => {
        const link = element("a", "", name);
        link.href = `#${name}`;
        return link;
      }),
    );
  }
  for (const link of nav.children) {
    if (link.textContent === selected?.name) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

function setHealth(state, text) {
  byId("health").dataset.state = state;
  setText("health-text", text);
}

export function showHealth(model) {
  if (!model) setHealth("down", "no model is served");
  else if (!model.version) setHealth("down", model.ready ? "loading" : "no version is served");
  else if (model.sync_error) setHealth("degraded", "serving; object store unreachable");
  else if (!model.ready) setHealth("degraded", "serving; a version is loading");
  else setHealth("ready", "serving");
}

export function showUnreachable() {
  setHealth("down", "server cannot be reached");
}

// Without a key the server lists no models, so nothing but the prompt is shown.
export function showKeyPrompt(message) {
  setHealth("down", "API key required");
  for (const card of document.querySelectorAll("main > .card")) card.hidden = true;
  byId("key-prompt").hidden = false;
  setText("key-error", message);
}

export function showNoVersion(model) {
  byId("no-version").hidden = Boolean(model?.version);
  if (!model?.version) setText("no-version-text", noVersionReason(model));
}

function noVersionReason(model) {
  if (!model) return "No model in the object store has a champion. Train and promote one: overnight retrain digits";
  if (model.load_error) return `${model.name} could not be loaded on this host: ${model.load_error}`;
  if (model.sync_error) return `The object store cannot be reached, and this host has no cached version of ${model.name}: ${model.sync_error}`;
  return `${model.name} has no champion. Train and promote one: overnight retrain ${model.name}`;
}

// `version` is the champion's entry in the list of versions, once that is loaded.
export function showSummary(model, version) {
  showRejected(model.refused);
  byId("sync-error-row").hidden = !model.sync_error;
  setText("sync-error", model.sync_error ?? "");
  setText("version", model.version ?? "none");
  if (!model.version) return;
  byId("trained").replaceChildren(timeElement(model.trained_at));
  setText("rows", numbers.format(model.trained_on_rows));
  const measurement = measurementOf(model, version);
  setText("metric", metricName(measurement?.metric ?? "accuracy"));
  setText("metric-value", measurement ? onHoldout(measurement) : "not measured");
  const { alias } = model;
  setText("action", alias?.action === "rolled back" ? "Rolled back" : "Promoted");
  byId("promoted").replaceChildren(...(alias ? [`by ${actor(alias)}, `, timeElement(alias.at)] : ["not promoted (rehearsal)"]));
  setText("reason", alias?.reason || "–");
}

function measurementOf({ accuracy, accuracy_low: low, accuracy_high: high, holdout_rows: n }, version) {
  if (accuracy !== null) return { metric: "accuracy", value: accuracy, low, high, n };
  return version && headline(version);
}

function showRejected(rejected) {
  const details = byId("rejected");
  details.hidden = !rejected.length;
  const signature = JSON.stringify(rejected);
  if (details.dataset.signature === signature) return;
  details.dataset.signature = signature;
  details.querySelector("summary").textContent = `Versions rejected by this host: ${rejected.length}`;
  details.querySelector("ul").replaceChildren(
    ...rejected.map(({ version, at, reason }) => element("li", "", `${version}, ${ago(at)}: ${reason}`)),
  );
}
