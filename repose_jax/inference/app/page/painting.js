"use strict";
/* What is painted: asked for, watched, stopped, shown, compared, and taken up again. */
const POLL = 150;  // milliseconds between questions how far a picture is
const KEPT = 30;  // pictures of the history

function request() {
  const values = { model: app.model.name, photo: app.photo,
    source: ours("source", editors.source.pose), target: ours("target", editors.target.pose),
    retarget: $("retarget").value, enlarge: Number($("enlarge").value), seed: number("seed") || 0,
    consent: $("consent").value };
  for (const name of SETTINGS) values[name] = $(name).disabled ? null : number(name);
  return values;
}

/* Paints as many pictures as are asked for, of one seed after the other. */
async function paint() {
  const values = request();
  const count = Math.min(Math.max(number("variants") || 1, 1), 16);
  const { photo, size, preview, model } = app;
  const run = [];
  $("paint").disabled = true;
  $("cancel").hidden = false;
  app.stopped = false;
  try {
    for (let more = 0; more < count; more++) {
      const one = structuredClone({ ...values, seed: (values.seed + more) % 2 ** 32 });
      const answer = await painted(one);
      if (!answer) return;
      run.push({ values: one, answer, photo, size, preview, model });
      remember(run[more]);
      grid(run);
      if (!more) $("result").scrollIntoView({ block: "start" });
    }
  } catch (error) {
    $("status").textContent = "";
    throw error;
  } finally {
    $("paint").disabled = false;
    $("cancel").hidden = $("coming").hidden = true;
  }
}

/* The answer to one request, which is told of as it comes about; null where it was stopped. */
async function painted(values) {
  const began = performance.now();
  let job = await ask("/jobs", values);
  app.job = job.id;
  if (app.stopped) await stop();
  $("preview").hidden = true;
  $("coming").hidden = false;
  while (["waiting", "painting"].includes(job.state)) {
    progress(job, Math.round((performance.now() - began) / 1000));
    await new Promise(done => setTimeout(done, POLL));
    job = await ask(`/jobs/${job.id}`);
  }
  app.job = null;
  if (job.state === "failed") throw new Error(job.error);
  $("status").textContent = job.state === "stopped" ? t("status.stopped")
    : t("status.painted", { seconds: job.answer.seconds.toFixed(1) });
  return job.state === "done" ? job.answer : null;
}

function progress(job, seconds) {
  const { step, steps, ahead } = job;
  if (steps && step) $("progress").value = step / steps;
  else $("progress").removeAttribute("value");  // nobody knows how long
  $("status").textContent = app.stopped ? t("status.stopping")
    : job.state === "waiting" && ahead ? t("status.waiting", { ahead })
    : !step ? t("status.painting", { seconds })
    : job.seconds_left === null ? t("status.steps", { step, steps, seconds })
    : t("status.left", { step, steps, seconds, left: Math.ceil(job.seconds_left) });
  if (job.preview) {
    $("preview").src = url(job.preview);
    $("preview").hidden = false;
  }
}

async function stop() {
  app.stopped = true;
  if (app.job) await ask(`/jobs/${app.job}`, null, "DELETE");
}

/* The pictures of one run beside each other, where there are several. */
function grid(run) {
  $("variants-shown").hidden = run.length < 2;
  $("grid").replaceChildren(...run.map(step => {
    const button = pictureButton(step, step.values.seed);
    button.setAttribute("aria-pressed", step.answer === app.shown);
    button.onclick = () => {
      show(step);
      grid(run);
    };
    return button;
  }));
}

function pictureButton(step, text) {
  const button = document.createElement("button");
  const image = document.createElement("img");
  image.src = url(step.answer.picture);
  image.alt = "";
  button.append(image, String(text));
  return button;
}

async function explain() {
  const { values, answer } = app.step;
  $("explain").disabled = true;
  try {
    const { picture } = await ask("/alignment", { painted: values,
      picture: { name: "picture.png", base64: answer.picture } });
    $("alignment").src = url(picture);
    $("alignment").alt = t("explain.hint");
    $("explained").hidden = false;
    $("explained").scrollIntoView({ block: "start" });
  } finally {
    $("explain").disabled = false;
  }
}

function show(step) {
  const { values, answer } = step;
  app.step = step;
  app.shown = answer;
  $("result").hidden = false;
  $("explained").hidden = true;
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
  const told = { seed: step.values.seed, steps: step.values.steps ?? "" };
  const button = pictureButton(step, t("history.step", told));
  Object.assign(button.dataset, told);
  button.onclick = () => {
    const { values, photo, size, preview, model } = step;
    Object.assign(app, { photo, size, preview, model });
    $("model").value = model.name;
    said();
    editors.source.start(size, model, preview, values.source.joints);
    editors.target.start(size, model, preview, values.target.joints);
    $("retarget").value = values.retarget;
    $("enlarge").value = values.enlarge;
    $("seed").value = values.seed;
    $("consent").value = values.consent;
    setSettings(values);
    show(step);
  };
  $("history").prepend(button);
  while ($("history").children.length > KEPT) $("history").lastChild.remove();
  show(step);
}

function slide() {
  const at = $("compare").value;
  $("before").style.clipPath = `inset(0 ${100 - at}% 0 0)`;
  $("line").style.left = `${at}%`;
}
