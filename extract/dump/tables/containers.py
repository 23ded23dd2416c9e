"""Containers of sound and captions: parquet files and webdataset tars, read without unpacking.

Only captions are read here, and where each sound lies; sounds are read where they are decoded.
"""

import json
import tarfile
from collections.abc import Iterator
from typing import Any

from extract.dump.audio_files import TABLE_SUFFIXES
from extract.dump.tables.entries import AUDIOCAPS_COLUMNS, Entry, Table, audiocaps_id, file_name
from extract.dump.tables.parquet import parquet_rows
from extract.dump.tables.texts import (
    at_line,
    caption_columns,
    captions_in,
    checked,
    file_column,
    has_audio_ending,
)
from extract.sound.parquet import open_parquet, sound_column
from extract.sound.parts import part_of_parquet, part_of_tar
from features.common.console import log
from features.common.damaged import some
from features.common.errors import DumpError

_MAX_TEXT = 1 << 20  # bytes of one clip's captions
_TEXTS = ("json", "txt")
_Sample = dict[str, tarfile.TarInfo]  # members of one name, by ending


def contained_entries(table: Table) -> Iterator[Entry]:
    """The clips of a container, with the place of each sound.

    Raises:
        DumpError: if it cannot be read, is cut off, or has captions that are no text.
    """
    return _parquet(table) if table.kind == "parquet" else _tar(table)


def _parquet(table: Table) -> Iterator[Entry]:
    """Hugging Face's form: a row per clip or per caption; rows of one clip repeat its sound."""
    schema = open_parquet(table.path).schema_arrow
    sound, names = sound_column(schema), list(schema.names)
    texts = caption_columns(names)
    audiocaps = set(AUDIOCAPS_COLUMNS) <= set(names)
    column = file_column(name for name in names if name != sound)
    holder = sound.partition(".")[0]
    has_path = "." in sound and schema.field(holder).type.get_field_index("path") >= 0
    named = f"{holder}.path" if has_path and column in ("", holder) else column
    wanted = [*AUDIOCAPS_COLUMNS[:2]] if audiocaps else []
    split = [name for name in ("split",) if name in names]
    columns = list(dict.fromkeys([*wanted, *texts, *split, *([named] if named else [])]))
    for number, row in parquet_rows(table.path, columns):
        where = f"{table.path}, row {number}"
        name = _name(row, named, where)
        clip = audiocaps_id(row, where) if audiocaps else name or f"{table.shown}#{number}"
        yield Entry(
            clip,
            captions_in(row, texts, where),
            split=checked(row["split"] or "", where) if split else "",
            path=part_of_parquet(table.shown, number - 1, name or clip),
        )


def _name(row: dict[str, Any], column: str, where: str) -> str:
    if not column:
        return ""
    found = row[column.partition(".")[0]]
    missing = found is None or (isinstance(found, dict) and not found.get("path"))
    return "" if missing or found == "" else file_name(found, f"{where}: {column}")


