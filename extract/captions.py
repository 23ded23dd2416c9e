"""Captions files: AudioCaps v1 and 2.0, Clotho. Texts only; nothing here becomes a path."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from features.errors import DumpError

AUDIOCAPS_SPLITS = ("train", "val", "test")
CLOTHO_SPLITS = ("development", "validation", "evaluation")
CLOTHO_PREFIX = "clotho_captions_"

# Where people keep the CSVs of a dump.
CAPTIONS_FOLDERS = (".", "captions", "dataset", "csv", "csv_files", "metadata")


@dataclass(slots=True)
class Listed:
    """One clip as a captions file lists it. `names` are the rows' own audiocap_ids."""

    id: str
    youtube_id: str = ""
    start: str = ""
    names: list[str] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)


def find_captions(dump: Path, captions: Path | None) -> tuple[str, dict[str, Path]] | None:
    """Find the captions files of a dump.

    Args:
        dump: searched with its usual sub-folders, unless `captions` is given.
        captions: the folder that holds them.

    Returns:
        The kind of dataset and its files by split, or None if there are none.

    Raises:
        DumpError: if `captions` is given and holds none.
    """
    folders = [captions] if captions is not None else [dump / name for name in CAPTIONS_FOLDERS]
    for folder in folders:
        clotho = {split: folder / f"{CLOTHO_PREFIX}{split}.csv" for split in CLOTHO_SPLITS}
        audiocaps = {split: folder / f"{split}.csv" for split in AUDIOCAPS_SPLITS}
        for kind, files in (("clotho", clotho), ("audiocaps", audiocaps)):
            there = {split: path for split, path in files.items() if path.is_file()}
            if there:
                return kind, there
    if captions is not None:
        raise DumpError(
            f"{captions}: found no captions; expected train.csv, val.csv or test.csv (AudioCaps) "
            f"or {CLOTHO_PREFIX}<split>.csv (Clotho)"
        )
    return None


def read_audiocaps(path: Path) -> list[Listed]:
    """Clips of an AudioCaps CSV, by first appearance: five rows of one clip are one clip.

    Raises:
        DumpError: if the file cannot be read, is empty or lacks a column.
    """
    clips: dict[str, Listed] = {}
    for line, row in _rows(path, ("youtube_id", "start_time", "caption")):
        youtube_id, start = row["youtube_id"].strip(), _whole(row["start_time"].strip())
        if not youtube_id or not start:
            raise DumpError(f"{path}, line {line}: a row without youtube_id or start_time")
        key = f"{youtube_id}_{start}"
        clip = clips.get(key)
        if clip is None:
            clip = clips[key] = Listed(key, youtube_id, start)
        name = (row.get("audiocap_id") or "").strip()
        if name:
            clip.names.append(name)
        clip.captions.append(one_line(row["caption"]))
    return list(clips.values())


def read_clotho(path: Path) -> list[Listed]:
    """Clips of a Clotho CSV, in its order; a clip's id is its file name.

    Raises:
        DumpError: as `read_audiocaps`, or if a file name stands twice.
    """
    columns = [f"caption_{number}" for number in range(1, 6)]
    clips: dict[str, Listed] = {}
    for line, row in _rows(path, ("file_name", *columns)):
        name = row["file_name"]
        if name in clips:
            raise DumpError(f"{path}, line {line}: {name!r} stands in the file already")
        clips[name] = Listed(name, captions=[one_line(row[column]) for column in columns])
    return list(clips.values())


def one_line(text: str) -> str:
    """A caption with every run of white space, line breaks included, as one space."""
    return " ".join(text.split())


def _rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    count = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            found = reader.fieldnames or []
            lacking = [column for column in columns if column not in found]
            if lacking:
                raise DumpError(f"{path}: lacks columns {lacking}; found {list(found)}")
            for row in reader:
                if any(row[column] is None for column in columns):
                    raise DumpError(
                        f"{path}, line {reader.line_num}: {len(found)} columns expected, fewer "
                        "found; is a quote missing?"
                    )
                count += 1
                yield reader.line_num, row
    except UnicodeDecodeError as error:
        raise DumpError(f"{path}: is not UTF-8 text ({error.reason})") from error
    except csv.Error as error:
        raise DumpError(f"{path}: not a CSV file ({error})") from error
    except OSError as error:
        raise DumpError(f"{path}: cannot be read ({error.strerror})") from error
    if count == 0:
        raise DumpError(f"{path}: lists no clips; expected rows under {list(columns)}")


def _whole(start: str) -> str:
    """`30.0` and `30` are one start time."""
    head, _, tail = start.partition(".")
    return head if tail.strip("0") == "" else start
