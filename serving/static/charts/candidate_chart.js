// Chart of all candidates: their metric with its interval against time; refused ones are hollow.

import { isNumber, shape } from "../dom.js";
import { axisValue, metricName, valueWithInterval } from "../metric_format.js";
import { Plot } from "./plot.js";

const DAY = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", day: "numeric", month: "short", year: "2-digit" });
const HOLLOW = new Set(["refused", "rejected"]);
// The horizontal axis is time, in steps fine enough for the pointer.
const STEPS = 1000;

export class CandidateChart {
  constructor(svg, onDetail) {
    this.onDetail = onDetail;
    this.points = [];
    this.plot = new Plot(svg, {
      format: (value) => axisValue(this.metric, value),
      onHover: (position) => this.describe(position),
    });
  }

  // `candidates` come newest first; those with another metric than the newest are left out.
  show(candidates) {
    const measured = candidates.filter(({ measured: of }) => isNumber(of?.value));
    this.metric = measured[0]?.measured.metric;
    this.points = measured.filter(({ measured: of }) => of.metric === this.metric).toReversed();
    if (!this.points.length) return false;
    const times = this.points.map(({ at }) => Date.parse(at));
    [this.from, this.to] = [Math.min(...times), Math.max(...times)];
    const values = this.points.flatMap(({ measured: { low, value, high } }) => [low, value, high]).filter(isNumber);
    this.plot.draw({ count: STEPS, low: Math.min(...values), high: Math.max(...values), shapes: () => this.shapes() });
    this.plot.svg.setAttribute("aria-label", `${metricName(this.metric)} of ${this.points.length} candidates over time. Newest: ${describe(this.points.at(-1))}`);
    this.describe(null);
    return true;
  }

  position({ at }) {
    const span = this.to - this.from;
    return span ? ((STEPS - 1) * (Date.parse(at) - this.from)) / span : (STEPS - 1) / 2;
  }

  shapes() {
    const { plot, points } = this;
    const shapes = points.flatMap((point) => this.point(point));
    const isSingle = this.from === this.to;
    shapes.push(plot.label(plot.x(this.position(points[0])), DAY.format(this.from), isSingle ? "middle" : "start"));
    if (!isSingle) shapes.push(plot.label(plot.x(STEPS - 1), DAY.format(this.to), "end"));
    return shapes;
  }

  point(candidate) {
    const { plot } = this;
    const { outcome, measured: { value, low, high } } = candidate;
    const x = plot.x(this.position(candidate));
    const kind = HOLLOW.has(outcome) ? "point hollow" : outcome === "champion" ? "point champion" : "point";
    const dot = shape("circle", { class: kind, cx: x, cy: plot.y(value), r: outcome === "champion" ? 6 : 4 });
    dot.append(shape("title", {}, describe(candidate)));
    return isNumber(low) && isNumber(high) ? [plot.whisker(x, low, high), dot] : [dot];
  }

  describe(position) {
    if (!this.points.length) return;
    if (position === null) return this.onDetail("");
    const distance = (point) => Math.abs(this.position(point) - position);
    this.onDetail(describe(this.points.reduce((best, point) => (distance(point) < distance(best) ? point : best))));
  }
}

function describe({ name, outcome, at, measured }) {
  return `${DAY.format(new Date(at))}: ${valueWithInterval(measured)}, ${name}, ${outcome}`;
}
