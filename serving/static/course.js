// A forecast drawn: what was, the days that follow with their interval, and the day asked for.

import { inFull, inShort } from "./days.js";
import { shape } from "./dom.js";
import { figure } from "./forecast.js";
import { EDGE, Plot } from "./plot.js";

export class Course {
  constructor(svg, onTold) {
    this.onTold = onTold;
    this.plot = new Plot(svg, { format: figure, onLook: (place) => this.look(place) });
  }

  clear() {
    this.drawn = null;
    this.plot.svg.parentElement.hidden = true;
  }

  // `days` are those that can be asked for, each with its quantiles; `asked` are those of `day`.
  show(drawn) {
    this.drawn = drawn;
    const { history, known, day, asked, days, middle, share } = drawn;
    this.first = known - history.length + 1;
    this.plot.svg.parentElement.hidden = false;
    const last = Math.max(day, ...days.map((one) => one.day));
    const values = [...history, ...asked, ...days.flatMap((one) => one.values)];
    const [low, high] = [Math.min(0, ...values), Math.max(...values)];
    this.plot.draw({ count: last - this.first + 1, low, high, draws: () => this.shapes() });
    const told = `${figure(asked[middle])} on ${inFull(day)}, with ${share} between ${figure(asked[0])} and ${figure(asked.at(-1))}`;
    this.plot.svg.setAttribute("aria-label", `History until ${inFull(known)} and forecast: ${told}`);
    this.look(null);
  }

  shapes() {
    const { plot } = this;
    const { history, known, day, asked, days, middle } = this.drawn;
    const at = (one) => one - this.first;
    const found = [shape("line", { class: "change", x1: plot.x(at(known)), x2: plot.x(at(known)), y1: EDGE.top, y2: plot.height - EDGE.bottom })];
    if (days.length) {
      found.push(this.band(days), plot.line(days.map((one) => [at(one.day), one.values[middle]]), "first"));
    }
    found.push(plot.line(history.map((value, place) => [place, value]), "before"));
    const x = plot.x(at(day));
    found.push(
      shape("line", { class: "whisker strong", x1: x, x2: x, y1: plot.y(asked[0]), y2: plot.y(asked.at(-1)) }),
      shape("circle", { class: "point", cx: x, cy: plot.y(asked[middle]), r: 5 }),
      plot.under(0, inShort(this.first), "start"),
    );
    // On a narrow page there is no room between them.
    const [begin, end] = [plot.x(0), plot.x(at(known))];
    if (x - end > 40 && end - begin > 200) found.push(plot.under(at(known), `known until ${inShort(known)}`, "end"));
    found.push(plot.under(at(day), inShort(day), plot.width - x < 40 ? "end" : "middle"));
    return found;
  }

  band(days) {
    const point = (one, value) => `${this.plot.x(one.day - this.first).toFixed(1)} ${this.plot.y(value).toFixed(1)}`;
    const upper = days.map((one) => point(one, one.values.at(-1)));
    const lower = days.toReversed().map((one) => point(one, one.values[0]));
    return shape("path", { class: "band", d: `M${[...upper, ...lower].join("L")}Z` });
  }

  look(place) {
    if (!this.drawn) return;
    const { history, days, middle } = this.drawn;
    if (place === null) return this.onTold("");
    const day = this.first + place;
    const found = days.find((one) => one.day === day);
    if (place < history.length) this.onTold(`${inFull(day)}: ${figure(history[place])}`);
    else if (found) this.onTold(`${inFull(day)}: ${figure(found.values[middle])}, between ${figure(found.values[0])} and ${figure(found.values.at(-1))}`);
    else this.onTold(`${inFull(day)}: too near to be asked for`);
  }
}
