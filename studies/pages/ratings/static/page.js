// A rater's way through the study. The server knows where the rater is; this script only shows it, so that a reload goes on.
"use strict";

const FIXATION_MS = 500;
const RETRY_MS = 1500;
const UNSENT = "colourbench-unsent"; // the answer that the server has not acknowledged yet
const view = document.getElementById("view");
const status = document.getElementById("status");
const visit = word();
let outside = ""; // who the recruiting service says this is
const pictures = new Map(); // address -> promise of an image that is ready to be shown
let keys = null; // what the keyboard does now

document.addEventListener("keydown", (event) => {
  if (keys && !event.repeat && !event.ctrlKey && !event.metaKey && !event.altKey && keys(event.key)) event.preventDefault();
});

go();

async function go() {
  outside = outsideId(new URLSearchParams(location.search), (await ask("ids")).names);
  await sendWhatWasLeft();
  show(await ask(`state?outside=${encodeURIComponent(outside)}`));
}

function show(state) {
  keys = null;
  state = asItFits(state);
  const screens = { consent, screen, trial: beforeTrial, end, leave };
  screens[state.stage](state);
}

// Two photographs side by side are too small on a narrow screen: there they stand one above the other, and answers say so.
function asItFits(state) {
  if (!state.stacked || window.innerWidth >= window.innerHeight) return state;
  return { ...state, question: state.stacked.question, answers: state.stacked.answers, gap: state.stacked.gap };
}

// --- what the screens share

function open(name) {
  view.replaceChildren(document.getElementById(name).content.cloneNode(true));
  view.className = name;
  view.focus({ preventScroll: true });
  window.scrollTo(0, 0);
  return (selector) => view.querySelector(selector);
}

function word() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function outsideId(query, names) {
  const name = names.find((one) => query.get(one));
  if (!name) return "";
  const parts = [query.get(name), query.get("STUDY_ID")].filter(Boolean); // a SESSION_ID changes when the same person comes back
  return parts.join("/").replace(/[^\x21-\x7e]/g, "").slice(0, 100);
}

// Asks the server. A lost connection is waited for: nothing that was answered is lost, and nothing is sent twice as another answer.
async function ask(address, body) {
  for (;;) {
    try {
      const reply = await fetch(address, body === undefined ? {} : { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
      if (reply.status < 500) {
        status.textContent = "";
        const content = await reply.json();
        if (reply.ok) return content;
        throw new Refusal(content.error || content.detail || "This cannot be done now.", content);
      }
    } catch (error) {
      if (error instanceof Refusal) throw error;
    }
    status.textContent = body === undefined ? "The connection is lost. Trying again …" : "Not saved yet: please keep this page open. Trying again …";
    await pass(RETRY_MS);
  }
}

class Refusal extends Error {
  constructor(text, { kind, completion_url }) {
    super(text);
    this.kind = kind;
    this.completion_url = completion_url;
  }
}

function tell(error) {
  if (!(error instanceof Refusal)) throw error;
  status.textContent = error.message;
}

function pass(milliseconds) {
  return new Promise((done) => setTimeout(done, milliseconds));
}

function frame() {
  return new Promise(requestAnimationFrame);
}

// --- screens

function consent(state) {
  const find = open("consent");
  for (const paragraph of state.text.split(/\n\s*\n/)) find(".text").append(Object.assign(document.createElement("p"), { textContent: paragraph }));
  const form = find("form");
  find(".decline").hidden = !state.decline_url;
  if (state.decline_url) find(".decline").href = state.decline_url;
  onSubmit(form, () => begin({ consent: state.version, age: form.elements.age.value || null, outside }));
}

// Somebody who has begun in another browser is asked before this one takes over.
async function begin(body) {
  try {
    return await ask("begin", body);
  } catch (error) {
    if (error.kind === "full" && error.completion_url) return { stage: "leave", reason: error.message, completion_url: error.completion_url };
    if (error.kind !== "elsewhere" || !confirm(`${error.message} Go on here instead?`)) throw error;
    return ask("begin", { ...body, take_over: true });
  }
}

function screen(state) {
  const find = open("screen");
  state.questions.forEach((question, number) => {
    const label = document.createElement("label");
    const image = Object.assign(new Image(), { src: `plate/${number}`, alt: "a picture that tests the screen" });
    const input = Object.assign(document.createElement("input"), { type: "text", inputMode: "numeric", pattern: "[0-9]{0,4}", autocomplete: "off", maxLength: 4 });
    label.append(image, question, document.createElement("br"), input);
    find(".plates").append(label);
  });
  onSubmit(find("form"), () => {
    const numbers = [...view.querySelectorAll("input")].map((input) => input.value.trim());
    return ask("screen", { width: window.innerWidth, height: window.innerHeight, numbers });
  });
}

// One request, however often the button is pressed.
function onSubmit(form, request) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    try {
      const next = await request();
      if (next) show(next);
    } catch (error) {
      button.disabled = false;
      tell(error);
    }
  });
}

