// Makes the pages nicer; every page works without it. One module, no other origin, nothing stored.

/** Notes that a lesson was opened, once, and only when the page is really in front of somebody. */
function noteOpening() {
  const address = document.body.dataset.opening;
  const token = document.querySelector('meta[name="csrf-token"]');
  if (!address || !token) return;
  const send = () => {
    // The answer {"done": true} needs nothing more: the page shows it when it is next loaded. A failure is no matter either: marking counts.
    fetch(address, { method: "POST", headers: { "X-CSRFToken": token.content, Accept: "application/json" }, credentials: "same-origin", keepalive: true }).catch(() => {});
  };
  if (document.visibilityState === "visible") {
    send();
  } else {
    const wait = () => {
      if (document.visibilityState !== "visible") return;
      document.removeEventListener("visibilitychange", wait);
      send();
    };
    document.addEventListener("visibilitychange", wait);
  }
}

/** A link in a mail ends with `#from=letter.number`, the same for every reader: that it was followed is told once, without a cookie, and the mark
    goes out of the address, so that whoever reloads, goes back or passes the address on is not counted. Who asks not to be followed is not. */
function countClick() {
  if (!location.hash.startsWith("#from=")) return;
  if (document.prerendering) {
    document.addEventListener("prerenderingchange", countClick, { once: true });
    return;
  }
  const mark = /^#from=([0-9a-z]{16})\.([0-9]{1,4})$/.exec(location.hash);
  history.replaceState(history.state, "", location.pathname + location.search);
  if (!mark || navigator.globalPrivacyControl || navigator.doNotTrack === "1") return;
  const body = new URLSearchParams({ letter: mark[1], link: mark[2] });
  fetch("/clicks", { method: "POST", body, credentials: "omit", keepalive: true }).catch(() => {});
}

/** Arrow keys turn the pages of a lesson, unless something else is using them. */
function turnPages(event) {
  if (event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
  const busy = document.activeElement;
  if (busy && busy !== document.body && busy.matches("input, select, textarea, button, summary, video, audio, iframe, [contenteditable], [tabindex='0']")) return;
  if (document.querySelector("dialog[open], #outline:target")) return;
  const link = document.querySelector(event.key === "ArrowLeft" ? "a[data-previous]" : "a[data-next]");
  if (link) link.click();
}

/** Closes the list of lessons where it lies over the page; the reader stays where they were. */
function closeOutline() {
  const opener = document.querySelector(".tool-outline");
  location.replace("#tools");
  history.replaceState(history.state, "", location.pathname + location.search);
  if (opener) opener.focus({ preventScroll: true });
}

/** Escape closes whatever lies over the page. */
function closeOnEscape(event) {
  if (event.key !== "Escape") return;
  if (document.querySelector("#outline:target")) {
    closeOutline();
    return;
  }
  document.querySelectorAll("details[data-escape][open]").forEach((open) => {
    open.open = false;
    const summary = open.querySelector("summary");
    if (open.contains(document.activeElement) && summary) summary.focus();
  });
}

/** Leaves at once: the page goes blank, and this page is not kept for the Back button. */
function leave(event) {
  event.preventDefault();
  document.title = "";
  document.documentElement.hidden = true;
  location.replace(event.currentTarget.href);
}

/** Opens a question in place where the browser can; otherwise the link leads to the page that asks it. */
function openDialog(event) {
  const dialog = document.getElementById(event.currentTarget.dataset.dialog);
  if (!dialog || typeof dialog.showModal !== "function") return;
  event.preventDefault();
  dialog.showModal();
}

/** Looks now and then, for about three minutes, whether a document is there, and goes to it; the page itself never reloads under the reader. */
function waitForDocument(link, pauses = [5, 5, 5, 5, 10, 10, 20, 30, 40, 60]) {
  if (!pauses.length) return;
  setTimeout(() => {
    const stop = new AbortController();
    fetch(link.href, { credentials: "same-origin", signal: stop.signal }).then((answer) => {
      const ready = answer.ok && !(answer.headers.get("Content-Type") || "").includes("text/html");
      stop.abort();
      if (ready) location.assign(link.href);
      else waitForDocument(link, pauses.slice(1));
    }).catch(() => waitForDocument(link, pauses.slice(1)));
  }, pauses[0] * 1000);
}

/** Keeps the state of something the worker is at fresh: the part of the page is fetched anew until it says that it is over. */
function follow(part) {
  setTimeout(() => {
    fetch(location.href, { credentials: "same-origin" }).then((answer) => (answer.ok ? answer.text() : Promise.reject(answer))).then((text) => {
      const fresh = new DOMParser().parseFromString(text, "text/html").getElementById(part.id);
      if (!fresh) { location.reload(); return; } // it is over, and the page says how it ended
      part.replaceWith(fresh);
      follow(fresh);
    }).catch(() => follow(part));
  }, 1500);
}

countClick();
addEventListener("hashchange", countClick); // where the page of the link was open already
noteOpening();
document.addEventListener("keydown", turnPages);
document.addEventListener("keydown", closeOnEscape);
document.querySelectorAll("a[data-leave]").forEach((link) => link.addEventListener("click", leave));
document.querySelectorAll("a[data-dialog]").forEach((link) => link.addEventListener("click", openDialog));
document.querySelectorAll("[data-dialog-close]").forEach((button) => button.addEventListener("click", () => button.closest("dialog").close()));
document.querySelectorAll("a[data-outline-close]").forEach((link) => link.addEventListener("click", (event) => { event.preventDefault(); closeOutline(); }));
document.querySelectorAll("[data-print]").forEach((button) => { button.hidden = false; button.addEventListener("click", () => window.print()); });

document.querySelectorAll("[data-follow]").forEach(follow);
document.querySelectorAll("a[data-wait]").forEach((link) => waitForDocument(link));

const summary = document.querySelector("[data-error-summary]");
if (summary) summary.focus();
