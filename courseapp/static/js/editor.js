// The editor of a lesson: a draft is kept with the server while one types, and on this device when the server is away; the preview follows.
// Without this module the page saves, previews and keeps drafts by its buttons.

const PAUSE = 700; // milliseconds after the last key until the text is sent
const RETRY = 4000; // until it is tried again when the server was away
const FIELDS = ["title", "minutes", "shows", "needs_check", "completes", "sources", "reviewed_by", "reviewer_role", "reviewed_on", "review_due", "body"];

const form = document.querySelector("form[data-editor]");
const said = form.dataset;
const status = form.querySelector("[data-status]");
const body = form.elements.namedItem("body");
const title = document.title;

let sequence = Number(form.elements.namedItem("seq").value);
let written = 0; // counts what was typed
let acknowledged = 0; // up to which of it the server has
let sentLast = 0; // up to which of it was sent when the page last went to the back, without an answer
let noted = ""; // what was typed when last looked
let sending = false;
let timer = 0;
let isOnDevice = true;
let isLeaving = false;
let pressed = null; // the button pressed last: browsers of 2021 do not say by which one a form is sent
let ownKey = keyOf(form.elements.namedItem("draft").value);

/** Under what this page keeps its text on this device. */
function keyOf(draft) {
  return said.device + draft;
}

/** What is typed now. */
function typed() {
  return Object.fromEntries(FIELDS.map((name) => [name, form.elements.namedItem(name).value]));
}

function hidden(name) {
  return form.elements.namedItem(name).value;
}

/** Says how the text is kept; the same words are not said twice. */
function say(words, state = "") {
  status.dataset.state = state;
  if (status.textContent !== words) status.textContent = words;
  mark();
}

/** Marks, for the eye alone, that something is not kept by the server yet; in words each pause would be read aloud. */
function mark() {
  form.querySelector("[data-mark]").hidden = written <= acknowledged;
  document.title = written > acknowledged ? `• ${title}` : title;
}

/** Keeps the text on this device; false where it takes none (a private window, a full disk). */
function keepHere() {
  try {
    const text = { typed: typed(), base_number: hidden("base_number"), base_stamp: hidden("base_stamp"), seq: sequence, at: Date.now() };
    localStorage.setItem(ownKey, JSON.stringify(text));
    return true;
  } catch {
    return false;
  }
}

function forgetHere(key = ownKey) {
  try { localStorage.removeItem(key); } catch { /* then there is nothing to forget */ }
}

/** The form as it is sent, with a higher number each time, so that a late arrival never counts for more than a later text. */
function filled() {
  sequence += 1;
  form.elements.namedItem("seq").value = sequence;
  const data = new FormData(form);
  ["read_again", "without_review", "choice"].forEach((name) => data.delete(name));
  return data;
}

/** A form token of the present session: of that after signing in again in another tab too. */
async function renewToken() {
  const answer = await fetch(location.href, { credentials: "same-origin" });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const token = page.querySelector("form[data-editor] input[name=csrf_token]");
  if (!token) return false;
  form.elements.namedItem("csrf_token").value = token.value;
  return true;
}

async function post() {
  const answer = await fetch(said.keep, { method: "POST", body: filled(), credentials: "same-origin", headers: { Accept: "application/json" } });
  const isOurs = answer.ok && !answer.redirected && (answer.headers.get("Content-Type") || "").includes("json");
  return isOurs ? answer.json() : null;
}

/** Sends what is typed, one at a time. True once the server has all of it. */
async function send() {
  clearTimeout(timer);
  if (sending) return false;
  sending = true;
  const now = written;
  try {
    let facts = await post();
    if (!facts && (await renewToken())) facts = await post();
    if (facts) take(facts, now);
    else trouble(said.refused);
  } catch {
    trouble(said.offline);
  } finally {
    sending = false;
  }
  if (acknowledged < written && !isLeaving) timer = setTimeout(send, acknowledged < now ? RETRY : PAUSE);
  return acknowledged >= written;
}

