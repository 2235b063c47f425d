"use strict";
/* The page: what is chosen, what the server is asked, what is shown. The pose is edited by editor.js. */
const $ = id => document.getElementById(id);
const SETTINGS = ["steps", "source_weight", "target_weight", "pif_weight"];
const MOST_BYTES = 22 << 20;  // base64 makes it a third larger, see serve.py
const KEPT = 30;  // pictures of the history
const app = { facts: null, model: null, photo: null, size: null, preview: null, texts: {}, lang: "en",
  shown: null, asking: null };
const editors = {};

function t(key, values = {}) {
  const text = (app.texts[key] || {})[app.lang] || key;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

function translate() {
  document.documentElement.lang = app.lang;
  for (const element of document.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const editor of Object.values(editors)) editor.said();
  if (app.facts) gallery();
}

function problem(text) {
  $("problem").hidden = !text;
  $("problem").textContent = text || "";
}

async function ask(path, values, signal) {
  let reply;
  try {
    reply = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" },
      body: JSON.stringify(values), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error(t("error.gone"));
  }
  const answer = await reply.json();
  if (!reply.ok) throw new Error(answer.error);
  return answer;
}

/* Runs what may fail; its error is one line on the page. */
async function attempt(work) {
  problem("");
  try {
    await work();
  } catch (error) {
    if (error.name !== "AbortError") problem(error.message);
  }
}

function read(file) {
  if (file.size > MOST_BYTES) throw new Error(t("error.large", { name: file.name }));
  return new Promise((done, fail) => {
    const reader = new FileReader();
    reader.onload = () => done({ name: file.name, base64: reader.result.replace(/^[^,]*,?/, "") });
    reader.onerror = () => fail(new Error(t("error.unread", { name: file.name })));
    reader.readAsDataURL(file);
  });
}

function load(url) {
  return new Promise((done, fail) => {
    const image = new Image();
    image.onload = () => done(image);
    image.onerror = () => fail(new Error(t("error.preview")));
    image.src = url;
  });
}

/* A picture in base64, of whichever of the two formats the server sends. */
const url = base64 => `data:image/${base64.startsWith("/9j/") ? "jpeg" : "png"};base64,${base64}`;
const points = pose => Object.fromEntries(
  Object.entries(pose.joints).map(([joint, point]) => [joint, point.slice(0, 2)]));
const ours = (name, pose) => ({ name, skeleton: app.model.skeleton, unit: "pixels", size: app.size,
  joints: pose });

function setSettings(settings) {
  for (const name of SETTINGS) $(name).value = settings[name] ?? app.model.settings[name];
  guidable();
}

/* What guides a step has nothing to do where there is none. */
function guidable() {
  const steps = $("steps").value === "" ? app.model.settings.steps : Number($("steps").value);
  for (const name of ["target_weight", "pif_weight"]) $(name).disabled = !app.model.guided || !steps;
}

async function usePhoto(photo) {
  $("status").textContent = t("status.reading");
  try {
    const answer = await ask("/photo", { model: app.model.name, photo });
    const preview = await load(url(answer.preview));
    Object.assign(app, { photo, size: answer.size, preview });
    $("poses").hidden = $("painting").hidden = false;
    const found = answer.pose ? points(answer.pose) : standing();
    editors.source.start(app.size, app.model, preview, found);
    editors.target.start(app.size, app.model, preview, found);
    list($("pose-notes"), answer.pose ? answer.notes : []);
    if (!answer.pose) throw new Error(`${answer.notes.join(" ")} ${t("photo.byhand")}`);
  } finally {
    $("status").textContent = "";
  }
}

/* The gallery's first pose in the middle of the photo, for a photo whose pose was not found. */
function standing() {
  const { joints, size } = app.facts.gallery[0].pose;
  const factor = Math.min(app.size[0] / size[0], app.size[1] / size[1]);
  const offset = [(app.size[1] - size[1] * factor) / 2, (app.size[0] - size[0] * factor) / 2];
  return Object.fromEntries(app.model.joints.filter(joint => joint in joints).map(joint =>
    [joint, [joints[joint][0] * factor + offset[0], joints[joint][1] * factor + offset[1]]]));
}

async function usePose(file) {
  const answer = await ask("/pose", { model: app.model.name, file, size: app.size,
    source: Object.keys(editors.source.pose).length ? ours("source", editors.source.pose) : null,
    retarget: $("fit").checked ? "bones" : "none" });
  editors.target.set(points(answer.pose));
  list($("pose-notes"), answer.notes);
}

function list(element, lines) {
  element.replaceChildren(...lines.map(line => {
    const item = document.createElement("li");
    item.textContent = line;
    return item;
  }));
}

function gallery() {
  $("gallery").replaceChildren(...app.facts.gallery.map(({ name, pose }) => {
    const button = document.createElement("button");
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [192, 220];
    const brush = canvas.getContext("2d");
    const factor = 220 / pose.size[0];
    const at = ([x, y]) => [x * factor + (192 - pose.size[1] * factor) / 2, y * factor];
    brush.lineWidth = 6;
    brush.lineCap = "round";
    for (const [a, b] of app.facts.limbs) {
      if (!(a in pose.joints && b in pose.joints)) continue;
      brush.strokeStyle = PoseEditor.colour(b);
      brush.beginPath();
      brush.moveTo(...at(pose.joints[a]));
      brush.lineTo(...at(pose.joints[b]));
      brush.stroke();
    }
    button.append(canvas, t(`gallery.${name}`));
    button.dataset.name = name;
    button.onclick = () => attempt(() => usePose(
      { name: `${name}.json`, base64: btoa(JSON.stringify(pose)) }));
    return button;
  }));
}

function number(name) {
  const { value, validity } = $(name);
  if (validity.badInput) throw new Error(t("error.number", { name: t(name) }));
  return value === "" ? null : Number(value);
}

async function paint() {
  const values = { model: app.model.name, photo: app.photo,
    source: ours("source", editors.source.pose), target: ours("target", editors.target.pose),
    retarget: $("retarget").value, seed: number("seed") || 0, consent: $("consent").value };
  for (const name of SETTINGS) values[name] = $(name).disabled ? null : number(name);
  const began = performance.now();
  const clock = setInterval(() => {
    $("status").textContent = t("status.painting", {
      seconds: Math.round((performance.now() - began) / 1000) });
  }, 250);
  $("paint").disabled = true;
  $("cancel").hidden = false;
  app.asking = new AbortController();
  try {
    const answer = await ask("/paint", values, app.asking.signal);
    $("status").textContent = t("status.painted", { seconds: answer.seconds });
    const { photo, size, preview, model } = app;
    remember({ values, answer, photo, size, preview, model });
  } catch (error) {
    $("status").textContent = "";
    throw error;
  } finally {
    clearInterval(clock);
    $("paint").disabled = false;
    $("cancel").hidden = true;
  }
}

function show({ values, answer }) {
  app.shown = answer;
  $("result").hidden = false;
  $("before").src = url(answer.source);
  $("after").src = url(answer.picture);
  $("before").alt = t("before");
  $("after").alt = t("after");
  $("download").href = url(answer.picture);
  $("download").download = `${values.photo.name.replace(/\.[^.]*$/, "")}-repose-${values.seed}.png`;
  list($("notes"), answer.notes);
  slide();
}

/* The picture joins the history, from which its photo, poses and settings can be taken up again. */
function remember(step) {
  const button = document.createElement("button");
  const image = document.createElement("img");
  image.src = url(step.answer.picture);
  image.alt = "";
  button.append(image, t("history.step", { seed: step.values.seed, steps: step.values.steps ?? "" }));
  button.onclick = () => {
    const { values, photo, size, preview, model } = step;
    Object.assign(app, { photo, size, preview, model });
    $("model").value = model.name;
    editors.source.start(size, model, preview, values.source.joints);
    editors.target.start(size, model, preview, values.target.joints);
    $("retarget").value = values.retarget;
    $("seed").value = values.seed;
    $("consent").value = values.consent;
    setSettings(values);
    show(step);
  };
  // Copies: the editors go on changing theirs.
  step.values = structuredClone(step.values);
  $("history").prepend(button);
  while ($("history").children.length > KEPT) $("history").lastChild.remove();
  show(step);
}

function slide() {
  const at = $("compare").value;
  $("before").style.clipPath = `inset(0 ${100 - at}% 0 0)`;
  $("line").style.left = `${at}%`;
}

function download(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/* Canvas, tools and missing joints of one of the two poses. */
function makeEditor(name, tools) {
  const box = $(name);
  const canvas = document.createElement("canvas");
  const bar = document.createElement("div");
  const missing = document.createElement("div");
  const said = document.createElement("p");
  bar.className = "tools";
  missing.className = "missing";
  said.className = "said";
  said.setAttribute("aria-live", "polite");
  canvas.setAttribute("role", "application");
  const buttons = {};
  const editor = new PoseEditor(canvas, () => editor.said());
  for (const [key, act] of Object.entries({ undo: () => editor.undo(), redo: () => editor.redo(),
    remove: () => editor.remove(), flip: () => editor.flip(), larger: () => editor.scale(1.05),
    smaller: () => editor.scale(1 / 1.05), ...tools(editor) })) {
    const button = document.createElement("button");
    button.dataset.t = `tool.${key}`;
    button.dataset.tool = key;
    button.onclick = act;
    buttons[key] = button;
    bar.append(button);
  }
  const carry = document.createElement("label");
  const box2 = document.createElement("input");
  const word = document.createElement("span");
  box2.type = "checkbox";
  box2.onchange = () => { editor.carry = box2.checked; };
  word.dataset.t = "tool.carry";
  carry.append(box2, " ", word);
  bar.append(carry);
  editor.said = () => {
    canvas.setAttribute("aria-label", `${t(`pose.${name}`)}. ${t("editor.help")}`);
    const point = editor.pose[editor.chosen];
    said.textContent = point ? `${t(`joint.${editor.chosen}`)}: ${point.map(Math.round).join(", ")}` : "";
    buttons.undo.disabled = !editor.past.length;
    buttons.redo.disabled = !editor.future.length;
    buttons.remove.disabled = !editor.chosen;
    missing.replaceChildren(...editor.missing().map(joint => {
      const button = document.createElement("button");
      button.textContent = `+ ${t(`joint.${joint}`)}`;
      button.dataset.joint = joint;
      button.onclick = () => editor.restore(joint);
      return button;
    }));
  };
  box.append(canvas, said, bar, missing);
  editors[name] = editor;
}

function slider(editor) {
  const label = document.createElement("label");
  const word = document.createElement("span");
  const range = document.createElement("input");
  word.dataset.t = "tool.photo";
  Object.assign(range, { type: "range", min: 0, max: 1, step: 0.05, value: editor.opacity });
  range.oninput = () => {
    editor.opacity = Number(range.value);
    editor.draw();
  };
  label.append(word, " ", range);
  return label;
}

async function begin() {
  const [texts, facts] = await Promise.all(
    ["/texts.json", "/facts"].map(path => fetch(path).then(reply => reply.json())));
  if (facts.error) throw new Error(facts.error);
  Object.assign(app, { texts, facts });
  const wanted = navigator.languages.map(word => word.slice(0, 2)).find(word => ["en", "ja"].includes(word));
  app.lang = wanted || "en";
  $("language").value = app.lang;
  $("model").replaceChildren(...facts.models.map(({ name, size }) =>
    new Option(`${name} (${size.join(" × ")})`, name)));
  app.model = facts.models[0];
  makeEditor("source", () => ({}));
  makeEditor("target", editor => ({ detected: () => editor.set(editors.source.pose) }));
  editors.target.opacity = 0.35;
  $("target").append(slider(editors.target));
  setSettings(app.model.settings);
  translate();
}

$("language").onchange = () => {
  app.lang = $("language").value;
  translate();
};
$("photo").onchange = () => attempt(async () => {
  const [file] = $("photo").files;
  $("photo").value = "";  // the same file may be chosen again
  if (file) await usePhoto(await read(file));
});
$("drop").ondragover = event => {
  event.preventDefault();
  $("drop").classList.add("over");
};
$("drop").ondragleave = () => $("drop").classList.remove("over");
$("drop").ondrop = event => attempt(async () => {
  event.preventDefault();
  $("drop").classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file) await usePhoto(await read(file));
});
$("model").onchange = () => attempt(async () => {
  app.model = app.facts.models.find(({ name }) => name === $("model").value);
  setSettings(app.model.settings);
  if (app.photo) await usePhoto(app.photo);
});
$("pose-file").onchange = () => attempt(async () => {
  const [file] = $("pose-file").files;
  $("pose-file").value = "";
  if (file) await usePose(await read(file));
});
$("save").onclick = () => attempt(async () => {
  const { text } = await ask("/save", { pose: ours("pose", editors.target.pose), format: "openpose" });
  download("pose.json", text);
});
$("paint").onclick = () => attempt(paint);
$("cancel").onclick = () => app.asking.abort();
$("steps").oninput = guidable;
$("compare").oninput = slide;
attempt(begin);
