// The monitor's records: live quality with coverage, drift by feature, alarms, and what followed.

import { Plot } from "../charts/plot.js";
import { byId, element, isNumber, numbers, plain, row, setText, shape, share, timeElement } from "../dom.js";
import { axisValue, metricName, metricValue, valueWithInterval } from "../metric_format.js";

const TITLES = ["Time", "Decision", "Reason"];
const MAX_RECORDS = 60;
const MAX_FEATURES = 8;
const MAX_DECISIONS = 12;

const DAY = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", day: "numeric", month: "short" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", hour: "2-digit", minute: "2-digit" });
const DRIFT = ["inputs", "answers", "confidence"];

export const drifts = ({ alarms }) => alarms.some(({ kind }) => DRIFT.includes(kind));

export const decisionsOf = (records) => records.filter(({ consequence }) => consequence.action !== "nothing");

const wholeOf = ({ quality, champion }) => quality.find(({ slice, version }) => slice === "" && version === champion);

function headlineOf(whole) {
  const first = whole?.measurements.find(({ slice }) => slice === "");
  return isNumber(first?.value) ? first : undefined;
}

export class Monitoring {
  constructor() {
    this.points = [];
    this.plot = new Plot(byId("monitor-plot"), {
      format: (value) => axisValue(this.metric, value),
      onHover: (position) => this.describe(position),
    });
  }

  // `records` come newest first; `versions` have what each measured on its holdout.
  show({ records, damaged }, versions) {
    const signature = JSON.stringify([records, damaged, versions.length]);
    if (signature === this.signature) return;
    this.signature = signature;
    byId("monitoring").hidden = !records.length && !damaged.length;
    byId("monitor-damaged").replaceChildren(...damaged.map((text) => element("p", "wrong", text)));
    this.showState(records[0]);
    this.showQuality(records, versions);
    showDistances(records[0]);
    const decisions = decisionsOf(records).slice(0, MAX_DECISIONS);
    byId("monitor-decisions").hidden = !decisions.length;
    byId("decision-rows").replaceChildren(...decisions.map(decisionRow));
  }

  showState(record) {
    const alarms = record?.alarms ?? [];
    byId("monitor-state").replaceChildren(...(record ? stateOf(record) : []));
    byId("monitor-alarms").replaceChildren(...alarms.map(alarmItem));
    byId("monitor-alarms").hidden = !alarms.length;
  }

  showQuality(records, versions) {
    const measured = records
      .map((record) => ({ record, whole: wholeOf(record), headline: headlineOf(wholeOf(record)) }))
      .filter(({ whole }) => whole);
    this.metric = measured.find(({ headline }) => headline)?.headline.metric;
    const points = measured.filter(({ headline, whole }) => headline?.metric === this.metric || isNumber(whole.estimated));
    this.points = withDays(points.slice(0, MAX_RECORDS).toReversed()).map((point) => this.withHoldout(point, versions));
    byId("monitor-quality").hidden = !this.points.length;
    if (!this.points.length) return;
    const metric = this.metric ? metricName(this.metric) : "accuracy";
    setText("monitor-metric", metric);
    const values = this.points.flatMap(({ headline, holdout, whole }) => [headline?.low, headline?.value, headline?.high, holdout, whole.estimated]).filter(isNumber);
    this.plot.draw({ count: this.points.length, low: Math.min(...values), high: Math.max(...values), shapes: () => this.shapes() });
    this.plot.svg.setAttribute("aria-label", `Live ${metric} by labels. ${describe(this.points.at(-1))}`);
    this.describe(null);
  }

  withHoldout(point, versions) {
    const own = versions.find(({ version }) => version === point.whole.version);
    const onHoldout = own?.measurements.find(({ metric, slice }) => metric === this.metric && slice === "");
    return { ...point, holdout: onHoldout?.value };
  }

