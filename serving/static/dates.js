// Dates as day numbers since 1970-01-01, the unit of the model's inputs.

const DAY_MS = 86_400_000;
const long = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", weekday: "short", day: "numeric", month: "short", year: "numeric" });
const weekdays = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", weekday: "long" });
const short = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", day: "numeric", month: "short" });

const dateOf = (day) => new Date(day * DAY_MS);

export const today = () => Math.floor(Date.now() / DAY_MS);

// NaN for an empty or incomplete date.
export const parseDay = (text) => Date.parse(`${text}T00:00:00Z`) / DAY_MS;

export function isoDate(day) {
  const date = dateOf(day);
  return Number.isNaN(date.getTime()) ? "" : date.toISOString().slice(0, 10);
}

export const longDate = (day) => (isoDate(day) ? long.format(dateOf(day)) : "no date");
export const weekday = (day) => weekdays.format(dateOf(day));
export const shortDate = (day) => (isoDate(day) ? short.format(dateOf(day)) : "–");
