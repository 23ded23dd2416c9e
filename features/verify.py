"""Check a features folder against its own index."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from features.common.console import progress
from features.common.errors import FormatError
from features.common.publish import sha256_of
from features.reader import Shard
from features.spec import Index, ShardEntry


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing wrong: the file, what was found, what was expected."""

    file: Path
    what: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}"


def verify(root: Path, *, splits: list[str] | None = None) -> list[Problem]:
    """Compare every shard with `features.json`: presence, size, checksum, version, tables.

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
    for split, entry in progress(entries, what="verify", unit="shards"):
        known_as = (split, index.splits[split].original)
        problems.extend(_shard_problems(root, known_as, entry, set(index.streams)))
    return problems


def _shard_problems(
    root: Path, known_as: tuple[str, str], entry: ShardEntry, streams: set[str]
) -> Iterator[Problem]:
    path = root / entry.file
    if not path.is_file():
        yield Problem(file=path, what="missing: features.json lists it, no such file")
        return
    problem = _bytes_problem(path, entry)
    if problem:
        yield Problem(file=path, what=problem)
    shard = Shard(path)
    try:
        if shard.split not in known_as:
            what = f"is of split {shard.split!r}, listed under {known_as[0]!r}"
            yield Problem(file=path, what=what)
        if len(shard) != entry.clips:
            yield Problem(file=path, what=f"holds {len(shard)} clips, expected {entry.clips}")
        if not streams <= set(shard.streams):
            what = f"holds streams {sorted(shard.streams)}, expected {sorted(streams)}"
            yield Problem(file=path, what=what)
        for name in shard.streams:
            yield from _offset_problems(shard, name)
    except FormatError as error:
        # Of damaged bytes one line is enough; an unknown version is worth its own.
        if not problem or "version" in str(error):
            yield Problem(file=path, what=str(error).removeprefix(f"{path}: "))


def _bytes_problem(path: Path, entry: ShardEntry) -> str | None:
    size = path.stat().st_size
    if size != entry.bytes:
        word = "truncated" if size < entry.bytes else "too long"
        return f"{word}: {size:,} bytes, expected {entry.bytes:,}"
    found = sha256_of(path)
    if found != entry.sha256:
        return f"damaged: sha256 {found[:12]}…, expected {entry.sha256[:12]}…"
    return None


def _offset_problems(shard: Shard, name: str) -> Iterator[Problem]:
    offset, rows = shard.offset(name), len(shard.values(name))
    if len(offset) != len(shard) + 1 or offset[0] != 0 or offset[-1] != rows:
        what = f"stream {name}: offsets end at {offset[-1]} of {rows} rows, {len(offset)} offsets"
        yield Problem(file=shard.path, what=what)
    elif (offset[1:] <= offset[:-1]).any():
        yield Problem(file=shard.path, what=f"stream {name}: a clip without rows")
