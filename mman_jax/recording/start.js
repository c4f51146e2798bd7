"use strict";
const file = document.getElementById("file");
const speak = document.getElementById("speak");
const about = document.getElementById("about");
let recorder = null;

async function look(recording) {
  about.textContent = "The recording is being measured.";
  const body = new FormData();
  body.append("file", recording);
  const token = document.getElementById("token");
  const headers = token ? { Authorization: `Bearer ${token.value}` } : {};
  try {
    const answer = await fetch("look", { method: "POST", body, headers });
    const text = await answer.text();
    if (!answer.ok) throw new Error(JSON.parse(text).error);
    about.textContent = "";
    location.assign(URL.createObjectURL(new Blob([text], { type: "text/html" })));
  } catch (error) {
    about.textContent = error.message;
  }
}
async function record() {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const parts = [];
  recorder = new MediaRecorder(stream);
  recorder.ondataavailable = (event) => parts.push(event.data);
  recorder.onstop = () => {
    stream.getTracks().forEach((track) => track.stop());
    const kind = recorder.mimeType.split(";")[0];
    recorder = null;
    speak.textContent = "Speak";
    look(new File(parts, `recording.${kind.split("/")[1]}`, { type: kind }));
  };
  recorder.start();
  speak.textContent = "Stop";
  about.textContent = "Speak now.";
}
speak.onclick = () => {
  if (recorder) recorder.stop();
  else if (navigator.mediaDevices) record().catch((error) => (about.textContent = error.message));
  else about.textContent = "Browsers give the microphone to pages of this machine or of https alone.";
};
file.onchange = () => file.files.length && look(file.files[0]);
document.ondragover = (event) => event.preventDefault();
document.ondrop = (event) => {
  event.preventDefault();
  if (event.dataTransfer.files.length) look(event.dataTransfer.files[0]);
};
