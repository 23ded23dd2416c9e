"""What a captions file says of its clips, in one form for all of them."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from extract.dump.tables.csv_rows import csv_columns, csv_rows
from extract.dump.tables.json_rows import (
    is_macs,
    json_columns,
    json_rows,
    jsonl_rows,
    yaml_files,
)
from extract.dump.tables.texts import (
    SECONDS,
    at_line,
    caption_columns,
    captions_in,
    checked,
    file_column,
    whole_seconds,
)
from features.common.errors import DumpError

AUDIOCAPS_COLUMNS = ("youtube_id", "start_time", "caption")
CLOTHO_COLUMNS = ("file_name", *(f"caption_{number}" for number in range(1, 6)))


class Entry(NamedTuple):
    """One row: a clip, or more captions of a clip that came before.

    Attributes:
        id: of the clip.
        captions: each on one line; empty ones are counted and left out.
        name: what else its file may be called, without ending.
        split: as the row names it, "" if it does not.
        path: where the sound lies, if the row itself knows (extract/sound/parts.py).
    """

    id: str
    captions: list[str]
    name: str = ""
    split: str = ""
    path: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A captions file, or a container of sound and captions.

    Attributes:
        path: of the file.
        shown: how messages name it, relative to the dump where it lies in it.
        folder: that it lies in, relative to the dump; "" when it is the dump, or elsewhere.
        word: for a split, in its name or its folder's; "" if there is none.
        kind: of dataset.
        group: tables of one kind and one group belong together.
    """

    path: Path
    shown: str
    folder: str = ""
    word: str = ""
    kind: str = ""
    group: str = ""

    @property
    def is_text(self) -> bool:
        """Whether it may be the text of one clip, beside its sound."""
        return self.path.suffix.lower() in (".json", ".txt")

    @property
    def of_one_clip(self) -> bool:
        """Whether it is called by a number alone, as such a text is; there may be millions."""
        return self.is_text and self.path.stem.isdecimal()


def columns_of(path: Path) -> list[str]:
    """The names of a file's columns or keys; none if it has none, or is of no known form."""
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv", ".txt"):
        return csv_columns(path)
    if suffix in (".json", ".jsonl", ".ndjson"):
        return json_columns(path)
    if suffix == ".parquet":
        from extract.dump.tables.parquet import parquet_columns

        return parquet_columns(path)
    return ["files"] if suffix in (".yaml", ".yml") and is_macs(path) else []


def table_kind(path: Path) -> str:
    """The kind of a captions file by its columns, "" if it holds no captions that we know.

    AudioCaps' form needs youtube_id, start_time and caption; any other needs a column that names
    the file and one of captions.
    """
    columns = columns_of(path)
    if set(AUDIOCAPS_COLUMNS) <= set(columns):
        return "audiocaps"
    if columns == ["files"]:
        return "macs"
    if any(column.startswith("data.") for column in columns):
        inner = {column.removeprefix("data.") for column in columns}
        named = "id" in inner or file_column(inner)
        return "wavcaps" if named and caption_columns(inner) else ""
    if not (file_column(columns) and caption_columns(columns)):
        return ""
    return "clotho" if set(CLOTHO_COLUMNS) <= set(columns) else "captions"


def entries(table: Table) -> Iterator[Entry]:
    """The rows of a captions file of a kind that `table_kind` gives.

    Raises:
        DumpError: if the file cannot be read, is empty, or has a row that cannot be used.
    """
    if table.kind == "audiocaps":
        yield from _audiocaps(table.path)
    elif table.kind == "macs":
        yield from _macs(table.path)
    elif table.kind == "wavcaps":
        yield from _wavcaps(table)
    else:
        yield from _named(table.path)


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    suffix = path.suffix.lower()
    if suffix == ".json":
        return json_rows(path)
    if suffix in (".jsonl", ".ndjson"):
        return jsonl_rows(path)
    if suffix == ".parquet":
        from extract.dump.tables.parquet import parquet_rows

        return parquet_rows(path)
    return csv_rows(path)


def _audiocaps(path: Path) -> Iterator[Entry]:
    """AudioCaps: a row per caption. Ids are `<youtube_id>_<start>`; the start has no underscore."""
    column = file_column(columns_of(path))
    for line, row in _rows(path):
        where = at_line(path, line)
        clip = audiocaps_id(row, where)
        name = checked(str(row.get(column) or row.get("audiocap_id") or ""), where).strip()
        yield Entry(clip, captions_in(row, ["caption"], where), name, _split(row, where))


def audiocaps_id(row: Mapping[str, Any], where: str) -> str:
    """`<youtube_id>_<start>` of a row.

    Raises:
        DumpError: if one of them is not what it should be.
    """
    video = checked(str(row.get("youtube_id") or ""), where).strip()
    found = row.get("start_time")
    start = "" if found is None else str(found).strip()
    if not video or not SECONDS.fullmatch(start):
        raise DumpError(
            f"{where}: youtube_id is {video!r}, start_time {start!r}; expected an id and seconds"
        )
    return f"{video}_{whole_seconds(start)}"


def _named(path: Path) -> Iterator[Entry]:
    """Clotho's form and that of own data: a clip's id is the name of its file.

    A row has one caption, and a file several rows; or a row has all of them, and a file one row.
    """
    columns = columns_of(path)
    column, texts = file_column(columns), caption_columns(columns)
    seen: set[tuple[str, str]] | None = set() if len(texts) > 1 else None
    keys: Collection[str] = set(columns)
    for line, row in _rows(path):
        if row.keys() != keys:  # of JSON, each record has its own
            keys, texts = row.keys(), caption_columns(row)
        where = at_line(path, line)
        name, split = file_name(row.get(column), f"{where}: {column}"), _split(row, where)
        if seen is not None and (split, name) in seen:
            raise DumpError(f"{where}: {column} is {name!r}, stands in the file already")
        if seen is not None:
            seen.add((split, name))
        yield Entry(name, captions_in(row, texts, where), split=split)


def file_name(value: Any, where: str) -> str:
    """The name of a file, or the `path` of a Hugging Face `Audio`.

    Raises:
        DumpError: if there is none.
    """
    if isinstance(value, dict):
        value = value.get("path") or value
    if value is None or value == "" or isinstance(value, dict):
        raise DumpError(f"{where} is {str(value or '')[:60]!r}, expected a file name")
    return checked(value, where)


def _wavcaps(table: Table) -> Iterator[Entry]:
    """WavCaps: `data[]` with `id` and `caption`; the file is called by its id, in flac.

    Sets share ids, so a clip also knows its set: the folder of the JSON.
    """
    for number, row in json_rows(table.path):
        where = f"{table.path}, record {number}"
        name = row.get("id")
        found = file_name(row.get(file_column(row)) if name is None else str(name), where)
        captions = captions_in(row, caption_columns(row), where)
        yield Entry(found, captions, table.path.parent.name, _split(row, where))


def _macs(path: Path) -> Iterator[Entry]:
    """MACS: `files[]` with `filename` and `annotations[].sentence`."""
    for number, row in yaml_files(path):
        where = f"{path}, record {number}"
        said = row.get("annotations") or []
        if not isinstance(said, list) or not all(isinstance(item, dict) for item in said):
            raise DumpError(f"{where}: annotations are {said!r:.60}, expected a list of them")
        texts = {"sentences": [item.get("sentence") or "" for item in said]}
        name = file_name(row.get("filename"), f"{where}: filename")
        yield Entry(name, captions_in(texts, texts, where))


def _split(row: Mapping[str, Any], where: str) -> str:
    if row.get("split") is None:
        return ""
    return checked(row["split"], f"{where}: split").strip()
