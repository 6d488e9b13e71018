// Gives every sample a button that copies it. The page is complete without scripts.

const SHOWN_MS = 1500;

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
