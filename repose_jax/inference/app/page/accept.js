"use strict";
/* Own photos repainted and judged, as `repose accept` does: which, and whether they pass, the server
   decides. Painting is that of rows.js. */
const LIMITS = { pose_error: 100, identity: 1, color: 1, detail: 100, detail_most: 100, share: 100 };
const check = { photos: new Map(), poses: new Map(), facts: null, settings: null, refused: [], found: null };

/* The limits of the fields; those in per cent are fractions for the server. */
function limits() {
  return Object.fromEntries(Object.entries(LIMITS).map(([name, unit]) => {
    const { value, validity } = $(name);
    if (validity.badInput || value === "") throw new Error(t("error.number", { name: t(`accept.${name}`) }));
    return [name, Number(value) / unit];
  }));
}

async function start() {
  limits();
  if (!check.photos.size) throw new Error(t("accept.nothing"));
  check.settings = { model: $("model").value, seed: Number($("seed").value) || 0,
    consent: $("consent").value };
  Object.assign(check, { refused: [], found: null });
  work.rows = [];
  draw();
  $("run").disabled = true;
  const usable = [];
  try {
    for (const [name, file] of check.photos) {
      $("status").textContent = t("accept.reading", { done: usable.length + check.refused.length,
        all: check.photos.size });
      try {
        const { pose, size, notes } = await ask("/photo", { model: check.settings.model, photo: await read(file) });
        if (!pose) throw new Error(notes.join(" "));
        usable.push({ name, pose, size });
      } catch (error) {
        if (error.gone) throw error;
        check.refused.push({ name, why: error.message });
      }
    }
    if (!usable.length) throw new Error(check.refused[0].why);
    const poses = [...check.poses.keys()];
    const { pairs } = await ask("/acceptance/pairs", { photos: usable.length, poses: poses.length,
      per_photo: Number($("per_photo").value) || check.facts.per_photo });
    for (const one of check.refused) one.results = pairs.length / usable.length;
    work.rows = named(pairs.map(([photo, pose]) => ({ photo: usable[photo].name, found: usable[photo],
      pose: poses.length ? poses[pose] : usable[pose].name, other: poses.length ? null : usable[pose],
      state: "waiting" })));
  } finally {
    $("status").textContent = "";
    $("run").disabled = false;
  }
  await paint();
}

async function paint() {
  await go();
  if (!waiting()) await judge();
}

async function one(row) {
  const { model, ...settings } = check.settings;
  const photo = await read(check.photos.get(row.photo));
  row.target = row.other ? row.other.pose : (await ask("/pose", { model, size: row.found.size,
    file: await read(check.poses.get(row.pose)), retarget: "none" })).pose;
  const { picture, source, about } = await settled({ model, photo, source: row.found.pose,
    target: row.target, retarget: "bones", frame: "model", ...settings });
  Object.assign(row, { picture, source, about });
}

/* Asks for the verdict on what is painted, with a report in a language where one is given. */
async function verdict(report) {
  const file = (name, base64) => ({ name, base64 });
  const done = work.rows.filter(row => row.state === "done");
  const failed = work.rows.filter(row => row.state === "failed").map(row => ({
    name: t("report.pair", { source: row.photo, pose: row.pose }), why: row.error, results: 1 }));
  if (!done.length) throw new Error(t("accept.none", { why: failed.length ? failed[0].why : "" }));
  return ask("/acceptance", { model: check.settings.model, limits: limits(), report,
    refused: [...check.refused, ...failed],
    results: done.map(row => ({ source: row.photo, pose: row.pose, photo: file(row.photo, row.source),
      picture: file(row.name, row.picture), source_pose: row.found.pose, target_pose: row.target })) });
}

async function judge() {
  $("status").textContent = t("accept.judging");
  try {
    check.found = await verdict(null);
    work.rows.filter(row => row.state === "done").forEach((row, number) => {
      row.result = check.found.results[number];
    });
  } finally {
    draw();
    buttons();
  }
  $("verdict").scrollIntoView({ block: "nearest" });
}

async function save() {
  const { report, numbers } = await verdict(app.lang);
  pack("acceptance.zip", row => ({ passed: row.result.passed, failed: row.result.failed }), [
    ["acceptance.html", report], ["acceptance.json", `${JSON.stringify(numbers, null, 2)}\n`]]);
}

