"use strict";

// A clip's page walks the list as it was sorted and filtered.
(function () {
  const number = parseInt(document.body.dataset.number, 10);
  const state = triage.read();
  state.at = String(number);
  let list = triage.order(state);
  let place = list.findIndex((clip) => clip.n === number);
  if (place < 0) {
    list = triage.clips; // opened by an address whose filters leave it out
    place = number;
  }
  const to = { prev: list[place - 1], next: list[place + 1] };
  for (const [rel, clip] of Object.entries(to)) {
    const link = document.querySelector(`[rel=${rel}]`);
    link.hidden = !clip;
    if (clip) link.href = triage.page(clip) + triage.text({ ...state, at: "" });
  }
  document.getElementById("all").href = `../index.html${triage.text(state)}#clips`;
  const filtered = list.length < triage.clips.length ? " found" : "";
  document.getElementById("place").textContent =
    `${(place + 1).toLocaleString("en")} of ${list.length.toLocaleString("en")}${filtered}`;

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input:not([type=radio]), textarea, select")) return;
    const rel = { j: "next", k: "prev" }[event.key];
    const link = rel ? document.querySelector(`[rel=${rel}]`) : event.key === "u" && document.getElementById("all");
    if (link && !link.hidden) location.href = link.href;
  });
})();
