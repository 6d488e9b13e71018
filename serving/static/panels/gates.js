// Table of the gates of one version, each with its margin drawn.

import { element, isNumber, numbers, plain, row, shape, table } from "../dom.js";

const WIDTH = 160;
const HEIGHT = 18;
// Findings of older releases have no direction; these were the gates with an upper bound then.
const UPPER_BOUNDS = new Set(["AtMost", "Calibrated", "MaximumGap", "WithinBudget", "SamePredictions"]);
const TITLES = ["Gate", "Value", "Criterion", "Margin", "Rows", "Details"];

const isLowerBetter = ({ gate, direction }) => (direction ? direction === "at most" : UPPER_BOUNDS.has(gate));

// What decided: for a comparison its p against the error rate, else the value against the bound.
function criterion(finding) {
  const { p, alpha, presumed, passed, bound } = finding;
  if (isNumber(p) && isNumber(alpha)) {
    const passesBelow = presumed ? presumed === "worse" : passed === p <= alpha;
    return `p = ${plain(p)}, needs ${passesBelow ? "≤" : ">"} ${plain(alpha)}`;
  }
  return isNumber(bound) ? `${isLowerBetter(finding) ? "≤" : "≥"} ${plain(bound)}` : "–";
}

// The range of the drawing: holds the bound, the value and a natural end such as 0 or 1.
function domain({ value, bound }, lower) {
  if (lower && value >= 0 && bound >= 0) return [0, Math.max(bound * 1.25, value * 1.1, 1e-12)];
  if (bound > 0 && bound <= 1 && value <= 1) {
    const least = Math.min(value, bound);
    return [least - Math.max((1 - least) * 0.2, 1e-9), 1];
  }
  const reach = Math.max(Math.abs(bound), Math.abs(value), 1e-12) * 1.4;
  return bound > 1 ? [Math.min(value, bound) - reach * 0.2, reach] : [-reach, reach];
}

function margin(finding) {
  const lower = isLowerBetter(finding);
  const [from, to] = domain(finding, lower);
  const x = (value) => (4 + ((WIDTH - 8) * (value - from)) / (to - from)).toFixed(1);
  const [start, end] = lower ? [x(from), x(finding.bound)] : [x(finding.bound), x(to)];
  const svg = shape("svg", { class: "margin", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true" });
  svg.append(
    shape("rect", { class: "track", x: 4, y: 6, width: WIDTH - 8, height: 6, rx: 3 }),
    shape("rect", { class: "allowed", x: start, y: 6, width: Math.max(end - start, 0), height: 6, rx: 3 }),
    shape("line", { class: "bound", x1: x(finding.bound), x2: x(finding.bound), y1: 1, y2: HEIGHT - 1 }),
    shape("circle", { class: finding.passed ? "value" : "value failed", cx: x(finding.value), cy: HEIGHT / 2, r: 4.5 }),
  );
  return svg;
}

function findingRow(finding) {
  const title = element("span", finding.passed ? "gate" : "gate failed");
  const mark = finding.applicable ? (finding.passed ? "✓" : "✗") : "–";
  const outcome = finding.applicable ? (finding.passed ? "passed" : "failed") : "not applicable";
  const sign = element("span", "sign", mark);
  sign.setAttribute("aria-hidden", "true");
  const name = [finding.gate, finding.metric, finding.slice].filter(Boolean).join(" · ");
  title.append(sign, element("span", "hidden-text", `${outcome}: `), name);
  const measured = isNumber(finding.value) && isNumber(finding.bound);
  const node = row(
    [
      title,
      isNumber(finding.value) ? plain(finding.value) : "–",
      criterion(finding),
      measured ? margin(finding) : "",
      isNumber(finding.n) ? numbers.format(finding.n) : "–",
      element("span", "quiet", finding.message),
    ],
    TITLES,
  );
  node.dataset.passed = String(finding.passed);
  return node;
}

export function gatesTable(version) {
  // Failed gates first.
  const findings = [...version.findings].sort((a, b) => a.passed - b.passed);
  return table("stacking gates", `Gates of ${version.version}`, TITLES, findings.map(findingRow));
}
