"use strict";
/* Many photos in many poses; see rows.js. */
const MOST = 2000;  // pictures of a batch: they are kept in the browser until they are saved
const batch = { settings: null, photos: new Map(), chosen: new Map(), pairs: null, gallery: [], models: [] };

/* The poses that were chosen, and the ready-made ones where they are wanted, by their names. */
function poses() {
  const ready = $("ready").checked ? batch.gallery.map(({ name, pose }) => [t(`gallery.${name}`),
    new File([JSON.stringify(pose)], t(`gallery.${name}`))]) : [];
  return new Map([...ready, ...batch.chosen]);
}

function planned() {
  const count = batch.pairs ? batch.pairs.length : batch.photos.size * poses().size;
  if (!work.running) $("status").textContent = count ? t("batch.count", { count }) : "";
}

/* The pairs of a CSV: photo, pose, by the names of the files; a first line of other words is a heading. */
function readPairs(text) {
  const lines = text.split(/\r?\n/).filter(line => line.trim());
  const split = line => line.split(/[,;\t]/).map(cell => cell.trim().replace(/^"(.*)"$/, "$1"));
  if (lines.length && /^(from|photo|source)$/i.test(split(lines[0])[0])) lines.shift();
  return lines.map((line, number) => {
    const cells = split(line);
    if (cells.length !== 2) throw new Error(t("batch.bad", { line: number + 1 }));
    return cells;
  });
}

/* What is to be painted: the pairs of the list, or every photo in every pose. */
function wanted() {
  const files = poses();
  const pairs = batch.pairs || [...batch.photos.keys()].flatMap(
    photo => [...files.keys()].map(pose => [photo, pose]));
  for (const [photo, pose] of pairs) {
    if (!batch.photos.has(photo)) throw new Error(t("batch.missing", { name: photo }));
    if (!files.has(pose)) throw new Error(t("batch.missing", { name: pose }));
  }
  if (!pairs.length) throw new Error(t("batch.nothing"));
  if (pairs.length > MOST) throw new Error(t("batch.many", { most: MOST }));
  return pairs.map(([photo, pose]) => ({ photo, pose, file: files.get(pose), state: "waiting" }));
}

/* Takes a list of pairs, or takes it away. */
function pair(pairs) {
  batch.pairs = pairs;
  $("pairs-said").textContent = pairs ? t("batch.chosen", { count: pairs.length }) : "";
  $("unpair").hidden = !pairs;
  planned();
}

async function start() {
  work.rows = named(wanted());
  batch.settings = { model: $("model").value, retarget: $("retarget").value,
    enlarge: Number($("enlarge").value), seed: Number($("seed").value) || 0, consent: $("consent").value };
  draw();
  await go();
}

async function one(row) {
  const { model, ...settings } = batch.settings;
  const photo = await read(batch.photos.get(row.photo));
  const { pose, size, notes } = await ask("/photo", { model, photo });
  if (!pose) throw new Error(notes.join(" "));
  const target = await ask("/pose", { model, file: await read(row.file), size,
    retarget: "none" });
  const { picture, about } = await settled({ model, photo, source: pose, target: target.pose, ...settings });
  Object.assign(row, { picture, about });
}

function buttons() {
  $("run").disabled = work.running;
  $("pause").hidden = !work.running;
  $("resume").hidden = work.running || !waiting();
  $("again").hidden = work.running || waiting() || !work.rows.some(row => row.state === "failed");
  $("zip").hidden = work.running || !work.rows.some(row => row.state === "done");
}

/* What failed, once more. */
async function again() {
  for (const row of work.rows) if (row.state === "failed") Object.assign(row, { state: "waiting", error: null });
  await go();
}

function draw() {
  showProgress();
  $("h-rows").hidden = !work.rows.length;
  $("rows").replaceChildren(...work.rows.map(row => {
    const item = document.createElement("li");
    const names = document.createElement("span");
    const state = document.createElement("span");
    item.className = row.state;
    names.textContent = `${row.photo} → ${row.pose}`;
    state.className = "state";
    state.textContent = row.error || t(`batch.${row.state}`);
    const image = document.createElement(row.picture ? "img" : "span");
    image.className = "thumb";
    if (row.picture) Object.assign(image, { src: url(row.picture), alt: row.name });
    item.append(image, names, state);
    return item;
  }));
}

function whichModel() {
  const model = batch.models.find(({ name }) => name === $("model").value);
  $("model-hint").textContent = model ? modelWords(model) : "";
}

function translate() {
  translateAll();
  whichModel();
  draw();
  if (!work.rows.length) planned();
}

async function begin() {
  const { models, gallery } = await facts();
  Object.assign(batch, { models, gallery });
  offer(models);
  translate();
  buttons();
}

$("photos").onchange = () => attempt(() => {
  batch.photos = chosen("photos");
  planned();
});
$("poses").onchange = () => attempt(() => {
  batch.chosen = chosen("poses");
  planned();
});
$("ready").onchange = planned;
$("model").onchange = whichModel;
$("pairs").onchange = () => attempt(async () => {
  const [file] = $("pairs").files;
  $("pairs").value = "";
  if (file) pair(readPairs(await file.text()));
});
$("unpair").onclick = () => pair(null);
$("run").onclick = () => attempt(start);
$("pause").onclick = () => { work.paused = true; };
$("resume").onclick = () => attempt(go);
$("again").onclick = () => attempt(again);
$("zip").onclick = () => pack("repose.zip", () => ({}));
attempt(begin);