def _tar(table: Table) -> Iterator[Entry]:
    """Webdataset's form: members of one name belong to one clip.

    A clip's captions stand in its `.json` (`caption`, `captions` or `text`, one or a list), else
    in its `.txt`; its id is the name of its sound, or AudioCaps' where the JSON has one. Members
    that do not stand side by side wait for each other, those of all other clips are forgotten.
    """
    waiting: dict[str, _Sample] = {}
    sample: _Sample = {}
    key = ""
    spare: list[str] = []
    tables: list[str] = []
    texts = 0
    try:
        with tarfile.open(table.path, "r:") as tar:
            for member in tar:
                tar.members = []  # type: ignore[attr-defined]  # it would keep all of them
                if not member.isreg() or member.name.rpartition("/")[2].startswith("."):
                    continue
                folder, _, base = member.name.rpartition("/")
                stem, _, ending = base.rpartition(".")
                ending = ending.lower()
                if ending not in _TEXTS and not has_audio_ending(base):
                    tables += [member.name] * (f".{ending}" in TABLE_SUFFIXES)
                    continue
                texts += ending in _TEXTS
                if f"{folder}/{stem}" != key or ending in sample:
                    yield from _sample(table, tar, key, sample, waiting)
                    sample, key = {}, f"{folder}/{stem}"
                if ending not in _TEXTS and _sound(sample):
                    spare.append(member.name)
                sample[ending] = member
            yield from _sample(table, tar, key, sample, waiting)
            end = tar.offset
            yield from _lonely(table, tar, waiting)
            if spare:
                log(
                    f"{table.path}: {len(spare):,} sounds differ from another one only in their "
                    f"ending, such as {spare[0]}, and are not used"
                )
            if tables and texts == sum(len(m) for m in waiting.values() if not _sound(m)):
                raise DumpError(
                    f"{table.path}: holds {some(tables)}, and no N.json or N.txt beside a sound N: "
                    "no webdataset but a packed dump; unpack it and name its folder"
                )
            if tables:
                log(f"{table.path}: not used: {some(tables)}")
            _check_end(table, end)
    except (tarfile.TarError, EOFError) as error:
        with table.path.open("rb") as file:
            packed = file.read(6).startswith(
                (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
            )
        way_out = "it is compressed: unpack it" if packed else "get it again"
        raise DumpError(f"{table.path}: no whole tar ({error}); {way_out}") from error
    except OSError as error:
        raise DumpError(f"{table.path}: cannot be read ({error.strerror})") from error


def _check_end(table: Table, offset: int) -> None:
    """Python's reader takes what is no header for the end; a tar ends with a block of zeros.

    Raises:
        DumpError: if something else stands there.
    """
    with table.path.open("rb") as file:
        file.seek(offset)
        block = file.read(tarfile.BLOCKSIZE)
    if block.strip(b"\0"):
        raise DumpError(f"{table.path}: no whole tar (damaged at byte {offset:,}); get it again")
    if not block:
        log(f"{table.path}: ends without the mark of a tar's end; clips behind it may be lost")


def _sample(
    table: Table,
    tar: tarfile.TarFile,
    key: str,
    members: _Sample,
    waiting: dict[str, _Sample],
) -> Iterator[Entry]:
    """A clip that is whole; one that lacks its sound or its captions waits for them.

    Raises:
        DumpError: if two sounds of one name do.
    """
    earlier = waiting.pop(key, {})
    if _sound(earlier) and _sound(members):
        raise DumpError(
            f"{table.path}: two sounds in it are called {key.lstrip('/')!r}, and their captions do "
            "not stand beside them; give every clip a name of its own"
        )
    if earlier.keys() & members.keys():  # the later text counts
        waiting[f"{key}//{len(waiting)}"] = earlier
    members = earlier | members
    if _sound(members) and not members.keys().isdisjoint(_TEXTS):
        yield _entry(table, tar, members)
    elif members:
        waiting[key] = members


def _lonely(table: Table, tar: tarfile.TarFile, waiting: dict[str, _Sample]) -> Iterator[Entry]:
    """Sounds without captions, which are clips too; captions without a sound are counted."""
    sounds = [members for members in waiting.values() if _sound(members)]
    for members in sounds:
        yield _entry(table, tar, members)
    if sounds:
        log(f"{table.path}: {len(sounds):,} sounds without captions")
    if len(waiting) > len(sounds):
        log(f"{table.path}: {len(waiting) - len(sounds):,} texts without a sound, not used")


def _sound(members: _Sample) -> tarfile.TarInfo | None:
    return next((m for ending, m in members.items() if has_audio_ending(f"x.{ending}")), None)


def _entry(table: Table, tar: tarfile.TarFile, members: _Sample) -> Entry:
    sound = _sound(members)
    assert sound is not None
    name = checked(sound.name.removeprefix("./"), at_line(table.path, 0))
    row = _texts(table, tar, members, name)
    where = f"{table.path}, {name}"
    clip = audiocaps_id(row, where) if {"youtube_id", "start_time"} <= set(row) else name
    return Entry(
        clip,
        captions_in(row, caption_columns(row), where),
        split=checked(row["split"], where) if row.get("split") else "",
        path=part_of_tar(table.shown, sound.offset_data, sound.size, name),
    )


def _texts(table: Table, tar: tarfile.TarFile, members: _Sample, name: str) -> dict[str, Any]:
    found = members.get("json") or members.get("txt")
    if found is None:
        return {}
    file = tar.extractfile(found)
    where = f"{table.path}, {found.name}"
    if found.size > _MAX_TEXT or file is None:
        raise DumpError(f"{where}: {found.size:,} bytes, expected the captions of {name}")
    try:
        text = file.read().decode("utf-8-sig")
        row = {"caption": text} if "json" not in members else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DumpError(f"{where}: not valid JSON or UTF-8 ({error})") from error
    if not isinstance(row, dict):
        raise DumpError(f"{where}: holds {text[:60]!r}, expected an object")
    return row