function beforeTrial(state) {
  prepare(state.picture);
  if (state.first) return instructions(state);
  if (state.test_begins) return pause(state, "Practice is over", "Now the study begins. You will no longer be told which answer was right.");
  if (state.pause) return pause(state, "Time for a short break", `${state.number - 1} of ${state.total} are done. Look away from the screen for a moment.`);
  return trial(state);
}

function instructions(state) {
  const find = open("instructions");
  find(".question").textContent = state.question;
  find(".exposure").textContent = state.exposure_ms
    ? `Each picture is shown for ${state.exposure_ms / 1000} s, after a cross. Take as long as you like to answer.`
    : "Look at each picture for as long as you like.";
  find(".practice").textContent = state.practice ? `First come ${state.total} pictures for practice.` : "";
  find(".keys").textContent = `Tap a button, or use the keys: ${state.answers.map((answer, n) => `${keyOf(answer.value, n, Boolean(state.gap))} ${answer.label}`).join(", ")}.`;
  find(".code").textContent = state.withdrawal_code;
  find(".fullscreen").hidden = !document.documentElement.requestFullscreen;
  find(".fullscreen").addEventListener("click", () => document.documentElement.requestFullscreen().catch(() => {}));
  find(".main").addEventListener("click", () => trial(state));
  load(state.pictures, find(".loading"), find(".main"));
}

// Fetches all pictures of a block before it begins, so that no connection decides how long one is looked at.
async function load(addresses, line, button) {
  const bar = line.querySelector("progress");
  bar.max = addresses.length || 1;
  button.disabled = true;
  for (const address of addresses) {
    await ready(address);
    bar.value += 1;
  }
  line.hidden = true;
  button.disabled = false;
}

function pause(state, title, reason) {
  const find = open("pause");
  find(".title").textContent = title;
  find(".reason").textContent = reason;
  find(".main").addEventListener("click", () => trial(state));
  find(".main").focus();
}

// Somebody whose part ends before the first trial.
function leave(state) {
  const find = open("leave");
  find(".reason").textContent = state.reason;
  find("a.main").href = state.completion_url;
}

function end(state) {
  const find = open("end");
  onSubmit(find("form"), async () => {
    await ask("comment", { text: find("textarea").value.slice(0, 2000) });
    find("form").textContent = "Thank you: it is saved.";
    return null;
  });
  find(".code").textContent = state.withdrawal_code;
  find("a.main").hidden = !state.completion_url;
  if (state.completion_url) find("a.main").href = state.completion_url;
  find(".more").hidden = !state.more;
  find(".more").addEventListener("click", () => ask("more", {}).then(show).catch(tell));
  find(".leave").addEventListener("click", () => ask("leave", {}).then(show).catch(tell));
}

// --- a trial

function keyOf(value, position, isStacked) {
  const arrows = isStacked ? { left: "↑", right: "↓", equal: "→" } : { left: "←", right: "→", equal: "↓" };
  return arrows[value] || (/^\d$/.test(value) ? value : value[0] || String(position + 1));
}

function pressed(key, isStacked) {
  const arrows = isStacked ? { ArrowUp: "left", ArrowDown: "right", ArrowRight: "equal" } : { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "equal" };
  return { ...arrows, r: "real", f: "fake" }[key] || key;
}

// Fetches and decodes a picture before it is needed, so that the first frame shows all of it.
function prepare(address) {
  if (!pictures.has(address)) {
    const image = Object.assign(new Image(), { src: address, alt: "the picture to judge" });
    pictures.set(address, image.decode().then(() => image));
    pictures.get(address).catch(() => pictures.delete(address));
  }
  return pictures.get(address);
}

async function ready(address) {
  for (;;) {
    try {
      const image = await prepare(address);
      status.textContent = "";
      return image;
    } catch {
      status.textContent = "The picture does not load. Trying again …";
      await pass(RETRY_MS);
    }
  }
}

async function trial(state) {
  const find = open("trial");
  find(".place").textContent = `${state.practice ? "Practice " : ""}${state.number} of ${state.total}`;
  find("progress").value = (state.number - 1) / state.total;
  find(".done").hidden = !state.completion_url;
  if (state.completion_url) find(".done").href = state.completion_url;
  find("h1").textContent = state.question;
  const buttons = answerButtons(state, find(".answers"));
  const picture = await ready(state.picture);
  const image = state.gap ? stacked(picture, state.gap) : picture;
  image.className = "away";
  find(".stage").append(image);
  await pass(FIXATION_MS);
  const shown = exposure(image, find(".mask"), state.exposure_ms);
  const began = await shown.began;
  if (state.next_picture) prepare(state.next_picture);
  const watch = focusWatch();
  const response = await chosen(buttons, Boolean(state.gap));
  const reaction = performance.now() - began;
  const exposed = shown.stop();
  const size = sizeOf(image, state);
  pictures.delete(state.picture);
  await send(state, {
    code: state.code,
    response,
    session: visit,
    idempotency: word(),
    requested_ms: state.exposure_ms,
    exposure_ms: exposed,
    reaction_ms: reaction,
    focus_lost: watch(),
    full_screen: document.fullscreenElement !== null,
    shown_px: size,
    pixel_ratio: window.devicePixelRatio,
  });
}

