"use strict";

// The table of all clips: sort by a heading, search while typing.
(function () {
  const table = document.getElementById("table");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const headings = Array.from(table.tHead.rows[0].cells);
  const text = (row, column) => row.cells[column].textContent.trim();
  const number = (row, column) => {
    const value = parseFloat(text(row, column).replace("+", "").replace("−", "-"));
    return Number.isNaN(value) ? -Infinity : value; // a dash comes last when the best comes first
  };
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const numeric = heading.classList.contains("number");
      const before = heading.getAttribute("aria-sort");
      // Numbers begin with the best, words with A.
      const first = numeric ? "descending" : "ascending";
      const other = numeric ? "ascending" : "descending";
      const order = before === first ? other : first;
      headings.forEach((cell) => cell.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const compare = numeric
        ? (a, b) => number(a, column) - number(b, column) || 0
        : (a, b) => text(a, column).localeCompare(text(b, column));
      rows.sort((a, b) => sign * compare(a, b));
      body.append(...rows);
    });
  });

  const search = document.getElementById("search");
  const found = document.getElementById("found");
  const all = found.textContent;
  const haystacks = new Map(
    rows.map((row) => [row, (row.textContent + " " + row.dataset.also).toLowerCase()])
  );
  const apply = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const fits = words.every((word) => haystacks.get(row).includes(word));
      row.hidden = !fits;
      count += fits ? 1 : 0;
    }
    found.textContent = words.length ? `${count.toLocaleString("en")} of ${all}` : all;
  };
  search.addEventListener("input", apply);
  search.form.addEventListener("submit", (event) => event.preventDefault());
  apply(); // a browser may have kept what was typed before a page was left
})();

// The player: a line moves over the spectrogram, a click there goes to that moment.
(function () {
  const audio = document.getElementById("audio");
  if (!audio) return;
  const picture = document.getElementById("picture");
  const cursor = document.getElementById("cursor");
  const seconds = parseFloat(picture.dataset.seconds);
  const place = () => {
    cursor.hidden = false;
    cursor.style.left = `${(100 * audio.currentTime) / seconds}%`;
    if (!audio.paused) requestAnimationFrame(place);
  };
  audio.addEventListener("play", place);
  audio.addEventListener("seeked", place);
  audio.addEventListener("error", () => {
    document.getElementById("silent").hidden = false;
  });
  picture.addEventListener("click", (event) => {
    const box = picture.getBoundingClientRect();
    audio.currentTime = ((event.clientX - box.left) / box.width) * seconds;
    audio.play().catch(() => {}); // the error event above tells the reader
  });
})();

// What the decoder looked at when it said a piece.
document.querySelectorAll(".inside").forEach((inside) => {
  const attention = JSON.parse(inside.dataset.attention);
  const pieces = inside.querySelectorAll(".prompt span");
  const tokens = inside.querySelectorAll(".token");
  const show = (number) => {
    const most = Math.max(...attention[number], 1);
    pieces.forEach((piece, i) => {
      piece.style.setProperty("--a", attention[number][i] / most);
      piece.title = `${(attention[number][i] / 10).toFixed(1)} %`;
    });
    tokens.forEach((token, i) => token.classList.toggle("on", i === number));
  };
  tokens.forEach((token, number) => {
    for (const event of ["focus", "pointerenter", "click"]) {
      token.addEventListener(event, () => show(number));
    }
  });
});
