"use strict";
/* The page: what is chosen, what the server is asked, what is shown. Poses are edited by
   editor.js, pictures are painted and shown by painting.js. */
const SETTINGS = ["steps", "keep", "palette", "head", "source_weight", "target_weight", "pif_weight"];
Object.assign(app, { facts: null, model: null, photo: null, size: null, preview: null, shown: null,
  step: null, job: null, stopped: false });
const editors = {};

function translate() {
  translateAll();
  for (const editor of Object.values(editors)) editor.said();
  if (app.facts) gallery();
  if (!app.job) $("status").textContent = "";
  for (const button of $("history").children) button.lastChild.textContent = t("history.step", button.dataset);
  said();
}

/* What is said of the photo and of the model. */
function said() {
  if (app.photo) $("photo-said").textContent = t("photo.chosen", { name: app.photo.name });
  if (app.model) $("model-hint").textContent = modelWords(app.model);
}

function load(url) {
  return new Promise((done, fail) => {
    const image = new Image();
    image.onload = () => done(image);
    image.onerror = () => fail(new Error(t("error.preview")));
    image.src = url;
  });
}

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
  // A model that paints no first picture, and one whose poses have no face.
  for (const name of ["keep", "palette", "head"]) $(name).disabled = app.model.settings[name] === null;
}

async function usePhoto(photo) {
  await begun;
  busy("status.reading");
  try {
    const answer = await ask("/photo", { model: app.model.name, photo });
    const preview = await load(url(answer.preview));
    Object.assign(app, { photo, size: answer.size, preview });
    $("poses").hidden = $("painting").hidden = false;
    said();
    const found = answer.pose ? points(answer.pose) : standing();
    editors.source.start(app.size, app.model, preview, found);
    editors.target.start(app.size, app.model, preview, found);
    list($("pose-notes"), answer.pose ? answer.notes : []);
    if (!answer.pose) throw new Error(`${answer.notes.join(" ")} ${t("photo.byhand")}`);
  } finally {
    busy("");
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
      { name: t(`gallery.${name}`), base64: btoa(JSON.stringify(pose)) }));
    return button;
  }));
}

function number(name) {
  const { value, validity } = $(name);
  if (validity.badInput) throw new Error(t("error.number", { name: t(name) }));
  return value === "" ? null : Number(value);
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
    smaller: () => editor.scale(1 / 1.05), zoomin: () => editor.enlarge(1.5),
    zoomout: () => editor.enlarge(1 / 1.5), ...tools(editor) })) {
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
  carry.className = "tick";
  carry.append(box2, word);
  bar.append(carry);
  editor.said = () => {
    canvas.setAttribute("aria-label", `${t(`pose.${name}`)}. ${t("editor.help")}`);
    const point = editor.pose[editor.chosen];
    said.textContent = point ? `${t(`joint.${editor.chosen}`)}: ${point.map(Math.round).join(", ")}` : "";
    buttons.undo.disabled = !editor.past.length;
    buttons.redo.disabled = !editor.future.length;
    buttons.remove.disabled = !editor.chosen;
    const absent = editor.missing();
    missing.replaceChildren(absent.length ? t("tool.missing") : "", ...absent.map(joint => {
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
  app.facts = await facts();
  offer(app.facts.models);
  app.model = app.facts.models[0];
  makeEditor("source", () => ({}));
  makeEditor("target", editor => ({ detected: () => editor.set(editors.source.pose) }));
  editors.target.opacity = 0.35;
  $("target").append(slider(editors.target));
  setSettings(app.model.settings);
  translate();
}

$("photo").onchange = () => attempt(async () => {
  const [file] = $("photo").files;
  $("photo").value = "";  // the same file may be chosen again
  if (file) await usePhoto(await read(file));
});
$("example").onclick = () => attempt(async () => {
  const reply = await fetch("example.png");
  await usePhoto(await read(new File([await reply.blob()], "example.png")));
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
  said();
  if (app.photo) await usePhoto(app.photo);
});
$("pose-file").onchange = () => attempt(async () => {
  const [file] = $("pose-file").files;
  $("pose-file").value = "";
  if (file) await usePose(await read(file));
});
$("save").onclick = () => attempt(async () => {
  const { text } = await ask("/save", { pose: ours("pose", editors.target.pose), format: "openpose" });
  download("pose.json", new Blob([text], { type: "application/json" }));
});
$("paint").onclick = () => attempt(paint);
$("cancel").onclick = () => attempt(stop);
$("explain").onclick = () => attempt(explain);
$("steps").oninput = guidable;
$("compare").oninput = slide;
const begun = begin();  // what is asked for before, waits for it
attempt(() => begun);
