"""Rows become clips: what is one clip and what is two, where names are used more than once."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

from extract.dump.clips import Gatherer
from extract.dump.tables.entries import Entry, Table
from extract.sound.parts import row_of
from features.common.console import log
from features.common.errors import DumpError

_IDS_OF_THEIR_OWN = ("wavcaps", "webdataset")  # kinds whose files each count from the start


def gather_into(
    by_word: dict[str, Gatherer], read: Iterator[Entry], table: Table, dump: Path = Path()
) -> None:
    """Add the rows of a captions file or container to those gathered before, by split.

    Args:
        by_word: the clips by what the dump calls their split.
        read: the rows.
        table: where they stand.
        dump: folder that containers' paths are relative to.

    Raises:
        DumpError: if rows of a parquet set share a name, but not the sound.
    """
    empty = repeats = 0
    own: set[str] = set()
    renamed: list[str] = []
    for entry in read:
        word = entry.split or table.word
        if word not in by_word:
            by_word[word] = Gatherer()
        named = entry.path.endswith(f"//{entry.id}")  # else it has an id of AudioCaps
        if table.kind in _IDS_OF_THEIR_OWN:
            # The same id in another file is another clip.
            if entry.id in by_word[word] and entry.id not in own:
                label = entry.name or table.shown
                entry = entry._replace(id=f"{label}/{entry.id}")
            own.add(entry.id)
        if named and entry.id in by_word[word]:
            repeats += 1
            first = by_word[word].path_of(entry.id)
            # To compare all of parquet would be to read it twice: the first, the second, the fourth
            # repeated row … show soon enough what its names are.
            compared = table.kind == "webdataset" or repeats & (repeats - 1) == 0
            if compared and not _same_sound(dump, first, entry.path):
                entry = entry._replace(id=_another_name(by_word[word], entry, first, table))
                renamed.append(entry.id)
        captions = [caption for caption in entry.captions if caption]
        empty += max(1, len(entry.captions)) - len(captions)
        by_word[word].add(entry.id, captions, entry.name, entry.path)
    if empty:
        log(f"{table.path}: {empty:,} empty captions left out; their clips stay")
    if renamed:
        log(
            f"{table.path}: {len(renamed):,} sounds have the name of another one in it and are "
            f"clips of their own, such as {renamed[0]}"
        )


def _same_sound(dump: Path, one: str, other: str) -> bool:
    from extract.sound.contained import same_sound  # scoring, which reads captions, has no decoders

    return same_sound(dump, one, other)


def _another_name(known: Gatherer, entry: Entry, first: str, table: Table) -> str:
    """A name for a sound whose own is that of another sound in the same tar.

    Raises:
        DumpError: for a row of a parquet set, where this is rather the name of many sounds.
    """
    if table.kind == "parquet":
        raise DumpError(
            f"{table.path}: {entry.id!r} is the name of two sounds or more, in {row_of(first)} and "
            f"{row_of(entry.path)}; give every sound a name of its own in a column file_name"
        )
    numbers = count(2)
    return next(name for n in numbers if (name := f"{entry.id}#{n}") not in known)