function buttons() {
  $("run").disabled = work.running;
  $("pause").hidden = !work.running;
  $("resume").hidden = work.running || !waiting();
}

function draw() {
  showProgress();
  $("progress").hidden ||= Boolean(check.found);
  drawVerdict();
  const order = row => row.result ? -row.result.failed.length : row.state === "failed" ? -9 : 1;
  const rows = check.found ? [...work.rows].sort((a, b) => order(a) - order(b)) : work.rows;
  $("h-results").hidden = !rows.length;
  $("h-results").textContent = check.found ? t("report.results") : t("accept.results");
  $("cards").replaceChildren(...rows.map(card));
}

function element(tag, text = "", name = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = name;
  return made;
}

function drawVerdict() {
  const { found } = check;
  $("verdict").hidden = !found;
  if (!found) return;
  const { accepted, passed, asked, share, wanted, lost, checks } = found;
  $("said").className = `verdict ${accepted ? "yes" : "no"}`;
  $("said").replaceChildren(element("strong", t(accepted ? "verdict.yes" : "verdict.no")), ` ${
    t("verdict.line", { passed, total: asked, share, wanted })} ${lost ? t("verdict.lost", { lost }) : ""}`);
  $("checks").tBodies[0].replaceChildren(...checks.map(({ name, bounds, count }) => {
    const line = document.createElement("tr");
    const counted = !count.judged ? t("count.none")
      : `${t("count.some", count)} ${count.missing ? t("count.missing", count) : ""}`;
    for (const text of [t(`check.${name}`), t(`limit.${name}`, bounds), counted]) {
      line.insertCell().textContent = text;
    }
    return line;
  }));
  $("unpainted").replaceChildren(...check.refused.map(({ why }) => element("li", why)));
}

function card(row) {
  const made = element("article", "", `card ${row.result ? (row.result.passed ? "good" : "bad")
    : row.state === "failed" ? "bad" : row.state}`);
  const pictures = element("div", "", "pictures");
  for (const [name, base64] of [["photo", row.source], ["pose", row.result && row.result.target],
    ["result", row.picture]]) {
    const figure = document.createElement("figure");
    const image = element(base64 ? "img" : "span", "", "thumb");
    if (base64) Object.assign(image, { src: url(base64), alt: "" });
    figure.append(image, element("figcaption", t(`report.${name}`)));
    pictures.append(figure);
  }
  const list = document.createElement("ul");
  if (row.result) {
    for (const { name, state, value } of row.result.checks) {
      list.append(element("li", `${t(`check.${name}`)}: ${
        value ? t(`found.${name}`, { value }) : t("found.none")}`, state));
    }
  } else {
    list.append(element("li", row.error || t(`batch.${row.state}`), row.error ? "bad" : "none"));
  }
  made.append(element("h3", t("report.pair", { source: row.photo, pose: row.pose })), pictures, list);
  return made;
}

function whoJudges() {
  const { poses, identity } = check.facts.judges[$("model").value];
  const words = identity ? t("accept.judges", { poses, identity }) : t("accept.judge", { poses });
  $("judges").textContent = `${modelWords(check.models.find(({ name }) => name === $("model").value))} ${words}`;
}

function translate() {
  translateAll();
  whoJudges();
  draw();
}

async function begin() {
  const { models } = await facts();
  const found = await ask("/acceptance/facts");
  Object.assign(check, { facts: found, models });
  Object.assign(app.texts, found.texts);
  offer(models.filter(({ name }) => name in found.judges));
  for (const [name, unit] of Object.entries(LIMITS)) {
    $(name).value = Number((found.limits[name] * unit).toFixed(6));
    $(name).onchange = () => attempt(async () => { if (check.found) await judge(); });
  }
  $("per_photo").value = found.per_photo;
  if (!$("model").value) throw new Error(Object.values(found.unjudged)[0]);
  translate();
  buttons();
}

$("photos").onchange = () => attempt(() => { check.photos = chosen("photos"); });
$("poses").onchange = () => attempt(() => { check.poses = chosen("poses"); });
$("model").onchange = whoJudges;
$("run").onclick = () => attempt(start);
$("pause").onclick = () => { work.paused = true; };
$("resume").onclick = () => attempt(paint);
$("zip").onclick = () => attempt(save);
attempt(begin);
