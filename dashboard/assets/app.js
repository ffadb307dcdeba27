// Small things that the pages do in the browser. Everything works without it,
// but for the questions before an action and the live updates.
"use strict";

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !window.confirm(question)) {
    event.preventDefault();
    return;
  }
  const ask = event.target.dataset.ask;
  if (ask) {
    const reason = window.prompt(ask, "");
    if (reason === null) {
      event.preventDefault();
      return;
    }
    event.target.elements.why.value = reason;
  }
  // A second click must not send the form twice.
  for (const button of event.target.querySelectorAll("button")) {
    setTimeout(() => { button.disabled = true; }, 0);
  }
});

// A page that the browser brings back from its memory, or loads again with what
// it remembers of its forms, has its buttons again.
window.addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("button:disabled")) button.disabled = false;
});

// While somebody is at a button of a live part, it stays as it is: the button
// must not move away under the finger.
document.addEventListener("htmx:before:request", (event) => {
  const part = event.target;
  if (!(part instanceof Element) || !part.matches("[hx-get]")) return;
  if (document.hidden || part.querySelector("button:active, button:disabled")) event.preventDefault();
});

const stale = (yes) => {
  const note = document.getElementById("stale");
  if (note) note.hidden = !yes;
};
document.addEventListener("htmx:error", () => stale(true));
document.addEventListener("htmx:response:error", () => stale(true));
document.addEventListener("htmx:after:swap", () => stale(false));
