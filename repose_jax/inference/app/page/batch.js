"use strict";
/* Many photos in many poses; see rows.js. */
const MOST = 2000;  // pictures of a batch: they are kept in the browser until they are saved
const batch = { settings: null, photos: new Map(), poses: new Map(), pairs: null };

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
  const pairs = batch.pairs || [...batch.photos.keys()].flatMap(
    photo => [...batch.poses.keys()].map(pose => [photo, pose]));
  for (const [photo, pose] of pairs) {
    if (!batch.photos.has(photo)) throw new Error(t("batch.missing", { name: photo }));
    if (!batch.poses.has(pose)) throw new Error(t("batch.missing", { name: pose }));
  }
  if (!pairs.length) throw new Error(t("batch.nothing"));
  if (pairs.length > MOST) throw new Error(t("batch.many", { most: MOST }));
  return pairs;
}

async function start() {
  work.rows = named(wanted().map(([photo, pose]) => ({ photo, pose, state: "waiting" })));
  batch.settings = { model: $("model").value, retarget: $("retarget").value,
    seed: Number($("seed").value) || 0, consent: $("consent").value };
  draw();
  await go();
}

async function one(row) {
  const { model, ...settings } = batch.settings;
  const photo = await read(batch.photos.get(row.photo));
  const { pose, size, notes } = await ask("/photo", { model, photo });
  if (!pose) throw new Error(notes.join(" "));
  const target = await ask("/pose", { model, file: await read(batch.poses.get(row.pose)), size,
    retarget: "none" });
  const { picture, about } = await settled({ model, photo, source: pose, target: target.pose, ...settings });
  Object.assign(row, { picture, about });
}

function buttons() {
  $("run").disabled = work.running;
  $("pause").hidden = !work.running;
  $("resume").hidden = work.running || !waiting();
  $("zip").hidden = work.running || !work.rows.some(row => row.state === "done");
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

function translate() {
  translateAll();
  draw();
}

async function begin() {
  const { models } = await facts();
  offer(models);
  translate();
}

$("photos").onchange = () => attempt(() => { batch.photos = chosen("photos"); });
$("poses").onchange = () => attempt(() => { batch.poses = chosen("poses"); });
$("pairs").onchange = () => attempt(async () => {
  const [file] = $("pairs").files;
  $("pairs").value = "";
  batch.pairs = file ? readPairs(await file.text()) : null;
  $("pairs-said").textContent = file ? t("batch.chosen", { count: batch.pairs.length }) : "";
});
$("run").onclick = () => attempt(start);
$("pause").onclick = () => { work.paused = true; };
$("resume").onclick = () => attempt(go);
$("zip").onclick = () => pack("repose.zip", () => ({}));
attempt(begin);
