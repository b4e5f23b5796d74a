// The page of a segment: rows fit what was chosen, and the count follows, without a page load. The server makes both: this asks it for the
// page as its buttons do, and puts the new rows and the new count in place of the old. Nothing is saved until "Save" is pressed.

const form = document.querySelector("form[data-segment]");
const parts = { rows: form.querySelector("[data-builder]"), look: form.querySelector("[data-look]"), count: form.querySelector("[data-count]"), changed: form.querySelector("[data-changed]") };
let line = Promise.resolve(); // one request after the other, each with what stands in the form when its turn comes
let isCountComing = false;
let waiting = 0;

/** The page as the server answers a button, with what stands in the form now; null where it does not come. */
async function pageAfter(doing) {
  const data = new FormData(form);
  data.set("do", doing);
  try {
    const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(data), credentials: "same-origin" });
    return answer.ok && !answer.redirected ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
  } catch {
    return null;
  }
}

function inTurn(work) {
  line = line.then(work);
  return line;
}

function put(page, selector, part) {
  const fresh = page.querySelector(selector);
  if (!fresh) return;
  part.className = fresh.className;
  part.replaceChildren(...fresh.childNodes);
}

function putCount(page) {
  put(page, "[data-count]", parts.count);
  put(page, "[data-look]", parts.look);
  put(page, "[data-changed]", parts.changed);
}

/** Counts; while somebody types the rows stay as they are. */
function count() {
  if (isCountComing) return;
  isCountComing = true;
  inTurn(async () => {
    isCountComing = false;
    const page = await pageAfter("look");
    if (page) putCount(page);
  });
}

/** Lets a button, or a choice that other fields depend on, do its work, and puts the reader back where they were; false where it cannot. */
function rebuild(doing, focused) {
  clearTimeout(waiting);
  return inTurn(async () => {
    const before = new Set([...parts.rows.querySelectorAll("[name]")].map((one) => one.name));
    const asking = pageAfter(doing);
    parts.rows.inert = true; // what is typed now would be lost
    const page = await asking;
    parts.rows.inert = false;
    if (!page) return false;
    put(page, "[data-builder]", parts.rows);
    putCount(page);
    const added = [...parts.rows.querySelectorAll("select")].find((one) => !before.has(one.name));
    const again = focused && document.getElementById(focused);
    if (doing !== "look" && added) added.focus();
    else if (again) again.focus();
    else if (doing !== "look") parts.rows.querySelector("select").focus();
    return true;
  });
}

form.addEventListener("change", (event) => {
  if (event.target.matches("[data-rebuild]")) rebuild("look", event.target.id);
  else if (event.target.name !== "name") count();
});

form.addEventListener("input", (event) => {
  if (!event.target.matches("[data-builder] input")) return;
  clearTimeout(waiting);
  waiting = setTimeout(count, 600);
});

form.addEventListener("submit", async (event) => {
  const button = event.submitter;
  if (!button || button.name !== "do" || button.value === "save") return;
  event.preventDefault();
  if (await rebuild(button.value, document.activeElement && document.activeElement.id)) return;
  const hidden = document.createElement("input"); // the way without this module
  Object.assign(hidden, { type: "hidden", name: "do", value: button.value });
  form.append(hidden);
  form.submit();
});
