// Table of the versions: their quality, gates, decision and run.

import { apiKey } from "../api_client.js";
import { actor, byId, element, isNumber, row, setText, shape, timeElement } from "../dom.js";
import { headline, metricName, metricValue } from "../metric_format.js";
import { gatesTable } from "./gates.js";

const TITLES = ["Version", "Trained", "Quality", "Gates", "Decision", "Run"];
const COLLAPSED_ROWS = 8;

export class Versions {
  // `act(action, version)` opens the dialog of a decision.
  constructor({ act }) {
    this.act = act;
    this.openVersions = new Set();
    this.expanded = false;
  }

  show(versions, challenger, unreadable) {
    Object.assign(this, { versions, challenger, unreadable });
    const signature = JSON.stringify([versions, challenger, unreadable, this.expanded]);
    byId("versions-empty").hidden = versions.length > 0;
    byId("versions").querySelector("table").hidden = !(versions.length || unreadable.length);
    if (signature === this.signature) return;
    this.signature = signature;
    const focused = document.activeElement?.dataset?.version;
    const measured = versions.map(headline).filter(Boolean);
    const metric = measured[0]?.metric ?? "accuracy";
    const name = metricName(metric);
    this.titles = TITLES.map((title) => (title === "Quality" ? name.charAt(0).toUpperCase() + name.slice(1) : title));
    setText("quality", this.titles[TITLES.indexOf("Quality")]);
    const scale = scaleOf(measured.filter((measurement) => measurement.metric === metric));
    const shown = this.expanded ? versions : versions.filter((version, index) => index < COLLAPSED_ROWS || version.champion);
    const rows = shown.flatMap((version) => this.rows(version, scale));
    rows.push(...unreadable.map(unreadableRow));
    if (shown.length < versions.length) rows.push(this.moreRow(versions.length));
    byId("version-rows").replaceChildren(...rows);
    if (focused) document.querySelector(`[data-version="${focused}"]`)?.focus();
  }

  rows(version, scale) {
    const details = element("tr", "details");
    details.setAttribute("role", "row");
    details.id = `gates-${version.version}`;
    const cell = element("td");
    cell.colSpan = TITLES.length;
    cell.setAttribute("role", "cell");
    cell.append(...detailsOf(version));
    details.append(cell);
    details.hidden = !this.openVersions.has(version.version);
    const cells = [
      [element("span", "mono", version.version), ...this.badges(version)],
      timeElement(version.trained_at, { short: true }),
      qualityOf(version, scale),
      this.gatesButton(version, details),
      [decisionOf(version), this.actions(version)].flat(),
      runOf(version),
    ];
    return [row(cells, this.titles), details];
  }

  badges(version) {
    if (version.champion) return [element("span", "badge", "champion")];
    if (version.version === this.challenger?.version) return [element("span", "badge plain", "challenger")];
    return version.loaded ? [element("span", "badge plain", "loaded")] : [];
  }

  gatesButton({ version, findings }, details) {
    if (!findings.length) return "none recorded";
    const judged = findings.filter((finding) => finding.applicable || !finding.passed);
    const passed = judged.filter((finding) => finding.passed).length;
    const skipped = findings.length - judged.length;
    const button = element("button", passed < judged.length ? "small failed" : "small", `${passed} of ${judged.length} passed`);
    button.type = "button";
    button.dataset.version = version;
    button.setAttribute("aria-expanded", String(!details.hidden));
    button.setAttribute("aria-controls", details.id);
    button.addEventListener("click", () => {
      details.hidden = !details.hidden;
      button.setAttribute("aria-expanded", String(!details.hidden));
      // Remembered, because the rows are created anew with every change.
      if (details.hidden) this.openVersions.delete(version);
      else this.openVersions.add(version);
    });
    return skipped ? [button, element("p", "quiet", `${skipped} not applicable`)] : [button];
  }

