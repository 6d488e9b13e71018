// Field of an input that takes pictures: a file, or a drawing in the shape of the input.

import { element } from "../dom.js";
import { DrawingPad } from "./drawing_pad.js";

const COLOURS = [[], [1], [3], [4]];
const PAD_PIXELS = 336;

export const isPicture = ({ datatype, shape }) => datatype === "UINT8" && shape.length >= 2 && COLOURS.some((colours) => String(colours) === String(shape.slice(2)));

// The base64 of the picture that was chosen or drawn last, by the name of the input.
const chosen = new Map();

export const pictureOf = (spec) => chosen.get(spec.name) ?? null;

export function pictureField(spec) {
  chosen.delete(spec.name);
  const [height, width] = spec.shape;
  const field = element("div", "picture");
  const preview = element("img");
  preview.alt = "";
  preview.hidden = true;
  const set = (url) => {
    chosen.set(spec.name, url.slice(url.indexOf(",") + 1));
    preview.src = url;
    preview.hidden = false;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const upload = element("input");
  upload.type = "file";
  upload.accept = "image/png,image/jpeg,image/webp";
  upload.setAttribute("aria-label", `${spec.name}, a picture`);
  upload.addEventListener("change", async () => upload.files[0] && set(await dataUrl(upload.files[0])));
  const resize = { fit: "scaled to fit", crop: "scaled and cropped", stretch: "stretched" }[spec.picture?.resize];
  field.append(upload, element("p", "quiet", `PNG, JPEG or WebP, ${width} × ${height}${resize ? `; other sizes are ${resize}` : ""}`), preview, drawing(spec, set, upload));
  return field;
}

function drawing(spec, set, upload) {
  const [height, width] = spec.shape;
  const scale = PAD_PIXELS / Math.max(height, width);
  const details = element("details");
  const pad = element("div", "pad");
  const [canvas, overlay] = [element("canvas"), element("canvas")];
  for (const each of [canvas, overlay]) [each.width, each.height] = [Math.round(width * scale), Math.round(height * scale)];
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${spec.name}, drawing area: arrow keys move the pen, Space lowers or lifts it, Escape clears`);
  overlay.setAttribute("aria-hidden", "true");
  overlay.className = "pen";
  pad.append(canvas, overlay);
  details.append(element("summary", "", "Draw instead"), pad);
  const colours = spec.bright_on_dark ? {} : { paper: "#fff", ink: "#000" };
  const take = () => {
    const small = element("canvas");
    [small.width, small.height] = [width, height];
    small.getContext("2d").drawImage(canvas, 0, 0, width, height);
    upload.value = ""; // the drawing is sent, no longer the file
    set(small.toDataURL("image/png"));
  };
  new DrawingPad(canvas, overlay, { onStroke: take, onClear: () => {}, ...colours });
  return details;
}

const dataUrl = (file) =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(file);
  });
