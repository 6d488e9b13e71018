// Live scores: how well the deployed versions predicted each arrival before training on it.

import { Plot } from "../charts/plot.js";
import { byId, element, isNumber, numbers, row, setText, shape, timeElement } from "../dom.js";
import { axisValue, metricName, metricValue, valueWithInterval } from "../metric_format.js";

const TITLES = ["Arrival", "Time", "Version", "Live score", "Holdout"];
const MAX_SCORES = 60;

const shortName = (version) => `…${version.slice(-5)}`;

// The first overall measurement; if it is no number, the score is left out rather than replaced
// by another metric.
function headlineOf({ measurements }) {
  const first = measurements.find(({ slice }) => slice === "");
  return isNumber(first?.value) ? first : undefined;
}

const onRows = (score) => `${valueWithInterval(score.headline)} on ${numbers.format(score.n)} rows`;
const holdoutText = ({ headline, holdout }, otherwise) => (isNumber(holdout?.value) ? metricValue(headline, holdout.value) : otherwise);

export class LiveScores {
  constructor() {
    this.scores = [];
    this.plot = new Plot(byId("live-plot"), {
      format: (value) => axisValue(this.metric, value),
      onHover: (position) => this.describe(position),
    });
  }

  // `scores` come newest first; the plot goes from left to right.
  show(scores) {
    const signature = JSON.stringify(scores);
    if (signature === this.signature) return;
    this.signature = signature;
    const measured = scores.map((score) => ({ ...score, headline: headlineOf(score) })).filter(({ headline }) => headline);
    this.metric = measured[0]?.headline.metric;
    const newestFirst = measured.filter(({ headline }) => headline.metric === this.metric).slice(0, MAX_SCORES);
    this.scores = newestFirst.toReversed();
    byId("live").hidden = !this.scores.length;
    if (!this.scores.length) return;
    const metric = metricName(this.metric);
    setText("live-metric", metric);
    byId("live-rows").replaceChildren(...newestFirst.map(scoreRow));
    const values = this.scores.flatMap(({ headline: { low, value, high }, holdout }) => [low, value, high, holdout?.value]).filter(isNumber);
    this.plot.draw({ count: this.scores.length, low: Math.min(...values), high: Math.max(...values), shapes: () => this.shapes() });
    this.plot.svg.setAttribute("aria-label", `Live ${metric} per arrival. ${describe(newestFirst[0])}`);
    this.describe(null);
  }

  shapes() {
    const runs = [];
    this.scores.forEach((score, position) => {
      if (runs.at(-1)?.[0].version !== score.version) runs.push([]);
      runs.at(-1).push({ ...score, position });
    });
    return runs.flatMap((run, index) => this.run(run, { isFirst: index === 0, isLast: index === runs.length - 1 }));
  }

  // Consecutive scores of one version, with its holdout score as a level.
  run(scores, { isFirst, isLast }) {
    const { plot } = this;
    const { version, holdout } = scores[0];
    const half = (plot.x(1) - plot.x(0)) / 2 || 24;
    const [left, right] = [plot.x(scores[0].position) - half, plot.x(scores.at(-1).position) + half];
    const shapes = isFirst ? [] : [plot.vertical(left, "change")];
    if (isNumber(holdout?.value)) {
      const y = plot.y(holdout.value);
      shapes.push(shape("line", { class: "holdout", x1: left + 1, x2: right - 1, y1: y, y2: y }));
    }
    shapes.push(...plot.line(scores.map(({ position, headline }) => [position, headline.value]), isLast ? "first" : "before"));
    shapes.push(...scores.flatMap((score) => this.point(score, isLast)));
    if (right - left > 56) shapes.push(plot.label((left + right) / 2, right - left > 224 ? version : shortName(version)));
    return shapes;
  }

  point({ position, headline: { value, low, high } }, isLast) {
    const { plot } = this;
    const x = plot.x(position);
    const dot = shape("circle", { class: isLast ? "point" : "point before", cx: x, cy: plot.y(value), r: 3.5 });
    return isNumber(low) && isNumber(high) ? [plot.whisker(x, low, high), dot] : [dot];
  }

  describe(position) {
    const score = this.scores.at(position ?? -1);
    if (score) setText("live-detail", describe(score));
  }
}

function describe(score) {
  const holdout = holdoutText(score, "");
  return `${onRows(score)} of ${score.arrival}, version ${shortName(score.version)}${holdout && `; holdout: ${holdout}`}`;
}

function scoreRow(score) {
  return row(
    [score.arrival, timeElement(score.at, { short: true }), element("span", "mono", score.version), onRows(score), holdoutText(score, "–")],
    TITLES,
  );
}
