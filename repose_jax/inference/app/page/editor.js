"use strict";
/* A pose on a canvas: joints are dragged with mouse, finger or keys. Knows nothing of the server.

   A pose is {joint: [x, y]} in pixels of the photo, the centre of its top left pixel being [0, 0]; a
   joint that is missing has no entry. */
class PoseEditor {
  static REACH = { mouse: 18, pen: 22, touch: 30 };  // CSS pixels around a joint that take it
  static MARGIN = 0.08;  // of the photo's longer side, around it: joints may lie outside of the photo
  static COLOURS = { left: "#1f78d1", right: "#e8590c", "": "#2b8a3e" };

  /* canvas; skeleton {joints, limbs}; onChange is called after every change and choice. */
  constructor(canvas, onChange) {
    this.canvas = canvas;
    this.onChange = onChange;
    this.skeleton = { joints: [], limbs: [] };
    this.size = [256, 128];
    this.pose = {};
    this.home = {};  // where a joint comes back to
    this.photo = null;
    this.opacity = 1;
    this.chosen = null;
    this.carry = false;  // whether what hangs on a joint moves along
    this.past = [];
    this.future = [];
    this.drag = null;
    this.zoom = 1;
    this.centre = null;  // what is looked at where it is enlarged
    canvas.tabIndex = 0;
    canvas.addEventListener("pointerdown", event => this.#down(event));
    canvas.addEventListener("pointermove", event => this.#move(event));
    canvas.addEventListener("pointerup", () => this.#up());
    canvas.addEventListener("pointercancel", () => this.#up());
    canvas.addEventListener("keydown", event => this.#key(event));
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /* A new photo: nothing of the old one can be undone to. */
  start(size, skeleton, photo, pose) {
    this.size = size;
    this.skeleton = skeleton;
    this.photo = photo;
    this.past = [];
    this.future = [];
    this.chosen = null;
    this.zoom = 1;
    this.centre = null;
    this.home = structuredClone(pose);
    this.pose = structuredClone(pose);  // another editor may have the same
    this.#changed();
  }

  /* Another pose of the same photo, which can be undone. */
  set(pose) {
    this.#remember();
    this.home = { ...this.home, ...structuredClone(pose) };
    this.pose = structuredClone(pose);
    if (!(this.chosen in this.pose)) this.chosen = null;
    this.#changed();
  }

  undo() { this.#step(this.past, this.future); }
  redo() { this.#step(this.future, this.past); }

  remove(joint = this.chosen) {
    if (!(joint in this.pose)) return;
    this.#remember();
    this.home[joint] = [...this.pose[joint]];
    delete this.pose[joint];
    this.chosen = null;
    this.#changed();
  }

  restore(joint) {
    this.#remember();
    const near = this.skeleton.limbs.flatMap(([a, b]) => a === joint ? [b] : b === joint ? [a] : [])
      .find(other => other in this.pose);
    const [height, width] = this.size;
    const beside = near ? [this.pose[near][0] + width * 0.08, this.pose[near][1] + height * 0.04]
      : [width / 2, height / 2];
    this.pose[joint] = [...(this.home[joint] || beside)];
    this.chosen = joint;
    this.#changed();
  }

  /* Mirrors the person about their own middle: left and right change places. */
  flip() {
    const points = Object.values(this.pose);
    if (!points.length) return;
    this.#remember();
    const xs = points.map(point => point[0]);
    const sum = Math.min(...xs) + Math.max(...xs);
    const mirrored = name => name.startsWith("left_") ? name.replace("left_", "right_")
      : name.startsWith("right_") ? name.replace("right_", "left_") : name;
    this.pose = Object.fromEntries(Object.entries(this.pose)
      .map(([name, [x, y]]) => [mirrored(name), [sum - x, y]]));
    this.#changed();
  }

  /* Makes what is chosen larger or smaller: a limb with what hangs on it moving along, or the head; with
     nothing chosen, the person, about their lowest joint and middle. */
  scale(factor) {
    const points = Object.values(this.pose);
    if (!points.length) return;
    this.#remember();
    if (this.chosen && this.#scalePart(factor)) return this.#changed();
    const xs = points.map(point => point[0]);
    const middle = (Math.min(...xs) + Math.max(...xs)) / 2;
    const ground = Math.max(...points.map(point => point[1]));
    this.pose = Object.fromEntries(Object.entries(this.pose).map(([joint, [x, y]]) =>
      [joint, [middle + factor * (x - middle), ground + factor * (y - ground)]]));
    this.#changed();
  }

  /* Whether the chosen joint ends a limb, or is of the head, which is then scaled. */
  #scalePart(factor) {
    const head = Object.keys(this.pose).filter(joint => /(^|_)(nose|eye|ear|head_top)$/.test(joint));
    const parent = (this.skeleton.limbs.find(([a, b]) => b === this.chosen && a in this.pose) || [])[0];
    const from = this.pose[head.includes(this.chosen) && "neck" in this.pose ? "neck" : parent];
    if (!from) return false;
    if (head.includes(this.chosen) && "neck" in this.pose) {
      for (const joint of head) {
        this.pose[joint] = this.pose[joint].map((at, axis) => from[axis] + factor * (at - from[axis]));
      }
      return true;
    }
    const by = this.pose[this.chosen].map((at, axis) => (factor - 1) * (at - from[axis]));
    for (const joint of this.#hanging(this.chosen)) {
      this.pose[joint] = this.pose[joint].map((at, axis) => at + by[axis]);
    }
    return true;
  }

  /* Enlarges what is seen, about the chosen joint or the middle; 1 is the whole photo. */
  enlarge(factor) {
    this.zoom = Math.min(Math.max(this.zoom * factor, 1), 8);
    if (this.chosen) this.centre = [...this.pose[this.chosen]];
    if (this.zoom === 1) this.centre = null;
    this.draw();
  }

  missing() { return this.skeleton.joints.filter(joint => !(joint in this.pose)); }

  /* Where a joint is on the page, in CSS pixels of the window. */
  place(joint) {
    const { left, top } = this.canvas.getBoundingClientRect();
    const [x, y] = this.#toCanvas(this.pose[joint]);
    return [left + x, top + y];
  }

  draw() {
    const { canvas } = this;
    const width = canvas.clientWidth;
    if (!width) return;
    const [high, wide] = this.size;
    const margin = PoseEditor.MARGIN * Math.max(high, wide);
    const whole = Math.min(width / (wide + 2 * margin), 560 / (high + 2 * margin));
    const height = Math.round((high + 2 * margin) * whole);
    this.factor = whole * this.zoom;
    this.offset = [(width - wide * this.factor) / 2, margin * whole];
    if (this.zoom > 1) {
      const [x, y] = this.centre || [wide / 2, high / 2];
      this.offset = [width / 2 - (x + 0.5) * this.factor, height / 2 - (y + 0.5) * this.factor];
    }
    const dense = window.devicePixelRatio || 1;
    canvas.style.height = `${height}px`;
    canvas.width = Math.round(width * dense);
    canvas.height = Math.round(height * dense);
    const brush = canvas.getContext("2d");
    brush.scale(dense, dense);
    brush.fillStyle = "#fff";
    brush.fillRect(...this.offset, wide * this.factor, high * this.factor);
    if (this.photo) {
      brush.globalAlpha = this.opacity;
      brush.drawImage(this.photo, ...this.offset, wide * this.factor, high * this.factor);
      brush.globalAlpha = 1;
    }
    this.#skeleton(brush);
  }

  #skeleton(brush) {
    brush.lineCap = "round";
    for (const [a, b] of this.skeleton.limbs) {
      if (!(a in this.pose && b in this.pose)) continue;
      for (const [colour, thick] of [["#fff", 7], [PoseEditor.colour(b), 4]]) {
        brush.strokeStyle = colour;
        brush.lineWidth = thick;
        brush.beginPath();
        brush.moveTo(...this.#toCanvas(this.pose[a]));
        brush.lineTo(...this.#toCanvas(this.pose[b]));
        brush.stroke();
      }
    }
    for (const [joint, point] of Object.entries(this.pose)) {
      brush.beginPath();
      brush.arc(...this.#toCanvas(point), joint === this.chosen ? 9 : 6, 0, 2 * Math.PI);
      brush.fillStyle = joint === this.chosen ? "#ffd43b" : PoseEditor.colour(joint);
      brush.fill();
      brush.strokeStyle = joint === this.chosen ? "#000" : "#fff";
      brush.lineWidth = 2;
      brush.stroke();
    }
  }

  static colour(joint) { return PoseEditor.COLOURS[(joint.match(/^(left|right)_/) || ["", ""])[1]]; }

  // The centre of the photo's top left pixel is [0, 0], its corner [-.5, -.5].
  #toCanvas([x, y]) {
    return [(x + 0.5) * this.factor + this.offset[0], (y + 0.5) * this.factor + this.offset[1]];
  }

  #toPhoto(event) {
    const { left, top } = this.canvas.getBoundingClientRect();
    return [(event.clientX - left - this.offset[0]) / this.factor - 0.5,
      (event.clientY - top - this.offset[1]) / this.factor - 0.5];
  }

  #nearest(event) {
    const at = this.#toPhoto(event);
    let best = null;
    let least = (PoseEditor.REACH[event.pointerType] || 22) / this.factor;
    for (const [joint, point] of Object.entries(this.pose)) {
      const distance = Math.hypot(point[0] - at[0], point[1] - at[1]);
      if (distance <= least) [best, least] = [joint, distance];
    }
    return best;
  }

  #down(event) {
    if (event.button) return;
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    this.chosen = this.#nearest(event);
    if (this.chosen) {
      this.canvas.setPointerCapture(event.pointerId);
      const [x, y] = this.#toPhoto(event);
      const point = this.pose[this.chosen];
      this.drag = { grip: [point[0] - x, point[1] - y], before: structuredClone(this.pose) };
    } else if (this.zoom > 1) {
      this.canvas.setPointerCapture(event.pointerId);
      this.look = this.#toPhoto(event);
    }
    this.#changed();
  }

  #move(event) {
    const [x, y] = this.#toPhoto(event);
    if (this.look) {  // what is under the finger stays under it
      const [high, wide] = this.size;
      const [a, b] = this.centre || [wide / 2, high / 2];
      this.centre = [Math.min(Math.max(a + this.look[0] - x, 0), wide),
        Math.min(Math.max(b + this.look[1] - y, 0), high)];
      return this.draw();
    }
    if (!this.drag) return;
    this.#to([x + this.drag.grip[0], y + this.drag.grip[1]]);
    this.draw();
  }

  #up() {
    this.look = null;
    if (!this.drag) return;
    const { before } = this.drag;
    this.drag = null;
    if (JSON.stringify(before) !== JSON.stringify(this.pose)) {
      this.past.push(before);
      this.future = [];
    }
    this.#changed();
  }

  /* Puts the chosen joint somewhere, at most as far outside as can be seen. */
  #to([x, y]) {
    const [high, wide] = this.size;
    const margin = PoseEditor.MARGIN * Math.max(high, wide);
    const at = this.pose[this.chosen];
    const by = [Math.min(Math.max(x, -margin), wide - 1 + margin) - at[0],
      Math.min(Math.max(y, -margin), high - 1 + margin) - at[1]];
    for (const joint of this.carry ? this.#hanging(this.chosen) : [this.chosen]) {
      this.pose[joint] = [this.pose[joint][0] + by[0], this.pose[joint][1] + by[1]];
    }
  }

  /* A joint and those beyond it, as limbs are directed away from the trunk. */
  #hanging(joint, found = new Set()) {
    if (joint in this.pose) found.add(joint);
    for (const [a, b] of this.skeleton.limbs) {
      if (a === joint && !found.has(b)) this.#hanging(b, found);
    }
    return found;
  }

  #key(event) {
    const known = this.skeleton.joints.filter(joint => joint in this.pose);
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const letter = event.key.toLowerCase();
    if ((event.ctrlKey || event.metaKey) && letter === "z") event.shiftKey ? this.redo() : this.undo();
    else if ((event.ctrlKey || event.metaKey) && letter === "y") this.redo();
    else if (event.ctrlKey || event.metaKey || event.altKey) return;
    else if (letter === "n" || letter === "p") {
      const step = letter === "n" ? 1 : known.length - 1;
      const from = this.chosen ? known.indexOf(this.chosen) : letter === "n" ? -1 : 0;
      this.chosen = known.length ? known[(from + step) % known.length] : null;
      this.#changed();
    } else if (event.key in arrows && this.chosen) {
      const reach = (event.shiftKey ? 10 : 2) / this.factor;
      this.#remember();
      const [x, y] = this.pose[this.chosen];
      this.#to([x + reach * arrows[event.key][0], y + reach * arrows[event.key][1]]);
      this.#changed();
    } else if ((event.key === "Delete" || event.key === "Backspace") && this.chosen) this.remove();
    else if (event.key === "+" || event.key === "-") this.enlarge(event.key === "+" ? 1.5 : 1 / 1.5);
    else if (event.key === "]" || event.key === "[") this.scale(event.key === "]" ? 1.05 : 1 / 1.05);
    else if (event.key === "Escape") {
      this.chosen = null;
      this.#changed();
    } else return;
    event.preventDefault();
  }

  #remember() {
    this.past.push(structuredClone(this.pose));
    this.future = [];
  }

  #step(from, to) {
    if (!from.length) return;
    to.push(structuredClone(this.pose));
    this.pose = from.pop();
    if (!(this.chosen in this.pose)) this.chosen = null;
    this.#changed();
  }

  #changed() {
    this.draw();
    this.onChange();
  }
}
