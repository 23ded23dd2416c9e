"""Which of the files in a dump hold its captions, by their names, places and columns."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from extract.dump.audio_files import AudioFiles, table_files
from extract.dump.refusals import MOST_NAMED, expected, refuse, refuse_if_misread
from extract.dump.splits import meanings, split_word
from extract.dump.tables.entries import Table, table_kind
from extract.dump.tables.parquet import has_sound
from features.common.damaged import some
from features.common.errors import ConfigError, DumpError

# Where people keep the captions of a dump, the likeliest first; then anywhere else in it.
FOLDERS = (
    "",
    "captions/",
    "dataset/",
    "csv/",
    "csv_files/",
    "metadata/",
    "clotho_csv_files/",
    "csv_files_v1/",
    "csv_files_v2/",
    "dataset2.0/",
)
# In the order in which they are chosen where a dump holds several; sound of its own comes last.
TABLE_KINDS = ("clotho", "audiocaps", "captions", "macs", "wavcaps")
CONTAINER_KINDS = ("parquet", "webdataset")
KINDS = (*TABLE_KINDS, *CONTAINER_KINDS, "folder")

_MOST_READ = 1_000  # files of unknown names whose first lines are read
_PART = re.compile(r"[-_.]?\d+[-_.]of[-_.]\d+")  # 00000-of-00004


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The captions of a dump.

    Attributes:
        kind: of dataset.
        tables: to read.
        meant: what the words for splits in their names mean; empty where they name none.
        unused: the other files that could hold captions, as messages name them.
        beside: those of them that do, where containers of sound were chosen and not asked for.
    """

    kind: str
    tables: tuple[Table, ...]
    meant: dict[str, str]
    unused: tuple[str, ...]
    beside: tuple[str, ...] = ()


def find_captions(
    dump: Path, files: AudioFiles, captions: Path | None, kind: str | None
) -> Chosen | None:
    """Find the captions of a dump.

    Args:
        dump: the dump.
        files: what is in it.
        captions: another folder that holds them, or one file.
        kind: the kind wanted, None for any.

    Returns:
        None if the dump holds no file that could be one of captions.

    Raises:
        DumpError: if there are such files, but none is known; or if `captions` holds none.
    """
    here = _telling((_table(dump, name, dump) for name in files.tables), files)
    candidates = here if captions is None else _elsewhere(captions, dump, files)
    known = _known(candidates, one_file=captions is not None and captions.is_file())
    wanted = [table for table in known if kind in (None, table.kind)]
    if known and not wanted:
        raise DumpError(
            f"{captions or dump}: holds {known[0].kind} captions, asked for --kind {kind}"
        )
    if not wanted:
        if captions is not None:
            raise DumpError(f"{captions}: found no captions; {expected(candidates)}")
        if kind is not None:
            raise DumpError(f"{dump}: found no {kind} captions; name their folder with --captions")
        if here:
            refuse(dump, here)
        return None
    chosen = _choose(wanted, sound=len(files) > 0)
    contained = chosen[0].kind in CONTAINER_KINDS
    if contained and len(files) and kind is None:
        held = some([table.shown for table in chosen], MOST_NAMED)
        raise DumpError(
            f"{dump}: holds {len(files):,} audio files, and {held}; "
            f"--kind {chosen[0].kind} or --kind folder says which of them to extract"
        )
    meant = meanings(sorted({table.word for table in chosen if table.word}))
    tables = _one_per_split(chosen, meant)
    used = {os.path.realpath(table.path) for table in tables}
    unused = [
        table.shown
        for table in dict.fromkeys([*candidates, *here])
        if os.path.realpath(table.path) not in used
    ]
    refuse_if_misread(candidates, tables, meant)
    return Chosen(
        kind=tables[0].kind,
        tables=tuple(tables),
        meant=meant,
        unused=tuple(dict.fromkeys(unused)),
        beside=tuple(t.shown for t in wanted if contained and t.kind in TABLE_KINDS),
    )


def _telling(tables: Iterable[Table], files: AudioFiles) -> list[Table]:
    """All but texts that may say anything: not called after captions, a split or a sound."""
    return [
        table
        for table in tables
        if table.word != "?" or table.path.suffix.lower() != ".txt" or files.paths(table.path.stem)
    ]


def _elsewhere(captions: Path, dump: Path, files: AudioFiles) -> list[Table]:
    if captions.is_file():
        return [_table(captions.parent, captions.name, dump)]
    if not captions.is_dir():
        raise DumpError(f"{captions}: found no captions; {expected([])}")
    return _telling((_table(captions, name, dump) for name in table_files(captions)), files)


