// Deployment history: every champion's time in service as a band, and as a table, with the
// monitor's decisions as marks at their times.

import { actor, byId, duration, element, row, shape, timeElement } from "../dom.js";

const TITLES = ["Since", "Duration", "Version", "By", "Reason"];
const COLLAPSED_ROWS = 6;
const BAND = { top: 4, height: 34 };

// Newest first, each with its end; the current champion has none.
function deploymentsOf(records) {
  const changes = records.filter((record) => record.alias === "champion");
  return changes.map((record, index) => ({
    ...record,
    start: Date.parse(record.at),
    end: index ? Date.parse(changes[index - 1].at) : null,
  }));
}

export class ChampionTimeline {
  constructor() {
    this.deployments = [];
    this.decisions = [];
    this.expanded = false;
    new ResizeObserver(() => this.paint()).observe(byId("timeline"));
    byId("deployments-more").addEventListener("click", () => {
      this.expanded = true;
      this.showTable();
    });
  }

  show(records, decisions = []) {
    this.deployments = deploymentsOf(records);
    this.decisions = decisions;
    this.showTable();
    this.paint();
  }

  showTable() {
    const { deployments } = this;
    const rows = this.expanded ? deployments : deployments.slice(0, COLLAPSED_ROWS);
    byId("deployments-empty").hidden = rows.length > 0;
    byId("deployments").querySelector("table").hidden = byId("timeline").toggleAttribute("hidden", !rows.length);
    byId("deployments-rows").replaceChildren(...rows.map(deploymentRow));
    byId("deployments-more").hidden = rows.length === deployments.length;
    byId("deployments-more").textContent = `Show all ${deployments.length}`;
  }

  paint() {
    const svg = byId("timeline");
    const { width } = svg.getBoundingClientRect();
    if (!width || !this.deployments.length) return;
    svg.setAttribute("viewBox", `0 0 ${width} 64`);
    const now = Date.now();
    const oldest = this.deployments.at(-1).start;
    const length = Math.max(now - oldest, 1000);
    const x = (time) => (width * (time - oldest)) / length;
    const versions = [...new Set(this.deployments.map(({ version }) => version))].reverse();
    svg.replaceChildren(
      ...this.deployments.map((deployment) => band(deployment, x, now, versions.indexOf(deployment.version))),
      ...this.decisions.filter(({ at }) => Date.parse(at) >= oldest).map((decision) => decisionMark(decision, x)),
      shape("text", { class: "mark", x: 0, y: 58 }, `${duration(length)} ago`),
      shape("text", { class: "mark", x: width, y: 58, "text-anchor": "end" }, "now"),
    );
  }
}

function band(deployment, x, now, index) {
  const { version, action, start, end, reason } = deployment;
  const left = x(start);
  const width = Math.max(x(end ?? now) - left - 2, 2);
  const kind = end === null ? "current" : index % 2 ? "odd" : "even";
  const group = shape("g", { class: `band ${kind}` });
  group.append(
    shape("title", {}, `${version}, ${action} by ${actor(deployment)}: ${reason}`),
    shape("rect", { x: left, y: BAND.top, width, height: BAND.height, rx: 6 }),
  );
  if (action === "rolled back") {
    group.append(shape("path", { class: "back", d: `M${left + 1.5} ${BAND.top + 1}v${BAND.height - 2}` }));
  }
  const label = width > 224 ? version : width > 64 ? `…${version.slice(-5)}` : "";
  group.append(shape("text", { x: left + 10, y: BAND.top + 22 }, label));
  return group;
}

function decisionMark({ at, consequence: { action, reason } }, x) {
  const middle = x(Date.parse(at));
  const group = shape("g", { class: `decision ${action.replace(" ", "-")}` });
  const bottom = BAND.top + BAND.height;
  group.append(
    shape("title", {}, `monitor: ${action}: ${reason}`),
    shape("path", { d: `M${middle} ${bottom - 6}l5 9h-10z` }),
  );
  return group;
}

function deploymentRow(deployment) {
  const { start, end, version, action, reason } = deployment;
  const name = [element("span", "mono", version)];
  if (end === null) name.push(element("span", "badge", "now"));
  const by = action === "rolled back" ? [element("span", "badge back", "rolled back"), ` by ${actor(deployment)}`] : actor(deployment);
  const length = element("span", "span", duration((end ?? Date.now()) - start));
  return row([timeElement(new Date(start).toISOString(), { short: true }), length, name, by, reason || "–"], TITLES);
}
