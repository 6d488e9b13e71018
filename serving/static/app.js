// Entry point of the page: polls the API every two seconds and updates the panels.

import { apiKey, modelUrl, request } from "./api_client.js";
import { ChampionTimeline } from "./charts/champion_timeline.js";
import { byId, setText, toast, updateRelativeTimes } from "./dom.js";
import { AdminDialog } from "./forms/admin_dialog.js";
import { decide } from "./forms/decisions.js";
import { DrawingPad } from "./forms/drawing_pad.js";
import { TensorForm } from "./forms/tensor_form.js";
import { Candidates } from "./panels/candidates.js";
import { showChallenger } from "./panels/challenger.js";
import { Classification, isImageModel } from "./panels/classification.js";
import { Forecast } from "./panels/forecast.js";
import { Home, waitingVersions } from "./panels/home.js";
import { Inflow } from "./panels/inflow.js";
import { LiveScores } from "./panels/live_scores.js";
import { Monitoring, decisionsOf } from "./panels/monitoring.js";
import { showHealth, showKeyPrompt, showModels, showNoVersion, showSummary, showUnreachable } from "./panels/summary.js";
import { Traffic } from "./panels/traffic.js";
import { Versions } from "./panels/versions.js";

const POLL_MS = 2000;
const HISTORY_POLL_MS = 15_000;
const NO_MONITORING = { records: [], damaged: [] };
const NO_HISTORY = { records: [], versions: [], unreadable: [], scores: [], monitoring: NO_MONITORING };

let selected = null; // the model that is shown, as /api/models returns it
let history = NO_HISTORY;
let historyLoadedAt = 0;
let homeFacts = new Map(); // what the rows of Home show, by model
let homeLoadedAt = 0;
const decided = new Map(); // decisions of this page that the copied history lacks yet, by version or arrival
let isPolling = false;
let isPollDue = false; // whether a poll was asked for during another one
let isPlaceDue = true; // whether the page has yet to scroll to the place in its address
let isAway = false; // whether the server did not answer the newest poll
let classification; // created after the pad, which calls onClear while it is created

const pad = new DrawingPad(byId("drawing"), byId("pen"), {
  onStroke: () => classification.predict(),
  onClear: () => classification?.clear(),
});
classification = new Classification(pad, { onStale: refreshModels });
const tensorForm = new TensorForm();
const forecast = new Forecast();
const traffic = new Traffic();
const timeline = new ChampionTimeline();
const liveScores = new LiveScores();
const monitoring = new Monitoring();
const adminDialog = new AdminDialog();
const versions = new Versions({ act: (action, version) => openDecision(action, selected, version) });
const inflow = new Inflow();
const candidates = new Candidates({ onChange: (listed) => inflow.show(listed) });
const home = new Home({ act: openDecision });

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  apiKey.set(byId("key").value.trim());
  poll();
});
byId("clear").addEventListener("click", () => pad.clear());
byId("upload").addEventListener("change", async ({ target }) => {
  const [file] = target.files;
  target.value = ""; // the same file may be chosen again
  const bitmap = file && (await createImageBitmap(file).catch(() => toast(`${file.name} is no picture`)));
  if (bitmap) pad.load(bitmap);
});
byId("roll-back").addEventListener("click", rollBack);
byId("stop-challenger").addEventListener("click", stopChallenger);
document.addEventListener("visibilitychange", () => document.hidden || poll());
window.addEventListener("hashchange", () => {
  isPlaceDue = true;
  pollSoon();
});

// `#digits`, or a place on its page: `#digits/candidates`.
function address() {
  const [model, place = ""] = location.hash.slice(1).split("/");
  return { model, place };
}

async function refreshModels() {
  let models;
  try {
    models = (await request("/api/models")).models;
  } catch (error) {
    if (error.status !== 401) return showAway();
    selected = null;
    return showKeyPrompt(apiKey.get() ? error.message : "");
  }
  byId("key-prompt").hidden = true;
  const byName = (name) => models.find((model) => model.name === name);
  const model = byName(address().model) ?? byName(selected?.name) ?? models.find(({ version }) => version) ?? models[0];
  showModels(models, model);
  setTitle(models, model);
  showHealth(model);
  await refreshHome(models);
  showNoVersion(model);
  for (const id of ["summary", "traffic", "candidates", "deployments", "versions"]) byId(id).hidden = !model;
  if (model) showModel(model);
  if (isAway && model) askAgain(model);
  isAway = false;
}

function showAway() {
  if (!isAway && homeLoadedAt) setText("home-state", `server cannot be reached; as of ${new Date(homeLoadedAt).toLocaleTimeString()}`);
  isAway = true;
  showUnreachable();
}

