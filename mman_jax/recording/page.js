"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const player = document.getElementById("player");
const line = document.getElementById("line");
const list = document.getElementById("turns");
const labels = data.turns.map((turn) => turn.label);
const hue = (name) => (data.classes.length ? (360 * data.classes.indexOf(name)) / data.classes.length : 225);
const last = data.turns[data.turns.length - 1].end;
const cursor = document.createElement("i");
let current = -1;

function element(kind, text, parent) {
  const node = document.createElement(kind);
  node.textContent = text;
  parent.append(node);
  return node;
}
const clock = (s) => `${Math.floor(s / 60)}:${(s % 60).toFixed(1).padStart(4, "0")}`;
const duration = () => (Number.isFinite(player.duration) ? Math.max(player.duration, last) : last);

const rows = data.turns.map((turn, index) => {
  const row = element("li", "", list);
  element("small", `${clock(turn.start)} to ${clock(turn.end)}`, row);
  if (turn.speaker) element("small", turn.speaker, row).className = "speaker";
  if (turn.words) element("q", turn.words, row);
  element("b", turn.label, row).hidden = !turn.label;
  const answer = turn.answer;
  if (answer.unfamiliar) element("small", "unlike the training data", row);
  if (answer.label) {
    const bars = element("div", "", row);
    bars.className = "bars";
    for (const [name, p] of Object.entries(answer.probabilities).sort((a, b) => b[1] - a[1])) {
      element("div", name, bars);
      const bar = element("span", "", bars);
      bar.style.width = `${100 * p}%`;
      bar.style.setProperty("--hue", hue(name));
      element("div", `${Math.round(100 * p)} %`, bars);
    }
    if (answer.attention) {
      const keys = Object.keys(answer.attention);
      const mean = (key) => keys.reduce((sum, q) => sum + answer.attention[q][key], 0) / keys.length;
      element("small", "listened to " + keys.map((k) => `${k} ${Math.round(100 * mean(k))} %`).join(", "), row);
    }
  }
  element("em", turn.manner.join(", "), row);
  row.onclick = () => seek(index);
  return row;
});
const marks = data.turns.map((turn, index) => {
  const mark = element("button", "", line);
  mark.style.setProperty("--hue", hue(turn.answer.label));
  mark.title = [clock(turn.start), turn.answer.label, ...turn.manner].filter(Boolean).join(", ");
  mark.onclick = () => seek(index);
  return mark;
});
line.append(cursor);

function place() {
  const total = duration();
  data.turns.forEach((turn, index) => {
    marks[index].style.left = `${(100 * turn.start) / total}%`;
    marks[index].style.width = `${(100 * (turn.end - turn.start)) / total}%`;
  });
  follow();
}
function follow() {
  const time = player.currentTime;
  cursor.style.left = `${(100 * time) / duration()}%`;
  const playing = data.turns.findIndex((turn) => time >= turn.start && time < turn.end);
  if (playing >= 0 && playing !== current) show(playing);
}
function show(index) {
  current = index;
  for (const nodes of [rows, marks]) nodes.forEach((node, i) => node.classList.toggle("now", i === index));
  rows[index].scrollIntoView({ block: "nearest" });
}
function seek(index) {
  player.currentTime = data.turns[index].start;
  show(index);
}
function label(name) {
  labels[current] = labels[current] === name ? "" : name;
  const badge = rows[current].querySelector("b");
  badge.textContent = labels[current];
  badge.hidden = !labels[current];
}
const names = () => document.getElementById("labels").value.split(",").map((n) => n.trim()).filter(Boolean);
const cell = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);

// A clips.csv that `extract` takes; a turn without a label is context.
function table() {
  const head = ["conversation_id", "utterance_id", "path", "start", "end", "transcript", "label"];
  const known = ["speaker", "channel"].filter((name) => data.turns.some((turn) => turn[name]));
  const value = (turn, name) => String(turn[name] || (name === "speaker" ? "unknown" : ""));
  const lines = data.turns.map((turn, i) =>
    [data.name, String(i + 1), data.path, String(turn.start), String(turn.end), turn.words, labels[i],
      ...known.map((name) => value(turn, name))]);
  return [[...head, ...known], ...lines].map((row) => row.map(cell).join(",") + "\n").join("");
}
document.getElementById("save").onclick = () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([table()], { type: "text/csv" }));
  link.download = "clips.csv";
  link.click();
  URL.revokeObjectURL(link.href);
};
document.addEventListener("keydown", (event) => {
  if (event.target.tagName === "INPUT" || event.ctrlKey || event.metaKey || event.altKey) return;
  const name = /^[1-9]$/.test(event.key) && names()[Number(event.key) - 1];
  if (name && current >= 0) label(name);
  if (event.key === "ArrowDown" && current + 1 < rows.length) seek(current + 1);
  if (event.key === "ArrowUp" && current > 0) seek(current - 1);
  if (event.key.startsWith("Arrow")) event.preventDefault();
});
player.addEventListener("timeupdate", follow);
player.addEventListener("loadedmetadata", place);
place();
