// Sends files of the upload page piece by piece, over lines that break (tus 1.0), and then the form with what they became. It goes on after
// a reload with what the page lists as begun. Without this module the form sends the files itself, and so it does where they fit into one piece.

const PIECE = 5000000; // bytes
const WAITS = [1, 2, 4, 8, 15, 30]; // seconds until the next try
const MOST_TRIES = 20; // without a byte more arriving
const SILENCE = 90000; // milliseconds without progress, after which a line counts as broken
const STEADY = 15000; // milliseconds over which the pace is taken

const form = document.querySelector("form[data-upload]");
const said = form.dataset;
const input = form.querySelector('input[type="file"]');
const bar = form.querySelector("progress");
const at = (name) => form.querySelector(`[data-${name}]`);
const known = new Map(); // the address of each file that was begun, by its fingerprint

let request = null; // what is under way
let wakeUp = null; // ends a wait
let isPaused = false;
let isStopped = false;
let pace = []; // [moment, bytes] of late

class Trouble extends Error {} // what the person is told; it may be gone on with
class Stopped extends Error {}

/** Name, size and time of change: the same file again, as far as a browser can know. */
function fingerprint(file) {
  return `${file.name}|${file.size}|${file.lastModified}`;
}

document.querySelectorAll("[data-begun]").forEach((row) => known.set(row.dataset.fingerprint, row.dataset.begun));

// What the person sees

function fill(pattern, facts) {
  return pattern.replace(/\{(\w+)\}/g, (_hit, name) => facts[name]);
}

function bytes(count) {
  if (count >= 1e9) return `${(count / 1e9).toFixed(1)} GB`;
  return count < 1e6 ? `${Math.round(count / 1000)} KB` : `${(count / 1e6).toFixed(1)} MB`;
}

/** The state in which the page is, and one sentence about it, which is read aloud too. */
function show(state, words) {
  form.dataset.state = state;
  at("said").textContent = words;
  at("go-on").textContent = { paused: said.goOn, trouble: said.again }[state] || said.now;
  const isBusy = state !== "";
  at("submit").hidden = isBusy;
  at("sending").hidden = !isBusy;
  at("pause").hidden = state !== "sending" && state !== "waiting";
  at("go-on").hidden = state !== "paused" && state !== "waiting" && state !== "trouble";
  at("stop").hidden = state === "done";
  input.disabled = isBusy;
}

/** Moves the bar; each quarter is said aloud, for whoever does not see it. */
function progress(files, index, count) {
  const total = sum(files);
  const before = Math.floor((4 * bar.value) / total);
  bar.max = total;
  bar.value = sum(files.slice(0, index)) + count;
  pace = [...pace.filter((step) => step[0] > Date.now() - STEADY), [Date.now(), bar.value]];
  at("sent").textContent = [fill(said.sent, { done: bytes(bar.value), total: bytes(total) }), left(total)].filter(Boolean).join(", ");
  at("file").textContent = files.length > 1 ? fill(said.file, { number: index + 1, count: files.length, name: files[index].name }) : files[0].name;
  const quarter = Math.floor((4 * bar.value) / total);
  if (quarter > before && quarter < 4) at("aloud").textContent = fill(said.quarter, { percent: 25 * quarter });
}

/** How long it will take, once that can be told. */
function left(total) {
  const [first, last] = [pace[0], pace[pace.length - 1]];
  const seconds = (last[0] - first[0]) / 1000;
  if (seconds < 3 || last[1] <= first[1]) return "";
  const minutes = ((total - last[1]) * seconds) / (last[1] - first[1]) / 60;
  return minutes < 1 ? said.soon : fill(said.left, { minutes: Math.ceil(minutes) });
}

function sum(files) {
  return files.reduce((total, file) => total + file.size, 0);
}

// What the server is asked

/** One request. A line that breaks, or on which nothing moves any more, has the status 0. */
function ask(method, address, headers = {}, body = null, onProgress = () => {}) {
  return new Promise((resolve) => {
    const line = new XMLHttpRequest();
    let timer = 0;
    const watch = () => { clearTimeout(timer); timer = setTimeout(() => line.abort(), SILENCE); };
    line.open(method, address);
    const all = { "Tus-Resumable": "1.0.0", "X-CSRFToken": form.elements.namedItem("csrf_token").value, ...headers };
    Object.keys(all).forEach((name) => line.setRequestHeader(name, all[name]));
    line.upload.addEventListener("progress", (step) => { watch(); onProgress(step.loaded); });
    line.addEventListener("loadend", () => { clearTimeout(timer); resolve(line); });
    watch();
    line.send(body);
    request = line;
  });
}

