// What an answer rests on: the same version is asked again with one part of the question replaced.
//
// A part is replaced by what says nothing of it: another word for the unknown, the days around the
// one asked for, the mean of the other days. How far the answer moves is what the part adds to it.

import { inShort, weekday } from "./days.js";
import { byId, element } from "./dom.js";
import { figure } from "./forecast.js";

const WEEK = 7;
const FEW_WEEKS = 4;
const AROUND = [-3, -2, -1, 1, 2, 3];
const OTHER_ROWS = 6;

// Each question: what is replaced, and the rows whose mean answer stands for "without it".
export function questions(form, row) {
  const { others, history, day, lead, examples } = form;
  const found = others.map((spec) => replaced(spec, row, examples));
  const near = AROUND.map((step) => row[day.name] + step).filter((one) => form.allows(one));
  found.push({ told: `being ${weekday(row[day.name])}`, beside: "against the days around it", rows: near.map((one) => ({ ...row, [day.name]: one })) });
  const known = row[day.name] - row[lead.name];
  found.push(...weeks(row[history.name], known).map(({ told, values }) => ({ told, beside: "against the other days’ mean", rows: [{ ...row, [history.name]: values }] })));
  return found.filter((one) => one.rows.length);
}

function replaced(spec, row, examples) {
  const value = row[spec.name];
  // Words are told as they were typed; only places in a vocabulary are looked up.
  const told = `${spec.name} ${(spec.otherwise ? null : spec.vocabulary?.[value]) ?? [value].flat().join(", ")}`;
  if (spec.otherwise) {
    const rows = value === spec.otherwise ? [] : [{ ...row, [spec.name]: spec.otherwise }];
    return { told, beside: `against any “${spec.otherwise}”`, rows };
  }
  const values = [...new Set(examples.map((one) => JSON.stringify(one[spec.name])))].slice(0, OTHER_ROWS);
  return { told, beside: "against other values", rows: values.map((one) => ({ ...row, [spec.name]: JSON.parse(one) })) };
}

// The last weeks one by one, and all before them together.
function weeks(history, known) {
  const first = known - history.length + 1;
  const found = [];
  let end = history.length;
  while (end > 0) {
    const start = found.length < FEW_WEEKS ? Math.max(0, end - WEEK) : 0;
    const rest = history.filter((_, place) => place < start || place >= end);
    const mean = rest.reduce((sum, one) => sum + one, 0) / Math.max(rest.length, 1);
    const values = history.map((one, place) => (place >= start && place < end ? mean : one));
    if (rest.length) found.push({ told: `${inShort(first + start)} to ${inShort(first + end - 1)}`, values });
    end = start;
  }
  return found;
}

// `answers` are those to all rows of all questions, one after the other.
export function showResting(asked, answer, answers) {
  let place = 0;
  const parts = asked.map(({ told, beside, rows }) => {
    const theirs = answers.slice(place, (place += rows.length));
    return { told, beside, moved: answer - theirs.reduce((sum, one) => sum + one, 0) / theirs.length };
  });
  parts.sort((one, two) => Math.abs(two.moved) - Math.abs(one.moved));
  const most = Math.max(...parts.map(({ moved }) => Math.abs(moved)), 1e-9);
  byId("resting").hidden = !parts.length;
  byId("resting-parts").replaceChildren(...parts.map((part) => bar(part, most)));
}

function bar({ told, beside, moved }, most) {
  const item = element("li");
  const name = element("span", "part", told);
  name.append(" ", element("span", "quiet", beside));
  const track = element("span", "track");
  const length = element("span", moved < 0 ? "length less" : "length more");
  length.style.width = `${(50 * Math.abs(moved)) / most}%`;
  track.append(length);
  const size = figure(Math.abs(moved));
  item.append(name, track, element("span", "moved", size === "0" ? size : `${moved < 0 ? "−" : "+"}${size}`));
  return item;
}
