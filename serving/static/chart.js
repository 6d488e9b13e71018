// A line chart of a few series over the same moments: no library, no inline style.

import { shape } from "./dom.js";

const LEFT = 58;
const TOP = 8;
const BOTTOM = 20;
const STEPS = [1, 2, 2.5, 5, 10];

// The next round number: what an axis ends with.
export function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return STEPS.find((step) => step * power >= value * 0.9999) * power;
}

export class Chart {
  constructor(svg, { least, format, onLook }) {
    this.svg = svg;
    this.least = least;
    this.format = format;
    this.series = [];
    new ResizeObserver(() => this.paint()).observe(svg);
    svg.addEventListener("pointermove", (event) => onLook(this.look(event)));
    svg.addEventListener("pointerleave", () => {
      this.cursor?.setAttribute("visibility", "hidden");
      onLook(null);
    });
  }

  draw(series, span) {
    this.series = series;
    this.span = span;
    this.paint();
  }

  paint() {
    const { width, height } = this.svg.getBoundingClientRect();
    if (!width || !this.series.length) return;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.width = width;
    this.height = height;
    const all = this.series.flatMap(({ values }) => values.filter((value) => value !== null));
    this.top = ceiling(Math.max(this.least, ...all));
    this.cursor = shape("line", { class: "cursor", y1: TOP, y2: height - BOTTOM, visibility: "hidden" });
    this.svg.replaceChildren(...this.axes(), ...this.series.flatMap((one) => this.lines(one)), this.cursor);
  }

  x(place) {
    const count = this.series[0].values.length;
    return LEFT + ((this.width - LEFT - 4) * place) / (count - 1);
  }

  y(value) {
    return TOP + (this.height - TOP - BOTTOM) * (1 - value / this.top);
  }

  axes() {
    const marks = [0, this.top / 2, this.top].flatMap((value) => [
      shape("line", { class: "grid", x1: LEFT, x2: this.width, y1: this.y(value), y2: this.y(value) }),
      shape("text", { class: "mark", x: LEFT - 8, y: this.y(value) + 4, "text-anchor": "end" }, this.format(value)),
    ]);
    const bottom = this.height - 4;
    return [
      ...marks,
      shape("text", { class: "mark", x: LEFT, y: bottom }, this.span),
      shape("text", { class: "mark", x: this.width - 4, y: bottom, "text-anchor": "end" }, "now"),
    ];
  }

  lines({ values, name, filled }) {
    const runs = [[]];
    values.forEach((value, place) => {
      if (value === null) runs.push([]);
      else runs.at(-1).push([this.x(place), this.y(value)]);
    });
    const whole = runs.filter((run) => run.length);
    const path = whole.map((run) => `M${run.map((point) => point.map((one) => one.toFixed(1)).join(" ")).join("L")}h.01`);
    const line = shape("path", { class: `line ${name}`, d: path.join("") });
    if (!filled || !whole.length) return [line];
    const ground = this.y(0);
    const area = whole.map((run, place) => `${path[place]}V${ground}H${run[0][0].toFixed(1)}Z`);
    return [shape("path", { class: `area ${name}`, d: area.join("") }), line];
  }

  look(event) {
    if (!this.series.length || !this.width) return null;
    const count = this.series[0].values.length;
    const share = (event.offsetX - LEFT) / (this.width - LEFT - 4);
    const place = Math.min(Math.max(Math.round(share * (count - 1)), 0), count - 1);
    for (const end of ["x1", "x2"]) this.cursor.setAttribute(end, this.x(place));
    this.cursor.setAttribute("visibility", "visible");
    return place;
  }
}
