// Chart of a forecast: the history, the following days with their interval, and the forecast day.

import { longDate, shortDate } from "../dates.js";
import { figure, shape } from "../dom.js";
import { Plot } from "./plot.js";

export class ForecastChart {
  constructor(svg, onDetail) {
    this.onDetail = onDetail;
    this.plot = new Plot(svg, { format: figure, onHover: (position) => this.describe(position) });
  }

  clear() {
    this.forecast = null;
    this.plot.svg.parentElement.hidden = true;
  }

  // `days` are all days of the horizon with their quantiles; `quantiles` are those of `day`.
  show(forecast) {
    this.forecast = forecast;
    const { history, lastDay, day, quantiles, days, middle, coverage } = forecast;
    this.firstDay = lastDay - history.length + 1;
    this.plot.svg.parentElement.hidden = false;
    const end = Math.max(day, ...days.map((entry) => entry.day));
    const values = [...history, ...quantiles, ...days.flatMap((entry) => entry.values)];
    const [low, high] = [Math.min(0, ...values), Math.max(...values)];
    this.plot.draw({ count: end - this.firstDay + 1, low, high, shapes: () => this.shapes() });
    const text = `${figure(quantiles[middle])} on ${longDate(day)}, ${coverage} interval ${figure(quantiles[0])} to ${figure(quantiles.at(-1))}`;
    this.plot.svg.setAttribute("aria-label", `History until ${longDate(lastDay)} and forecast: ${text}`);
    this.describe(null);
  }

  x(day) {
    return this.plot.x(day - this.firstDay);
  }

  shapes() {
    const { plot } = this;
    const { history, lastDay, day, quantiles, days, middle } = this.forecast;
    const [start, end, x] = [this.x(this.firstDay), this.x(lastDay), this.x(day)];
    const shapes = [plot.vertical(end, "change")];
    if (days.length) shapes.push(this.band(days), ...plot.line(days.map((entry) => [entry.day - this.firstDay, entry.values[middle]]), "first"));
    shapes.push(
      ...plot.line([...history.entries()], "before"),
      plot.whisker(x, quantiles[0], quantiles.at(-1), "whisker strong"),
      shape("circle", { class: "point", cx: x, cy: plot.y(quantiles[middle]), r: 5 }),
      plot.label(start, shortDate(this.firstDay), "start"),
    );
    // Narrow charts have no space for the label in the middle.
    if (x - end > 40 && end - start > 200) shapes.push(plot.label(end, `observed until ${shortDate(lastDay)}`, "end"));
    shapes.push(plot.label(x, shortDate(day), plot.width - x < 40 ? "end" : "middle"));
    return shapes;
  }

  band(days) {
    const point = (entry, value) => `${this.x(entry.day).toFixed(1)} ${this.plot.y(value).toFixed(1)}`;
    const upper = days.map((entry) => point(entry, entry.values.at(-1)));
    const lower = days.toReversed().map((entry) => point(entry, entry.values[0]));
    return shape("path", { class: "band", d: `M${[...upper, ...lower].join("L")}Z` });
  }

  describe(position) {
    if (!this.forecast) return;
    if (position === null) return this.onDetail("");
    const { history, days, middle } = this.forecast;
    const day = this.firstDay + position;
    const entry = days.find((candidate) => candidate.day === day);
    if (position < history.length) this.onDetail(`${longDate(day)}: ${figure(history[position])}`);
    else if (entry) this.onDetail(`${longDate(day)}: ${figure(entry.values[middle])} (${figure(entry.values[0])} – ${figure(entry.values.at(-1))})`);
    else this.onDetail(`${longDate(day)}: outside the forecast horizon`);
  }
}
