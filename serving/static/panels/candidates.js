// All candidates of a model, refused ones too: a chart over time, and a table to search, sort and filter.

import { apiKey, modelUrl, request } from "../api_client.js";
import { CandidateChart } from "../charts/candidate_chart.js";
import { byId, duration, element, isNumber, numbers, row, setText, table, timeElement } from "../dom.js";
import { metricName, metricValue } from "../metric_format.js";
import { gatesTable } from "./gates.js";

const POLL_MS = 30_000;
const PAGE_ROWS = 20;
const LOWER_IS_BETTER = /wape|error|loss|mae|rmse|nwrmsle|calibration/;
const OUTCOMES = ["champion", "served", "approved", "waiting", "pending", "rejected", "refused"];

export class Candidates {
  // `onChange(candidates)` is called with each list that differs from the one before.
  constructor({ onChange }) {
    this.onChange = onChange;
    this.listed = [];
    this.open = new Map(); // findings by the name of the candidate whose gates are shown
    this.shownRows = PAGE_ROWS;
    this.chart = new CandidateChart(byId("candidates-plot"), (text) => setText("candidates-detail", text));
    byId("candidates-filter").addEventListener("submit", (event) => event.preventDefault());
    byId("candidates-filter").addEventListener("input", () => {
      this.shownRows = PAGE_ROWS;
      this.showTable();
    });
    byId("candidates-more").addEventListener("click", () => {
      this.shownRows += 5 * PAGE_ROWS;
      this.showTable();
    });
  }

  // Asks again now and then, and at once after another version began to serve.
  async refresh({ name, version }) {
    const asked = `${name} ${version}`;
    if (asked === this.asked && Date.now() - this.loadedAt < POLL_MS) return;
    if (name !== this.model) this.reset(name);
    Object.assign(this, { asked, loadedAt: Date.now() });
    try {
      const { candidates, damaged } = await request(`${modelUrl(name)}/candidates`);
      if (name === this.model) this.show(candidates, damaged);
    } catch (error) {
      this.asked = null;
      if (!this.listed.length) this.showEmpty(error.message);
    }
  }

  reset(model) {
    this.model = model;
    this.open.clear();
    this.shownRows = PAGE_ROWS;
    byId("candidates-search").value = "";
    this.show([], []);
  }

  show(candidates, damaged) {
    const signature = JSON.stringify([this.model, candidates, damaged]);
    if (signature === this.signature) return;
    Object.assign(this, { signature, listed: candidates, damaged });
    byId("candidates-figure").hidden = !candidates.length;
    byId("candidates-figure").hidden = !this.chart.show(candidates);
    this.onChange(candidates);
    this.showOutcomes();
    this.showTable();
  }

  showOutcomes() {
    const select = byId("candidates-outcome");
    const chosen = select.value;
    const present = OUTCOMES.filter((outcome) => this.listed.some((candidate) => candidate.outcome === outcome));
    const count = (outcome) => this.listed.filter((candidate) => candidate.outcome === outcome).length;
    select.replaceChildren(new Option(`all (${this.listed.length})`, ""), ...present.map((outcome) => new Option(`${outcome} (${count(outcome)})`, outcome)));
    select.value = present.includes(chosen) ? chosen : "";
  }

