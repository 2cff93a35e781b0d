// Photographs, one card for each model, and one request at a time. Nothing is asked of another host.
"use strict";

const QUICK_MS = 400; // a number that changes more often is not sent each time
const SLIP = 5; // pixels: a pointer that moves further drags
const KINDS = ["jpeg", "png", "webp", "tiff", "bmp", "gif", "avif", "jp2", "heic", "heif"].map((kind) => `image/${kind}`);
const ENDINGS = { png: "png", jpeg: "jpg", webp: "webp" };
const byId = (id) => document.getElementById(id);
const offered = fetch("models").then((reply) => (reply.ok ? reply.json() : Promise.reject(new Error("the server does not answer as it should"))));
const queue = []; // cards that wait
let busy = false;

offered.then(
  (offer) => {
    const names = offer.models.map((model) => model.name).join(", ");
    byId("limits").textContent = `Up to ${megabytes(offer.most_bytes)} and ${offer.most_pixels / 1e6} megapixels each. Coloured by ${names}.`;
  },
  () => notice("The server cannot be reached. Reload this page to try again."),
);

// --- photographs come in

byId("files").addEventListener("change", (event) => {
  take(event.target.files);
  event.target.value = "";
});
byId("drop").addEventListener("submit", (event) => event.preventDefault());

let inside = 0; // elements that the pointer has entered while it drags a file
document.addEventListener("dragenter", () => over(++inside));
document.addEventListener("dragleave", () => over(--inside));
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  over((inside = 0));
  take(event.dataTransfer.files);
});

function over(count) {
  document.body.classList.toggle("over", count > 0);
}

async function take(files) {
  const list = [...files]; // the browser empties its own list
  const offer = await offered;
  notice(list.length ? "" : "Nothing was dropped that is a file. Drop photographs here, or choose them with the button.");
  for (const file of list) byId("photos").append(photo(file, offer));
  byId("empty").hidden = byId("photos").childElementCount > 0;
}

function notice(text) {
  byId("notice").hidden = !text;
  byId("notice").textContent = text;
}

function megabytes(bytes) {
  return `${Number((bytes / 1e6).toPrecision(3))} MB`;
}

function made(name) {
  const element = byId(name).content.firstElementChild.cloneNode(true);
  return { element, find: (selector) => element.querySelector(selector) };
}

// --- a photograph, and what is asked for all its cards

function photo(file, offer) {
  const { element, find } = made("photo");
  const url = URL.createObjectURL(file);
  const shared = { file, url, hints: [], saturation: 1, format: "png", most: offer.most_bytes, cards: [] };
  find(".name").textContent = file.name;
  shared.cards = offer.models.map((model) => card(model, shared));
  find(".cards").append(...shared.cards.map((one) => one.element));
  find(".saturation").addEventListener("input", (event) => {
    shared.saturation = Number(event.target.value);
    find(".value").textContent = shared.saturation.toFixed(2);
    shared.cards.forEach((one) => one.askSoon());
  });
  find(".format").addEventListener("change", (event) => {
    shared.format = event.target.value;
    shared.cards.forEach((one) => one.ask());
  });
  find(".controls").addEventListener("submit", (event) => event.preventDefault());
  find(".remove").addEventListener("click", () => {
    shared.cards.forEach((one) => one.end());
    URL.revokeObjectURL(url);
    element.remove();
    byId("empty").hidden = byId("photos").childElementCount > 0;
    byId("files").focus();
  });
  hintForm(shared, find);
  return element;
}

function hintForm(shared, find) {
  const takers = shared.cards.filter((one) => one.model.takes_hints);
  find(".hints").hidden = takers.length === 0;
  find(".how").textContent = `Choose a colour and click where it belongs on a picture by ${takers.map((one) => one.model.name).join(" or ")}, or say where and add it here.`;
  const changed = () => {
    find(".points").replaceChildren(...shared.hints.map((hint) => point(hint, () => remove(hint))));
    takers.forEach((one) => (one.mark(), one.ask()));
  };
  const remove = (hint) => {
    shared.hints.splice(shared.hints.indexOf(hint), 1);
    changed();
    find(".add").focus();
  };
  shared.addHint = (x, y) => {
    shared.hints.push({ x, y, colour: find(".colour").value });
    changed();
  };
  find(".hints").addEventListener("submit", (event) => {
    event.preventDefault();
    shared.addHint(Number(find(".x").value) / 100, Number(find(".y").value) / 100);
  });
}

function point(hint, remove) {
  const { element, find } = made("point");
  const description = `${hint.colour} at ${percent(hint.x)} from the left, ${percent(hint.y)} from the top`;
  find(".swatch").style.setProperty("--colour", hint.colour);
  find(".place").textContent = `${percent(hint.x)}, ${percent(hint.y)}`;
  element.title = description;
  find(".take").setAttribute("aria-label", `Remove the hint ${description}`);
  find(".take").addEventListener("click", remove);
  return element;
}

function percent(share) {
  return `${Number((share * 100).toFixed(1))} %`;
}

// --- a card: one photograph as one model sees it

function card(model, shared) {
  const { element, find } = made("card");
  const self = { element, model, shared, find, result: "", running: null, timer: 0 };
  find(".model").textContent = model.name;
  element.classList.toggle("takes-hints", model.takes_hints);
  find(".before").alt = `${shared.file.name} without colour`;
  find(".after").alt = `${shared.file.name}, coloured by ${model.name}`;
  for (const label of model.labels) find(".label").append(new Option(label, label));
  find(".field.inline").hidden = model.labels.length === 0;
  find(".label").addEventListener("change", () => self.ask());
  find(".again").addEventListener("click", () => self.ask());
  self.ask = () => enqueue(self);
  self.askSoon = () => {
    clearTimeout(self.timer);
    self.timer = setTimeout(self.ask, QUICK_MS);
  };
  self.mark = () => find(".marks").replaceChildren(...shared.hints.map(mark));
  self.end = () => {
    clearTimeout(self.timer);
    leave(self);
    URL.revokeObjectURL(self.result);
  };
  showBefore(self);
  compare(self);
  self.ask();
  return self;
}

