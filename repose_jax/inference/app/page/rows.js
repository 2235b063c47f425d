"use strict";
/* Pictures that are painted one after the other: rows that wait, are painted, done or failed. A
   failure ends none but its own. Each page has functions one(row), draw() and buttons(). */
const POLL = 150;  // milliseconds between questions how far a picture is
const work = { rows: [], paused: false, running: false };

const waiting = () => work.rows.some(row => row.state === "waiting");

/* Gives each row a file name as `repose transfer` makes it, each once. */
function named(rows) {
  const names = new Set();
  const stem = name => name.replace(/\.[^.]*$/, "").replace(/[^\p{L}\p{N}._-]/gu, "_");
  for (const row of rows) {
    const name = `${stem(row.photo)}_2_${stem(row.pose)}`;
    for (let more = 1; !row.name; more++) {
      const free = more > 1 ? `${name}-${more}.png` : `${name}.png`;
      if (!names.has(free)) names.add(row.name = free);
    }
  }
  return rows;
}

/* Paints what waits until it is paused. A server that is gone pauses it, too. */
async function go() {
  Object.assign(work, { paused: false, running: true });
  buttons();
  try {
    for (const row of work.rows) {
      if (row.state !== "waiting") continue;
      if (work.paused) break;
      row.state = "painting";
      draw();
      try {
        await one(row);
        row.state = "done";
      } catch (error) {
        Object.assign(row, error.gone ? { state: "waiting" } : { state: "failed", error: error.message });
        if (error.gone) {
          work.paused = true;
          throw error;
        }
      } finally {
        draw();
      }
    }
  } finally {
    work.running = false;
    buttons();
  }
}

/* The answer to a request to paint, once it is painted. */
async function settled(values) {
  let job = await ask("/jobs", values);
  while (["waiting", "painting"].includes(job.state)) {
    await new Promise(done => setTimeout(done, POLL));
    job = await ask(`/jobs/${job.id}`);
  }
  if (job.state !== "done") throw new Error(job.error || job.state);
  return job.answer;
}

/* The pictures so far, then a list of them, a line of JSON each, then other files, as a ZIP. */
function pack(name, tell, files = []) {
  const rows = work.rows.filter(row => row.state === "done");
  const list = rows.map(row => JSON.stringify(
    { file: row.name, source: row.photo, pose: row.pose, ...tell(row), ...row.about }) + "\n").join("");
  const bytes = base64 => Uint8Array.from(atob(base64), letter => letter.charCodeAt(0));
  const text = value => new TextEncoder().encode(value);
  download(name, zip([...rows.map(row => [row.name, bytes(row.picture)]), ["manifest.jsonl", text(list)],
    ...files.map(([file, content]) => [file, text(content)])]));
}

/* The files of an input by their names; its text says how many. */
function chosen(name) {
  const files = [...$(name).files];
  $(name).value = "";
  const found = new Map(files.map(file => [file.name, file]));
  if (found.size < files.length) throw new Error(t("batch.twice"));
  $(`${name}-said`).textContent = t("batch.chosen", { count: files.length });
  return found;
}

function showProgress() {
  const failed = work.rows.filter(row => row.state === "failed").length;
  const done = failed + work.rows.filter(row => row.state === "done").length;
  $("progress").hidden = !work.rows.length;
  $("progress").value = work.rows.length ? done / work.rows.length : 0;
  $("status").textContent = work.rows.length
    ? failed ? t("batch.some", { done, all: work.rows.length, failed })
      : t("batch.status", { done, all: work.rows.length }) : "";
}