/** Whether the same may work in a while. */
function mayWorkLater(answer) {
  return [0, 409, 423, 429, 460].includes(answer.status) || (answer.status >= 500 && answer.status !== 507);
}

/** Why it will not: the server's own sentence, where it is one. */
function troubleOf(answer) {
  const type = answer.getResponseHeader("Content-Type") || "";
  return new Trouble(type.startsWith("text/plain") && answer.responseText.trim() ? answer.responseText.trim() : said.refused);
}

/** Asks until there is an answer that waiting would not change. */
async function insist(method, address, headers) {
  for (let tries = 0; ; tries += 1) {
    await ready();
    const answer = await ask(method, address, headers);
    if (!mayWorkLater(answer)) return answer;
    await rest(tries, answer);
  }
}

/** Waits while the person has paused. */
async function ready() {
  if (isStopped) throw new Stopped();
  if (isPaused) await new Promise((resolve) => { wakeUp = resolve; });
  if (isStopped) throw new Stopped();
}

/** Waits a while, longer each time, or until the line is back; not where the person has paused. */
async function rest(tries, answer) {
  if (isPaused || isStopped) return;
  const isAway = navigator.onLine === false;
  if (tries >= MOST_TRIES && !isAway) throw new Trouble(said.gaveUp);
  const seconds = WAITS[Math.min(tries, WAITS.length - 1)];
  if (tries > 0 || answer.status === 0) show("waiting", isAway ? said.offline : fill(answer.status ? said.busy : said.lost, { seconds }));
  const back = () => wakeUp && wakeUp();
  window.addEventListener("online", back);
  await new Promise((resolve) => { wakeUp = resolve; setTimeout(resolve, 1000 * (isAway ? 30 : seconds)); }); // some browsers are wrong about it
  window.removeEventListener("online", back);
  wakeUp = null;
  if (!isPaused && !isStopped) { pace = []; show("sending", said.sending); }
}

/** How much of a file the server has; null where it knows nothing of it. */
async function offsetAt(address) {
  const answer = await insist("HEAD", address);
  const offset = answer.getResponseHeader("Upload-Offset");
  if (answer.status === 200 && offset !== null) return Number(offset);
  if (answer.status === 404 || answer.status === 410) return null;
  throw troubleOf(answer);
}

/** Begins a file; its address. */
async function begin(file) {
  const told = { filename: file.name, modified: String(file.lastModified) };
  const metadata = Object.keys(told).map((key) => `${key} ${base64(new TextEncoder().encode(told[key]))}`).join(",");
  const answer = await insist("POST", said.parts, { "Upload-Length": String(file.size), "Upload-Metadata": metadata });
  if (answer.status !== 201) throw troubleOf(answer);
  known.set(fingerprint(file), answer.getResponseHeader("Location"));
  return known.get(fingerprint(file));
}