// The two halves of a picture, one above the other.
function stacked(picture, gap) {
  const width = (picture.naturalWidth - gap) / 2;
  const height = picture.naturalHeight;
  const canvas = Object.assign(document.createElement("canvas"), { width, height: 2 * height + gap });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", picture.alt);
  const draw = canvas.getContext("2d");
  draw.drawImage(picture, 0, 0, width, height, 0, 0, width, height);
  draw.drawImage(picture, width + gap, 0, width, height, 0, height + gap, width, height);
  return canvas;
}

// The shorter side of one photograph on the screen, in CSS pixels.
function sizeOf(image, state) {
  const box = image.getBoundingClientRect();
  if (state.gap) return Math.min(box.width, box.height / 2);
  return Math.min(state.stacked ? box.width / 2 : box.width, box.height) || null;
}

function answerButtons(state, group) {
  return state.answers.map((answer, position) => {
    const button = Object.assign(document.createElement("button"), { type: "button", value: answer.value, textContent: answer.label, disabled: true });
    button.append(Object.assign(document.createElement("kbd"), { textContent: keyOf(answer.value, position, Boolean(state.gap)) }));
    group.append(button);
    return button;
  });
}

// Shows the image for the given time, counted in frames of the screen; 0 is until the answer.
function exposure(image, mask, milliseconds) {
  let start = 0;
  let last = 0;
  let visible = false;
  const hide = (now) => {
    if (!visible) return;
    visible = false;
    last = now;
    image.className = "away";
    mask.textContent = "";
  };
  const began = frame().then((now) => {
    start = now;
    visible = true;
    image.className = "";
    mask.textContent = "";
    let before = now;
    const count = (time) => {
      const interval = time - before;
      before = time;
      if (milliseconds && time - start >= milliseconds - interval / 2) hide(time);
      else if (visible) requestAnimationFrame(count);
    };
    requestAnimationFrame(count);
    return now;
  });
  return { began, stop: () => (hide(performance.now()), last - start) };
}

function focusWatch() {
  let lost = document.visibilityState !== "visible";
  const note = () => (lost = true);
  window.addEventListener("blur", note);
  document.addEventListener("visibilitychange", note);
  return () => {
    window.removeEventListener("blur", note);
    document.removeEventListener("visibilitychange", note);
    return lost;
  };
}

function chosen(buttons, isStacked) {
  return new Promise((done) => {
    const finish = (value) => {
      keys = null;
      for (const button of buttons) button.disabled = true;
      done(value);
    };
    for (const button of buttons) {
      button.disabled = false;
      button.addEventListener("click", () => finish(button.value), { once: true });
    }
    keys = (key) => {
      const button = buttons.find((one) => one.value === pressed(key, isStacked));
      if (button && !button.disabled) finish(button.value);
      return Boolean(button);
    };
  });
}

// A page that was reloaded before its answer arrived sends it again; the server takes it once.
async function sendWhatWasLeft() {
  const unsent = sessionStorage.getItem(UNSENT);
  if (!unsent) return;
  await ask("answer", JSON.parse(unsent)).catch(() => {}); // refused: the server's state says what comes next
  sessionStorage.removeItem(UNSENT);
}

async function send(state, answer) {
  let next;
  sessionStorage.setItem(UNSENT, JSON.stringify(answer));
  try {
    const reply = await ask("answer", answer);
    next = reply.state;
    if (reply.right) return feedback(state, answer.response, reply.right, next);
  } catch (error) {
    tell(error);
    next = await ask(`state?outside=${encodeURIComponent(outside)}`);
  } finally {
    sessionStorage.removeItem(UNSENT);
  }
  show(next);
}

function feedback(state, response, right, next) {
  const find = open("feedback");
  const label = state.answers.find((answer) => answer.value === right).label;
  find(".verdict").textContent = response === right ? "Correct" : "Not correct";
  const side = state.gap ? `at the ${label}` : `on the ${label}`;
  find(".reason").textContent = ["left", "right"].includes(right) ? `The real photograph was ${side}.` : `The answer was: ${label}.`;
  find(".main").addEventListener("click", () => show(next));
  find(".main").focus();
  if (next.stage === "trial") prepare(next.picture);
}
