"""Which of the files in a dump hold its captions, by their names, places and columns."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from extract.dump.audio_files import AudioFiles, table_files
from extract.dump.splits import meanings, split_word
from extract.dump.tables.entries import AUDIOCAPS_COLUMNS, Table, columns_of, table_kind
from extract.dump.tables.parquet import has_sound
from features.common.console import log
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

NAMES = (
    "train.csv, val.csv, test.csv (AudioCaps), clotho_captions_<split>.csv (Clotho), captions.csv, "
    "captions.jsonl or metadata.csv with the columns file and caption"
)
_MOST_READ = 1_000  # files of unknown names whose first lines are read
_MOST_NAMED = 10


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The captions of a dump.

    Attributes:
        kind: of dataset.
        tables: to read.
        meant: what the words for splits in their names mean; empty where they name none.
        unused: the other files that could hold captions, as messages name them.
    """

    kind: str
    tables: tuple[Table, ...]
    meant: dict[str, str]
    unused: tuple[str, ...]


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
    here = [_table(dump, name, dump) for name in files.tables]
    if captions is not None and not captions.exists():
        raise DumpError(f"{captions}: found no captions; {_expected([])}")
    if captions is None:
        candidates = here
    elif captions.is_file():
        candidates = [_table(captions.parent, captions.name, dump)]
    else:
        candidates = [_table(captions, name, dump) for name in table_files(captions)]
    known = _known(candidates, one_file=captions is not None and captions.is_file())
    wanted = [table for table in known if kind in (None, table.kind)]
    if known and not wanted:
        raise DumpError(
            f"{captions or dump}: holds {known[0].kind} captions, asked for --kind {kind}"
        )
    if not wanted:
        if captions is not None:
            raise DumpError(f"{captions}: found no captions; {_expected(candidates)}")
        if kind is not None:
            raise DumpError(f"{dump}: found no {kind} captions; name their folder with --captions")
        if here:
            _refuse(dump, here)
        return None
    chosen = _choose(wanted, sound=len(files) > 0)
    meant = _meant(chosen)
    tables = _one_per_split(chosen, meant)
    used = {os.path.realpath(table.path) for table in tables}
    unused = [
        table.shown
        for table in dict.fromkeys([*candidates, *here])
        if os.path.realpath(table.path) not in used
    ]
    _refuse_if_misread(here, tables, meant)
    return Chosen(
        kind=tables[0].kind,
        tables=tuple(tables),
        meant=meant,
        unused=tuple(dict.fromkeys(unused)),
    )


def say_unused(unused: Sequence[str]) -> None:
    """Name the files that could hold captions and are not used."""
    if unused:
        log(f"not used: {_listed(unused)}")


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
        named = table.word != "?" or one_file
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
    """Of several tables that name no split, `captions` comes first."""
    return [
        min(tables, key=lambda table: (not table.path.stem.startswith("captions"), table.shown))
    ]


def _meant(tables: Sequence[Table]) -> dict[str, str]:
    return meanings(sorted({table.word for table in tables if table.word}))


def _one_per_split(tables: Sequence[Table], meant: dict[str, str]) -> list[Table]:
    """The tables to read: of a kind that has one per split, the one with the plainest name."""
    if tables[0].kind in (*CONTAINER_KINDS, "macs", "wavcaps"):
        return sorted(tables, key=lambda table: table.shown)
    plainest: dict[str, Table] = {}
    for table in sorted(tables, key=lambda table: (len(table.path.stem), table.shown)):
        split = meant.get(table.word, "") if table.word else ""
        if not table.word or split:
            there = plainest.setdefault(split, table)
            if table.word == split and there.word != split:
                plainest[split] = table
    return [plainest[split] for split in ("", "train", "val", "test") if split in plainest]


def _refuse_if_misread(
    here: Sequence[Table], tables: Sequence[Table], meant: dict[str, str]
) -> None:
    """Refuse a CSV that is called after a split which nothing else gives, but has no captions.

    Raises:
        DumpError: naming what its columns lack.
    """
    given = {meant.get(table.word, "") for table in tables}
    for table in here:
        split = meanings([*meant, table.path.stem.lower()]).get(table.path.stem.lower(), "")
        alone = split not in given and "" not in given and table.group == tables[0].group
        if split and alone and _is_csv(table) and not table_kind(table.path):
            _refuse_columns(table)


def _refuse(dump: Path, tables: Sequence[Table]) -> None:
    for table in tables:
        if _is_csv(table) and meanings([table.path.stem.lower()]):
            _refuse_columns(table)
    raise DumpError(f"{dump}: holds no captions that are known, but {_expected(tables)}")


def _is_csv(table: Table) -> bool:
    return table.path.suffix.lower() in (".csv", ".tsv")


def _refuse_columns(table: Table) -> None:
    try:
        table.path.open("rb").close()
    except OSError as error:
        raise DumpError(f"{table.path}: cannot be read ({error.strerror})") from error
    columns = columns_of(table.path)
    lacking = [name for name in AUDIOCAPS_COLUMNS if name not in columns]
    raise DumpError(
        f"{table.path}: lacks columns {lacking}; found {columns}, expected "
        f"{list(AUDIOCAPS_COLUMNS)}, or file and caption; --kind folder goes on without captions"
    )


def _expected(tables: Iterable[Table]) -> str:
    there = [table.shown for table in tables]
    found = f"found {_listed(there)}; " if there else ""
    return (
        f"{found}expected {NAMES}; name a file of captions, or its folder, with --captions, or say "
        "--kind folder to go on without captions"
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def check_kind(kind: str | None) -> None:
    """Raise ConfigError unless `kind` is known or None."""
    if kind is not None and kind not in KINDS:
        raise ConfigError(f"--kind is {kind!r}, expected one of {', '.join(KINDS)}")