// What was asked during an outage has no answer yet.
function askAgain(model) {
  if (!byId("classification").hidden) classification.predict();
  else if (!byId("forecast").hidden) forecast.show(model);
}

// The name by which tabs and history entries are distinguished.
function setTitle(models, model) {
  const isOne = models.some(({ name }) => name === address().model);
  const title = isOne ? `${model.name} · overnight` : "overnight";
  if (document.title !== title) document.title = title;
}

// Scrolls to the place that the address names, once what it names is shown.
function goToPlace() {
  const { model, place } = address();
  const target = place && model === selected?.name && byId(place);
  if (!isPlaceDue || !target || target.hidden) return;
  isPlaceDue = false;
  target.scrollIntoView();
  target.focus({ preventScroll: true });
}

function showModel(model) {
  const previous = selected;
  selected = model;
  showSummary(model, championEntry());
  showChallenger(model);
  const isOtherModel = previous?.name !== model.name;
  if (isOtherModel) showHistory(NO_HISTORY);
  if (isOtherModel || previous.version !== model.version) {
    historyLoadedAt = 0;
    showPrediction(model);
    if (!isOtherModel && model.version) toast(`Now serving version ${model.version}`);
  }
  if (model.version && isImageModel(model)) classification.updateVersions(model);
}

function showPrediction(model) {
  const isImage = Boolean(model.version) && isImageModel(model);
  const isForecast = Boolean(model.version) && Boolean(model.forecast);
  byId("drawing-card").hidden = byId("classification").hidden = !isImage;
  byId("forecast").hidden = !isForecast;
  byId("tensors").hidden = isImage || isForecast || !model.version;
  if (isImage) classification.show(model);
  else if (isForecast) forecast.show(model);
  else if (model.version) tensorForm.show(model);
}

const championRecords = () => history.records.filter((record) => record.alias === "champion");
const championEntry = () => history.versions.find(({ version }) => version === selected.version);

// The history is polled rarely, and at once when it lacks the newest promotion.
async function refreshHistory() {
  if (!selected) return;
  const { name, alias } = selected;
  const isBehind = Boolean(alias) && (championRecords()[0]?.sequence ?? 0) < alias.sequence;
  if (!isBehind && Date.now() - historyLoadedAt < HISTORY_POLL_MS) return;
  try {
    const parts = ["history", "versions", "monitoring"].map((part) => request(`${modelUrl(name)}/${part}`));
    const [{ records, scores }, list, monitored] = await Promise.all(parts);
    if (name !== selected?.name) return;
    historyLoadedAt = Date.now();
    showHistory({ records, scores, versions: list.versions, unreadable: list.unreadable, monitoring: monitored });
  } catch (error) {
    if (!history.records.length) setText("deployments-empty", error.message);
    if (!history.versions.length) setText("versions-empty", error.message);
  }
}

// Beside Home the row of the model says it already.
function showAwaiting(waiting) {
  byId("awaits").hidden = !waiting.length || !byId("home").hidden;
  const names = waiting.map(({ version }) => version).join(", ");
  setText("awaits", waiting.length ? `${names} ${waiting.length === 1 ? "waits" : "wait"} for approval: Approve or Reject under Versions and gates.` : "");
}

function showHistory(loaded) {
  history = loaded;
  timeline.show(history.records, decisionsOf(history.monitoring.records));
  liveScores.show(history.scores);
  monitoring.show(history.monitoring, history.versions);
  const shown = history.versions.map((version) => (version.decision ? version : { ...version, decision: decided.get(version.version) ?? null }));
  showAwaiting(waitingVersions(shown));
  versions.show(shown, selected.challenger, history.unreadable);
  showSummary(selected, championEntry());
  byId("roll-back").hidden = rollbackTargets().length === 0;
}

// What a rollback without a target returns to, by the rule of store/registry/promotions.py: a promotion
// puts its version on top, a rollback takes off what served after its target.
function servedBefore(records) {
  const served = [];
  for (const { action, version } of [...records].reverse()) {
    const place = served.lastIndexOf(version);
    if (action === "rolled back" && place >= 0) served.length = place + 1;
    else if (served.at(-1) !== version) served.push(version);
  }
  return served.at(-2);
}

// Approved versions other than the champion, the one to return to and then the most recently served first.
function rollbackTargets() {
  const records = championRecords();
  const champion = records[0]?.version;
  const previous = servedBefore(records);
  const served = [...new Set([previous, ...records.map(({ version }) => version)])];
  const rank = ({ version }) => (served.includes(version) ? served.indexOf(version) : served.length);
  const note = (version) => (version === previous ? " (previous)" : served.includes(version) ? "" : " (never served)");
  return history.versions
    .filter(({ version, decision }) => decision?.verdict === "approved" && version !== champion)
    .sort((a, b) => rank(a) - rank(b))
    .map(({ version }) => ({ value: version, text: `${version}${note(version)}` }));
}

