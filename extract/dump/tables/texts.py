"""Names of columns, and how the texts under them are read and checked."""

import codecs
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from extract.sound.kinds import AUDIO_SUFFIXES
from features.common.errors import DumpError
from features.common.reading import check_ordinary

_HEAD_BYTES = 1 << 16
# What the columns of a captions file are called, the likeliest first.
FILE_COLUMNS = (
    "file_name",
    "file",
    "filename",
    "audio",
    "path",
    "audio_path",
    "audio_file",
    "filepath",
    "file_path",
    "audio_filepath",
    "fname",
)
CAPTION_COLUMNS = ("caption", "captions", "text", "texts")
_NUMBERED = re.compile(r"caption_?(\d+)")

SECONDS = re.compile(r"\d+(\.\d+)?", re.ASCII)


def has_audio_ending(name: str) -> bool:
    """Whether a text ends like the name of an audio file."""
    return os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES  # noqa: PTH122 - no path yet


def file_column(columns: Iterable[str]) -> str:
    """The column that names the audio file, "" if there is none."""
    there = set(columns)
    return next((name for name in FILE_COLUMNS if name in there), "")


def caption_columns(columns: Iterable[str]) -> list[str]:
    """The columns that hold captions: `caption`, or `caption_1`, `caption_2` … in their order."""
    there = set(columns)
    plain = [name for name in CAPTION_COLUMNS if name in there][:1]
    numbered = [(int(match[1]), name) for name in there if (match := _NUMBERED.fullmatch(name))]
    return [*plain, *(name for _, name in sorted(numbered))]


def one_line(text: str) -> str:
    """A caption with every run of white space, line breaks included, as one space."""
    return " ".join(text.split())


def checked(text: Any, where: str) -> str:
    """A text that a shard can hold.

    Raises:
        DumpError: if it is no text, or holds a NUL byte or half a UTF-16 pair.
    """
    if not isinstance(text, str):
        raise DumpError(f"{where}: found {text!r} ({type(text).__name__}), expected text")
    if "\0" in text:
        raise DumpError(f"{where}: {text[:60]!r} holds a NUL byte; remove it, or save as UTF-8")
    if any("\ud800" <= sign <= "\udfff" for sign in text if sign > "\ud7ff"):
        raise DumpError(f"{where}: {text[:60]!r} holds half of a UTF-16 pair, which is no text")
    return text


def captions_in(values: Mapping[str, Any], columns: Iterable[str], where: str) -> list[str]:
    """The captions in a row, each on one line; empty ones as empty texts.

    A column holds one caption, or a list of them.

    Raises:
        DumpError: if something else than text stands there, or a list that was written as text.
    """
    found: list[str] = []
    for column in columns:
        value = values.get(column)
        texts = value if isinstance(value, list) else [] if value is None else [value]
        found += [one_line(checked(text, f"{where}: {column}")) for text in texts]
    for text in found:
        if text.startswith(("['", '["')) and text.endswith(("']", '"]')):
            raise DumpError(
                f"{where}: {text[:60]!r} is a list written as text, not a caption; write a row for "
                "each caption, columns caption_1, caption_2 …, or the list itself as JSON"
            )
    return found


def whole_seconds(start: str) -> str:
    """`30.0` and `30` are one start time."""
    head, _, tail = start.partition(".")
    return head if tail.strip("0") == "" else start


def head_text(path: Path) -> str:
    """The beginning of a file, also of UTF-16: it is refused by its text, not for columns unseen.

    Raises:
        OSError: if it is no ordinary file, or cannot be read.
    """
    check_ordinary(path)
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    utf_16 = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return head.decode("utf-16" if utf_16 else "utf-8-sig", "replace")


def at_line(path: Path, line: int) -> str:
    """How messages name a place in a file."""
    return f"{path}, line {line}"
