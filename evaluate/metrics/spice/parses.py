"""Parses kept: what SPICE reads in a text, so that no text is parsed twice, in one run or many.

In the process a dictionary, on disk one SQLite file: key is the SHA-256 of the versions and the
text, value the tuples as JSON, in the order in which the parser gave them. SPICE merges references
tuple by tuple, so a kept parse gives the value of a new one to the last bit.

A file that cannot be used costs time, never scores: the reason is told once and work goes on.
"""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

FILE_NAME = "parses.sqlite"
MAX_BYTES = 256 * 2**20  # some 700,000 captions
_PAGE_BYTES = 4096
_WAIT_S = 30.0  # for another process that is writing
_AT_ONCE = 500  # keys a query

Tuples = list[list[str]]  # [object], [object, attribute] or [object, object, relation]


class Parses:
    """Tuples by text."""

    def __init__(
        self,
        path: Path | None,
        versions: str,
        *,
        say: Callable[[str], object],
        max_bytes: int = MAX_BYTES,
    ) -> None:
        """Open the file, made when absent.

        Args:
            path: of the file, or None to keep parses in the process only.
            versions: of what parses depend on.
            say: called once with the reason if the file cannot be used.
            max_bytes: beyond this, the quarter that was kept first goes.
        """
        self._known: dict[str, Tuples] = {}
        self._path, self._versions, self._say = path, versions, say
        self._max_pages = max(8, max_bytes // _PAGE_BYTES)
        self._file: sqlite3.Connection | None = None
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._file = sqlite3.connect(path, timeout=_WAIT_S)
                self._file.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
                with self._file:
                    self._file.execute(
                        "CREATE TABLE IF NOT EXISTS parses "
                        "(number INTEGER PRIMARY KEY, key BLOB UNIQUE, tuples TEXT)"
                    )
            except (sqlite3.Error, OSError) as error:
                self._give_up(error)

    def __getitem__(self, text: str) -> Tuples:
        return self._known[text]

    def unknown(self, texts: Iterable[str]) -> list[str]:
        """The distinct texts that have no parse yet, in their order; looks into the file."""
        wanted = [text for text in dict.fromkeys(texts) if text not in self._known]
        for at in range(0, len(wanted), _AT_ONCE):
            if self._file is None:
                break
            try:
                self._read(wanted[at : at + _AT_ONCE])
            except (sqlite3.Error, ValueError) as error:
                self._give_up(error)
        return [text for text in wanted if text not in self._known]

    def keep(self, parses: Mapping[str, Tuples]) -> None:
        """Add parses, in the file too."""
        self._known.update(parses)
        if self._file is None:
            return
        rows = [(self._key(text), json.dumps(tuples)) for text, tuples in parses.items()]
        try:
            with self._file:
                self._file.executemany(
                    "INSERT OR IGNORE INTO parses (key, tuples) VALUES (?, ?)", rows
                )
                self._bound()
        except sqlite3.Error as error:
            self._give_up(error)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _read(self, texts: Sequence[str]) -> None:
        assert self._file is not None
        by_key = {self._key(text): text for text in texts}
        marks = ", ".join("?" * len(by_key))
        query = f"SELECT key, tuples FROM parses WHERE key IN ({marks})"
        for key, tuples in self._file.execute(query, list(by_key)).fetchall():
            self._known[by_key[bytes(key)]] = _checked(json.loads(tuples))

    def _bound(self) -> None:
        assert self._file is not None
        [pages] = self._file.execute("PRAGMA page_count").fetchone()
        [free] = self._file.execute("PRAGMA freelist_count").fetchone()
        if pages - free > self._max_pages:
            self._file.execute(
                "DELETE FROM parses WHERE number <= (SELECT number FROM parses ORDER BY number "
                "LIMIT 1 OFFSET (SELECT count(*) / 4 FROM parses))"
            )

    def _key(self, text: str) -> bytes:
        return hashlib.sha256(f"{self._versions}\n{text}".encode()).digest()

    def _give_up(self, error: Exception) -> None:
        self._say(
            f"warning: {self._path}: parses cannot be kept there ({error}); going on without it. "
            "Delete it if it is damaged, or say --no-cache"
        )
        if self._file is not None:
            with suppress(sqlite3.Error):
                self._file.close()
            self._file = None


def _checked(value: object) -> Tuples:
    """Tuples as read from the file.

    Raises:
        ValueError: if it is something else.
    """
    if isinstance(value, list) and all(
        isinstance(item, list) and 1 <= len(item) <= 3 and all(isinstance(w, str) for w in item)
        for item in value
    ):
        return value
    raise ValueError("holds something else than tuples")
