// Gives every sample a button that copies it, sends the requests of Try it, and searches. The
// page is complete without scripts.

import { SessionValue } from "./session_value.js";

const SHOWN_MS = 1500;
const MOST_CHARACTERS = 20000;

for (const sample of document.querySelectorAll("pre")) {
  const frame = document.createElement("div");
  frame.className = "sample";
  sample.replaceWith(frame);
  frame.append(sample);
  if (navigator.clipboard) frame.append(copyButton(sample));
}

function copyButton(sample) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy ${sample.getAttribute("aria-label")}`);
  button.addEventListener("click", async () => {
    const outcome = await copy(sample.textContent);
    button.textContent = outcome;
    document.getElementById("copied").textContent = outcome;
    setTimeout(() => { button.textContent = "Copy"; }, SHOWN_MS);
  });
  return button;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return "Copied";
  } catch {
    return "Select it by hand";
  }
}

const key = new SessionValue("overnight-key");

for (const trial of document.querySelectorAll(".trial")) {
  const send = document.createElement("button");
  send.type = "button";
  send.textContent = "Send";
  const status = document.createElement("p");
  status.setAttribute("role", "status");
  const answer = document.createElement("pre");
  answer.tabIndex = 0;
  answer.hidden = true;
  answer.setAttribute("role", "region");
  answer.setAttribute("aria-label", `Answer of ${trial.dataset.method} ${trial.dataset.path}`);
  send.addEventListener("click", async () => {
    send.disabled = true;
    status.textContent = "Waiting for the answer";
    const { line, text } = await answerOf(trial);
    status.textContent = line;
    answer.textContent = text;
    answer.hidden = !text;
    send.disabled = false;
  });
  trial.append(send, status, answer);
  trial.hidden = false;
}

async function answerOf(trial) {
  const headers = {};
  const body = trial.querySelector("textarea")?.value;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  // What is tried here says nothing about the traffic of the model.
  if ("explores" in trial.dataset) headers["X-Prediction-Log"] = "skip";
  if (trial.dataset.target) headers["X-Amzn-SageMaker-Target-Model"] = trial.dataset.target;
  if (document.getElementById("key") && key.get()) headers["X-API-Key"] = key.get();
  const start = performance.now();
  try {
    const response = await fetch(trial.dataset.path, { method: trial.dataset.method, headers, body });
    const text = await response.text();
    const ms = Math.round(performance.now() - start);
    const version = response.headers.get("X-Model-Version");
    const line = `${response.status} in ${ms} ms${version ? `, by version ${version}` : ""}`;
    const isLong = text.length > MOST_CHARACTERS;
    return { line, text: isLong ? `${text.slice(0, MOST_CHARACTERS)}…` : text };
  } catch (error) {
    return { line: `No answer: ${error.message}. Is the server still running?`, text: "" };
  }
}

const search = document.getElementById("search");
search.parentElement.hidden = false;
search.addEventListener("input", () => {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const article of document.querySelectorAll("article")) {
    const text = article.textContent.toLowerCase();
    article.hidden = !words.every((word) => text.includes(word));
    shown += article.hidden ? 0 : 1;
    const link = document.querySelector(`.contents a[href="#${article.dataset.operation}"]`);
    link.parentElement.hidden = article.hidden;
  }
  for (const section of document.querySelectorAll("main section")) {
    section.hidden = !section.querySelector("article:not([hidden])");
  }
  document.getElementById("matches").textContent = words.length ? `${shown} operations` : "";
});

const keyField = document.getElementById("key");
if (keyField) {
  keyField.value = key.get();
  keyField.addEventListener("input", () => key.set(keyField.value));
}
