// Days as numbers since 1970-01-01, as forms tell them, and as people do.

const DAY_MS = 86_400_000;
const long = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", weekday: "short", day: "numeric", month: "short", year: "numeric" });
const named = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", weekday: "long" });
const brief = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", day: "numeric", month: "short" });

const moment = (day) => new Date(day * DAY_MS);

// An empty or half-written date is not a number.
export const dayOf = (text) => Date.parse(`${text}T00:00:00Z`) / DAY_MS;

export function iso(day) {
  const found = moment(day);
  return Number.isNaN(found.getTime()) ? "" : found.toISOString().slice(0, 10);
}

export const inFull = (day) => (iso(day) ? long.format(moment(day)) : "no day");
export const weekday = (day) => named.format(moment(day));
export const inShort = (day) => (iso(day) ? brief.format(moment(day)) : "–");
