"use strict";

// The table of all clips: sort, search, filters and place live in the address.
(function () {
  const table = document.getElementById("table");
  const body = table.tBodies[0];
  const rows = new Map(Array.from(body.rows, (row) => [parseInt(row.dataset.number, 10), row]));
  const headings = Array.from(table.tHead.rows[0].cells);
  const search = document.getElementById("search");
  const found = document.getElementById("found");
  const chips = document.getElementById("chips");
  const sound = document.getElementById("sound");
  let state = triage.read();
  let shown = [];

  function draw() {
    shown = triage.order(state);
    const present = new Set(shown.map((clip) => clip.n));
    rows.forEach((row, number) => (row.hidden = !present.has(number)));
    body.append(...shown.map((clip) => rows.get(clip.n)));
    const count = (number) => number.toLocaleString("en");
    const all = `${count(triage.clips.length)} clips`;
    found.textContent = shown.length < triage.clips.length ? `${count(shown.length)} of ${all}` : all;
    headings.forEach((cell) => {
      if (cell.dataset.sort !== state.sort) cell.removeAttribute("aria-sort");
      else cell.setAttribute("aria-sort", state.dir === "asc" ? "ascending" : "descending");
    });
    if (search.value !== state.q) search.value = state.q;
    drawChips();
    mark();
  }

  function drawChips() {
    const [name, low, high] = state.in.split(":");
    const names = window.tagbart.headings;
    chips.replaceChildren();
    for (const [key, text] of [
      ["tag", state.tag && `tag: ${state.tag}`],
      ["in", state.in && `${names[name] || name} ${low} to ${high}`],
    ]) {
      if (!text) continue;
      const chip = document.createElement("button");
      chip.type = "button";
      chip.textContent = `${text} ×`;
      chip.setAttribute("aria-label", `Take away the filter ${text}`);
      chip.addEventListener("click", () => go({ [key]: "", at: "" }));
      chips.append(chip);
    }
  }

  function mark() {
    rows.forEach((row, number) => row.classList.toggle("at", String(number) === state.at));
    for (const clip of shown) {
      const link = rows.get(clip.n).querySelector("th a");
      if (link) link.href = `clips/${triage.page(clip)}${triage.text({ ...state, at: "" })}`;
    }
  }

  const keep = () => history.replaceState(null, "", location.pathname + triage.text(state) + location.hash);

  // Every choice is a step that Back takes back; typing is one step, not one per letter.
  function go(change, { step = true } = {}) {
    state = { ...state, ...change };
    if (step) history.pushState(null, "", location.pathname + triage.text(state) + "#clips");
    else keep();
    draw();
  }

  headings.forEach((heading) => {
    heading.querySelector("button")?.addEventListener("click", () => {
      // Numbers begin with the best, words with A.
      const best = heading.classList.contains("number") ? "desc" : "asc";
      const other = best === "desc" ? "asc" : "desc";
      const again = state.sort === heading.dataset.sort && state.dir === best;
      go({ sort: heading.dataset.sort, dir: again ? other : best, at: "" });
    });
  });
  search.addEventListener("input", () => go({ q: search.value, at: "" }, { step: false }));
  search.form.addEventListener("submit", (event) => event.preventDefault());

  // A tag's row, a bar of the histogram: links whose address is a filter of this page.
  document.querySelectorAll("a[data-filter]").forEach((link) => {
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      const query = new URLSearchParams(link.getAttribute("href").split("#")[0].slice(1));
      go({ tag: query.get("tag") || "", in: query.get("in") || "", at: "" });
      document.getElementById("clips").scrollIntoView();
    });
  });

  // Leaving for a clip remembers which, so that Back comes to its row.
  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (event.target.closest("a, .play")) select(parseInt(row.dataset.number, 10));
    if (event.target.closest(".play")) hear(row);
  });
  window.addEventListener("popstate", () => {
    state = triage.read();
    draw();
    show();
  });

  function hear(row) {
    const source = new URL(row.dataset.sound, location.href).href;
    if (sound.src !== source) sound.src = source;
    if (sound.paused) sound.play().catch(() => {});
    else sound.pause();
  }
  function select(number) {
    state.at = String(number);
    keep();
    mark();
  }
  function show() {
    const row = state.at !== "" && rows.get(parseInt(state.at, 10));
    if (row && !row.hidden) row.scrollIntoView({ block: "center" });
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select, summary, audio")) return;
    const place = shown.findIndex((clip) => String(clip.n) === state.at);
    const row = place >= 0 && rows.get(shown[place].n);
    if (event.key === "j" || event.key === "k") {
      const next = shown[Math.min(shown.length - 1, Math.max(0, place + (event.key === "j" ? 1 : -1)))];
      if (!next) return;
      select(next.n);
      show();
    } else if (event.key === "Enter" && row && !event.target.closest("a, button")) {
      row.querySelector("th a")?.click();
    } else if (event.key === " " && row && row.dataset.sound && !event.target.closest("a, button")) {
      event.preventDefault();
      hear(row);
    } else if (event.key === "/") {
      event.preventDefault();
      search.focus();
    }
  });

  draw();
  // After a browser's own scrolling, which knows nothing of rows that came and went.
  if (state.at !== "") requestAnimationFrame(show);
})();
