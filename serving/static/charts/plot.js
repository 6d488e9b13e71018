// The base of all charts: an axis with round marks, lines, and a cursor at the nearest position.

import { shape } from "../dom.js";

const EDGE = { left: 66, right: 10, top: 10, bottom: 24 };
const STEPS = [1, 2, 2.5, 5, 10];

// Round numbers from below the lowest value to above the highest, about four of them.
function marks(low, high) {
  const range = high - low || Math.abs(high) || 1;
  const power = 10 ** Math.floor(Math.log10(range / 3));
  const step = power * STEPS.find((factor) => factor * power >= (range / 3) * 0.9999);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.max(Math.ceil(high / step - 1e-9), first + 1);
  return Array.from({ length: last - first + 1 }, (_, index) => (first + index) * step);
}

export class Plot {
  // `onHover` gets the position under the pointer, or null once it has left.
  constructor(svg, { format, onHover }) {
    this.svg = svg;
    this.format = format;
    new ResizeObserver(() => this.paint()).observe(svg);
    svg.addEventListener("pointermove", (event) => this.shapes && this.width && onHover(this.hover(event)));
    svg.addEventListener("pointerleave", () => {
      this.cursor?.setAttribute("visibility", "hidden");
      onHover(null);
    });
  }

  // `count` positions from left to right, values between `low` and `high`. `shapes` is called on
  // every paint, because the scales change with the width.
  draw({ count, low, high, shapes }) {
    Object.assign(this, { count, shapes, levels: marks(low, high) });
    this.paint();
  }

  paint() {
    const { width, height } = this.svg.getBoundingClientRect();
    if (!width || !this.shapes) return;
    Object.assign(this, { width, height });
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.cursor = this.vertical(0, "cursor");
    this.cursor.setAttribute("visibility", "hidden");
    this.svg.replaceChildren(...this.axis(), ...this.shapes(), this.cursor);
  }

  x(position) {
    const space = this.width - EDGE.left - EDGE.right;
    return this.count > 1 ? EDGE.left + (space * (position + 0.5)) / this.count : EDGE.left + space / 2;
  }

  y(value) {
    const [low, high] = [this.levels[0], this.levels.at(-1)];
    return EDGE.top + (this.height - EDGE.top - EDGE.bottom) * (1 - (value - low) / (high - low));
  }

  axis() {
    return this.levels.flatMap((level) => [
      shape("line", { class: "grid", x1: EDGE.left, x2: this.width, y1: this.y(level), y2: this.y(level) }),
      shape("text", { class: "mark", x: EDGE.left - 8, y: this.y(level) + 4, "text-anchor": "end" }, this.format(level)),
    ]);
  }

  // A label under the horizontal axis.
  label(x, text, anchor = "middle") {
    return shape("text", { class: "mark", x, y: this.height - 6, "text-anchor": anchor }, text);
  }

  vertical(x, kind) {
    return shape("line", { class: kind, x1: x, x2: x, y1: EDGE.top, y2: this.height - EDGE.bottom });
  }

  whisker(x, low, high, kind = "whisker") {
    return shape("line", { class: kind, x1: x, x2: x, y1: this.y(low), y2: this.y(high) });
  }

  // `points` are [position, value]; a null value interrupts the line. With `fill`, the area too.
  line(points, kind, { fill = false } = {}) {
    const runs = [[]];
    for (const [position, value] of points) {
      if (value === null) runs.push([]);
      else runs.at(-1).push(`${this.x(position).toFixed(1)} ${this.y(value).toFixed(1)}`);
    }
    const paths = runs.filter((run) => run.length).map((run) => ({ d: `M${run.join("L")}h.01`, start: run[0].split(" ")[0] }));
    const line = shape("path", { class: `line ${kind}`, d: paths.map(({ d }) => d).join("") });
    if (!fill || !paths.length) return [line];
    const ground = this.y(this.levels[0]);
    return [shape("path", { class: `area ${kind}`, d: paths.map(({ d, start }) => `${d}V${ground}H${start}Z`).join("") }), line];
  }

  hover(event) {
    const fraction = (event.offsetX - EDGE.left) / (this.width - EDGE.left - EDGE.right);
    const position = Math.min(Math.max(Math.floor(fraction * this.count), 0), this.count - 1);
    for (const end of ["x1", "x2"]) this.cursor.setAttribute(end, this.x(position));
    this.cursor.setAttribute("visibility", "visible");
    return position;
  }
}
