// Live counts for the study's owner. The key stands behind the # of the address and goes into a header, so that no log holds it.
"use strict";

const key = location.hash.slice(1);
const status = document.getElementById("status");
const tables = document.getElementById("tables");
const TITLES = { raters: "Raters", answers: "Answers by kind", cells: "Judgements of each photograph in each arm", quality: "Quality" };

async function refresh() {
  try {
    const reply = await fetch("admin/data", { headers: { "X-Key": key } });
    const overview = await reply.json();
    status.textContent = reply.ok ? "" : overview.detail || overview.error;
    if (reply.ok) draw(overview);
  } catch {
    status.textContent = "The server does not answer.";
  }
}

function draw(overview) {
  document.getElementById("title").textContent = `${overview.study}: ${overview.test}`;
  const parts = Object.entries(TITLES).flatMap(([name, title]) => [heading(title), table(["", ""], Object.entries(overview[name]))]);
  if (overview.each.length) parts.push(heading("Each rater"), table(Object.keys(overview.each[0]).map((name) => name.replaceAll("_", " ")), overview.each.map(Object.values)));
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
