// The page: asks every two seconds what answers, and shows it.

import { Authority } from "./authority.js";
import { showChallenger } from "./challenger.js";
import { age, byId, tell, toast } from "./dom.js";
import { Slate } from "./drawing.js";
import { Fields } from "./fields.js";
import { Forecast } from "./forecast.js";
import { Live } from "./live.js";
import { Reading, isPicture } from "./reading.js";
import { addressOf, ask, key } from "./server.js";
import { showDoor, showDown, showHealth, showModels, showNothing, showVersion } from "./story.js";
import { Timeline } from "./timeline.js";
import { Traffic } from "./traffic.js";
import { Versions } from "./versions.js";

const POLL_MS = 2000;
const PAST_MS = 15_000;

let chosen = null; // the model that is shown, as /api/models tells it
let past = { records: [], versions: [], scores: [] };
let pastAt = 0;
let ticking = false;
let reading; // made after the slate, which says at once that it is clear

const slate = new Slate(byId("drawing"), byId("pen"), {
  onInk: () => reading.ask(),
  onClear: () => reading?.clear(),
});
reading = new Reading(slate, { onMoved: refresh });
const fields = new Fields();
const forecast = new Forecast();
const traffic = new Traffic();
const timeline = new Timeline();
const live = new Live();
const versions = new Versions();
const authority = new Authority();

byId("door-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key.keep(byId("key").value.trim());
  tick();
});
byId("clear").addEventListener("click", () => slate.clear());
byId("roll-back").addEventListener("click", rollBack);
byId("stop-challenger").addEventListener("click", stopChallenger);
document.addEventListener("visibilitychange", () => document.hidden || tick());
window.addEventListener("hashchange", tick);

async function refresh() {
  let models;
  try {
    models = (await ask("/api/models")).models;
  } catch (error) {
    if (error.status !== 401) return showDown();
    chosen = null;
    return showDoor(key.read() ? error.message : "");
  }
  byId("door").hidden = true;
  const named = (name) => models.find((one) => one.name === name);
  const model = named(location.hash.slice(1)) ?? named(chosen?.name) ?? models.find((one) => one.version) ?? models[0];
  showModels(models, model, choose);
  showHealth(model);
  showNothing(model);
  for (const id of ["story", "traffic", "history", "versions"]) byId(id).hidden = !model;
  if (model) show(model);
}

function choose(name) {
  history.replaceState(null, "", `#${name}`);
  tick();
}

function show(model) {
  const before = chosen;
  chosen = model;
  showVersion(model, remembered(model));
  showChallenger(model);
  const isOther = before?.name !== model.name;
  const isMoved = before?.version !== model.version;
  if (isOther) showPast({ records: [], versions: [], scores: [] });
  if (isOther || isMoved) {
    pastAt = 0;
    showAsking(model);
    if (!isOther && model.version) toast(`Now answering: version ${model.version}`);
  }
  if (model.version && isPicture(model)) reading.offer(model);
}

function showAsking(model) {
  const drawn = Boolean(model.version) && isPicture(model);
  const foretold = Boolean(model.version) && Boolean(model.forecast);
  byId("picture").hidden = byId("reading").hidden = !drawn;
  byId("forecast").hidden = !foretold;
  byId("tensors").hidden = drawn || foretold || !model.version;
  if (drawn) reading.show(model);
  else if (foretold) forecast.show(model);
  else if (model.version) fields.show(model);
}

// The past is asked for now and then, and at once when it does not yet tell what answers.
async function refreshPast() {
  if (!chosen) return;
  const { name } = chosen;
  const newest = past.records.find((record) => record.alias === "champion");
  const isBehind = Boolean(chosen.alias) && (newest?.sequence ?? 0) < chosen.alias.sequence;
  if (!isBehind && Date.now() - pastAt < PAST_MS) return;
  try {
    const [{ records, scores }, told] = await Promise.all([ask(`${addressOf(name)}/history`), ask(`${addressOf(name)}/versions`)]);
    if (name !== chosen.name) return;
    pastAt = Date.now();
    showPast({ records, scores, versions: told.versions });
  } catch (error) {
    if (!past.records.length) tell("history-empty", error.message);
    if (!past.versions.length) tell("versions-empty", error.message);
  }
}

function remembered(model) {
  return past.versions.find((one) => one.version === model.version);
}

function showPast(found) {
  past = found;
  timeline.show(found.records);
  live.show(found.scores);
  versions.show(found.versions, chosen?.challenger);
  if (chosen) showVersion(chosen, remembered(chosen));
  byId("roll-back").hidden = targets().length === 0;
}

// What may serve again: approved, and not what is champion. What served last comes first.
function targets() {
  const moves = past.records.filter((record) => record.alias === "champion");
  const order = [...new Set([moves[0]?.previous, ...moves.map((record) => record.version)])];
  const approved = past.versions.filter((one) => one.decision?.verdict === "approved" && one.version !== moves[0]?.version);
  const place = ({ version }) => (order.includes(version) ? order.indexOf(version) : order.length);
  return approved
    .sort((one, two) => place(one) - place(two))
    .map(({ version }) => ({
      value: version,
      text: `${version}${version === moves[0]?.previous ? " (served before)" : order.includes(version) ? "" : " (never served)"}`,
    }));
}

function rollBack() {
  const { name } = chosen;
  const expected = past.records.find((record) => record.alias === "champion").version;
  authority.open({
    title: `Roll back ${name}`,
    told: `${expected} is champion. Every host that follows the store will answer with the version you choose.`,
    targets: targets(),
    action: (version) => `Roll back to …${version.slice(-5)}`,
    perform: async ({ reason, target, token }) => {
      const body = { reason, to: target, expected };
      const { record } = await ask(`${addressOf(name)}/rollback`, { method: "POST", body, token });
      return () => done(`Rolled back to ${record.version} by ${record.by}`);
    },
  });
}

function stopChallenger() {
  const { name, challenger } = chosen;
  const expected = challenger.version;
  authority.open({
    title: `Stop the challenger of ${name}`,
    told: `${expected} will get no more traffic; the champion is not touched.`,
    action: () => "Stop it",
    perform: async ({ reason, token }) => {
      await ask(`${addressOf(name)}/challenger`, { method: "DELETE", body: { reason, expected }, token });
      return () => done("The challenger is stopped");
    },
  });
}

function done(text) {
  toast(text);
  pastAt = 0;
  tick();
}

// A server that hangs is not asked again before it has answered.
async function tick() {
  if (ticking) return;
  ticking = true;
  try {
    await refresh();
    age();
    await Promise.all([refreshPast(), chosen && traffic.refresh(chosen.name)]);
  } catch (error) {
    // An answer that cannot be shown must not end asking for good.
    console.error(error);
    showDown();
  } finally {
    ticking = false;
  }
}

await tick();
setInterval(() => document.hidden || tick(), POLL_MS);
