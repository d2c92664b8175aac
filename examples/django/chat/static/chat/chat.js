"use strict";
// Shows the answer as it comes. Where the connection breaks, the browser asks again for what comes after the last number.
const answer = document.getElementById("answer");
if (answer) {
  const text = answer.querySelector("[data-answer]");
  const events = new EventSource(answer.dataset.events);
  let begun = false;
  const add = (event) => {
    if (!begun) text.textContent = "";
    begun = true;
    text.textContent += JSON.parse(event.data).text;
  };
  const end = () => {
    events.close();
    answer.setAttribute("aria-busy", "false");
  };
  events.addEventListener("piece", add);
  events.addEventListener("anew", (event) => {
    begun = false;
    add(event);
  });
  events.addEventListener("done", (event) => {
    end();
    // The live region stays, so that the whole answer is read out.
    answer.innerHTML = JSON.parse(event.data).html;
    answer.classList.remove("message", "assistant");
    document.querySelector("#ask textarea")?.focus({ preventScroll: true });
  });
  events.addEventListener("failed", (event) => {
    end();
    text.textContent = JSON.parse(event.data).message;
    text.className = "problem";
  });
}
// Enter sends the question, Shift and Enter begins a line.
for (const field of document.querySelectorAll("#ask textarea")) {
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      field.form.requestSubmit();
    }
  });
}
