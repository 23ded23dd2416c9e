"""Captions files: AudioCaps v1 and 2.0, Clotho. Texts only; nothing here becomes a path."""

import csv
import re
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path

from extract.dump.clips import Gatherer, Listed
from features.common.console import log
from features.common.errors import DumpError

AUDIOCAPS_SPLITS = ("train", "val", "test")
CLOTHO_SPLITS = ("development", "validation", "evaluation")
CLOTHO_PREFIX = "clotho_captions_"

# Where people keep the CSVs of a dump.
CAPTIONS_FOLDERS = (".", "captions", "dataset", "csv", "csv_files", "metadata")

_SECONDS = re.compile(r"\d+(\.\d+)?", re.ASCII)


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
            f"{captions}: found no captions; expected a folder with train.csv, val.csv or test.csv "
            f"(AudioCaps) or {CLOTHO_PREFIX}<split>.csv (Clotho)"
        )
    return None


def read_audiocaps(path: Path) -> Listed:
    """Clips of an AudioCaps CSV by first appearance: five rows of one clip are one clip.

    Their ids are `<youtube_id>_<start>`, and the start holds no underscore.

    Raises:
        DumpError: if the file cannot be read, is empty, lacks a column, or has a row without
            youtube_id or start time.
    """
    clips = Gatherer()
    empty = 0
    columns = ("youtube_id", "start_time", "caption", "audiocap_id")
    for line, (youtube_id, start, caption, name) in _rows(path, columns, needed=3):
        youtube_id, start, caption = youtube_id.strip(), start.strip(), one_line(caption)
        if not youtube_id or not _SECONDS.fullmatch(start):
            raise DumpError(
                f"{path}, line {line}: youtube_id is {youtube_id!r}, start_time {start!r}; expected"
                " an id and seconds"
            )
        empty += not caption
        clips.add(f"{youtube_id}_{_whole(start)}", [caption] if caption else [], name.strip())
    _say_empty(path, empty)
    return clips.listed()


def read_clotho(path: Path) -> Listed:
    """Clips of a Clotho CSV, in its order; a clip's id is its file name.

    Raises:
        DumpError: as `read_audiocaps`, or if a file name stands twice.
    """
    clips = Gatherer()
    empty = 0
    columns = ("file_name", *(f"caption_{number}" for number in range(1, 6)))
    for line, (name, *texts) in _rows(path, columns, needed=6):
        if not name or name in clips:
            what = "stands in the file already" if name else "expected a file name"
            raise DumpError(f"{path}, line {line}: file_name is {name!r}, {what}")
        captions = [caption for caption in map(one_line, texts) if caption]
        empty += len(texts) - len(captions)
        clips.add(name, captions)
    _say_empty(path, empty)
    return clips.listed()


def one_line(text: str) -> str:
    """A caption with every run of white space, line breaks included, as one space."""
    return " ".join(text.split())


def _rows(path: Path, columns: Sequence[str], needed: int) -> Iterator[tuple[int, tuple]]:
    """Line number and the values of `columns`; those after the first `needed` may be absent."""
    count = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            lacking = [column for column in columns[:needed] if column not in header]
            if lacking:
                raise DumpError(
                    f"{path}: lacks columns {lacking}; found {header}, expected "
                    f"{list(columns[:needed])}"
                )
            there = [name for name in columns if name in header]
            pick = itemgetter(*(header.index(name) for name in there))
            absent = ("",) * (len(columns) - len(there))
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise DumpError(
                        f"{path}, line {reader.line_num}: {len(row)} values for {len(header)} "
                        "columns; a caption with commas or line breaks needs quotes"
                    )
                count += 1
                yield reader.line_num, pick(row) + absent
    except UnicodeDecodeError as error:
        raise DumpError(f"{path}: is not UTF-8 text ({error.reason}); save it as UTF-8") from error
    except csv.Error as error:
        raise DumpError(f"{path}: not a CSV file ({error}); is a quote missing?") from error
    except OSError as error:
        raise DumpError(f"{path}: cannot be read ({error.strerror})") from error
    if count == 0:
        raise DumpError(f"{path}: lists no clips; expected rows under {list(columns[:needed])}")


def _say_empty(path: Path, empty: int) -> None:
    if empty:
        log(f"{path}: {empty:,} empty captions left out; their clips stay")


def _whole(start: str) -> str:
    """`30.0` and `30` are one start time."""
    head, _, tail = start.partition(".")
    return head if tail.strip("0") == "" else start
