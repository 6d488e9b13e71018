// Who served when: every champion's time as a drawn band, and as a table.

import { byId, duration, element, row, shape, when, who } from "./dom.js";

const TITLES = ["Since", "For", "Version", "Moved by", "Because"];
const FEW = 6;
const BAND = { top: 4, height: 34 };

// Newest first, each with when it ended; the newest goes on.
export function tenures(records) {
  const moves = records.filter((record) => record.alias === "champion");
  return moves.map((record, place) => ({
    ...record,
    began: Date.parse(record.at),
    ended: place ? Date.parse(moves[place - 1].at) : null,
  }));
}

export class Timeline {
  constructor() {
    this.records = [];
    this.all = false;
    new ResizeObserver(() => this.paint()).observe(byId("timeline"));
    byId("history-more").addEventListener("click", () => {
      this.all = true;
      this.show(this.records);
    });
  }

  show(records) {
    this.records = records;
    this.tenures = tenures(records);
    const shown = this.all ? this.tenures : this.tenures.slice(0, FEW);
    byId("history-empty").hidden = shown.length > 0;
    byId("history").querySelector("table").hidden = byId("timeline").toggleAttribute("hidden", !shown.length);
    byId("history-rows").replaceChildren(...shown.map(tenureRow));
    const more = byId("history-more");
    more.hidden = shown.length === this.tenures.length;
    more.textContent = `Show all ${this.tenures.length}`;
    this.paint();
  }

  paint() {
    const svg = byId("timeline");
    const { width } = svg.getBoundingClientRect();
    if (!width || !this.tenures?.length) return;
    svg.setAttribute("viewBox", `0 0 ${width} 64`);
    const now = Date.now();
    const oldest = this.tenures.at(-1).began;
    const length = Math.max(now - oldest, 1000);
    const x = (moment) => (width * (moment - oldest)) / length;
    const names = [...new Set(this.tenures.map((one) => one.version))].reverse();
    const bands = this.tenures.flatMap((one) => band(one, x, now, names.indexOf(one.version)));
    const ends = [
      shape("text", { class: "mark", x: 0, y: 58 }, `${duration(length)} ago`),
      shape("text", { class: "mark", x: width, y: 58, "text-anchor": "end" }, "now"),
    ];
    svg.replaceChildren(...bands, ...ends);
  }
}

function band(one, x, now, place) {
  const left = x(one.began);
  const width = Math.max(x(one.ended ?? now) - left - 2, 2);
  const isNow = one.ended === null;
  const kind = isNow ? "current" : place % 2 ? "odd" : "even";
  const group = shape("g", { class: `band ${kind}` });
  const told = `${one.version}, ${one.action} by ${who(one)}: ${one.reason}`;
  group.append(shape("title", {}, told), shape("rect", { x: left, y: BAND.top, width, height: BAND.height, rx: 6 }));
  if (one.action === "rolled back") {
    group.append(shape("path", { class: "back", d: `M${left + 1.5} ${BAND.top + 1}v${BAND.height - 2}` }));
  }
  const label = width > 224 ? one.version : width > 64 ? `…${one.version.slice(-5)}` : "";
  group.append(shape("text", { x: left + 10, y: BAND.top + 22 }, label));
  return [group];
}

function tenureRow({ began, ended, version, action, by, proved, reason }) {
  const back = action === "rolled back";
  const moved = [back ? element("span", "badge back", "rolled back") : "", back ? ` by ${who({ by, proved })}` : who({ by, proved })];
  const name = [element("span", "mono", version)];
  if (ended === null) name.push(element("span", "badge", "now"));
  return row(
    [when(new Date(began).toISOString(), { short: true }), element("span", "span", duration((ended ?? Date.now()) - began)), name, moved, reason || "–"],
    TITLES,
  );
}
