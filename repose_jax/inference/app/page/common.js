"use strict";
/* What the pages share: texts, questions to the server, files. Each page has a function translate(). */
const $ = id => document.getElementById(id);
const MOST_BYTES = 22 << 20;  // base64 makes it a third larger, see serve.py
const PATIENCE = 60000;  // milliseconds for a server that has too much to do
const TOKEN = location.hash.startsWith("#token=") ? location.hash.slice(7) : "";
const app = { texts: {}, lang: "en" };

function t(key, values = {}) {
  const text = (app.texts[key] || {})[app.lang] || key;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/* What is waited for, by the key of its text; "" for nothing. */
function busy(key) {
  $("busy").hidden = !key;
  if (!key) return $("busy").removeAttribute("data-t");
  $("busy").dataset.t = key;
  $("busy").textContent = t(key);
}

function problem(text) {
  $("problem").hidden = !text;
  $("problem").textContent = text || "";
}

/* What the server answers: to what is posted where there are values, else to the question. */
async function ask(path, values = null, method = values ? "POST" : "GET") {
  const headers = { "Content-Type": "application/json", "Accept-Language": app.lang };
  if (TOKEN) headers.Authorization = `Bearer ${TOKEN}`;
  const body = values && JSON.stringify(values);
  const end = performance.now() + PATIENCE;
  let reply, answer, wait;
  do {  // what has too much to do says when to ask again, and has done nothing
    try {
      reply = await fetch(path, { method, headers, body });
      answer = await reply.json();
    } catch {
      throw Object.assign(new Error(t("error.gone")), { gone: true });
    }
    wait = 1000 * Number(reply.headers.get("Retry-After"));
    if (wait) await new Promise(done => setTimeout(done, wait));
  } while (wait && performance.now() < end);
  if (!reply.ok) throw new Error(answer.error);
  return answer;
}

/* Runs what may fail; its error is one line on the page, which is seen wherever the reader is. */
async function attempt(work) {
  problem("");
  try {
    await work();
  } catch (error) {
    problem(error.message);
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

/* A picture in base64, of whichever of the two formats the server sends. */
const url = base64 => `data:image/${base64.startsWith("/9j/") ? "jpeg" : "png"};base64,${base64}`;

function download(name, content) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function translateAll() {
  document.documentElement.lang = app.lang;
  problem("");  // it was in the other language
  for (const element of document.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
}

/* What a model is for, and how large its pictures are. */
function modelWords({ name, size: [height, width] }) {
  return `${app.texts[`model.${name}`] ? t(`model.${name}`) : ""} ${t("model.size", { height, width })}`.trim();
}

/* The models to choose from. */
function offer(models) {
  $("model").replaceChildren(...models.map(({ name }) => new Option(name, name)));
}

/* Texts in the language of the browser, at once; then what the server offers, which loads its models. */
async function facts() {
  const wanted = navigator.languages.map(word => word.slice(0, 2)).find(word => ["en", "ja"].includes(word));
  app.lang = wanted || "en";
  app.texts = await ask("/texts.json");
  $("language").value = app.lang;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.pathname === location.pathname.replace("index.html", "")) link.setAttribute("aria-current", "page");
    link.href += location.hash;
  }
  translateAll();
  busy("status.loading");
  try {
    return await ask("/facts");
  } finally {
    busy("");
    $("language").onchange = () => {
      app.lang = $("language").value;
      translate();
    };
  }
}
