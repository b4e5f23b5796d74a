// The order of a course: drag by a handle (mouse, pen or finger), or move by the arrow buttons, without a page load. Nothing is saved until the
// form is sent. Without this module the arrow buttons ask the server for the page with one thing moved.

const form = document.querySelector("form[data-order]");
const modules = form.querySelector("[data-modules]");
const status = form.querySelector("[data-status]");

const lessonsOf = (module) => module.querySelector("[data-lessons]");
const titleOf = (item) => item.querySelector(".order-title").textContent;
const isModule = (item) => item.parentElement === modules;

/** Numbers the lessons anew and says where the thing stands now. */
function tell(item) {
  const lessons = [...modules.querySelectorAll(".order-lesson")];
  lessons.forEach((lesson, index) => { lesson.querySelector("[data-number]").textContent = index + 1; });
  const among = isModule(item) ? [...modules.children] : lessons;
  const pattern = isModule(item) ? form.dataset.movedModule : form.dataset.movedLesson;
  const facts = { title: titleOf(item), place: among.indexOf(item) + 1, total: among.length, module: titleOf(item.closest(".order-module")) };
  status.textContent = pattern.replace(/\{(\w+)\}/g, (_hit, name) => facts[name]);
}

/** One place up or down; a lesson goes over the edge of its module. False where there is nowhere to go. */
function step(item, up) {
  const beside = up ? item.previousElementSibling : item.nextElementSibling;
  if (beside) {
    if (up) beside.before(item);
    else beside.after(item);
    return true;
  }
  if (isModule(item)) return false;
  const module = item.closest(".order-module");
  const other = up ? module.previousElementSibling : module.nextElementSibling;
  if (!other) return false;
  if (up) lessonsOf(other).append(item);
  else lessonsOf(other).prepend(item);
  return true;
}

form.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (!button || button.name !== "move") return;
  event.preventDefault();
  const item = button.closest("[data-mark]");
  step(item, button.value.endsWith(":up"));
  tell(item);
  button.focus();
});

/** The place for what is dragged, by the height of the pointer: `[list, item before which it goes or null]`. */
function placeAt(item, y) {
  if (isModule(item)) {
    const others = [...modules.children].filter((one) => one !== item);
    return [modules, others.find((one) => y < middle(one)) || null];
  }
  const module = [...modules.children].reverse().find((one) => one.getBoundingClientRect().top <= y) || modules.firstElementChild;
  const others = [...lessonsOf(module).children].filter((one) => one !== item);
  return [lessonsOf(module), others.find((one) => y < middle(one)) || null];
}

function middle(element) {
  const box = element.getBoundingClientRect();
  return box.top + box.height / 2;
}

function drag(event) {
  if (event.button !== 0) return;
  const handle = event.target.closest("[data-handle]");
  if (!handle) return;
  event.preventDefault();
  const item = handle.closest("[data-mark]");
  const home = [item.parentElement, item.nextElementSibling];
  item.classList.add("is-dragged");
  modules.setPointerCapture(event.pointerId); // not the handle: what is moved within the page loses the pointer

  const move = (step) => {
    const [list, before] = placeAt(item, step.clientY);
    if (item.parentElement !== list || item.nextElementSibling !== before) list.insertBefore(item, before);
    if (step.clientY < 60) scrollBy(0, -12); // at the edges the page comes along
    if (step.clientY > innerHeight - 60) scrollBy(0, 12);
  };
  const end = () => {
    modules.removeEventListener("pointermove", move);
    modules.removeEventListener("lostpointercapture", end);
    document.removeEventListener("keydown", giveUp);
    item.classList.remove("is-dragged");
    tell(item);
  };
  const giveUp = (key) => {
    if (key.key !== "Escape") return;
    home[0].insertBefore(item, home[1]);
    modules.releasePointerCapture(event.pointerId);
  };
  modules.addEventListener("pointermove", move);
  modules.addEventListener("lostpointercapture", end);
  document.addEventListener("keydown", giveUp);
}

form.classList.add("has-drag");
modules.addEventListener("pointerdown", drag);

const moved = form.querySelector("[data-moved]");
if (moved) moved.focus();
