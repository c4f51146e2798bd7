"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const player = document.getElementById("player");
const line = document.getElementById("line");
const list = document.getElementById("turns");
const typed = document.getElementById("labels");
const labels = data.turns.map((turn) => turn.label);
const hue = (name) => (data.classes.length ? (360 * data.classes.indexOf(name)) / data.classes.length : 225);
const end = () => Math.max(...data.turns.map((turn) => turn.end));
const heard = end();  // where the waveform ends
const speakers = [...new Set(data.turns.map((turn) => turn.speaker))];
const cursor = document.createElement("i");
let current = -1;
let rows = [];
let marks = [];

function element(kind, text, parent) {
  const node = document.createElement(kind);
  node.textContent = text;
  parent.append(node);
  return node;
}
const clock = (s) => `${Math.floor(s / 60)}:${(s % 60).toFixed(1).padStart(4, "0")}`;
const duration = () => (Number.isFinite(player.duration) ? Math.max(player.duration, end()) : end());
const names = () => typed.value.split(",").map((n) => n.trim()).filter(Boolean);
const alone = (name) => data.turns.filter((turn) => turn.label === name).length === 1;

function rowOf(turn, index) {
  const row = element("li", "", list);
  element("small", `${clock(turn.start)} to ${clock(turn.end)}`, row);
  if (turn.speaker) element("small", turn.speaker, row).className = "speaker";
  if (turn.words) element("q", turn.words, row);
  element("b", turn.label, row).hidden = !turn.label;
  const answer = turn.answer;
  if (answer.unfamiliar) element("small", "unlike the training data", row);
  if (data.learnt && turn.label && alone(turn.label))
    element("small", "no other turn has this label, so its prediction cannot be right", row);
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
  const manner = turn.moved ? "new borders, not measured" : "close to the median turn";
  element("em", turn.manner.join(", ") || manner, row);
  row.onclick = () => seek(index);
  return row;
}
function markOf(turn, index) {
  const mark = element("button", "", line);
  mark.style.setProperty("--hue", hue(turn.answer.label));
  if (data.classes.length && !turn.answer.label) mark.style.background = "#8888";
  mark.style.setProperty("--lane", speakers.indexOf(turn.speaker));
  mark.title = [clock(turn.start), turn.speaker, turn.answer.label, ...turn.manner].filter(Boolean).join(", ");
  mark.onclick = () => seek(index);
  return mark;
}
function build() {
  list.replaceChildren();
  line.replaceChildren();
  rows = data.turns.map(rowOf);
  marks = data.turns.map(markOf);
  speakers.forEach((name, lane) => element("small", name, line).style.setProperty("--lane", lane));
  line.append(cursor);
  rows.forEach((_, index) => badge(index));
  place();
}
line.style.setProperty("--lanes", speakers.length);

