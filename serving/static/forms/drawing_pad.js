// Drawing pad: strokes by pointer or keyboard, read as 28 x 28 grey values. Centring and scaling
// are part of the network, so nothing is cropped or moved here.

const INK_WIDTH = 2.4; // in model pixels: about the stroke width of MNIST
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class DrawingPad {
  constructor(canvas, overlay, { onStroke, onClear, paper = "#000", ink = "#fff" }) {
    this.canvas = canvas;
    this.overlay = overlay.getContext("2d");
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.onStroke = onStroke;
    this.onClear = onClear;
    Object.assign(this, { paper, ink });
    this.rows = 28;
    this.columns = 28;
    this.strokes = new Map();
    this.pen = { x: canvas.width / 2, y: canvas.height / 2, down: false };
    this.clear();
    this.listen();
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      canvas.addEventListener(end, (event) => this.end(event));
    }
    canvas.addEventListener("keydown", (event) => this.press(event));
    canvas.addEventListener("focus", () => this.showCursor());
    canvas.addEventListener("blur", () => this.hideCursor());
  }

  resize(rows, columns) {
    this.rows = rows;
    this.columns = columns;
  }

  clear() {
    this.context.fillStyle = this.paper;
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.hasInk = false;
    this.pen.down = false;
    delete this.canvas.parentElement.dataset.inked;
    this.onClear();
  }

  // Show a picture whole, in the middle; it is drawn upon like paper.
  load(bitmap) {
    const { canvas, context } = this;
    this.clear();
    const scale = Math.min(canvas.width / bitmap.width, canvas.height / bitmap.height);
    const [width, height] = [bitmap.width * scale, bitmap.height * scale];
    context.drawImage(bitmap, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
    this.hasInk = true;
    canvas.parentElement.dataset.inked = "";
    this.onStroke();
  }

  pointOf(event) {
    const box = this.canvas.getBoundingClientRect();
    return {
      x: ((event.clientX - box.left) / box.width) * this.canvas.width,
      y: ((event.clientY - box.top) / box.height) * this.canvas.height,
    };
  }

  begin(event) {
    if (event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    const point = this.pointOf(event);
    this.strokes.set(event.pointerId, point);
    this.line(point, point);
    this.hideCursor();
  }

  move(event) {
    if (!this.strokes.has(event.pointerId)) return;
    const steps = event.getCoalescedEvents?.() ?? [];
    for (const step of steps.length ? steps : [event]) {
      const point = this.pointOf(step);
      this.line(this.strokes.get(event.pointerId), point);
      this.strokes.set(event.pointerId, point);
    }
  }

  // A stroke that has ended: its picture is no longer half of one, and asked about once more.
  end(event) {
    if (this.strokes.delete(event.pointerId) && this.hasInk) this.onStroke();
  }

  get isDrawing() {
    return this.strokes.size > 0;
  }

  line(from, to) {
    const { context, canvas } = this;
    context.strokeStyle = this.ink;
    context.lineWidth = (INK_WIDTH * canvas.width) / 28;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x, to.y);
    context.stroke();
    this.hasInk = true;
    canvas.parentElement.dataset.inked = "";
    this.onStroke();
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const direction = KEYS[event.key];
    if (direction) this.step(direction, event.shiftKey ? 3 : 1);
    else if (event.key === " ") this.togglePen();
    else if (["Escape", "Delete", "Backspace"].includes(event.key)) this.clear();
    else return;
    event.preventDefault();
    this.showCursor();
  }

  step([right, down], length) {
    const { pen, canvas } = this;
    const pixel = (length * canvas.width) / 28;
    const before = { x: pen.x, y: pen.y };
    pen.x = Math.min(Math.max(pen.x + right * pixel, 0), canvas.width);
    pen.y = Math.min(Math.max(pen.y + down * pixel, 0), canvas.height);
    if (pen.down) this.line(before, pen);
  }

  togglePen() {
    this.pen.down = !this.pen.down;
    if (this.pen.down) this.line(this.pen, this.pen);
  }

  showCursor() {
    this.hideCursor();
    if (!this.canvas.matches(":focus-visible")) return;
    const { overlay, pen } = this;
    overlay.strokeStyle = "#f6c453";
    overlay.fillStyle = "#f6c453";
    overlay.lineWidth = 3;
    overlay.beginPath();
    overlay.arc(pen.x, pen.y, (INK_WIDTH / 2 / 28) * this.canvas.width, 0, 2 * Math.PI);
    if (pen.down) overlay.fill();
    else overlay.stroke();
  }

  hideCursor() {
    this.overlay.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  // The mean of each cell, because browsers differ in how they scale a canvas down.
  pixels() {
    const { width, height } = this.canvas;
    const ink = this.context.getImageData(0, 0, width, height).data;
    const sums = new Float64Array(this.rows * this.columns);
    const counts = new Uint32Array(this.rows * this.columns);
    for (let y = 0; y < height; y += 1) {
      const row = Math.floor((y * this.rows) / height) * this.columns;
      for (let x = 0; x < width; x += 1) {
        const cell = row + Math.floor((x * this.columns) / width);
        sums[cell] += ink[(y * width + x) * 4];
        counts[cell] += 1;
      }
    }
    return Array.from(sums, (sum, cell) => Math.round(sum / counts[cell]));
  }
}