/** The server has it. */
function take(facts, now) {
  if (facts.seq > sequence) { // another page writes under this id: go on under one of our own
    form.elements.namedItem("draft").value = "";
    return;
  }
  acknowledged = now;
  if (facts.draft !== hidden("draft")) {
    forgetHere(); // this tab was doubled: its text is kept under an id of its own from here on
    form.elements.namedItem("draft").value = facts.draft;
    ownKey = keyOf(facts.draft);
    holdKey();
  }
  if (acknowledged >= written) forgetHere();
  else isOnDevice = keepHere();
  show(facts);
  say(facts.is_changed ? said.changed : said.kept.replace("{time}", facts.at), facts.is_changed ? "trouble" : "");
}

function trouble(words) {
  isOnDevice = keepHere();
  say(isOnDevice ? words : said.nowhere, "trouble");
}

/** The preview, and what is wrong. The HTML was sanitised by the server: it is what learners would get. */
function show(facts) {
  form.querySelector("[data-preview]").innerHTML = facts.html;
  form.querySelector("[data-adapted-part]").hidden = facts.adapted_html === null;
  form.querySelector("[data-adapted]").innerHTML = facts.adapted_html || "";
  const list = form.querySelector("[data-problems]");
  list.replaceChildren(...facts.problems.map(problemItem));
  if (!facts.problems.length) list.append(Object.assign(document.createElement("li"), { textContent: said.fine }));
}

function problemItem(problem) {
  const item = document.createElement("li");
  const tag = document.createElement("span");
  tag.className = `tag ${problem.is_error ? "tag-danger" : "tag-caution"}`;
  tag.textContent = problem.is_error ? said.toMend : said.toLook;
  const link = document.createElement("a");
  link.href = `#${problem.field}`;
  link.dataset.line = problem.line;
  const label = form.querySelector(`label[for="${problem.field}"]`);
  link.textContent = problem.line ? said.line.replace("{line}", problem.line) : label ? label.textContent.trim() : "";
  const mend = document.createElement("strong");
  mend.textContent = problem.mend;
  item.append(tag, " ", link, ` ${problem.words} `, mend);
  return item;
}

/** Leads to the line of a problem, and marks it. */
function toLine(event) {
  const link = event.target.closest("a[data-line]");
  if (!link) return;
  const field = document.getElementById(link.hash.slice(1));
  if (!field) return;
  event.preventDefault();
  const around = field.closest("details");
  if (around) around.open = true;
  field.focus();
  const line = Number(link.dataset.line);
  if (line && field === body) {
    const lines = body.value.split("\n");
    const begin = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
    body.setSelectionRange(begin, begin + (lines[line - 1] || "").length);
    body.scrollTop = Math.max(0, body.scrollHeight * ((line - 1) / lines.length) - body.clientHeight / 3);
  }
}

/** Something was typed: on this device at once, to the server after a pause, and every few seconds to one who never pauses. */
function noteTyping(event) {
  if (!FIELDS.includes(event.target.name)) return;
  const text = JSON.stringify(typed());
  if (text === noted) return; // leaving a field tells again what typing told before
  noted = text;
  written += 1;
  isLeaving = false;
  isOnDevice = keepHere();
  mark();
  if (!sending && (written - acknowledged) % 40 !== 0) {
    clearTimeout(timer);
    timer = setTimeout(send, PAUSE);
  } else if (!sending) {
    send();
  }
}

/** The page goes away, or to the back: what the server has not got is sent along, or stays on this device. */
function sendLast() {
  if (written <= Math.max(acknowledged, sentLast) || isLeaving) return;
  sentLast = written;
  isOnDevice = keepHere();
  // A browser sends 64 KB at most from a page that is gone; a longer text waits on this device, and is taken up on return.
  fetch(said.keep, { method: "POST", body: filled(), credentials: "same-origin", keepalive: true }).catch(() => {});
}

/** Asks only where the text is kept nowhere else. */
function askBeforeLeaving(event) {
  if (written > acknowledged && !isOnDevice && !isLeaving) event.preventDefault();
}

/** Save and the like leave the page: first the server must be there, or the browser's own error page would stand where the text was. */
async function submit(event) {
  event.preventDefault();
  const button = event.submitter || pressed || document.getElementById("save");
  if (button.value !== "discard") {
    written += 1; // so that it is sent in any case, and an answer says whether anybody is there
    clearTimeout(timer);
    while (sending) await new Promise((done) => { setTimeout(done, 50); });
    if (!(await send())) return;
  }
  isLeaving = true;
  forgetHere();
  rememberPlace();
  form.querySelectorAll("input[name=choice]").forEach((old) => old.remove()); // of a sending that was stopped
  const choice = Object.assign(document.createElement("input"), { type: "hidden", name: "choice", value: button.value });
  form.append(choice);
  sequence += 1;
  form.elements.namedItem("seq").value = sequence;
  HTMLFormElement.prototype.submit.call(form);
}