/** Sends one piece from `offset`, with its checksum where the browser can make one (it does so over https and on this machine alone). */
async function sendPiece(address, file, offset, onProgress) {
  let piece;
  try {
    piece = await file.slice(offset, offset + PIECE).arrayBuffer();
  } catch {
    throw new Trouble(fill(said.unreadable, { name: file.name }));
  }
  const headers = { "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(offset) };
  if (window.crypto && crypto.subtle) {
    headers["Upload-Checksum"] = `sha256 ${base64(new Uint8Array(await crypto.subtle.digest("SHA-256", piece)))}`;
  }
  await ready();
  return ask("PATCH", address, headers, piece, onProgress);
}

function base64(found) {
  return btoa(Array.from(found, (byte) => String.fromCharCode(byte)).join(""));
}

// From files to an upload

/** Sends a file from where it stands, begun anew where the server has forgotten it; its address. */
async function sendFile(files, index) {
  const file = files[index];
  let address = known.get(fingerprint(file));
  progress(files, index, 0);
  let offset = address ? await offsetAt(address) : null;
  let tries = 0;
  while (offset === null || offset < file.size) {
    if (offset === null) {
      address = await begin(file);
      offset = 0;
    }
    progress(files, index, offset);
    const answer = await sendPiece(address, file, offset, (loaded) => progress(files, index, offset + loaded));
    const before = offset;
    if (answer.status === 204) {
      offset = Number(answer.getResponseHeader("Upload-Offset"));
    } else if (mayWorkLater(answer)) {
      await rest(tries, answer);
      offset = await offsetAt(address); // of a piece that was cut off a part may have come
    } else if (answer.status === 404 || answer.status === 410) {
      offset = null;
    } else {
      throw troubleOf(answer);
    }
    tries = offset > before ? 0 : tries + 1;
    if (offset === null && tries > 3) throw new Trouble(said.gaveUp);
  }
  progress(files, index, file.size);
  return address;
}

/** Sends what was chosen, then the form with it. */
async function sendAll() {
  const files = [...input.files];
  isPaused = isStopped = false;
  pace = [];
  bar.value = 0;
  at("chosen").textContent = "";
  show("sending", said.sending);
  at("pause").focus();
  try {
    const addresses = [];
    for (let index = 0; index < files.length; index += 1) addresses.push(await sendFile(files, index));
    show("done", said.done);
    addresses.forEach((address) => {
      const field = Object.assign(document.createElement("input"), { type: "hidden", name: "parts", value: address.split("/").pop() });
      form.append(field);
    });
    HTMLFormElement.prototype.submit.call(form); // the files themselves stay out, for their field is switched off
  } catch (error) {
    if (error instanceof Stopped) {
      await throwAway(files);
    } else {
      show("trouble", error instanceof Trouble ? error.message : said.refused);
      at("go-on").focus();
    }
  }
}

/** Forgets what was begun of these files; what the server cannot be told it forgets by itself in some days. */
async function throwAway(files) {
  show("", said.stopped);
  input.focus();
  const addresses = files.map((file) => known.get(fingerprint(file))).filter(Boolean);
  files.forEach((file) => known.delete(fingerprint(file)));
  const rows = [...document.querySelectorAll("[data-begun]")];
  rows.forEach((row) => { row.hidden = row.hidden || addresses.includes(row.dataset.begun); });
  if (rows.length && rows.every((row) => row.hidden)) rows[0].closest("section").hidden = true;
  for (const address of addresses) await ask("DELETE", address);
}

/** Ends what is under way; whoever waits for it looks what the person wants. */
function breakOff() {
  if (request) request.abort();
  if (wakeUp) wakeUp();
}

/** Says which of the chosen files were begun before, and whether they are too large. */
function look() {
  const files = [...input.files];
  const begun = files.find((file) => known.has(fingerprint(file)));
  const isTooMuch = sum(files) > Number(said.largest);
  const words = isTooMuch ? fill(said.tooLarge, { total: bytes(sum(files)), largest: bytes(Number(said.largest)) }) : "";
  input.setCustomValidity(words);
  at("chosen").textContent = words || (begun ? fill(said.goesOn, { name: begun.name }) : "");
  at("chosen").className = isTooMuch ? "error" : "hint";
  at("said").textContent = "";
}

form.addEventListener("submit", (event) => {
  if (sum([...input.files]) <= PIECE || !Blob.prototype.arrayBuffer) return; // which browsers have had since 2020
  event.preventDefault();
  sendAll();
});
at("pause").addEventListener("click", () => {
  isPaused = true;
  show("paused", said.paused);
  at("go-on").focus();
  breakOff();
});
at("go-on").addEventListener("click", () => {
  if (form.dataset.state === "trouble") { sendAll(); return; }
  isPaused = false;
  pace = [];
  show("sending", said.sending);
  at("pause").focus();
  if (wakeUp) wakeUp();
});
at("stop").addEventListener("click", () => {
  const isOver = form.dataset.state === "trouble";
  isStopped = true;
  breakOff();
  if (isOver) throwAway([...input.files]);
});

window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); }); // the form was sent from here already
input.disabled = false; // Firefox remembers
if (input.files.length) look(); // which Firefox remembers too
input.addEventListener("change", look);
form.classList.add("has-drop");
["dragenter", "dragover"].forEach((name) => form.addEventListener(name, (event) => { event.preventDefault(); form.classList.add("is-over"); }));
["dragleave", "drop"].forEach((name) => form.addEventListener(name, () => form.classList.remove("is-over")));
form.addEventListener("drop", (event) => {
  event.preventDefault();
  if (input.disabled || !event.dataTransfer.files.length) return;
  input.files = event.dataTransfer.files;
  look();
});
