// What plots have in common: a scale with round marks, whiskers, and a look at the nearest point.

import { shape } from "./dom.js";

export const EDGE = { left: 58, right: 10, top: 10, bottom: 24 };
const STEPS = [1, 2, 2.5, 5, 10];

// Round numbers from below the lowest value to above the highest, about four of them.
export function marks(low, high) {
  const reach = high - low || Math.abs(high) || 1;
  const power = 10 ** Math.floor(Math.log10(reach / 3));
  const step = power * STEPS.find((one) => one * power >= (reach / 3) * 0.9999);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.max(Math.ceil(high / step - 1e-9), first + 1);
  return Array.from({ length: last - first + 1 }, (_, place) => (first + place) * step);
}

export class Plot {
  constructor(svg, { format, onLook }) {
    this.svg = svg;
    this.format = format;
    this.draws = null;
    new ResizeObserver(() => this.paint()).observe(svg);
    svg.addEventListener("pointermove", (event) => this.draws && onLook(this.look(event)));
    svg.addEventListener("pointerleave", () => {
      this.cursor?.setAttribute("visibility", "hidden");
      onLook(null);
    });
  }

  // `count` places from left to right, values between `low` and `high`; `draws` makes the shapes.
  draw({ count, low, high, draws }) {
    Object.assign(this, { count, draws, levels: marks(low, high) });
    this.paint();
  }

  paint() {
    const { width, height } = this.svg.getBoundingClientRect();
    if (!width || !this.draws) return;
    Object.assign(this, { width, height });
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.cursor = shape("line", { class: "cursor", y1: EDGE.top, y2: height - EDGE.bottom, visibility: "hidden" });
    this.svg.replaceChildren(...this.axis(), ...this.draws(this), this.cursor);
  }

  x(place) {
    const room = this.width - EDGE.left - EDGE.right;
    return this.count > 1 ? EDGE.left + (room * (place + 0.5)) / this.count : EDGE.left + room / 2;
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

  // A line of text under the plot, kept inside it.
  under(place, text, anchor = "middle") {
    return shape("text", { class: "mark", x: this.x(place), y: this.height - 6, "text-anchor": anchor }, text);
  }

  line(points, kind) {
    const d = points.map(([place, value]) => `${this.x(place).toFixed(1)} ${this.y(value).toFixed(1)}`).join("L");
    return shape("path", { class: `line ${kind}`, d: `M${d}h.01` });
  }

  look(event) {
    const share = (event.offsetX - EDGE.left) / (this.width - EDGE.left - EDGE.right);
    const place = Math.min(Math.max(Math.floor(share * this.count), 0), this.count - 1);
    for (const end of ["x1", "x2"]) this.cursor.setAttribute(end, this.x(place));
    this.cursor.setAttribute("visibility", "visible");
    return place;
  }
}
