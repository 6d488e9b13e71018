// What is told around the answers: which model, which version, since when, by whom and why.

export const byId = (id) => document.getElementById(id);

export function element(name, className = "", text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const numbers = new Intl.NumberFormat("en");

function ago(moment) {
  const seconds = (new Date(moment) - Date.now()) / 1000;
  const [unit, length] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
  return relative.format(Math.round(seconds / length), unit);
}

function when(moment) {
  const time = element("time", "", `${ago(moment)} · ${new Date(moment).toLocaleString()}`);
  time.dateTime = moment;
  return time;
}

const share = (value) => `${(value * 100).toFixed(2)} %`;

export class Story {
  showModels(models, chosen, choose) {
    const names = models.map((model) => model.name);
    const nav = byId("models");
    if (nav.dataset.names !== String(names)) {
      nav.dataset.names = String(names);
      nav.replaceChildren(
        ...names.map((name) => {
          const button = element("button", "", name);
          button.type = "button";
          button.addEventListener("click", () => choose(name));
          return button;
        }),
      );
    }
    for (const button of nav.children) {
      button.setAttribute("aria-pressed", String(button.textContent === chosen?.name));
    }
  }

  showHealth(model) {
    if (!model) this.lamp("down", "no model is served yet");
    else if (!model.version) this.lamp("down", model.trouble_here ?? "no verified version yet");
    else if (model.store_trouble) this.lamp("trouble", "answering; the store is out of reach");
    else this.lamp("ready", "answering");
  }

  showDown() {
    this.lamp("down", "serving cannot be reached");
  }

  lamp(state, text) {
    byId("health").dataset.state = state;
    if (byId("health-text").textContent !== text) byId("health-text").textContent = text;
  }

  showVersion(model) {
    this.showRefusals(model.refused);
    byId("version").textContent = model.version ?? "none yet";
    if (!model.version) return;
    byId("trained").replaceChildren(when(model.trained_at));
    byId("rows").textContent = `${numbers.format(model.trained_on_rows)} ${model.name === "digits" ? "digits" : "rows"}`;
    byId("accuracy").textContent = this.accuracy(model);
    const { alias } = model;
    byId("action").textContent = alias?.action === "rolled back" ? "Rolled back" : "Promoted";
    byId("promoted").replaceChildren(...(alias ? [`by ${alias.by}, `, when(alias.at)] : ["not promoted: a rehearsal"]));
    byId("reason").textContent = alias?.reason || "–";
  }

  accuracy({ accuracy, accuracy_low: low, accuracy_high: high, holdout_rows: rows }) {
    if (accuracy === null) return "not measured";
    const interval = low === null || high === null ? "" : ` (95 %: ${share(low)} – ${share(high)})`;
    return `${share(accuracy)}${interval} on ${numbers.format(rows)} held out`;
  }

  showRefusals(refused) {
    const details = byId("refusals");
    details.hidden = !refused.length;
    details.querySelector("summary").textContent = `${refused.length} refused here`;
    details.querySelector("ul").replaceChildren(
      ...refused.map((one) => element("li", "", `${one.version}, ${ago(one.at)}: ${one.reason}`)),
    );
  }
}
