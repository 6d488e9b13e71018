// Home: a row for each model with its last run, quality, new data, what waits, and what comes next;
// below them the deployment history of all models on one axis of time.

import { apiKey, modelUrl } from "../api_client.js";
import { ago, byId, definitions, duration, element, isNumber, numbers, shape, share, timeElement } from "../dom.js";
import { headline, metricName, metricValue } from "../metric_format.js";

const LONGEST_REASON = 220;
const BAND_HEIGHT = 22;

export class Home {
  // `act(action, model, subject)` opens the dialog of a decision.
  constructor({ act }) {
    this.act = act;
    this.facts = new Map();
    new ResizeObserver(() => this.paint()).observe(byId("home-timeline"));
  }

  // `facts` of each model by name: { model, versions, records, monitoring, runs }.
  show(facts) {
    this.facts = facts;
    // What a row says of times is right to the minute; made anew more often, it would lose the focus.
    const minute = Math.floor(Date.now() / 60_000);
    const signature = JSON.stringify([minute, ...[...facts.values()].map(lasting)]);
    if (signature === this.signature) return;
    this.signature = signature;
    const place = focusable().indexOf(document.activeElement);
    const open = [...byId("home-rows").querySelectorAll("details[open]")].map(({ dataset }) => dataset.model);
    byId("home-rows").replaceChildren(...[...facts.values()].map((fact) => this.row(fact)));
    for (const details of byId("home-rows").querySelectorAll("details")) details.open = open.includes(details.dataset.model);
    if (place >= 0) focusable()[place]?.focus();
    this.paint();
  }

  row(fact) {
    const { model, runs } = fact;
    const node = element("li", "home-row");
    const title = element("div", "title");
    const name = element("h3");
    name.append(link(`#${model.name}`, model.name));
    title.append(name, ...outcomeOf(fact));
    node.append(title);
    const reason = runs?.runs.find(({ flow }) => flow === "retrain")?.message;
    if (reason) node.append(element("p", "quiet", shortened(reason)));
    const facts = element("dl", "figures");
    facts.append(...definitions(figuresOf(fact)));
    node.append(facts, ...this.waiting(fact), links(fact), retraining(fact));
    return node;
  }

  waiting({ model, versions, runs }) {
    const lines = waitingVersions(versions).map((version) =>
      this.line(`${version.version} waits for approval: ${evidence(version, versions)}`, model, version, ["approve", "reject"]),
    );
    for (const review of runs?.waiting ?? []) {
      const found = review.findings.find(({ passed }) => !passed)?.message ?? "its data shifted";
      lines.push(this.line(`Arrival ${review.arrival} waits for review: ${shortened(found)}`, model, review, ["accept", "exclude"]));
    }
    return lines;
  }

  line(text, model, subject, actions) {
    const node = element("div", "waits");
    const buttons = element("div", "buttons");
    buttons.append(...actions.map((action) => this.button(action, model, subject)));
    node.append(element("p", "", text), buttons);
    return node;
  }

  button(action, model, subject) {
    const name = action[0].toUpperCase() + action.slice(1);
    const button = element("button", "small action", `${name} …`);
    button.type = "button";
    const of = subject.version ?? subject.arrival;
    button.setAttribute("aria-label", `${name} ${of} of ${model.name}`);
    button.addEventListener("click", () => this.act(action, model, subject));
    return button;
  }

  paint() {
    const svg = byId("home-timeline");
    const { width } = svg.getBoundingClientRect();
    const served = [...this.facts.values()].map(({ model, records }) => [model.name, records.filter(({ alias }) => alias === "champion")]);
    const times = served.flatMap(([, records]) => records.map(({ at }) => Date.parse(at)));
    svg.toggleAttribute("hidden", !times.length);
    if (!width || !times.length) return;
    const now = Date.now();
    const oldest = Math.min(...times);
    const x = (time) => (width * (time - oldest)) / Math.max(now - oldest, 1000);
    const height = served.length * (BAND_HEIGHT + 20) + 18;
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.style.height = `${height}px`;
    svg.replaceChildren(
      ...served.flatMap(([name, records], row) => bands(name, records, { x, now, top: row * (BAND_HEIGHT + 20) })),
      shape("text", { class: "mark", x: 0, y: height - 4 }, `${duration(now - oldest)} ago`),
      shape("text", { class: "mark", x: width, y: height - 4, "text-anchor": "end" }, "now"),
    );
  }
}

const focusable = () => [...byId("home-rows").querySelectorAll("a, button, summary")];

// Without what changes with every poll.
const lasting = ({ model: { name, version, sync_error: error }, ...rest }) => ({ ...rest, name, version, error });

export const waitingVersions = (versions) => versions.filter(({ decision, approval }) => !decision && approval === "manual");

// What a decision rests on: the metric against the version it was compared with, and its gates.
export function evidence(version, versions) {
  const judged = version.findings.filter(({ applicable, passed }) => applicable || !passed);
  const passed = judged.filter((finding) => finding.passed).length;
  const against = version.compared_with ? `compared with …${version.compared_with.slice(-5)}` : "";
  return [qualityText(version, versions), against, `${passed} of ${judged.length} gates passed`].filter(Boolean).join(", ");
}

function qualityText(version, versions) {
  const measured = headline(version);
  if (!isNumber(measured?.value)) return "";
  const champion = versions.find(({ version: name }) => name === version.compared_with);
  const before = champion?.measurements.find(({ metric, slice }) => metric === measured.metric && slice === "");
  const value = `${metricName(measured.metric)} ${metricValue(measured, measured.value)}`;
  return isNumber(before?.value) ? `${value} (${difference(measured, before)})` : value;
}

