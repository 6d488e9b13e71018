// Live traffic and latency of the chosen model, all workers of the host together.

import { Chart } from "./chart.js";
import { byId, isNumber, numbers, tell } from "./dom.js";
import { ask } from "./server.js";

const onAxis = (value) => (value >= 1000 ? `${numbers.format(value / 1000)} s` : `${numbers.format(value)}${value ? " ms" : ""}`);
const rate = (value) => numbers.format(value);

function milliseconds(value) {
  if (!isNumber(value)) return "–";
  if (value >= 1000) return `${numbers.format(value / 1000)} s`;
  return `${value >= 10 ? value.toFixed(0) : value.toFixed(value >= 1 ? 1 : 2)} ms`;
}

export class Traffic {
  constructor() {
    const onLook = (place) => this.tell(place);
    this.rate = new Chart(byId("rate-chart"), { least: 1, format: rate, onLook });
    this.latency = new Chart(byId("latency-chart"), { least: 1, format: onAxis, onLook });
  }

  async refresh(model) {
    try {
      const { models, bucket_seconds: seconds } = await ask("/api/traffic");
      this.seconds = seconds;
      this.seen = models[model];
    } catch {
      tell("traffic-note", "cannot be asked for just now");
      return;
    }
    if (!this.seen) return;
    const { requests_per_second: requests, errors_per_second: errors, p50_ms: half, p99_ms: most } = this.seen;
    const span = `${(requests.length * this.seconds) / 60} min ago`;
    // A line of zeros would only alarm.
    const wrong = errors.some(Boolean) ? [{ values: errors, name: "second" }] : [];
    this.rate.draw([{ values: requests, name: "first", filled: true }, ...wrong], span);
    this.latency.draw([{ values: most, name: "third" }, { values: half, name: "first" }], span);
    this.tell(null);
    byId("rate-chart").setAttribute("aria-label", `Requests a second: ${summary(requests, rate)}`);
    byId("latency-chart").setAttribute("aria-label", `Half answered within: ${summary(half, milliseconds)}; 99 of 100 within: ${summary(most, milliseconds)}`);
  }

  tell(looked) {
    if (!this.seen) return;
    const place = looked ?? this.seen.requests_per_second.length - 1;
    const quiet = this.seen.requests_per_second.every((one) => !one);
    const seconds = (this.seen.requests_per_second.length - 1 - place) * this.seconds;
    tell("traffic-note", looked === null ? (quiet ? "nobody has asked" : "") : `${seconds} s ago`);
    tell("rate-now", rate(this.seen.requests_per_second[place]));
    tell("errors-now", rate(this.seen.errors_per_second[place]));
    tell("p50-now", milliseconds(this.seen.p50_ms[place]));
    tell("p99-now", milliseconds(this.seen.p99_ms[place]));
  }
}

function summary(values, format) {
  const known = values.filter(isNumber);
  if (!known.length) return "nothing measured";
  return `now ${format(values.at(-1))}, at most ${format(Math.max(...known))} in the last five minutes`;
}