  shapes() {
    const { plot, points } = this;
    const half = (plot.x(1) - plot.x(0)) / 2 || 24;
    const shapes = [];
    points.forEach(({ whole, holdout, record }, position) => {
      const before = points[position - 1];
      if (before && before.whole.version !== whole.version) shapes.push(...this.changeMark(plot.x(position) - half, whole.version));
      if (isNumber(holdout)) {
        const y = plot.y(holdout);
        shapes.push(shape("line", { class: "holdout", x1: plot.x(position) - half, x2: plot.x(position) + half, y1: y, y2: y }));
      }
      if (isNumber(whole.estimated)) {
        const kind = drifts(record) ? "estimate doubtful" : "estimate";
        shapes.push(shape("circle", { class: kind, cx: plot.x(position), cy: plot.y(whole.estimated), r: 3 }));
      }
    });
    shapes.push(...plot.line(points.map(({ headline }, position) => [position, headline?.value ?? null]), "first"));
    points.forEach(({ headline }, position) => {
      if (!headline) return;
      const x = plot.x(position);
      if (isNumber(headline.low) && isNumber(headline.high)) shapes.push(plot.whisker(x, headline.low, headline.high));
      shapes.push(shape("circle", { class: "point", cx: x, cy: plot.y(headline.value), r: 3.5 }));
    });
    for (const position of new Set([0, points.length - 1])) {
      const anchor = points.length === 1 ? "middle" : position ? "end" : "start";
      shapes.push(plot.label(plot.x(position), points[position].day, anchor));
    }
    return shapes;
  }

  // Where another version answers from then on, with its name for the pointer and for readers.
  changeMark(x, version) {
    const line = this.plot.vertical(x, "change");
    const flag = shape("path", { class: "change-flag", d: `M${x - 5} 2h10l-5 8z` });
    for (const mark of [line, flag]) mark.append(shape("title", {}, `from here on ${version} answers`));
    return [line, flag];
  }

  describe(position) {
    const point = this.points.at(position ?? -1);
    if (point) setText("monitor-detail", describe(point));
  }
}

// Each point with its day; where a day has several records, with the time as well.
function withDays(points) {
  const days = points.map(({ record }) => DAY.format(new Date(record.until)));
  return points.map((point, position) => {
    const several = days.filter((day) => day === days[position]).length > 1;
    const time = several ? `, ${CLOCK.format(new Date(point.record.until))} UTC` : "";
    return { ...point, day: days[position] + time };
  });
}

function describe({ day, record, whole, headline, holdout }) {
  const parts = [`${day}: ${headline ? valueWithInterval(headline) : "nothing labelled"}`];
  parts.push(`answered by ${whole.version}`);
  parts.push(`labels of ${share(whole.coverage, 1)} of ${numbers.format(whole.answers)} answers`);
  if (isNumber(holdout) && headline) parts.push(`holdout: ${metricValue(headline, holdout)}`);
  if (isNumber(whole.estimated)) parts.push(`estimate without labels: ${share(whole.estimated)}${drifts(record) ? ", not to be trusted while drift alarms" : ""}`);
  return parts.join("; ");
}

function stateOf(record) {
  const { alarms, at } = record;
  const since = alarms.map((alarm) => alarm.since).sort()[0];
  const badge = alarms.length ? element("span", "badge back", "Drifted") : element("span", "badge", "Healthy");
  const text = alarms.length ? [" since ", timeElement(since), "; "] : [" "];
  return [badge, ...text, "newest record ", timeElement(at, { short: true })];
}

function alarmItem({ message, since }) {
  const item = element("li");
  item.append(`${message}, since `, timeElement(since));
  return item;
}

function showDistances(record) {
  const distances = (record?.distances ?? []).toSorted((a, b) => (b.e ?? 0) - (a.e ?? 0) || b.distance - a.distance);
  byId("monitor-distances").hidden = !distances.length;
  byId("distance-parts").replaceChildren(...distances.slice(0, MAX_FEATURES).map(distanceItem));
}

function distanceItem({ kind, feature, against, distance, n }) {
  const item = element("li");
  const track = element("span", "track");
  const length = element("span", "length");
  length.style.width = `${Math.min(Math.max(distance, 0), 1) * 100}%`;
  track.append(length);
  const name = element("span", "part", feature);
  name.append(element("span", "quiet", ` ${kind}, against ${against === "today" ? "training's rows of the same days" : "training"}`));
  const value = element("span", "contribution", plain(distance));
  value.title = `${numbers.format(n)} rows`;
  item.append(name, track, value);
  return item;
}

function decisionRow({ at, consequence: { action, reason, version } }) {
  const badge = element("span", action === "roll back" ? "badge back" : "badge plain", action);
  const decision = version ? [badge, " ", element("span", "mono", version)] : badge;
  return row([timeElement(at, { short: true }), decision, reason], TITLES);
}
