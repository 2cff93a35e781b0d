// Live counts for the study's owner. The key stands behind the # of the address and goes into a header, so that no log holds it.
"use strict";

const key = location.hash.slice(1);
const status = document.getElementById("status");
const tables = document.getElementById("tables");
const TITLES = { raters: "Raters", answers: "Answers by kind", cells: "Judgements of each photograph in each arm", quality: "Quality" };

async function refresh() {
  try {
    const reply = await fetch("admin/data", { headers: { "X-Key": key } });
    const found = await reply.json();
    status.textContent = reply.ok ? "" : found.detail || found.error;
    if (reply.ok) draw(found);
  } catch {
    status.textContent = "The server does not answer.";
  }
}

function draw(found) {
  document.getElementById("title").textContent = `${found.study}: ${found.test}`;
  const parts = Object.entries(TITLES).flatMap(([name, title]) => [heading(title), table(["", ""], Object.entries(found[name]))]);
  if (found.each.length) parts.push(heading("Each rater"), table(Object.keys(found.each[0]).map((name) => name.replaceAll("_", " ")), found.each.map(Object.values)));
  tables.replaceChildren(...parts);
}

function heading(text) {
  return Object.assign(document.createElement("h2"), { textContent: text });
}

function table(titles, rows) {
  const made = document.createElement("table");
  const head = made.createTHead().insertRow();
  if (titles.some(Boolean)) for (const title of titles) head.append(Object.assign(document.createElement("th"), { textContent: title, scope: "col" }));
  for (const row of rows) {
    const line = made.insertRow();
    for (const value of row) line.insertCell().textContent = value === null ? "–" : value;
  }
  const wide = Object.assign(document.createElement("div"), { className: "wide" });
  wide.append(made);
  return wide;
}

refresh();
setInterval(refresh, 3000);
