"""What is said of captions files that are not used, or not known."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from extract.dump.audio_files import PACKED_SUFFIXES
from extract.dump.splits import meanings
from extract.dump.tables.entries import AUDIOCAPS_COLUMNS, Table, columns_of, table_kind
from features.common.console import log
from features.common.damaged import some
from features.common.errors import DumpError
from features.common.reading import check_ordinary

NAMES = (
    "train.csv, val.csv, test.csv (AudioCaps), clotho_captions_<split>.csv (Clotho), captions.csv, "
    "captions.jsonl or metadata.csv with the columns file and caption"
)
MOST_NAMED = 10
_SPREADSHEETS = (".xlsx", ".xls", ".ods")


def say_unused(unused: Sequence[str]) -> None:
    """Name the files that could hold captions and are not used."""
    if unused:
        log(f"not used: {some(unused, MOST_NAMED)}")


def refuse_if_misread(
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


def refuse(dump: Path, tables: Sequence[Table]) -> None:
    """Refuse a dump whose captions are not known.

    Raises:
        DumpError: naming what is there and what is expected.
    """
    for table in tables:
        if _is_csv(table) and meanings([table.path.stem.lower()]):
            _refuse_columns(table)
    if arrows := [table.shown for table in tables if table.path.suffix.lower() == ".arrow"]:
        raise DumpError(
            f"{dump}: holds {some(arrows)}, as `datasets` saves to disk, which is not read; save "
            "each split as parquet: load_from_disk(DUMP)['train'].to_parquet('train.parquet')"
        )
    raise DumpError(f"{dump}: holds no captions that are known, but {expected(tables)}")


def _is_csv(table: Table) -> bool:
    return table.path.suffix.lower() in (".csv", ".tsv")


def _refuse_columns(table: Table) -> None:
    try:
        check_ordinary(table.path)
        table.path.open("rb").close()
    except OSError as error:
        raise DumpError(f"{table.path}: cannot be read ({error.strerror})") from error
    columns = columns_of(table.path)
    lacking = [name for name in AUDIOCAPS_COLUMNS if name not in columns]
    raise DumpError(
        f"{table.path}: lacks columns {lacking}; found {columns}, expected "
        f"{list(AUDIOCAPS_COLUMNS)}, or file and caption; --kind folder goes on without captions"
    )


def expected(tables: Iterable[Table]) -> str:
    """What was found and what is expected, for messages."""
    there = list(tables)
    found = f"found {some([table.shown for table in there], MOST_NAMED)}; " if there else ""
    for table in there[:MOST_NAMED]:
        if columns := columns_of(table.path):
            found += f"{table.shown} has {columns!s:.200}; "
            break
    for table in there[:MOST_NAMED]:
        if not table.path.exists():
            found += f"{table.shown} is a link to nothing; "
    endings = {table.path.suffix.lower() for table in there}
    if endings.intersection(_SPREADSHEETS):
        found += "a spreadsheet is not read, save it as CSV; "
    # Called after one clip: by a number, or a name that says nothing to us.
    if any(t.of_one_clip or (t.is_text and t.word == "?") for t in there[:MOST_NAMED]):
        found += "texts beside their sounds are read in a tar (tar cf train.tar -C DUMP .); "
    if endings & PACKED_SUFFIXES:
        found += "what is compressed is not read, unpack it; "
    return (
        f"{found}expected {NAMES}; name a file of captions, or its folder, with --captions, or say "
        "--kind folder to go on without captions"
    )
