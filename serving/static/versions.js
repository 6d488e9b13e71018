// The table of versions: how good, by which gates, approved by whom, made by which run.

import { byId, element, isNumber, row, shape, share, plain, tell, when, who } from "./dom.js";
import { gatesTable } from "./gates.js";
import { key } from "./server.js";

const TITLES = ["Version", "Trained", "Quality", "Gates", "Decided", "Made by"];
const FEW = 8;

// The metric that a version is first judged by: accuracy, or whatever was measured first.
export function quality(version) {
  const whole = version.measurements.filter((one) => one.slice === "");
  return whole.find((one) => one.metric === "accuracy") ?? whole[0];
}

const isShare = ({ metric }) => /accuracy|recall|precision|share|coverage|wape/.test(metric);
export const figure = (one, value) => (isShare(one) ? share(value) : plain(value));

// As marks on an axis tell it: no more digits than there are.
export const mark = (one, value) => (isShare(one) ? `${plain(value * 100)} %` : plain(value));

const ABBREVIATED = { wape: "WAPE", nwrmsle: "NWRMSLE", r2: "R²" };

// A metric's name as people write it.
export const named = (metric) => ABBREVIATED[metric] ?? metric.replaceAll("_", " ");

export class Versions {
  constructor() {
    this.open = new Set();
    this.all = false;
    this.told = "";
  }

  show(versions, challenger) {
    this.versions = versions;
    this.challenger = challenger;
    const told = JSON.stringify([versions, challenger, this.all]);
    byId("versions-empty").hidden = versions.length > 0;
    byId("versions").querySelector("table").hidden = !versions.length;
    if (told === this.told) return;
    this.told = told;
    const focused = document.activeElement?.dataset?.version;
    const metric = versions.map(quality).find(Boolean)?.metric ?? "accuracy";
    tell("quality", named(metric).charAt(0).toUpperCase() + named(metric).slice(1));
    const scale = scaleOf(versions.map(quality).filter((one) => one?.metric === metric));
    const shown = this.all ? versions : versions.filter((one, place) => place < FEW || one.champion);
    const rows = shown.flatMap((version) => this.rows(version, scale));
    if (shown.length < versions.length) rows.push(this.more(versions.length));
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
    cell.append(...this.details(version));
    details.append(cell);
    details.hidden = !this.open.has(version.version);
    const made = row(
      [
        [element("span", "mono", version.version), ...this.badges(version)],
        when(version.trained_at, { short: true }),
        this.quality(version, scale),
        this.gates(version, details),
        decided(version),
        madeBy(version),
      ],
      TITLES,
    );
    return [made, details];
  }

  badges(version) {
    const found = [];
    if (version.champion) found.push(element("span", "badge", "champion"));
    if (version.version === this.challenger?.version) found.push(element("span", "badge plain", "challenger"));
    else if (version.loaded && !version.champion) found.push(element("span", "badge plain", "loaded"));
    return found;
  }

  quality(version, scale) {
    const one = quality(version);
    if (!one || !isNumber(one.value)) return "not measured";
    const found = [element("span", "number", figure(one, one.value))];
    if (isNumber(one.low) && isNumber(one.high)) {
      const told = element("span", "quiet number", `${figure(one, one.low)} – ${figure(one, one.high)}`);
      found.push(interval(one, scale), told);
    }
    return found;
  }

  gates(version, details) {
    const { findings } = version;
    if (!findings.length) return "none recorded";
    const passed = findings.filter((one) => one.passed).length;
    const button = element("button", passed < findings.length ? "small failed" : "small", `${passed} of ${findings.length} passed`);
    button.type = "button";
    button.dataset.version = version.version;
    button.setAttribute("aria-expanded", String(!details.hidden));
    button.setAttribute("aria-controls", details.id);
    button.addEventListener("click", () => {
      details.hidden = !details.hidden;
      button.setAttribute("aria-expanded", String(!details.hidden));
      if (details.hidden) this.open.delete(version.version);
      else this.open.add(version.version);
    });
    return button;
  }

  details(version) {
    const found = [];
    const beside = version.compared_with ? `Compared with ${version.compared_with}.` : "There was no champion to compare with.";
    found.push(element("p", "quiet", beside));
    if (version.decision?.reason) found.push(element("p", "quiet", `${version.decision.verdict === "approved" ? "Approved" : "Rejected"} because: ${version.decision.reason}`));
    if (version.override) found.push(element("p", "wrong", `Gates were overruled by ${who(version.override)}: ${version.override.reason}`));
    found.push(gatesTable(version));
    return found;
  }

  more(count) {
    const button = element("button", "small", `Show all ${count}`);
    button.type = "button";
    button.addEventListener("click", () => {
      this.all = true;
      this.show(this.versions, this.challenger);
    });
    const made = row([button], [""]);
    made.firstChild.colSpan = TITLES.length;
    return made;
  }
}

function decided({ decision, approval }) {
  if (!decision) return element("span", "quiet", approval === "manual" ? "waits for a person" : "not yet");
  const told = element("span", decision.verdict === "rejected" ? "wrong" : "", `${decision.verdict} by ${who(decision)}`);
  return [told, " ", when(decision.at, { short: true })];
}

function madeBy({ run, run_url: url, report }) {
  const found = [url ? link(url, run || "run") : run || "–"];
  // A browser cannot send a key when it follows a link.
  if (report && !key.read()) found.push(" · ", link(report, "report"));
  return found;
}

function link(url, text) {
  // An address out of a manifest may be anything; only the web's own are followed.
  if (!/^(https?:\/)?\//.test(url)) return text;
  const made = element("a", "", text);
  made.href = url;
  made.target = "_blank";
  made.rel = "noopener noreferrer";
  return made;
}

function scaleOf(measured) {
  const ends = measured.flatMap(({ low, value, high }) => [low, value, high].filter(isNumber));
  const [from, to] = [Math.min(...ends), Math.max(...ends)];
  return { from, size: Math.max(to - from, 1e-9) };
}

function interval({ low, value, high }, { from, size }) {
  const x = (one) => (4 + (88 * (one - from)) / size).toFixed(1);
  const svg = shape("svg", { class: "interval", viewBox: "0 0 96 12", "aria-hidden": "true" });
  svg.append(
    shape("line", { class: "whisker", x1: x(low), x2: x(high), y1: 6, y2: 6 }),
    shape("circle", { class: "value", cx: x(value), cy: 6, r: 3.5 }),
  );
  return svg;
}
