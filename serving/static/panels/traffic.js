// Panel of the model's traffic and latency, over all workers of the host.

import { request } from "../api_client.js";
import { Plot } from "../charts/plot.js";
import { byId, isNumber, numbers, setText } from "../dom.js";

const axisLatency = (value) => (value >= 1000 ? `${numbers.format(value / 1000)} s` : `${numbers.format(value)}${value ? " ms" : ""}`);
const rate = (value) => numbers.format(value);

function latency(value) {
  if (!isNumber(value)) return "–";
  if (value >= 1000) return `${numbers.format(value / 1000)} s`;
  return `${value >= 10 ? value.toFixed(0) : value.toFixed(value >= 1 ? 1 : 2)} ms`;
}

function drawSeries(plot, series, span) {
  const high = Math.max(1, ...series.flatMap(({ values }) => values.filter(isNumber)));
  const shapes = () => [
    ...series.flatMap(({ values, kind, fill }) => plot.line([...values.entries()], kind, { fill })),
    plot.label(plot.x(0), span, "start"),
    plot.label(plot.width - 4, "now", "end"),
  ];
  plot.draw({ count: series[0].values.length, low: 0, high, shapes });
}

export class Traffic {
  constructor() {
    const onHover = (position) => this.describe(position);
    this.rates = new Plot(byId("rate-chart"), { format: rate, onHover });
    this.latencies = new Plot(byId("latency-chart"), { format: axisLatency, onHover });
  }

  async refresh(model) {
    try {
      const { models, bucket_seconds: seconds } = await request("/api/traffic");
      this.seconds = seconds;
      this.series = models[model];
    } catch {
      setText("traffic-note", "not available");
      return;
    }
    if (!this.series) return;
    const { requests_per_second: requests, errors_per_second: errors, p50_ms: p50, p99_ms: p99 } = this.series;
    const span = `${(requests.length * this.seconds) / 60} min ago`;
    // A red line at zero would only alarm.
    const failures = errors.some(Boolean) ? [{ values: errors, kind: "second" }] : [];
    drawSeries(this.rates, [{ values: requests, kind: "first", fill: true }, ...failures], span);
    drawSeries(this.latencies, [{ values: p99, kind: "third" }, { values: p50, kind: "first" }], span);
    this.describe(null);
    byId("rate-chart").setAttribute("aria-label", `Requests per second: ${summary(requests, rate)}`);
    byId("latency-chart").setAttribute("aria-label", `Latency p50: ${summary(p50, latency)}; p99: ${summary(p99, latency)}`);
  }

  describe(hovered) {
    if (!this.series) return;
    const { requests_per_second: requests, errors_per_second: errors, p50_ms: p50, p99_ms: p99 } = this.series;
    const position = hovered ?? requests.length - 1;
    const seconds = (requests.length - 1 - position) * this.seconds;
    setText("traffic-note", hovered === null ? (requests.some(Boolean) ? "" : "no requests") : `${seconds} s ago`);
    setText("rate-now", rate(requests[position]));
    setText("errors-now", rate(errors[position]));
    setText("p50-now", latency(p50[position]));
    setText("p99-now", latency(p99[position]));
  }
}

function summary(values, format) {
  const measured = values.filter(isNumber);
  if (!measured.length) return "no data";
  return `now ${format(measured.at(-1))}, maximum ${format(Math.max(...measured))} in the last 5 minutes`;
}