/** After saving one goes on where one was. */
function rememberPlace() {
  try {
    sessionStorage.setItem(said.device, JSON.stringify([body.selectionStart, body.selectionEnd, body.scrollTop, scrollY, document.activeElement === body]));
  } catch { /* then the page begins at its top */ }
}

function returnToPlace() {
  try {
    const place = JSON.parse(sessionStorage.getItem(said.device));
    sessionStorage.removeItem(said.device);
    if (!place || document.querySelector("[data-error-summary], #conflict")) return;
    if (place[4]) {
      body.focus({ preventScroll: true });
      body.setSelectionRange(place[0], place[1]);
    }
    body.scrollTop = place[2];
    scrollTo(0, place[3]);
  } catch { /* as above */ }
}

function saveByKey(event) {
  if (event.key.toLowerCase() !== "s" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
  event.preventDefault();
  document.getElementById("save").click();
}

/** Which of the texts on this device belong to pages that are still open elsewhere; those are left to them. */
async function openElsewhere() {
  if (!navigator.locks) return new Set();
  const { held } = await navigator.locks.query();
  return new Set(held.map((lock) => lock.name));
}

/** Tells other tabs that this page is open and looks after its text itself. */
function holdKey() {
  if (navigator.locks) navigator.locks.request(ownKey, () => new Promise(() => {})); // held as long as this page lives
}

/** Text that never reached the server, from a page that is gone: put back, so that it is kept and nothing is lost. */
async function restore(isFirst = true) {
  const open = await openElsewhere();
  let all = [];
  try {
    all = Object.keys(localStorage).filter((key) => key.startsWith(said.device) && key !== ownKey);
  } catch { return; }
  const left = all.filter((key) => !open.has(key));
  if (isFirst && left.length < all.length) setTimeout(restore, 1500, false); // a page that was just closed may seem open for a moment
  const texts = left.map((key) => ({ key, ...JSON.parse(localStorage.getItem(key)) })).sort((one, other) => one.at - other.at);
  for (const text of texts) {
    if (written > acknowledged) return; // somebody is typing already: the rest waits for the next time the page is opened
    await putBack(text);
  }
}

/** Puts one text back. What stood in the form is first kept as a draft of its own, unless this text went on from it. */
async function putBack(text) {
  const now = typed();
  const isNew = FIELDS.some((name) => (text.typed[name] ?? "") !== now[name]);
  const goesOn = text.key === keyOf(hidden("continues")) || !said.isDraft;
  if (isNew && !goesOn) {
    written += 1;
    if (!(await send())) return;
    form.elements.namedItem("continues").value = "";
  }
  if (isNew) {
    fill(text);
    goOnAs(text);
    written += 1;
    if (!(await send())) return;
  }
  forgetHere(text.key);
  if (isNew) say(said.back);
}

/** Goes on under the id of the page that is gone, past what it may have sent last: that can still arrive, and would stand here twice. */
function goOnAs(text) {
  form.elements.namedItem("draft").value = text.key.slice(said.device.length);
  sequence = Math.max(sequence, text.seq + 3);
  ownKey = text.key;
  holdKey();
}

function fill(text) {
  FIELDS.forEach((name) => { form.elements.namedItem(name).value = text.typed[name] ?? ""; });
  ["base_number", "base_stamp"].forEach((name) => { form.elements.namedItem(name).value = text[name]; });
  said.isDraft = "1";
}

form.addEventListener("input", noteTyping);
form.addEventListener("change", noteTyping);
form.addEventListener("submit", submit);
form.addEventListener("click", toLine);
form.addEventListener("click", (event) => { pressed = event.target.closest("button[type=submit]"); });
document.addEventListener("keydown", saveByKey);
addEventListener("pagehide", sendLast);
document.addEventListener("visibilitychange", () => { if (document.visibilityState === "hidden") sendLast(); });
addEventListener("online", () => { if (written > acknowledged) send(); });
addEventListener("beforeunload", askBeforeLeaving);
returnToPlace();
holdKey();
restore();
