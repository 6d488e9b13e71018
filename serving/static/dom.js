// Small words for making elements and telling numbers and moments.

export const byId = (id) => document.getElementById(id);

export function element(name, className = "", text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

export function shape(name, attributes = {}, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

// Tables that stack on a phone lose their meaning to screen readers unless it is said again.
export function row(cells, titles) {
  const made = element("tr");
  made.setAttribute("role", "row");
  cells.forEach((content, place) => {
    const cell = element("td");
    cell.setAttribute("role", "cell");
    cell.dataset.title = titles[place];
    const inner = element("div", "inner");
    inner.append(...[content].flat());
    if (inner.childNodes.length) cell.append(inner);
    made.append(cell);
  });
  return made;
}

export function tell(id, text) {
  if (byId(id).textContent !== text) byId(id).textContent = text;
}

const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
export const numbers = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });

export function ago(moment) {
  const seconds = (new Date(moment) - Date.now()) / 1000;
  const [unit, length] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? UNITS.at(-1);
  return relative.format(Math.round(seconds / length), unit);
}

export function when(moment, { short = false } = {}) {
  const told = exact.format(new Date(moment));
  const time = element("time", "", short ? ago(moment) : `${ago(moment)} · ${told}`);
  time.dateTime = moment;
  time.toggleAttribute("data-ages", short);
  time.title = told;
  return time;
}

// What was told a while ago is longer ago by now.
// A name that a token showed is told from one that somebody typed.
export const who = ({ by, proved }) => (proved ? `${by} (proved by token)` : by);

export function age() {
  for (const time of document.querySelectorAll("time[data-ages]")) {
    const told = ago(time.dateTime);
    if (time.textContent !== told) time.textContent = told;
  }
}

// The two largest units: "3 d 4 h".
export function duration(milliseconds) {
  let left = Math.max(Math.round(milliseconds / 1000), 0);
  const parts = [];
  for (const [unit, size] of UNITS) {
    const count = Math.floor(left / size);
    if (count && parts.length < 2) parts.push(`${count} ${unit === "minute" ? "min" : unit[0]}`);
    else if (parts.length) break;
    left -= count * size;
  }
  return parts.join(" ") || "0 s";
}

export const share = (value, digits = 2) => `${(value * 100).toFixed(digits)} %`;

// Numbers that never were arrive as null or "NaN".
export const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

export function plain(value) {
  if (!isNumber(value)) return "not a number";
  if (value === 0 || (Math.abs(value) >= 0.0001 && Math.abs(value) < 1e6)) {
    return String(Number(value.toPrecision(4)));
  }
  return value.toExponential(1);
}

let toastTimer;

export function toast(text) {
  const place = byId("toast");
  place.textContent = text;
  place.dataset.shown = "";
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => delete place.dataset.shown, 6000);
}