def _table(root: Path, name: str, dump: Path) -> Table:
    """A file that may hold captions: with the word for a split in its name, or its folders'."""
    path = root / name
    inside = os.path.relpath(os.path.abspath(path), os.path.abspath(dump))  # noqa: PTH100
    shown = str(path) if inside.startswith("..") else inside
    folder = "" if shown != inside or "/" not in inside else inside.rpartition("/")[0] + "/"
    word, group = split_word(path.stem), name.rpartition("/")[0]
    if word == "" and group:
        parts = group.split("/")
        for at in range(len(parts) - 1, -1, -1):
            if inner := split_word(parts[at]):
                word, group = inner, "/".join([*parts[:at], *parts[at + 1 :]])
                break
    group = f"{group}/" if group else ""
    # "?" is a name that says nothing we know; such a file may be one of a kind known by content.
    return Table(
        path=path, shown=shown, folder=folder, word="?" if word is None else word, group=group
    )


def _known(candidates: Sequence[Table], *, one_file: bool) -> list[Table]:
    """Those that hold captions of a known kind, each with its kind."""
    found, read = [], 0
    for table in candidates:
        named = (table.word != "?" and not table.of_one_clip) or one_file
        read += not named
        if not named and read > _MOST_READ:
            continue
        kind = _kind(table)
        if kind in TABLE_KINDS[:3] and not named:
            continue
        if kind:
            word = "" if table.word == "?" else table.word
            found.append(replace(table, kind=kind, word=word))
    return found


def _kind(table: Table) -> str:
    suffix = table.path.suffix.lower()
    if suffix == ".tar":
        return "webdataset"
    if suffix == ".parquet" and has_sound(table.path):
        return "parquet"
    return table_kind(table.path)


def _choose(known: Sequence[Table], *, sound: bool) -> list[Table]:
    """The tables of one kind, and of one place where several hold the same splits."""
    own_sound = [table for table in known if table.kind in CONTAINER_KINDS]
    others = [table for table in known if table.kind not in CONTAINER_KINDS]
    of = others if others and (sound or not own_sound) else own_sound
    order = (*TABLE_KINDS, *CONTAINER_KINDS)
    if of is own_sound or {table.kind for table in of} <= {"macs", "wavcaps"}:
        kind = min((table.kind for table in of), key=order.index)
        return _together([table for table in of if table.kind == kind])

    def rank(table: Table) -> tuple[int, int, int, str]:
        place = FOLDERS.index(table.group) if table.group in FOLDERS else len(FOLDERS)
        return place, table.group.count("/"), order.index(table.kind), table.group

    best = min(of, key=rank)
    group = [table for table in of if (table.group, table.kind) == (best.group, best.kind)]
    return [table for table in group if table.word] or _one_whole(group)


def _together(tables: list[Table]) -> list[Table]:
    """Containers of all places, if no two places hold the same split.

    Raises:
        DumpError: if they do: they are several data sets, or several forms of one.
    """
    places: dict[str, str] = {}
    for table in tables:
        if table.word and places.setdefault(table.word, table.group) != table.group:
            raise DumpError(
                f"{table.shown}: {places[table.word] or 'the folder above'} holds a split "
                f"{table.word!r} too; these are several data sets: name the folder of one as DUMP"
            )
    return tables


def _one_whole(tables: list[Table]) -> list[Table]:
    """Of several tables that name no split, `captions` comes first, not a copy of it."""
    return [
        min(
            tables,
            key=lambda table: (
                not table.path.stem.startswith("captions"),
                len(table.shown),
                table.shown,
            ),
        )
    ]


def _one_per_split(tables: Sequence[Table], meant: dict[str, str]) -> list[Table]:
    """The tables to read: of a kind that has one per split, the one with the plainest name."""
    if tables[0].kind in (*CONTAINER_KINDS, "macs", "wavcaps"):
        # WavCaps' fsd_final_2s.json is a part of the fsd_final.json beside it.
        whole = {t.path.with_suffix("") for t in tables if t.kind == "wavcaps"}
        parts = [t for t in tables if t.path.parent / t.path.stem.rpartition("_")[0] in whole]
        last_first = sorted(set(tables).difference(parts), key=lambda t: t.shown, reverse=True)
        # A link to a file beside it is no file of its own, as with folders.
        once = {os.path.realpath(table.path): table for table in last_first}
        return sorted(once.values(), key=lambda table: table.shown)
    named: dict[tuple[str, str, str], list[Table]] = {}
    for table in sorted(tables, key=lambda table: table.shown):
        split, ending = meant.get(table.word, ""), table.path.suffix.lower()
        if not table.word or split:
            stem = _PART.sub("", table.path.stem.lower())
            named.setdefault((split, stem, ending), []).append(table)
    chosen: dict[str, list[Table]] = {}
    # The split's own name first, then the shortest; files that are parts of one stay together, and
    # train.json beside train.csv holds the same once more.
    for key in sorted(named, key=lambda key: (key[1] != key[0], len(key[1]), key)):
        chosen.setdefault(key[0], named[key])
    return [table for split in ("", "train", "val", "test") for table in chosen.get(split, [])]


def check_kind(kind: str | None) -> None:
    """Raise ConfigError unless `kind` is known or None."""
    if kind is not None and kind not in KINDS:
        raise ConfigError(f"--kind is {kind!r}, expected one of {', '.join(KINDS)}")
