"""Rows of a CSV or TSV of captions, and the damage that such files are known to have.

A quote that is never closed swallows all rows to the next quote. Python's reader says so only at
the end of the file and only when it is strict; where another stray quote stands further down, the
rows between them are found by looking like rows.
"""

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from extract.dump.tables.texts import (
    FILE_COLUMNS,
    SECONDS,
    caption_columns,
    has_audio_ending,
    head_text,
)
from features.common.console import log
from features.common.errors import DumpError
from features.common.reading import check_ordinary

_OTHER_COLUMNS = ("audiocap_id", "youtube_id", "start_time", "split")
_DELIMITERS = ",;\t"  # Excel writes the second where a comma stands in numbers
_FEWEST_TO_COUNT = 5  # columns from which on their number alone tells a row from a sentence


def csv_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and values by column of every row.

    A row of fewer values that begins like no row, behind a row that ends with a caption, is the
    rest of that caption (as in AudioCaps 2.0's train.csv); how many there were is said.

    Raises:
        DumpError: if the file cannot be read, is no UTF-8 text, or has a row that does not fit.
    """
    start, joined, rows = 1, 0, 0
    try:
        check_ordinary(path)
        delimiter = _delimiter(path, _first_line(path))
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            header = _names(reader)
            _check_header(path, header)
            last: tuple[int, list[str]] | None = None
            start = reader.line_num + 1
            for row in reader:
                if _is_empty(row):
                    pass
                elif last and _goes_on(row, header):
                    last[1][-1] += "\n" + delimiter.join(row)
                    joined += 1
                else:
                    if last:
                        yield last[0], dict(zip(header, last[1], strict=True))
                    _check(path, start, row, header, reader)
                    last, rows = (reader.line_num, row), rows + 1
                start = reader.line_num + 1
            if last:
                yield last[0], dict(zip(header, last[1], strict=True))
    except UnicodeDecodeError as error:
        raise DumpError(f"{path}: is not UTF-8 text ({error.reason}); save it as UTF-8") from error
    except csv.Error as error:
        raise DumpError(
            f"{path}, line {start}: not a CSV file from there on ({error}); is a quote missing? "
            'A quote within a caption is written twice (""), and the caption stands in quotes'
        ) from error
    except OSError as error:
        raise DumpError(f"{path}: cannot be read ({error.strerror})") from error
    if not rows:
        raise DumpError(f"{path}: lists no clips; expected rows under {header}")
    if joined:
        log(f"{path}: {joined:,} captions went on in a line of their own; joined")


def csv_columns(path: Path) -> list[str]:
    """The names in the first line; none of a file that cannot be read."""
    try:
        line = _first_line(path)
        return _names(csv.reader([line], delimiter=_delimiter(path, line)))
    except (OSError, csv.Error):
        return []


def _first_line(path: Path) -> str:
    """The line with the names of the columns, "" if there is none."""
    return next((line for line in head_text(path).splitlines() if not _is_empty([line])), "")


def _names(rows: Iterator[list[str]]) -> list[str]:
    """The names in the first row that is not empty; `File Name` is the `file_name` that we know."""
    header = next((row for row in rows if not _is_empty(row)), [])
    plain = ["_".join(name.lower().split()) for name in header]
    known = {*FILE_COLUMNS, *caption_columns(plain), *_OTHER_COLUMNS}
    return [p if p in known else name.strip() for p, name in zip(plain, header, strict=True)]


def _is_empty(row: Sequence[str]) -> bool:
    """Whether a row says nothing: Excel keeps rows that were emptied, and may begin with `sep=;`;
    DOS ended a text with its sign 26."""
    return not any(value.strip(" \t\r\n\x1a") for value in row) or row[0].startswith("sep=")


def _delimiter(path: Path, line: str) -> str:
    return "\t" if path.suffix.lower() == ".tsv" else max(_DELIMITERS, key=line.count)


def _check_header(path: Path, header: list[str]) -> None:
    twice = [name for name in header if name and header.count(name) > 1]
    if twice:
        raise DumpError(
            f"{path}: {header.count(twice[0])} columns are called {twice[0]!r}; give each a name "
            "of its own: caption_1, caption_2 …"
        )


def _check(path: Path, start: int, row: list[str], header: list[str], reader: Any) -> None:
    end, delimiter = reader.line_num, reader.dialect.delimiter
    if end > start:
        for value in row:
            for number, line in enumerate(value.splitlines()[1:]):
                if _is_row(line.split(delimiter), header):
                    raise DumpError(
                        f"{path}, line {start}: a quote opens there and swallows the rows that "
                        f"follow, such as {line.strip()[:60]!r} ({number + 1} lines on); close it, "
                        'or write a quote within a caption twice ("")'
                    )
    if len(row) != len(header):
        raise DumpError(
            f"{path}, line {end}: {len(row)} values for {len(header)} columns; a caption with "
            "commas or line breaks needs quotes, without a blank before them"
        )


def _goes_on(row: Sequence[str], header: Sequence[str]) -> bool:
    """Whether a row is the rest of the caption before it."""
    if len(row) >= len(header) or not header[-1].startswith("caption"):
        return False
    begins = row[0].strip().isdecimal() if header[0] == "audiocap_id" else _is_row(row, header)
    return bool(row[0].strip()) and not begins


def _is_row(values: Sequence[str], header: Sequence[str]) -> bool:
    """Whether a piece of text, cut at its commas, begins like a row of the file."""
    if "start_time" in header:
        at = header.index("start_time")
        return len(values) > at and bool(SECONDS.fullmatch(values[at].strip('"')))
    at = next((header.index(name) for name in FILE_COLUMNS if name in header), 0)
    if len(values) > at and has_audio_ending(os.fspath(values[at]).strip(' "')):
        return True
    # A name without ending: one word, and no space behind the commas as prose has it.
    if len(values) == len(header) and len(values[at].split()) == 1:
        return not any(value[:1].isspace() for value in values)
    return len(values) >= len(header) >= _FEWEST_TO_COUNT
