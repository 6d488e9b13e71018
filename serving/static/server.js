// Asking our own server, and nobody else.

import { Kept } from "./kept.js";

// Servers may ask everybody for a key; an administrator's token opens that door too.
export const key = new Kept("overnight-key");

export class Problem extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// What the server answers as JSON; what it refuses becomes a Problem in its own words.
export async function ask(path, { method = "GET", body, token } = {}) {
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (key.read()) headers["X-API-Key"] = key.read();
  if (token) headers.Authorization = `Bearer ${token}`;
  let response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: typeof body === "object" ? JSON.stringify(body) : body,
      cache: "no-store",
      credentials: "same-origin",
    });
  } catch {
    throw new Problem(0, "The server cannot be reached; is it running, and are you online?");
  }
  const answer = await response.json().catch(() => {
    if (response.ok) throw new Problem(0, "The answer was cut off.");
    return {};
  });
  if (!response.ok) {
    throw new Problem(response.status, answer.detail ?? answer.error ?? `The server answered ${response.status}.`);
  }
  return answer;
}

export const addressOf = (model) => `/api/models/${encodeURIComponent(model)}`;
