// Small charts of what each candidate was made of: its rows, the drift of its data, and its training.

import { Plot } from "../charts/plot.js";
import { byId, duration, element, isNumber, numbers, plain, setText, shape } from "../dom.js";

const MAX_CANDIDATES = 90;
const DAY = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", day: "numeric", month: "short" });
const MEGABYTE = 1_000_000;

const CHARTS = [
  { title: "Training rows", value: ({ rows }) => rows, text: (value) => `${numbers.format(value)} rows`, axis: (value) => (value < 1e6 ? numbers : compact).format(value) },
  { title: "Closest gate of the data", value: nearestShare, text: describeDistance, axis: (value) => `${plain(value * 100)} %`, bound: 1 },
  { title: "Training time", value: ({ seconds }) => seconds, text: (value) => duration(value * 1000), axis: clock },
  { title: "Size of a version, in MB", value: ({ size_bytes: bytes }) => (isNumber(bytes) ? bytes / MEGABYTE : null), text: (value) => `${numbers.format(value)} MB`, axis: plain },
];

// Minutes and seconds, or hours and minutes: an axis has no space for the units of each.
function clock(seconds) {
  if (seconds < 60) return `${plain(seconds)} s`;
  const [large, small, unit] = seconds < 3600 ? [seconds / 60, seconds % 60, "min"] : [seconds / 3600, (seconds % 3600) / 60, "h"];
  return `${Math.floor(large)}:${String(Math.round(small)).padStart(2, "0")} ${unit}`;
}

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 2 });

// How far a distance is on its way to the bound, of the gate that is closest to it.
function nearest({ distances }) {
  const bounded = distances.filter(({ value, bound }) => isNumber(value) && bound > 0);
  return bounded.toSorted((a, b) => b.value / b.bound - a.value / a.bound)[0];
}

function nearestShare(candidate) {
  const found = nearest(candidate);
  return found ? found.value / found.bound : null;
}

function describeDistance(share, candidate) {
  const { metric, slice, value, bound } = nearest(candidate);
  return `${[metric, slice].filter(Boolean).join(" of ")}: ${plain(value)} of at most ${plain(bound)}`;
}

export class Inflow {
  // `candidates` come newest first, and are drawn from left to right.
  show(candidates) {
    const drawn = candidates.slice(0, MAX_CANDIDATES).toReversed();
    const charts = CHARTS.filter(({ value }) => drawn.some((candidate) => isNumber(value(candidate))));
    byId("inflow").hidden = !charts.length;
    byId("inflow-charts").replaceChildren(...charts.map((chart) => chartOf(chart, drawn)));
    const bytes = candidates.reduce((sum, { size_bytes: size }) => sum + (size ?? 0), 0);
    const count = candidates.filter(({ size_bytes: size }) => isNumber(size)).length;
    setText("inflow-storage", count ? `${count === 1 ? "1 version" : `${count} versions`} published, ${numbers.format(bytes / MEGABYTE)} MB; retention deletes files of older ones` : "");
  }
}

function chartOf({ title, value, text, axis, bound }, candidates) {
  const points = candidates.map((candidate) => ({ candidate, value: value(candidate) ?? null }));
  const known = points.filter((point) => isNumber(point.value));
  const figure = element("figure");
  const svg = shape("svg", { class: "plot", role: "img" });
  const detail = element("span", "quiet");
  const caption = element("figcaption");
  caption.append(element("span", "", title), detail);
  figure.append(caption, svg);
  const describe = (point) => `${DAY.format(new Date(point.candidate.at))}: ${text(point.value, point.candidate)}`;
  const newest = known.at(-1);
  svg.setAttribute("aria-label", `${title}. Newest: ${describe(newest)}`);
  detail.textContent = describe(newest);
  const plot = new Plot(svg, {
    format: axis,
    onHover: (position) => {
      const point = points[position ?? -1] ?? newest;
      detail.textContent = isNumber(point.value) ? describe(point) : "not recorded";
    },
  });
  const values = [...known.map((point) => point.value), ...(bound ? [bound, 0] : [])];
  plot.draw({ count: points.length, low: Math.min(...values), high: Math.max(...values), shapes: () => shapesOf(plot, points, bound) });
  return figure;
}

function shapesOf(plot, points, bound) {
  const known = points.map((point, position) => ({ ...point, position })).filter(({ value }) => isNumber(value));
  const shapes = bound ? [shape("line", { class: "bound", x1: plot.x(0), x2: plot.width, y1: plot.y(bound), y2: plot.y(bound) })] : [];
  shapes.push(...plot.line(known.map(({ position, value }) => [position, value]), "first"));
  shapes.push(...known.map(({ position, value, candidate }) => shape("circle", { class: candidate.outcome === "refused" ? "point hollow" : "point", cx: plot.x(position), cy: plot.y(value), r: 3 })));
  shapes.push(plot.label(plot.x(0), DAY.format(new Date(points[0].candidate.at)), points.length > 1 ? "start" : "middle"));
  if (points.length > 1) shapes.push(plot.label(plot.x(points.length - 1), DAY.format(new Date(points.at(-1).candidate.at)), "end"));
  return shapes;
}