// Both drawings have a width of 1000 and a height of 100.
const legend = document.getElementById("legend");
for (const name of data.classes) {
  const entry = element("span", name, legend);
  entry.style.setProperty("--hue", hue(name));
}
function draw() {
  const x = (seconds) => (1000 * seconds) / duration();
  const width = x(heard) / data.peaks.length;
  const heights = data.peaks.map((peak, i) => `M${i * width} ${50 - peak / 2}V${50 + peak / 2}`);
  document.getElementById("wave").innerHTML = `<path d="${heights.join("")}"/>`;
  const curves = data.classes.map((name) => {
    const points = data.turns.filter((turn) => turn.answer.label).map((turn) => {
      const y = 100 - 100 * turn.answer.probabilities[name];
      return `${x(turn.start)},${y} ${x(turn.end)},${y}`;
    });
    return `<polyline style="--hue: ${hue(name)}" points="${points.join(" ")}"/>`;
  });
  document.getElementById("curves").innerHTML = curves.join("");
}
function place() {
  const total = duration();
  data.turns.forEach((turn, index) => {
    marks[index].style.left = `${(100 * turn.start) / total}%`;
    marks[index].style.width = `${(100 * (turn.end - turn.start)) / total}%`;
  });
  draw();
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
function badge(index) {
  const node = rows[index].querySelector("b");
  node.textContent = labels[index];
  node.hidden = !labels[index];
}
function label(name) {
  labels[current] = labels[current] === name ? "" : name;
  badge(current);
  store();
}

// Turns with new borders have no description and no prediction, which belong to the old ones.
function replace(index, count, ...turns) {
  const moved = turns.map((turn) => ({ ...turn, manner: [], answer: {}, moved: true }));
  const names = [...new Set(labels.slice(index, index + count))];
  data.turns.splice(index, count, ...moved);
  labels.splice(index, count, ...moved.map(() => (names.length === 1 ? names[0] : "")));
  current = index;
  build();
  show(index);
  store();
}
// The words are shared out by time, since the time of each is not known.
function split(time) {
  const turn = data.turns[current];
  if (time - turn.start < 0.1 || turn.end - time < 0.1) return;
  const words = turn.words.split(" ");
  const count = Math.round((words.length * (time - turn.start)) / (turn.end - turn.start));
  replace(current, 1, { ...turn, end: time, words: words.slice(0, count).join(" ") },
    { ...turn, start: time, words: words.slice(count).join(" ") });
}
function join() {
  const [turn, next] = data.turns.slice(current, current + 2);
  if (!next || next.speaker !== turn.speaker) return;
  const words = [turn.words, next.words].filter(Boolean).join(" ");
  replace(current, 2, { ...turn, end: Math.max(turn.end, next.end), words });
}
// Turns stay in the order of their starts.
function move(border, time) {
  const turn = { ...data.turns[current], [border]: time };
  const [before, after] = [data.turns[current - 1], data.turns[current + 1]];
  if (turn.end - turn.start < 0.1 || (before && before.start > turn.start) || (after && after.start < turn.start)) return;
  replace(current, 1, turn);
}
const edits = { s: split, j: join, "[": (time) => move("start", time), "]": (time) => move("end", time) };

// The browser keeps the labels, until a page with other turns or other first labels is opened.
const key = `mman look ${data.path}`;
const first = JSON.stringify(data.turns.map((turn) => [turn.start, turn.end, turn.label]));
function store() {
  try {
    localStorage.setItem(key, JSON.stringify({ first, labels, typed: typed.value, turns: data.turns }));
  } catch {
    document.getElementById("unsaved").hidden = false;
  }
}
function restore() {
  let stored = null;
  try {
    stored = JSON.parse(localStorage.getItem(key));
  } catch {
    return;
  }
  if (!stored) return;
  const shown = typed.value;
  typed.value = stored.typed;
  if (!data.classes.every((name) => names().includes(name))) typed.value = shown;
  if (stored.first !== first) return;
  labels.splice(0, labels.length, ...stored.labels);
  data.turns.splice(0, data.turns.length, ...(stored.turns || data.turns));
}

const cell = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
const escaped = (text) => text.replace(/[<>&"]/g, (c) => `&#${c.charCodeAt(0)};`);

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
function json() {
  const turns = data.turns.map((turn, i) => ({ ...turn, label: labels[i] }));
  return JSON.stringify({ recording: data.path, turns }, null, 1) + "\n";
}
// Subtitles of the words, with the speaker before and the (label) or the [prediction] after them.
function subtitles() {
  const time = (s) => new Date(Math.round(1000 * s)).toISOString().slice(11, 23).replace(".", ",");
  const text = (turn, i) => {
    const about = labels[i] ? `(${labels[i]})` : turn.answer.label && `[${turn.answer.label}]`;
    return (turn.speaker ? `${turn.speaker}: ` : "") + [turn.words, about].filter(Boolean).join(" ");
  };
  return data.turns.map((turn, i) => [turn, text(turn, i)]).filter(([, words]) => words)
    .map(([turn, words], i) => `${i + 1}\n${time(turn.start)} --> ${time(turn.end)}\n${words}\n\n`).join("");
}
// ELAN's annotations: tiers of words, labels and predictions for each speaker.
function elan() {
  const slots = data.turns.flatMap((turn) => [turn.start, turn.end]);
  const tiers = [];
  let count = 0;
  for (const speaker of speakers) {
    const kinds = { words: (i) => data.turns[i].words, label: (i) => labels[i], prediction: (i) => data.turns[i].answer.label };
    for (const [kind, value] of Object.entries(kinds)) {
      const annotations = data.turns.map((turn, i) => (turn.speaker === speaker && value(i) ?
        `<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a${++count}" TIME_SLOT_REF1="ts${2 * i + 1}" TIME_SLOT_REF2="ts${2 * i + 2}">` +
        `<ANNOTATION_VALUE>${escaped(value(i))}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>\n` : "")).join("");
      const name = escaped(speaker ? `${kind} ${speaker}` : kind);
      tiers.push(`<TIER LINGUISTIC_TYPE_REF="default" PARTICIPANT="${escaped(speaker)}" TIER_ID="${name}">\n${annotations}</TIER>\n`);
    }
  }
  return `<?xml version="1.0" encoding="UTF-8"?>\n` +
    `<ANNOTATION_DOCUMENT AUTHOR="" DATE="${new Date().toISOString()}" FORMAT="3.0" VERSION="3.0">\n` +
    `<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">\n` +
    `<MEDIA_DESCRIPTOR MEDIA_URL="${escaped(encodeURI(data.path))}" MIME_TYPE="${data.kind}"/>\n</HEADER>\n<TIME_ORDER>\n` +
    slots.map((s, i) => `<TIME_SLOT TIME_SLOT_ID="ts${i + 1}" TIME_VALUE="${Math.round(1000 * s)}"/>\n`).join("") +
    `</TIME_ORDER>\n${tiers.join("")}<LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default" TIME_ALIGNABLE="true"/>\n` +
    `</ANNOTATION_DOCUMENT>\n`;
}
const formats = { csv: table, json, srt: subtitles, eaf: elan };
document.getElementById("save").onclick = () => {
  const suffix = document.getElementById("format").value;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([formats[suffix]()], { type: "text/plain" }));
  link.download = suffix === "csv" ? "clips.csv" : `${data.name}.${suffix}`;
  link.click();
  URL.revokeObjectURL(link.href);
};
document.addEventListener("keydown", (event) => {
  if (/INPUT|SELECT/.test(event.target.tagName) || event.ctrlKey || event.metaKey || event.altKey) return;
  const name = /^[1-9]$/.test(event.key) && names()[Number(event.key) - 1];
  if (name && current >= 0) label(name);
  const edit = edits[event.key.toLowerCase()];
  if (edit && current >= 0) edit(Math.round(100 * player.currentTime) / 100);
  if (event.key === "ArrowDown" && current + 1 < rows.length) seek(current + 1);
  if (event.key === "ArrowUp" && current > 0) seek(current - 1);
  if (event.key.startsWith("Arrow")) event.preventDefault();
});
typed.addEventListener("change", store);
player.addEventListener("timeupdate", follow);
player.addEventListener("loadedmetadata", place);
restore();
build();
