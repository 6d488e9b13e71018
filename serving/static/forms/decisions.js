// Decisions of administrators: what each asks, sends and says afterwards.

import { modelUrl, request } from "../api_client.js";
import { evidence } from "../panels/home.js";

const ACTIONS = {
  approve: {
    title: "Approve",
    text: ({ version }, proof) => `${version}: ${proof}. It becomes champion on every host. A decision is final.`,
    done: "serves now",
  },
  reject: {
    title: "Reject",
    text: ({ version }, proof) => `${version}: ${proof}. It will never serve. A decision is final.`,
    done: "was rejected",
  },
  promote: {
    title: "Promote",
    text: ({ version }, proof, champion) => `${version}: ${proof}. It was approved before; the champion is ${champion}. Every host will serve it instead.`,
    done: "serves now",
  },
  shadow: {
    title: "Shadow",
    text: ({ version }, proof) => `${version}: ${proof}. A tenth of the requests is sent to it as well; its answers are compared and never returned.`,
    done: "is the challenger now",
  },
  accept: {
    title: "Accept",
    text: ({ arrival, findings }) => `Arrival ${arrival}: ${foundIn(findings)} The next run learns from it.`,
    done: "was accepted",
  },
  exclude: {
    title: "Exclude",
    text: ({ arrival, findings }) => `Arrival ${arrival}: ${foundIn(findings)} It is left out of every snapshot from now on.`,
    done: "was excluded",
  },
};

const foundIn = (findings) => findings.filter(({ passed }) => !passed).slice(0, 3).map(({ message }) => `${message}.`).join(" ") || "its data shifted.";

// `afterwards(message, action, subject, record)` is called once the dialog is closed.
export function decide(dialog, { action, model, subject, versions, afterwards }) {
  const { title, text, done } = ACTIONS[action];
  const name = subject.version ?? subject.arrival;
  dialog.open({
    title: `${title} ${name}`,
    text: text(subject, subject.version ? evidence(subject, versions) : "", model.version),
    label: () => title,
    perform: async ({ reason, token }) => {
      const { record } = await send(action, { model, subject, reason, token });
      return () => afterwards(`${name} ${done}`, record);
    },
  });
}

function send(action, { model, subject, reason, token }) {
  const url = modelUrl(model.name);
  if (action === "shadow") {
    return request(`${url}/challenger`, { method: "POST", body: { version: subject.version, mode: "shadow", reason }, token });
  }
  const of = subject.version ? `versions/${subject.version}` : `arrivals/${encodeURIComponent(subject.arrival)}`;
  const expected = action === "promote" && model.version ? { expected: model.version } : {};
  return request(`${url}/${of}/${action}`, { method: "POST", body: { reason, ...expected }, token });
}
