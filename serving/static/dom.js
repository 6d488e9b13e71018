// Helpers for DOM elements, and formats of numbers and times.

export const byId = (id) => document.getElementById(id);

export function element(name, className = "", text = "") {
  const node = document.createElement(name);
  node.className = className;
  node.textContent = text;
  return node;
}

export function shape(name, attributes = {}, text = "") {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text) node.textContent = text;
  return node;
}

function cell(name, role, content) {
  const node = element(name);
  node.setAttribute("role", role);
  node.append(...[content].flat());
  return node;
}

// Stacked tables (display: block on a phone) lose their implicit roles, so roles are explicit.
export function row(cells, titles) {
  const node = cell("tr", "row", []);
  cells.forEach((content, index) => {
    const inner = element("div", "inner");
    inner.append(...[content].flat());
    const data = cell("td", "cell", inner.childNodes.length ? inner : []);
    data.dataset.title = titles[index];
    node.append(data);
  });
  return node;
}

export function table(className, caption, titles, rows) {
  const node = cell("table", "table", element("caption", "hidden-text", caption));
  node.className = className;
  const heads = titles.map((title) => cell("th", "columnheader", title));
  for (const head of heads) head.scope = "col";
  node.append(cell("thead", "rowgroup", cell("tr", "row", heads)), cell("tbody", "rowgroup", rows));
  return node;
}

// Title and value pairs of a definition list.
export function definitions(pairs) {
  return pairs.map(([title, value]) => {
    const pair = element("div");
    pair.append(element("dt", "", title), element("dd", "", value));
    return pair;
  });
}

// Screen readers announce a live region again on every write, so equal text is not written.
export function setText(id, text) {
  if (byId(id).textContent !== text) byId(id).textContent = text;
}

const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const absolute = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
export const numbers = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });

export function ago(time) {
  const seconds = (new Date(time) - Date.now()) / 1000;
  const [unit, length] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? UNITS.at(-1);
  return relative.format(Math.round(seconds / length), unit);
}

export function timeElement(time, { short = false } = {}) {
  const text = absolute.format(new Date(time));
  const node = element("time", "", short ? ago(time) : `${ago(time)} · ${text}`);
  node.dateTime = time;
  node.toggleAttribute("data-relative", short);
  node.title = text;
  return node;
}

export function updateRelativeTimes() {
  for (const node of document.querySelectorAll("time[data-relative]")) {
    const text = ago(node.dateTime);
    if (node.textContent !== text) node.textContent = text;
  }
}

// An authenticated name is marked, because anybody can type any name.
export const actor = ({ by, authenticated }) => (authenticated ? `${by} (authenticated)` : by);

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

// Missing numbers arrive as null or "NaN".
export const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

export function plain(value) {
  if (!isNumber(value)) return "not a number";
  if (value === 0 || (Math.abs(value) >= 0.0001 && Math.abs(value) < 1e6)) {
    return String(Number(value.toPrecision(4)));
  }
  return value.toExponential(1);
}

// A predicted quantity: one decimal below 100, none above.
export const figure = (value) => (isNumber(value) ? plain(Math.abs(value) < 100 ? Number(value.toFixed(1)) : Math.round(value)) : "–");

let toastTimer;

export function toast(text) {
  const node = byId("toast");
  node.textContent = text;
  node.dataset.shown = "";
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => delete node.dataset.shown, 6000);
}
