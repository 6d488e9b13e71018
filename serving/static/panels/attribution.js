// Feature contributions of a forecast, by occlusion: the same version predicts again with one
// input replaced by a neutral value, and the change of the prediction is that input's contribution.
//
// Neutral values: the vocabulary's fallback, the neighbouring days, the mean of the other days.

import { shortDate, weekday } from "../dates.js";
import { byId, element, figure } from "../dom.js";

const WEEK = 7;
const SINGLE_WEEKS = 4;
const NEIGHBOURS = [-3, -2, -1, 1, 2, 3];
const MAX_VALUES = 6;

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

// One entry per input: its name, its baseline, and the rows whose mean prediction is the baseline's.
export function occlusions(form, row) {
  const { features, history, day, lead, examples } = form;
  const neighbours = NEIGHBOURS.map((step) => row[day.name] + step).filter((candidate) => form.allowsDay(candidate));
  return [
    ...features.map((spec) => occludedFeature(spec, row, examples)),
    { name: weekday(row[day.name]), baseline: "neighbouring days", rows: neighbours.map((neighbour) => ({ ...row, [day.name]: neighbour })) },
    ...occludedWeeks(row[history.name], row[day.name] - row[lead.name]).map(({ name, values }) => ({
      name, baseline: "mean of the other days", rows: [{ ...row, [history.name]: values }],
    })),
  ].filter(({ rows }) => rows.length);
}

function occludedFeature(spec, row, examples) {
  const value = row[spec.name];
  // With a fallback the value is the typed text; otherwise it is an index into the vocabulary.
  const name = `${spec.name} ${(spec.otherwise ? null : spec.vocabulary?.[value]) ?? [value].flat().join(", ")}`;
  if (spec.otherwise) {
    const rows = value === spec.otherwise ? [] : [{ ...row, [spec.name]: spec.otherwise }];
    return { name, baseline: `“${spec.otherwise}”`, rows };
  }
  const values = [...new Set(examples.map((example) => JSON.stringify(example[spec.name])))].slice(0, MAX_VALUES);
  return { name, baseline: "other values", rows: values.map((text) => ({ ...row, [spec.name]: JSON.parse(text) })) };
}

// The most recent weeks one by one, and all earlier days together.
function occludedWeeks(history, lastDay) {
  const firstDay = lastDay - history.length + 1;
  const weeks = [];
  let end = history.length;
  while (end > 0) {
    const start = weeks.length < SINGLE_WEEKS ? Math.max(0, end - WEEK) : 0;
    const isInside = (index) => index >= start && index < end;
    const rest = history.filter((_, index) => !isInside(index));
    const average = mean(rest);
    const values = history.map((value, index) => (isInside(index) ? average : value));
    if (rest.length) weeks.push({ name: `${shortDate(firstDay + start)} to ${shortDate(firstDay + end - 1)}`, values });
    end = start;
  }
  return weeks;
}

// `predictions` are those of all rows of all occlusions, in the same order.
export function showAttribution(entries, prediction, predictions) {
  let start = 0;
  const parts = entries.map(({ name, baseline, rows }) => {
    const values = predictions.slice(start, (start += rows.length));
    return { name, baseline, contribution: prediction - mean(values) };
  });
  parts.sort((a, b) => Math.abs(b.contribution) - Math.abs(a.contribution));
  const largest = Math.max(...parts.map(({ contribution }) => Math.abs(contribution)), 1e-9);
  byId("attribution").hidden = !parts.length;
  byId("attribution-parts").replaceChildren(...parts.map((part) => bar(part, largest)));
}

function bar({ name, baseline, contribution }, largest) {
  const item = element("li");
  const title = element("span", "part", name);
  title.append(" ", element("span", "quiet", `vs. ${baseline}`));
  const track = element("span", "track");
  const length = element("span", contribution < 0 ? "length less" : "length more");
  length.style.width = `${(50 * Math.abs(contribution)) / largest}%`;
  track.append(length);
  const size = figure(Math.abs(contribution));
  item.append(title, track, element("span", "contribution", size === "0" ? size : `${contribution < 0 ? "−" : "+"}${size}`));
  return item;
}