// Home is the page without a model in its address; what it shows is polled as rarely as the history.
async function refreshHome(models) {
  // Other anchors, such as that of the skip link, are places on the page.
  const isOneModel = models.some(({ name }) => name === address().model);
  byId("home").hidden = isOneModel || !models.length;
  if (byId("home").hidden) return;
  const isFresh = Date.now() - homeLoadedAt < HISTORY_POLL_MS && models.every(isKnownToHome);
  if (!isFresh) {
    const loaded = await Promise.all(models.map(loadFacts));
    homeFacts = new Map(loaded.map((fact) => [fact.model.name, fact]));
    homeLoadedAt = Date.now();
  }
  for (const model of models) homeFacts.get(model.name).model = model;
  home.show(new Map([...homeFacts].map(([name, fact]) => [name, withDecided(fact)])));
  const waiting = [...homeFacts.values()].map(withDecided).reduce((sum, { versions, runs }) => sum + waitingVersions(versions).length + runs.waiting.length, 0);
  setText("home-state", waiting ? `${waiting} ${waiting === 1 ? "decision waits" : "decisions wait"} for a person` : "nothing waits for a person");
}

// The copied history lacks a promotion for a moment, and a new model everything.
function isKnownToHome({ name, alias }) {
  const newest = homeFacts.get(name)?.records.find((record) => record.alias === "champion");
  return homeFacts.has(name) && (newest?.sequence ?? 0) >= (alias?.sequence ?? 0);
}

async function loadFacts(model) {
  const parts = ["history", "versions", "monitoring", "runs"].map((part) => request(`${modelUrl(model.name)}/${part}`));
  const [{ records }, { versions }, monitoring, runs] = await Promise.all(parts);
  return { model, records, versions, monitoring, runs };
}

// The copied history may lack a decision for half a minute; nobody should be asked for it again.
function withDecided(fact) {
  const versions = fact.versions.map((version) => (version.decision ? version : { ...version, decision: decided.get(version.version) ?? null }));
  const waiting = fact.runs.waiting.filter(({ arrival }) => !decided.has(`${fact.model.name}/${arrival}`));
  return { ...fact, versions, runs: { ...fact.runs, waiting } };
}

function openDecision(action, model, subject) {
  const known = homeFacts.get(model.name)?.versions ?? history.versions;
  const afterwards = (message, record) => {
    if (subject.arrival) decided.set(`${model.name}/${subject.arrival}`, record);
    else if (action === "reject") decided.set(subject.version, record);
    else if (action === "approve") decided.set(subject.version, { ...record, verdict: "approved" });
    afterChange(message);
  };
  decide(adminDialog, { action, model, subject, versions: known, afterwards });
}

function rollBack() {
  const { name } = selected;
  const expected = championRecords()[0].version;
  adminDialog.open({
    title: `Roll back ${name}`,
    text: `The champion is ${expected}. Every host will serve the version you choose instead.`,
    targets: rollbackTargets(),
    label: (version) => `Roll back to …${version.slice(-5)}`,
    perform: async ({ reason, target, token }) => {
      const body = { reason, to: target, expected };
      const { record } = await request(`${modelUrl(name)}/rollback`, { method: "POST", body, token });
      return () => afterChange(`Rolled back to ${record.version} by ${record.by}`);
    },
  });
}

function stopChallenger() {
  const { name, challenger } = selected;
  const expected = challenger.version;
  adminDialog.open({
    title: `Stop the challenger of ${name}`,
    text: `${expected} will get no more traffic. The champion is not affected.`,
    label: () => "Stop challenger",
    perform: async ({ reason, token }) => {
      await request(`${modelUrl(name)}/challenger`, { method: "DELETE", body: { reason, expected }, token });
      return () => afterChange("The challenger was stopped");
    },
  });
}

function afterChange(message) {
  toast(message);
  historyLoadedAt = homeLoadedAt = 0;
  pollSoon();
}

// One poll at a time: a slow server does not pile up requests.
async function poll() {
  if (isPolling) return;
  isPolling = true;
  isPollDue = false;
  try {
    await refreshModels();
    updateRelativeTimes();
    await Promise.all([refreshHistory(), selected && candidates.refresh(selected), selected && traffic.refresh(selected.name)]);
  } catch (error) {
    // A response that cannot be shown must not end the polling.
    console.error(error);
    showAway();
  } finally {
    isPolling = false;
  }
  goToPlace();
  if (isPollDue) await poll();
}

// What a person did during a poll is shown right after it.
function pollSoon() {
  isPollDue = true;
  poll();
}

await poll();
setInterval(() => document.hidden || poll(), POLL_MS);