function difference(measured, before) {
  const change = measured.value - before.value;
  const sign = change < 0 ? "−" : "+";
  const text = metricValue(measured, Math.abs(change));
  return `${sign}${text.endsWith(" %") ? `${text.slice(0, -2)} points` : text}`;
}

function outcomeOf({ model, runs }) {
  const last = runs?.runs.find(({ flow }) => flow === "retrain");
  if (!last) return [element("span", "badge plain", model.version ? "no run recorded yet" : "no champion")];
  const under = last.event === "started";
  const kind = last.failed ? "badge bad" : ["Refused", "AwaitingApproval", "Superseded"].includes(last.outcome) ? "badge back" : "badge plain";
  return [element("span", kind, under ? "started, not ended" : words(last.outcome)), timeElement(last.at, { short: true })];
}

function figuresOf({ model, versions, monitoring, runs }) {
  const champion = versions.find(({ version }) => version === model.version);
  const newest = versions[0];
  const pairs = [["Champion, and its change", champion ? qualityText(champion, versions) || champion.version : model.version ?? "none"]];
  if (newest && newest !== champion) pairs.push(["Newest version", qualityText(newest, versions) || "not measured"]);
  pairs.push(["New data", newDataOf(newest, versions)]);
  pairs.push(["Live quality", liveOf(model, monitoring)]);
  pairs.push(["Next run", runs?.next ? nextOf(runs.next) : "none known"]);
  if (runs?.missed.length) pairs.push(["Missed runs", `${runs.missed.length}, the last ${ago(runs.missed.at(-1))}`]);
  if (model.sync_error) pairs.push(["Object store", `unreachable; shown is what was known ${ageOf(model)}`]);
  return pairs;
}

const ageOf = ({ last_sync_age_seconds: age }) => (isNumber(age) ? `${duration(age * 1000)} ago` : "at the last start");

const nextOf = (time) => new Intl.DateTimeFormat(undefined, { weekday: "short", hour: "2-digit", minute: "2-digit", timeZoneName: "short" }).format(new Date(time));

function newDataOf(newest, versions) {
  if (!newest) return "none yet";
  const before = versions.find(({ version }) => version === newest.compared_with);
  const rows = `${numbers.format(newest.rows)} rows`;
  const added = before ? newest.rows - before.rows : 0;
  return before ? `${rows} (${added < 0 ? "−" : "+"}${numbers.format(Math.abs(added))}), ${ago(newest.trained_at)}` : `${rows}, ${ago(newest.trained_at)}`;
}

function liveOf(model, monitoring) {
  const last = monitoring.records[0];
  const quality = last?.quality.find(({ version, slice }) => version === model.version && !slice);
  const measured = quality?.measurements.find(({ value }) => isNumber(value));
  const alarms = last?.alarms.length ? `, ${last.alarms.length} ${last.alarms.length === 1 ? "alarm" : "alarms"}` : "";
  if (measured) return `${metricName(measured.metric)} ${metricValue(measured, measured.value)} of ${share(quality.coverage, 0)} labelled${alarms}`;
  return last ? `no labels${alarms}` : "not monitored yet";
}

function links({ model, versions, runs }) {
  const node = element("p", "links");
  const newest = versions[0];
  const last = runs?.runs.find(({ flow }) => flow === "retrain");
  node.append(link(`#${model.name}`, "Page", `Page of ${model.name}`));
  node.append(link(`#${model.name}/candidates`, "Candidates", `Candidates of ${model.name} and their gates`));
  // A link carries no API key, so where one is required these could not be opened.
  if (newest?.report && !apiKey.get()) node.append(link(newest.report, "Report", `Report of the newest version of ${model.name}`));
  if (newest && !apiKey.get()) node.append(link(`${modelUrl(model.name)}/versions/${newest.version}/manifest`, "Manifest", `Manifest of the newest version of ${model.name}`));
  const run = last?.url || newest?.run_url;
  if (run && /^(https?:\/)?\//.test(run)) node.append(link(run, "Run", `Run of ${model.name} in Prefect`));
  return node;
}

// Serving cannot start runs: who can, has the password of Prefect, and that stays away from a server for clients.
function retraining({ model }) {
  const details = element("details");
  details.dataset.model = model.name;
  const text = element("p", "quiet");
  const command = element("code", "", `overnight retrain ${model.name}`);
  text.append("At a shell: ", command, `. In Prefect: Deployments, retrain/${model.name}, Run; its form has epochs, seed and approval.`);
  details.append(element("summary", "", "Retrain now"), text);
  return details;
}

function link(url, text, label = "") {
  const node = element("a", "", text);
  node.href = url;
  if (label) node.setAttribute("aria-label", label);
  if (!url.startsWith("#")) Object.assign(node, { target: "_blank", rel: "noopener noreferrer" });
  return node;
}

function bands(name, records, { x, now, top }) {
  const group = shape("g", { class: "band" });
  group.append(shape("text", { class: "mark", x: 0, y: top + 13 }, name));
  records.forEach((record, index) => {
    const left = x(Date.parse(record.at));
    const end = index ? Date.parse(records[index - 1].at) : now;
    const band = shape("g", { class: index ? (index % 2 ? "band odd" : "band even") : "band current" });
    band.append(
      shape("title", {}, `${name} ${record.version}, ${record.action} by ${record.by}: ${record.reason}`),
      shape("rect", { x: left, y: top + 18, width: Math.max(x(end) - left - 2, 2), height: BAND_HEIGHT - 4, rx: 5 }),
    );
    group.append(band);
  });
  return [group];
}

const words = (outcome) => outcome.replace(/(?<=[a-z])(?=[A-Z])/g, " ").toLowerCase().replace(/^./, (letter) => letter.toUpperCase());

const shortened = (text) => (text.length > LONGEST_REASON ? `${text.slice(0, LONGEST_REASON)} …` : text);