  chosen() {
    const words = byId("candidates-search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const outcome = byId("candidates-outcome").value;
    return this.listed
      .filter((candidate) => !outcome || candidate.outcome === outcome)
      .filter((candidate) => words.every((word) => searchable(candidate).includes(word)))
      .sort(ORDERS[byId("candidates-sort").value]);
  }

  showTable() {
    const focused = document.activeElement?.dataset?.gatesOf;
    const chosen = this.chosen();
    const shown = chosen.slice(0, this.shownRows);
    const metric = this.listed.find(({ measured }) => measured)?.measured.metric;
    const titles = ["Candidate", "Trained", metric ? capital(metricName(metric)) : "Quality", "Rows", "Outcome", "Gates", "Training", "Links"];
    setText("candidates-count", this.listed.length ? `${chosen.length} of ${this.listed.length}` : "");
    byId("candidates-filter").hidden = !this.listed.length;
    byId("candidates-table").replaceChildren(
      ...this.damaged.map((text) => element("p", "wrong", `left out: ${text}`)),
      ...(shown.length ? [table("stacking candidates", "Candidates", titles, shown.flatMap((candidate) => this.rows(candidate, titles)))] : []),
    );
    byId("candidates-more").hidden = shown.length === chosen.length;
    setText("candidates-more", `Show more of ${chosen.length}`);
    this.showEmpty(chosen.length ? "" : this.listed.length ? "No candidate fits." : "No candidates yet.");
    if (focused) document.querySelector(`[data-gates-of="${focused}"]`)?.focus();
  }

  showEmpty(text) {
    byId("candidates-empty").hidden = !text;
    setText("candidates-empty", text);
  }

  rows(candidate, titles) {
    const { name, at, rows, seconds, outcome, failed } = candidate;
    const cells = [
      element("span", "mono", shown(candidate)),
      timeElement(at, { short: true }),
      quality(candidate),
      isNumber(rows) ? numbers.format(rows) : "–",
      [element("span", OUTCOME_BADGES[outcome] ?? "badge plain", outcome)],
      this.gatesButton(candidate),
      isNumber(seconds) ? duration(seconds * 1000) : "–",
      linksOf(candidate),
    ];
    const node = row(cells, titles);
    const details = element("tr", "details");
    details.setAttribute("role", "row");
    details.id = `findings-${name}`;
    const cell = element("td");
    cell.colSpan = titles.length;
    cell.setAttribute("role", "cell");
    cell.append(...failed.map((text) => element("p", "quiet", text)));
    const findings = this.open.get(name);
    if (findings) cell.append(gatesTable({ version: shown(candidate), findings }));
    details.append(cell);
    details.hidden = !findings;
    return [node, details];
  }

  gatesButton({ name, judged, passed }) {
    const isOpen = this.open.has(name);
    const button = element("button", passed < judged ? "small failed" : "small", judged ? `${passed} of ${judged}` : "show");
    button.type = "button";
    button.dataset.gatesOf = name;
    button.setAttribute("aria-label", `Gates of ${name}: ${passed} of ${judged} passed`);
    button.setAttribute("aria-expanded", String(isOpen));
    button.setAttribute("aria-controls", `findings-${name}`);
    button.addEventListener("click", () => this.toggle(name));
    return button;
  }

  // The findings are asked for when they are first looked at.
  async toggle(name) {
    const { model } = this;
    if (!this.open.delete(name)) {
      try {
        const { findings } = await request(`${modelUrl(model)}/candidates/${encodeURIComponent(name)}/findings`);
        if (model !== this.model) return;
        this.open.set(name, findings);
      } catch (error) {
        return this.showEmpty(error.message);
      }
    }
    this.showTable();
  }
}

const OUTCOME_BADGES = { champion: "badge", refused: "badge bad", rejected: "badge bad", waiting: "badge back" };

const valueOf = ({ measured }) => (isNumber(measured?.value) ? measured.value * (LOWER_IS_BETTER.test(measured.metric) ? -1 : 1) : -Infinity);
const timeOf = ({ at }) => Date.parse(at);

const ORDERS = {
  newest: (a, b) => timeOf(b) - timeOf(a),
  oldest: (a, b) => timeOf(a) - timeOf(b),
  best: (a, b) => valueOf(b) - valueOf(a) || timeOf(b) - timeOf(a),
  worst: (a, b) => valueOf(a) - valueOf(b) || timeOf(b) - timeOf(a),
  failed: (a, b) => b.judged - b.passed - (a.judged - a.passed) || timeOf(b) - timeOf(a),
};

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

// A refused candidate has no version: the beginning of its fingerprint stands for it, as in `overnight refusals`.
const shown = ({ kind, name, fingerprint }) => (kind === "refused" ? fingerprint.slice(0, 12) : name);

const searchable = ({ name, outcome, run, failed, fingerprint, at }) => [name, outcome, run, ...failed, fingerprint, at].join(" ").toLowerCase();

function quality({ measured }) {
  if (!isNumber(measured?.value)) return "not measured";
  const parts = [element("span", "number", metricValue(measured, measured.value))];
  if (isNumber(measured.low) && isNumber(measured.high)) {
    parts.push(element("span", "quiet number", ` ${metricValue(measured, measured.low)} – ${metricValue(measured, measured.high)}`));
  }
  return parts;
}

function linksOf({ name, report, manifest, run_url: run }) {
  const parts = [];
  // A link carries no API key, so where one is required these could not be opened.
  if (report && !apiKey.get()) parts.push(link(report, "report", name));
  if (manifest && !apiKey.get()) parts.push(link(manifest, "manifest", name));
  // A record may hold any address, `javascript:` included.
  if (/^(https?:\/)?\//.test(run)) parts.push(link(run, "run", name));
  return parts.length ? parts.flatMap((part, index) => (index ? [" ", part] : [part])) : "–";
}

function link(url, text, of) {
  const node = element("a", "", text);
  Object.assign(node, { href: url, target: "_blank", rel: "noopener noreferrer" });
  node.setAttribute("aria-label", `${text} of ${of}`);
  return node;
}
