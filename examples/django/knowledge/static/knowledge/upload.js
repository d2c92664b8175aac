"use strict";
// Sends the form with a progress bar; without JavaScript the browser sends it by itself.
const form = document.getElementById("upload");
if (form) {
  const bar = form.querySelector("progress");
  const status = document.getElementById("progress");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const request = new XMLHttpRequest();
    request.responseType = "json";
    request.upload.addEventListener("progress", ({ loaded, total }) => {
      bar.hidden = false;
      bar.value = (100 * loaded) / total;
      status.textContent = `${Math.round(bar.value)} % sent`;
    });
    request.addEventListener("load", () => {
      const { next, message } = request.response ?? { message: "The file could not be kept." };
      if (next) location.assign(next);
      bar.hidden = true;
      status.textContent = message ?? "";
      status.className = message ? "problem" : "";
    });
    request.addEventListener("error", () => {
      status.textContent = "The file could not be sent. Is the server running?";
    });
    request.open("POST", form.action);
    request.setRequestHeader("Accept", "application/json");
    request.send(new FormData(form));
  });
}
// Waits with the reader until what was uploaded can be found.
const queued = document.getElementById("queued");
async function look() {
  const state = await (await fetch(queued.dataset.state)).json();
  queued.textContent = state.queued ? `${state.queued} being indexed.` : "All documents can be searched.";
  if (state.queued) setTimeout(look, 1000);
}
if (queued) look();
