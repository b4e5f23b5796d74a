// Films and sound in lessons: how fast they play, and where one stopped. They play without it. Loaded only where a lesson has one.

const SAVED_EVERY = 10; // seconds of playing between two saves
const NEAR = 4; // seconds to the beginning or the end that are not worth coming back to
const RETRIES = 3;
const token = document.querySelector('meta[name="csrf-token"]');
const tools = document.getElementById("player-tools");

/** Seconds as people write them: 1:05, 1:02:03. */
function clockWords(seconds) {
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, Math.floor(seconds) % 60];
  const shown = parts[0] ? parts : parts.slice(1);
  return shown.map((part, index) => (index ? String(part).padStart(2, "0") : part)).join(":");
}

/** Where the position of a film is kept: its own address, with another end. */
function positionAddress(media) {
  const source = media.getAttribute("src") || media.querySelector("source[src]")?.getAttribute("src") || "";
  return source.startsWith("/assets/") ? source.replace(/\.[^./]*$/, "/position") : "";
}

/** Puts the tools under a film: how fast it plays, and a way back to its beginning. */
function addTools(media) {
  const copy = tools.content.firstElementChild.cloneNode(true);
  media.after(copy);
  const speed = copy.querySelector("select");
  speed.addEventListener("change", () => { media.playbackRate = Number(speed.value); });
  media.addEventListener("ratechange", () => { speed.value = String(media.playbackRate); }); // the browser's own menu has it too
  return copy;
}

/** Goes on where one stopped, here or on another device, and remembers where one stops. */
function resume(media, copy) {
  const address = positionAddress(media);
  const note = copy.querySelector("[data-stopped]");
  const words = note.querySelector("[data-words]");
  let begun = false; // once it has played here, this page knows best
  let saved = 0;
  let asked = 0;
  let asking = false;
  let sending = null;
  let waiting = null;

  const startAt = (seconds) => {
    saved = asked = seconds;
    if (media.currentTime !== seconds) media.currentTime = seconds;
    note.hidden = !seconds;
    words.textContent = words.dataset.words.replace("…", clockWords(seconds));
  };
  const ask = () => {
    if (begun || asking) return;
    asking = true;
    fetch(address, { credentials: "same-origin", headers: { Accept: "application/json" } })
      .then((answer) => (answer.ok && !answer.redirected ? answer.json() : { seconds: 0 }))
      .then((found) => { if (!begun) startAt(found.seconds > NEAR ? found.seconds : 0); })
      .catch(() => {})
      .finally(() => { asking = false; });
  };
  const send = (seconds) => {
    const body = new URLSearchParams({ seconds: String(seconds) });
    sending = fetch(address, { method: "POST", body, headers: { "X-CSRFToken": token.content }, credentials: "same-origin", keepalive: true })
      .catch(() => { saved = -1; }) // the next one says it
      .finally(() => {
        sending = null;
        if (waiting === null) return;
        const next = waiting;
        waiting = null;
        send(next);
      });
  };
  const save = (seconds, isLast = false) => {
    if (!begun || seconds === saved) return;
    saved = seconds;
    if (sending && !isLast) waiting = seconds; // one after the other, or an earlier one might come in later
    else send(seconds);
  };
  const here = () => Math.floor(media.currentTime);

  media.addEventListener("loadedmetadata", () => { if (asked && asked > media.duration - NEAR) startAt(0); }); // it got shorter, or was over
  media.addEventListener("playing", () => { begun = true; });
  media.addEventListener("timeupdate", () => { if (!media.paused && !media.ended && Math.abs(here() - saved) >= SAVED_EVERY) save(here()); });
  media.addEventListener("pause", () => { if (!media.ended) save(here()); });
  media.addEventListener("ended", () => save(0));
  addEventListener("pagehide", () => { if (!media.ended) save(here(), true); });
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") ask();
    else if (!media.ended) save(here());
  });
  addEventListener("pageshow", (event) => { if (event.persisted) ask(); });
  note.querySelector("button").addEventListener("click", () => {
    media.currentTime = 0;
    note.hidden = true;
    begun = true;
    save(0);
    media.focus();
  });
  ask();
}

/** An address in a bucket expires: a film that had played and now fails is asked for anew, and goes on where it was. */
function askAnew(media) {
  const source = media.getAttribute("src");
  let tries = 0;
  media.addEventListener("error", () => {
    const at = media.currentTime;
    if (!source || !at || tries >= RETRIES || !navigator.onLine) return;
    tries += 1;
    setTimeout(() => {
      media.src = `${source}?again=${Date.now()}`; // another address, or the browser would remember where the first one led
      media.currentTime = at;
      media.play().catch(() => {});
    }, tries * 1000);
  });
}

if (tools && token) {
  document.querySelectorAll(".prose audio, .prose video").forEach((media) => {
    const copy = addTools(media);
    if (positionAddress(media)) {
      resume(media, copy);
      askAnew(media);
    }
  });
}