// The browser itself shows the original. If it cannot, as with TIFF, the result without its colours is the same picture.
function showBefore(self) {
  const before = self.find(".before");
  const after = self.find(".after");
  const shape = (image) => self.find(".stage").style.setProperty("--shape", image.naturalWidth / image.naturalHeight);
  before.addEventListener("load", () => shape(before));
  before.addEventListener("error", () => (self.unseen = true));
  before.src = self.shared.url;
  after.addEventListener("load", () => {
    shape(after);
    if (self.unseen) before.src = after.src;
  });
}

function mark(hint) {
  const spot = document.createElement("span");
  spot.style.setProperty("--x", `${hint.x * 100}%`);
  spot.style.setProperty("--y", `${hint.y * 100}%`);
  spot.style.setProperty("--colour", hint.colour);
  return spot;
}

// The slider below, or a drag across the picture, moves the line on all cards of the photograph; a click is a hint.
function compare(self) {
  const stage = self.find(".stage");
  const share = (event, axis, size) => Math.min(1, Math.max(0, (event[`client${axis}`] - stage.getBoundingClientRect()[axis.toLowerCase()]) / stage[size]));
  const move = (value) => self.shared.cards.forEach((one) => split(one, value));
  let start = null;
  self.find(".split").addEventListener("input", (event) => move(event.target.value));
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    start = { x: event.clientX, drags: false };
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    if (!start) return;
    start.drags ||= Math.abs(event.clientX - start.x) > SLIP;
    if (start.drags) move(share(event, "X", "clientWidth") * 100);
  });
  stage.addEventListener("pointercancel", () => (start = null));
  stage.addEventListener("pointerup", (event) => {
    if (start && !start.drags && self.model.takes_hints) self.shared.addHint(share(event, "X", "clientWidth"), share(event, "Y", "clientHeight"));
    start = null;
  });
}

function split(self, value) {
  self.find(".split").value = value;
  self.find(".split").setAttribute("aria-valuetext", `${Math.round(value)} % before`);
  self.find(".stage").style.setProperty("--split", value);
}

// --- the queue

function enqueue(self) {
  leave(self);
  queue.push(self);
  tellPlaces();
  work();
}

function leave(self) {
  if (queue.includes(self)) queue.splice(queue.indexOf(self), 1);
  self.running?.abort();
}

function tellPlaces() {
  queue.forEach((self, position) => {
    const before = position + (busy ? 1 : 0);
    show(self, "waiting", before ? `Waiting: ${before} before it` : "Waiting");
  });
}

async function work() {
  if (busy) return;
  busy = true;
  while (queue.length) {
    const self = queue.shift();
    tellPlaces();
    self.running = new AbortController();
    await colourise(self, self.running.signal).catch((error) => {
      if (error.name !== "AbortError") show(self, "failed", sentence(error instanceof TypeError ? "the connection to the server was lost" : error.message));
    });
    self.running = null;
  }
  busy = false;
}

async function colourise(self, signal) {
  const { file, most } = self.shared;
  if (file.size > most) throw new Error(`it has ${megabytes(file.size)}, and this server takes ${megabytes(most)}`);
  for (;;) {
    show(self, "working", "Working …");
    const began = performance.now();
    const reply = await fetch(request(self), { method: "POST", body: file, signal, headers: { "Content-Type": KINDS.includes(file.type) ? file.type : "application/octet-stream" } });
    if (reply.ok) return done(self, await reply.blob(), (performance.now() - began) / 1000);
    const refusal = await reply.json().catch(() => ({}));
    const seconds = Number(reply.headers.get("Retry-After"));
    if (!seconds) throw new Error(refusal.error || "the server could not do it");
    show(self, "waiting", sentence(refusal.error));
    await pause(seconds * 1000, signal);
  }
}

function request(self) {
  const query = new URLSearchParams({ model: self.model.name, saturation: self.shared.saturation, format: self.shared.format });
  if (self.find(".label").value) query.set("label", self.find(".label").value);
  if (self.model.takes_hints) for (const { x, y, colour } of self.shared.hints) query.append("hint", `${x.toFixed(4)},${y.toFixed(4)},${colour.slice(1)}`);
  return `colourise?${query}`;
}

function pause(milliseconds, signal) {
  return new Promise((pass, fail) => {
    setTimeout(pass, milliseconds);
    signal.addEventListener("abort", () => fail(new DOMException("", "AbortError")), { once: true });
  });
}

function done(self, blob, seconds) {
  URL.revokeObjectURL(self.result);
  self.result = URL.createObjectURL(blob);
  const { file, format } = self.shared;
  const after = self.find(".after");
  const link = self.find(".download");
  after.src = link.href = self.result;
  after.hidden = self.find(".split").disabled = false;
  self.element.classList.add("shown");
  link.download = `${file.name.replace(/\.[^.]*$/, "")} - ${self.model.name.replace(/[^\w .-]+/g, "-")}.${ENDINGS[format]}`;
  link.setAttribute("aria-label", `Download ${link.download}`);
  show(self, "done", `Done in ${seconds.toFixed(1)} s`);
}

function show(self, state, text) {
  self.element.classList.remove("waiting", "working", "done", "failed");
  self.element.classList.add(state);
  self.find(".state").textContent = text;
  self.find(".again").hidden = state !== "failed";
  self.find(".download").hidden = state !== "done";
}

function sentence(text) {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
