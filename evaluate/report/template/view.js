"use strict";

// One linked view of a sound: a cursor through all lanes while it plays, a click that plays from
// there, zoom, keys. All by events that bubble, so that a view may come and go: the page's do.
(function () {
  const STEP_S = 1;
  const stops = new WeakMap(); // audio: where a cell that is heard ends
  const view = (node) => (node.closest ? node.closest(".view") : null);
  const audio = (of) => of.querySelector("audio");
  const extent = (of) => parseFloat(of.dataset.extent);

  function place(of) {
    const sound = audio(of);
    const cursor = of.querySelector(".cursor");
    if (!sound || !cursor) return;
    cursor.hidden = false;
    cursor.style.left = `${(100 * Math.min(sound.currentTime, extent(of))) / extent(of)}%`;
    if (!sound.paused) follow(of, cursor);
  }

  // When zoomed in, what is heard stays in sight.
  function follow(of, cursor) {
    const region = of.querySelector(".scroll");
    if (region.scrollWidth <= region.clientWidth) return;
    const at = cursor.getBoundingClientRect().left - region.getBoundingClientRect().left;
    if (at > region.clientWidth * 0.9 || at < region.clientWidth * 0.2) {
      region.scrollLeft += at - region.clientWidth * 0.35;
    }
  }

  function run(sound) {
    const stop = stops.get(sound);
    if (stop !== undefined && sound.currentTime >= stop) {
      sound.pause();
      sound.currentTime = stop;
      stops.delete(sound);
    }
    place(view(sound));
    if (!sound.paused) requestAnimationFrame(() => run(sound));
  }

  function play(of, from, to) {
    const sound = audio(of);
    if (!sound) return;
    document.querySelectorAll("audio").forEach((other) => other !== sound && other.pause());
    if (to === undefined) stops.delete(sound);
    else stops.set(sound, to);
    const start = () => {
      sound.currentTime = Math.max(0, from);
      sound.play().catch(() => {}); // the error event below tells the reader
    };
    // Before its header is read, an audio element forgets where it was sent.
    if (sound.readyState > 0) return start();
    sound.addEventListener("loadedmetadata", start, { once: true });
    sound.load();
    sound.preload = "metadata";
  }

  function zoom(of, by) {
    const region = of.querySelector(".scroll");
    const axis = of.querySelector(".axis");
    const before = parseFloat(axis.style.getPropertyValue("--zoom")) || 1;
    const after = Math.min(8, Math.max(1, by > 0 ? before * 2 : before / 2));
    const middle = (region.scrollLeft + region.clientWidth / 2) / region.scrollWidth;
    axis.style.setProperty("--zoom", after);
    region.scrollLeft = middle * region.scrollWidth - region.clientWidth / 2;
  }

  function look(of, said, word) {
    // Several captions may stand above one view: `said` tells whose word it is.
    const root = of.closest("[data-clip]") || of;
    const prompt = of.querySelector(`.prompt-of[data-said="${said}"]`);
    root.querySelectorAll(`.words .on, .lane.on`).forEach((node) => node.classList.remove("on"));
    const box = root.querySelectorAll(".words")[said];
    if (box) box.querySelector(`[data-word="${word}"]`)?.classList.add("on");
    of.querySelector(`.attention[data-said="${said}"] [data-word="${word}"]`)?.classList.add("on");
    if (!prompt) return;
    const values = JSON.parse(prompt.dataset.attention)[word];
    const most = Math.max(...values, 1);
    prompt.querySelectorAll(".prompt span").forEach((piece, i) => {
      piece.style.setProperty("--a", values[i] / most);
      piece.title = `${(values[i] / 10).toFixed(1)} %`;
    });
  }

  function pointed(event) {
    const word = event.target.closest && event.target.closest("[data-word]");
    if (!word) return;
    const root = word.closest("[data-clip]");
    const of = view(word) || (root && root.querySelector(".view"));
    if (!of) return;
    const group = word.closest("[data-said]");
    const boxes = root ? Array.from(root.querySelectorAll(".words")) : [];
    look(of, group ? group.dataset.said : boxes.indexOf(word.closest(".words")), word.dataset.word);
  }
  document.addEventListener("pointerover", pointed);
  document.addEventListener("focusin", pointed);

  document.addEventListener("click", (event) => {
    const of = view(event.target);
    if (!of) return;
    const button = event.target.closest("[data-zoom]");
    if (button) return zoom(of, parseFloat(button.dataset.zoom));
    const strip = event.target.closest(".strip");
    if (!strip) return;
    const cell = event.target.closest("[role=cell]");
    if (cell && strip.contains(cell)) {
      const hop = parseFloat(strip.closest("[data-hop]").dataset.hop);
      const from = hop * Array.from(strip.querySelectorAll("[role=cell]")).indexOf(cell);
      return play(of, from, from + hop);
    }
    const box = strip.getBoundingClientRect();
    play(of, ((event.clientX - box.left) / box.width) * extent(of));
  });

  // Events of a media element do not bubble, but they can be caught on their way down.
  for (const [name, act] of [
    ["play", run],
    ["seeked", (sound) => place(view(sound))],
    ["error", (sound) => (view(sound).querySelector(".silent").hidden = false)],
  ]) {
    document.addEventListener(name, (event) => view(event.target) && act(event.target), true);
  }

  document.addEventListener("keydown", (event) => {
    const target = event.target;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    // What is typed somewhere, and what a button or a player does with a key, is theirs.
    if (target.closest("input, textarea, select, audio, summary, [contenteditable]")) return;
    const whole = document.querySelector("body[data-keys]") && document.querySelector(".view");
    const of = view(target) || whole;
    if (!of) return;
    const sound = audio(of);
    if (event.key === "+" || event.key === "=") zoom(of, 1);
    else if (event.key === "-") zoom(of, -1);
    else if (sound && event.key === " " && !target.closest("button, a")) {
      if (sound.paused) play(of, sound.ended ? 0 : sound.currentTime);
      else sound.pause();
    } else if (sound && (event.key === "ArrowRight" || event.key === "ArrowLeft")) {
      const to = sound.currentTime + (event.key === "ArrowRight" ? STEP_S : -STEP_S);
      if (sound.readyState > 0) sound.currentTime = Math.min(Math.max(0, to), extent(of));
      else play(of, Math.max(0, to));
    } else return;
    event.preventDefault();
  });
})();
