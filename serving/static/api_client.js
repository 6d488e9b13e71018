// HTTP client of this server's API.

import { SessionValue } from "./session_value.js";

// The server accepts an administrator token in place of an API key.
export const apiKey = new SessionValue("overnight-key");

class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// Returns the response as JSON; raises ApiError with the server's message, or status 0 without one.
export async function request(path, options) {
  return (await exchange(path, options)).document;
}

// The response as JSON, and the id of the request, by which its truth can be sent later.
async function exchange(path, { method = "GET", body, token, explores } = {}) {
  const headers = {};
  if (explores) headers["X-Prediction-Log"] = "skip";
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (apiKey.get()) headers["X-API-Key"] = apiKey.get();
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
    throw new ApiError(0, "The server cannot be reached; is it running, and are you online?");
  }
  const document = await response.json().catch(() => {
    if (response.ok) throw new ApiError(0, "The response was cut off.");
    return {};
  });
  if (!response.ok) {
    throw new ApiError(response.status, document.detail ?? document.error ?? document.refused?.[0]?.error ?? `The server responded with status ${response.status}.`);
  }
  return { document, requestId: response.headers.get("X-Request-Id") };
}

// With `explores`, nobody asked for this answer by itself: the prediction log leaves it out.
export async function infer(path, body, { explores = false } = {}) {
  const start = performance.now();
  const { document: response, requestId } = await exchange(`/v2/models/${path}/infer`, { method: "POST", body, explores });
  return { response, requestId, milliseconds: (performance.now() - start).toFixed(0) };
}

export const modelUrl = (model) => `/api/models/${encodeURIComponent(model)}`;