  actions(version) {
    const buttons = element("div", "buttons start");
    const waits = !version.decision && version.approval === "manual";
    const names = waits ? ["approve", "reject"] : version.decision?.verdict === "approved" && !version.champion ? ["promote"] : [];
    const mayChallenge = version.decision?.verdict !== "rejected" && !version.champion && !this.challenger;
    for (const name of mayChallenge ? [...names, "shadow"] : names) {
      const title = name[0].toUpperCase() + name.slice(1);
      const button = element("button", "small action", `${title} …`);
      button.type = "button";
      button.setAttribute("aria-label", `${title} ${version.version}`);
      button.addEventListener("click", () => this.act(name, version));
      buttons.append(button);
    }
    return buttons;
  }

  moreRow(count) {
    const button = element("button", "small", `Show all ${count}`);
    button.type = "button";
    button.addEventListener("click", () => {
      this.expanded = true;
      this.show(this.versions, this.challenger, this.unreadable);
    });
    const node = row([button], [""]);
    node.firstChild.colSpan = TITLES.length;
    return node;
  }
}

// Of a version whose manifest is damaged or foreign nothing is known but its name.
function unreadableRow({ version, error }) {
  const cells = [element("span", "mono", version), "", "", "", element("span", "wrong", `damaged: ${error}`), ""];
  return row(cells, TITLES);
}

function qualityOf(version, scale) {
  const measurement = headline(version);
  if (!isNumber(measurement?.value)) return "not measured";
  const { value, low, high } = measurement;
  const parts = [element("span", "number", metricValue(measurement, value))];
  if (isNumber(low) && isNumber(high)) {
    const bounds = `${metricValue(measurement, low)} – ${metricValue(measurement, high)}`;
    parts.push(intervalShape(measurement, scale), element("span", "quiet number", bounds));
  }
  return parts;
}

function detailsOf(version) {
  const { compared_with: champion, decision, override } = version;
  const lines = [element("p", "quiet", champion ? `Compared with ${champion}.` : "There was no champion to compare with.")];
  if (decision?.reason) lines.push(element("p", "quiet", `${decision.verdict === "approved" ? "Approved" : "Rejected"}: ${decision.reason}`));
  if (override) lines.push(element("p", "wrong", `Gates overridden by ${actor(override)}: ${override.reason}`));
  return [...lines, gatesTable(version)];
}

function decisionOf({ decision, approval }) {
  if (!decision) return element("span", "quiet", approval === "manual" ? "awaiting approval" : "pending");
  const text = element("span", decision.verdict === "rejected" ? "wrong" : "", `${decision.verdict} by ${actor(decision)}`);
  return [text, " ", timeElement(decision.at, { short: true })];
}

function runOf({ run, run_url: url, report }) {
  const parts = [url ? link(url, run || "run") : run || "–"];
  // A link carries no API key, so where one is required the report could not be opened.
  if (report && !apiKey.get()) parts.push("\u00a0· ", link(report, "report"));
  return parts;
}

function link(url, text) {
  // A manifest may hold any address, `javascript:` included.
  if (!/^(https?:\/)?\//.test(url)) return text;
  const node = element("a", "", text);
  node.href = url;
  node.target = "_blank";
  node.rel = "noopener noreferrer";
  return node;
}

function scaleOf(measurements) {
  const values = measurements.flatMap(({ low, value, high }) => [low, value, high].filter(isNumber));
  const [from, to] = [Math.min(...values), Math.max(...values)];
  return { from, size: Math.max(to - from, 1e-9) };
}

function intervalShape({ low, value, high }, { from, size }) {
  const x = (bound) => (4 + (88 * (bound - from)) / size).toFixed(1);
  const svg = shape("svg", { class: "interval", viewBox: "0 0 96 12", "aria-hidden": "true" });
  svg.append(
    shape("line", { class: "whisker", x1: x(low), x2: x(high), y1: 6, y2: 6 }),
    shape("circle", { class: "value", cx: x(value), cy: 6, r: 3.5 }),
  );
  return svg;
}
