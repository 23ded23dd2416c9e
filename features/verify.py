"""Check a features folder against its own index."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from features.common.checksum import sha256_of
from features.common.console import progress
from features.common.damaged import seen_in
from features.common.errors import FormatError
from features.common.reading import check_ordinary
from features.reader import Expected, Shard
from features.spec import INDEX_NAME, Index, ShardEntry
from features.tables import REDO, Tables, read_tables

_ROWS_AT_ONCE = 8192


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing wrong: the file, what was found, what was expected."""

    file: Path
    what: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}"


def verify(root: Path, *, splits: list[str] | None = None) -> list[Problem]:
    """Compare every shard with `features.json`, and look at every value.

    Presence, size, checksum, version and tables; no shard and no clip of a split twice; values
    finite.

    Args:
        root: a features folder.
        splits: which splits to read, all of them by default.

    Returns:
        What is wrong, in the index's order; empty when all is well.

    Raises:
        FormatError: if `features.json` itself is absent, unreadable or of another version.
    """
    index = Index.read(root)
    names = list(index.splits) if splits is None else splits
    ours = [index.split_name(root, name) for name in names]
    entries = [(name, shard) for name in ours for shard in index.splits[name].shards]
    problems: list[Problem] = []
    seen = _Seen()
    for split, entry in progress(entries, what="verify", unit="shards"):
        path = root / entry.file
        expected = Expected.of(index, split, entry)
        try:
            found = list(_shard_problems(path, expected, seen))
        except OSError as error:
            found = [f"cannot be read now ({error.strerror})"]
        except FormatError as error:
            found = [str(error).removeprefix(f"{path}: ")]
        problems.extend(Problem(file=path, what=what) for what in found)
    return problems


class _Seen:
    """What earlier shards held: files, clips by split, and each stream's classes."""

    def __init__(self) -> None:
        self.files: set[tuple[int, int]] = set()
        self.clips: dict[str, dict[str, Path]] = {}
        self.classes: dict[str, tuple[str, ...]] = {}


def _shard_problems(path: Path, expected: Expected, seen: _Seen) -> Iterator[str]:
    try:
        size, status = check_ordinary(path), path.stat()
    except FileNotFoundError:
        yield f"missing: {INDEX_NAME} lists it, no such file"
        return
    except OSError as error:
        yield f"cannot be read now ({error.strerror})"
        return
    if (status.st_dev, status.st_ino) in seen.files:
        yield f"{INDEX_NAME} lists it twice"
        return
    seen.files.add((status.st_dev, status.st_ino))
    damage = _bytes_problem(path, size, expected.entry)
    if damage:
        yield damage
    try:
        tables = read_tables(path)
    except FormatError as error:
        # Of damaged bytes one line is enough; an unknown version is worth its own.
        if not damage or "version" in str(error):
            yield str(error).removeprefix(f"{path}: ").removesuffix(f"; {REDO}")
        return
    yield from (what for what in expected.problems(tables) if what != damage)
    yield from _repeated(path, expected.splits[0], tables, seen)
    for name in tables.streams:
        try:
            if not _finite(Shard(path), name):
                yield f"stream {name}: holds values that are no numbers (NaN or infinite)"
        except FormatError as error:  # it changed under our hands
            yield str(error).removeprefix(f"{path}: ")
            return


def _bytes_problem(path: Path, size: int, entry: ShardEntry) -> str | None:
    if size != entry.bytes:
        if "git lfs" in (what := seen_in(path, binary=True)):
            return what
        word = "truncated" if size < entry.bytes else "too long"
        return f"{word}: {size:,} bytes, expected {entry.bytes:,}"
    found = sha256_of(path)
    if found != entry.sha256:
        return f"damaged: sha256 {found[:12]}…, expected {entry.sha256[:12]}…"
    return None


def _repeated(path: Path, split: str, tables: Tables, seen: _Seen) -> Iterator[str]:
    """Clips that the split has already, and classes that are not those of other shards."""
    clips = seen.clips.setdefault(split, {})
    twice = [clip for clip in tables.ids if clips.setdefault(clip, path) != path]
    inside = len(tables.ids) - len(set(tables.ids))
    if twice:
        yield f"{len(twice)} clips are in {clips[twice[0]]} too, the first is {twice[0]!r}"
    if inside:
        yield f"{inside} clips have the id of another one in it"
    for name, spec in tables.streams.items():
        if seen.classes.setdefault(name, spec.classes) != spec.classes:
            yield f"stream {name}: its classes are not those of the shards before it"


def _finite(shard: Shard, stream: str) -> bool:
    values = shard.file_rows(stream)
    return all(
        np.isfinite(values[start : start + _ROWS_AT_ONCE]).all()
        for start in range(0, len(values), _ROWS_AT_ONCE)
    )
