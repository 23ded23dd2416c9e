"use strict";

// Which clips, in which order: the state that the address holds, and the list that follows from it.
// The list of all clips and every clip's page read the same, so that "next" is the next row.
const triage = (function () {
  const { clips, systems, metrics, first } = window.tagbart;
  const KEYS = ["q", "tag", "in", "sort", "dir", "at"];

  function read() {
    const query = new URLSearchParams(location.search);
    return Object.fromEntries(KEYS.map((key) => [key, query.get(key) || ""]));
  }

  function text(state) {
    const query = new URLSearchParams();
    for (const key of KEYS) if (state[key] !== "") query.set(key, state[key]);
    const written = query.toString();
    return written ? `?${written}` : "";
  }

  const plain = (words) => words.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, " ").trim();
  // A clip's words between spaces, so that " rain " is not in " train "; parts by " | ".
  const haystacks = new Map();
  function haystack(clip) {
    if (!haystacks.has(clip.n)) {
      const parts = [clip.id, ...clip.captions, ...clip.references, ...clip.tags].map(plain);
      haystacks.set(clip.n, ` ${parts.join(" | ")} ${clip.id.toLowerCase()} `);
    }
    return haystacks.get(clip.n);
  }

  // Words, and "phrases in quotes"; all must be there. rain* is a beginning.
  function wanted(search) {
    const found = [];
    for (const [, phrase, word] of search.matchAll(/"([^"]*)"?|(\S+)/g)) {
      const raw = phrase === undefined ? word : phrase;
      const open = phrase === undefined && raw.endsWith("*");
      if (phrase === undefined && clips.some((clip) => clip.id.toLowerCase() === raw.toLowerCase()))
        found.push(` ${raw.toLowerCase()} `);
      else if (plain(raw)) found.push(` ${plain(raw)}${open ? "" : " "}`);
    }
    return found;
  }

  function within(state) {
    const [name, low, high] = state.in.split(":");
    if (!metrics.includes(name)) return () => true;
    return (clip) => {
      const value = 100 * clip.scores[0][metrics.indexOf(name)];
      return clip.scores[0][metrics.indexOf(name)] !== null &&
        value >= parseFloat(low) - 1e-9 && value < parseFloat(high) - 1e-9;
    };
  }

  const gap = (clip) => {
    const values = clip.scores.map((of) => of[metrics.indexOf(first)]);
    if (values.some((value) => value === null)) return null;
    return values.length === 2 ? values[1] - values[0] : Math.max(...values) - Math.min(...values);
  };

  // What a heading sorts by: "clip", "reference", "caption.0", "cider_d.0", "difference".
  function key(sort) {
    const [name, number] = sort.split(".");
    if (name === "clip") return (clip) => clip.id;
    if (name === "reference") return (clip) => clip.references[0] || "";
    if (name === "caption") return (clip) => clip.captions[number] || "";
    if (name === "difference") return gap;
    const column = metrics.indexOf(name);
    return column < 0 || number === undefined ? null : (clip) => clip.scores[number][column];
  }

  function order(state) {
    const search = wanted(state.q);
    const fits = within(state);
    const found = clips.filter(
      (clip) =>
        search.every((words) => haystack(clip).includes(words)) &&
        (!state.tag || clip.tags.includes(state.tag)) &&
        fits(clip)
    );
    const by = state.sort && key(state.sort);
    if (!by) return found;
    const sign = state.dir === "asc" ? 1 : -1;
    return found.sort((a, b) => {
      const [x, y] = [by(a), by(b)];
      if (x === null || y === null) return (x === null) - (y === null); // a dash comes last
      return sign * (typeof x === "string" ? x.localeCompare(y) : x - y) || a.n - b.n;
    });
  }

  const page = (clip) => `${String(clip.n).padStart(5, "0")}.html`;
  return { clips, systems, read, text, order, page };
})();
