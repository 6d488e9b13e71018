// Panel of the challenger: a version that gets shadow or canary traffic along with the champion.

import { byId, definitions, element, isNumber, numbers, setText, share, timeElement } from "../dom.js";

export function showChallenger({ challenger }) {
  byId("challenger").hidden = !challenger;
  if (!challenger) return;
  const { version, mode, by, since, reason, withdrawn } = challenger;
  byId("stop-challenger").hidden = Boolean(withdrawn);
  const traffic = `${numbers.format(challenger.share * 100)} % of the traffic`;
  const role = mode === "canary" ? `answers ${traffic}` : `gets a copy of ${traffic}; its answers are compared and never returned`;
  const state = withdrawn ? ` was withdrawn: ${withdrawn}` : ` ${role}`;
  const start = since ? [" Started by ", by, ", ", timeElement(since), reason ? `: ${reason}` : "", "."] : [];
  byId("challenger-text").replaceChildren(element("span", "mono", version), state, ".", ...start);
  byId("challenger-text").classList.toggle("wrong", Boolean(withdrawn));
  byId("challenger-figures").replaceChildren(...definitions(figures(challenger)));
  setText("challenger-title", `Challenger: ${mode}`);
}

function figures({ requests, errors, compared, disagreements, dropped, slowdown }) {
  const part = isNumber(disagreements) && compared ? ` (${share(disagreements / compared, 1)})` : "";
  const count = (value) => (isNumber(value) ? numbers.format(value) : "–");
  return [
    ["Requests", count(requests)],
    ["Errors", count(errors)],
    ["Compared", count(compared)],
    ["Disagreements", `${count(disagreements)}${part}`],
    ["Dropped", count(dropped)],
    ["Latency vs. champion", isNumber(slowdown) ? `${slowdown.toFixed(2)} ×` : "–"],
  ];
}
