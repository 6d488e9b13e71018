// Names and values of metrics as text.

import { isNumber, numbers, plain, share } from "./dom.js";

const ABBREVIATIONS = { wape: "WAPE", nwrmsle: "NWRMSLE", r2: "R²" };

const isShare = ({ metric }) => /accuracy|recall|precision|share|coverage|wape/.test(metric);

export const metricName = (metric) => ABBREVIATIONS[metric] ?? metric.replaceAll("_", " ");

export const metricValue = (measurement, value) => (isShare(measurement) ? share(value) : plain(value));

// An axis label: no more digits than needed.
export const axisValue = (metric, value) => (isShare({ metric }) ? `${plain(value * 100)} %` : plain(value));

export function valueWithInterval(measurement) {
  const { value, low, high } = measurement;
  const interval = isNumber(low) && isNumber(high) ? ` (95 %: ${metricValue(measurement, low)} – ${metricValue(measurement, high)})` : "";
  return `${metricValue(measurement, value)}${interval}`;
}

// The metric by which a version is judged first: accuracy, or the first that was measured.
export function headline({ measurements }) {
  const overall = measurements.filter(({ slice }) => slice === "");
  return overall.find(({ metric }) => metric === "accuracy") ?? overall[0];
}

export const onHoldout = (measurement) => `${valueWithInterval(measurement)} on ${numbers.format(measurement.n)} holdout rows`;
