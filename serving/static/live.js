// How well what served answered each arrival, before anything learned from it.

import { byId, element, isNumber, numbers, row, shape, tell, when } from "./dom.js";
import { EDGE, Plot } from "./plot.js";
import { figure, mark, named } from "./versions.js";

const TITLES = ["Arrival", "When", "Version", "Live", "On the holdout"];
const FEW = 60;

// What a version is first judged by; where that is no number, no other metric stands in for it.
const headline = ({ measurements }) => [measurements.find((one) => one.slice === "")].find((one) => isNumber(one?.value));
const short = (version) => `…${version.slice(-5)}`;

export class Live {
  constructor() {
    this.plot = new Plot(byId("live-plot"), {
      format: (value) => (this.metric ? mark({ metric: this.metric }, value) : ""),
      onLook: (place) => this.tell(place),
    });
    this.told = "";
  }

  // `scores` come newest first; the plot goes from left to right.
  show(scores) {
    const told = JSON.stringify(scores);
    if (told === this.told) return;
    this.told = told;
    const measured = scores.filter(headline);
    this.metric = measured.length ? headline(measured[0]).metric : null;
    this.scores = measured.filter((one) => headline(one).metric === this.metric).slice(0, FEW).reverse();
    byId("live").hidden = !this.scores.length;
    if (!this.scores.length) return;
    tell("live-metric", named(this.metric));
    byId("live-rows").replaceChildren(...this.scores.toReversed().map((one) => this.row(one)));
    const values = this.scores.flatMap((one) => [...ends(headline(one)), promised(one)]).filter(isNumber);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    this.plot.draw({ count: this.scores.length, low, high, draws: () => this.shapes() });
    this.plot.svg.setAttribute("aria-label", `Live ${named(this.metric)}, arrival by arrival: ${this.words(this.scores.at(-1))}`);
    this.tell(null);
  }

  shapes() {
    const runs = [];
    this.scores.forEach((one, place) => {
      if (runs.at(-1)?.version !== one.version) runs.push({ version: one.version, points: [] });
      runs.at(-1).points.push({ one, place });
    });
    return runs.flatMap((run, turn) => this.run(run, turn, turn === runs.length - 1));
  }

  // One version's time: what was promised, and what came.
  run({ version, points }, turn, isLast) {
    const { plot } = this;
    const [first, last] = [points[0].place, points.at(-1).place];
    const half = (plot.x(1) - plot.x(0)) / 2 || 24;
    const [left, right] = [plot.x(first) - half, plot.x(last) + half];
    const found = [];
    if (turn) found.push(shape("line", { class: "change", x1: left, x2: left, y1: EDGE.top, y2: plot.height - EDGE.bottom }));
    const level = promised(points[0].one);
    if (isNumber(level)) found.push(shape("line", { class: "promised", x1: left + 1, x2: right - 1, y1: plot.y(level), y2: plot.y(level) }));
    found.push(plot.line(points.map(({ one, place }) => [place, headline(one).value]), isLast ? "first" : "before"));
    found.push(...points.flatMap(({ one, place }) => this.point(one, place, isLast)));
    if (right - left > 56) found.push(shape("text", { class: "mark", x: (left + right) / 2, y: plot.height - 6, "text-anchor": "middle" }, right - left > 224 ? version : short(version)));
    return found;
  }

  point(one, place, isLast) {
    const { value, low, high } = headline(one);
    const { plot } = this;
    const x = plot.x(place);
    const dot = shape("circle", { class: isLast ? "point" : "point before", cx: x, cy: plot.y(value), r: 3.5 });
    if (!isNumber(low) || !isNumber(high)) return [dot];
    return [shape("line", { class: "whisker", x1: x, x2: x, y1: plot.y(low), y2: plot.y(high) }), dot];
  }

  tell(place) {
    if (this.scores?.length) tell("live-told", this.words(this.scores[place ?? this.scores.length - 1]));
  }

  words(one) {
    const level = promised(one);
    const beside = isNumber(level) ? `; the holdout had promised ${figure(headline(one), level)}` : "";
    return `${interval(headline(one))} over ${numbers.format(one.n)} rows of ${one.arrival}, by ${short(one.version)}${beside}`;
  }

  row(one) {
    const level = promised(one);
    return row(
      [
        one.arrival,
        when(one.at, { short: true }),
        element("span", "mono", one.version),
        `${interval(headline(one))} over ${numbers.format(one.n)} rows`,
        isNumber(level) ? figure(headline(one), level) : "–",
      ],
      TITLES,
    );
  }
}

const ends = ({ low, value, high }) => [low, value, high];
const promised = ({ holdout }) => holdout?.value;

function interval(measured) {
  const { value, low, high } = measured;
  const beside = isNumber(low) && isNumber(high) ? ` (95 %: ${figure(measured, low)} – ${figure(measured, high)})` : "";
  return `${figure(measured, value)}${beside}`;
}
