// The challenger: a version that is tried on live traffic beside the champion.

import { byId, element, isNumber, numbers, share, tell, when } from "./dom.js";

export function showChallenger(model) {
  const { challenger } = model;
  byId("challenger").hidden = !challenger;
  if (!challenger) return;
  const { version, mode, share: part, by, since, reason, withdrawn } = challenger;
  byId("stop-challenger").hidden = Boolean(withdrawn);
  const traffic = `${numbers.format(part * 100)} % of the traffic`;
  const role = mode === "canary" ? `answers ${traffic}` : `shadows ${traffic}; its answers are compared and never returned`;
  const told = [element("span", "mono", version), withdrawn ? ` was withdrawn: ${withdrawn}` : ` ${role}`];
  const started = since ? [" Started by ", by, ", ", when(since), reason ? `: ${reason}` : "", "."] : [];
  byId("challenger-told").replaceChildren(...told, ".", ...started);
  byId("challenger-told").classList.toggle("wrong", Boolean(withdrawn));
  byId("challenger-figures").replaceChildren(
    ...figures(challenger).map(([title, value]) => {
      const pair = element("div");
      pair.append(element("dt", "", title), element("dd", "", value));
      return pair;
    }),
  );
  tell("challenger-title", mode === "canary" ? "Challenger: canary" : "Challenger: shadow");
}

function figures({ requests, errors, compared, disagreements, dropped, slowdown }) {
  const part = isNumber(disagreements) && compared ? ` (${share(disagreements / compared, 1)})` : "";
  const count = (value) => (isNumber(value) ? numbers.format(value) : "–");
  return [
    ["Requests", count(requests)],
    ["Errors", count(errors)],
    ["Compared", count(compared)],
    ["Disagree", `${count(disagreements)}${part}`],
    ["Dropped", count(dropped)],
    ["Time against champion", isNumber(slowdown) ? `${slowdown.toFixed(2)} ×` : "–"],
  ];
}
