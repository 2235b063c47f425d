"use strict";
/* Many photos in many poses, one picture after the other; a failure ends none but its own. */
const POLL = 150;  // milliseconds between questions how far a picture is
const MOST = 2000;  // pictures of a batch: they are kept in the browser until they are saved
const batch = { settings: null, photos: new Map(), poses: new Map(), pairs: null, rows: [], paused: false, running: false };

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
  batch.rows = wanted().map(([photo, pose]) => ({ photo, pose, state: "waiting" }));
  const names = new Set();
  for (const row of batch.rows) {  // names as `repose transfer` makes them, each once
    const stem = name => name.replace(/\.[^.]*$/, "").replace(/[^\p{L}\p{N}._-]/gu, "_");
    const name = `${stem(row.photo)}_2_${stem(row.pose)}`;
    for (let more = 1; !row.name; more++) {
      const free = more > 1 ? `${name}-${more}.png` : `${name}.png`;
      if (!names.has(free)) names.add(row.name = free);
    }
  }
  batch.settings = { model: $("model").value, retarget: $("retarget").value,
    seed: Number($("seed").value) || 0, consent: $("consent").value };
  draw();
  await go();
}

async function go() {
  batch.paused = false;
  batch.running = true;
  buttons();
  try {
    for (const row of batch.rows) {
      if (row.state !== "waiting") continue;
      if (batch.paused) break;
      await one(row);
      draw();
    }
  } finally {
    batch.running = false;
    buttons();
  }
}

/* One picture; what is wrong with it stands in its row. A server that is gone pauses the batch. */
async function one(row) {
  row.state = "painting";
  draw();
  const { model, ...settings } = batch.settings;
  try {
    const photo = await read(batch.photos.get(row.photo));
    const { pose, size, notes } = await ask("/photo", { model, photo });
    if (!pose) throw new Error(notes.join(" "));
    const target = await ask("/pose", { model, file: await read(batch.poses.get(row.pose)), size,
      retarget: "none" });
    let job = await ask("/jobs", { model, photo, source: pose, target: target.pose, ...settings });
    while (["waiting", "painting"].includes(job.state)) {
      await new Promise(done => setTimeout(done, POLL));
      job = await ask(`/jobs/${job.id}`);
    }
    if (job.state !== "done") throw new Error(job.error || job.state);
    Object.assign(row, { state: "done", picture: job.answer.picture, about: job.answer.about });
  } catch (error) {
    Object.assign(row, error.gone ? { state: "waiting" } : { state: "failed", error: error.message });
    if (error.gone) {
      batch.paused = true;
      throw error;
    }
  }
}

function buttons() {
  const left = batch.rows.some(row => row.state === "waiting");
  $("run").disabled = batch.running;
  $("pause").hidden = !batch.running;
  $("resume").hidden = batch.running || !left;
  $("zip").hidden = batch.running || !batch.rows.some(row => row.state === "done");
}

function draw() {
  const done = batch.rows.filter(row => ["done", "failed"].includes(row.state)).length;
  $("progress").hidden = !batch.rows.length;
  $("progress").value = batch.rows.length ? done / batch.rows.length : 0;
  $("status").textContent = batch.rows.length ? t("batch.status", { done, all: batch.rows.length,
    failed: batch.rows.filter(row => row.state === "failed").length }) : "";
  $("rows").replaceChildren(...batch.rows.map(row => {
    const line = document.createElement("tr");
    for (const text of [row.photo, row.pose, t(`batch.${row.state}`), row.error || ""]) {
      line.insertCell().textContent = text;
    }
    if (row.picture) {
      const image = document.createElement("img");
      image.src = url(row.picture);
      image.alt = row.name;
      line.insertCell().append(image);
    }
    return line;
  }));
}

/* The pictures so far, with a list of them, a line of JSON each. */
function save() {
  const rows = batch.rows.filter(row => row.state === "done");
  const list = rows.map(row => JSON.stringify(
    { file: row.name, source: row.photo, pose: row.pose, ...row.about }) + "\n").join("");
  const bytes = base64 => Uint8Array.from(atob(base64), letter => letter.charCodeAt(0));
  download("repose.zip", zip([...rows.map(row => [row.name, bytes(row.picture)]),
    ["manifest.jsonl", new TextEncoder().encode(list)]]));
}

function chosen(name) {
  const files = [...$(name).files];
  $(name).value = "";
  const found = new Map(files.map(file => [file.name, file]));
  if (found.size < files.length) throw new Error(t("batch.twice"));
  $(`${name}-said`).textContent = t("batch.chosen", { count: files.length });
  return found;
}

function translate() {
  document.documentElement.lang = app.lang;
  for (const element of document.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  draw();
}

async function begin() {
  const { models } = await facts();
  $("model").replaceChildren(...models.map(({ name, size }) =>
    new Option(`${name} (${size.join(" × ")})`, name)));
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
$("pause").onclick = () => { batch.paused = true; };
$("resume").onclick = () => attempt(go);
$("zip").onclick = save;
$("other").href = `/${location.hash}`;
attempt(begin);
