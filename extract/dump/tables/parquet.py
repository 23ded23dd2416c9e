"""Rows of a parquet file: its texts only; sound in it is read where it is decoded."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from extract.sound.parquet import open_parquet, sound_column
from features.common.errors import ConfigError, DumpError, first_line

_ROWS_AHEAD = 1024


def parquet_columns(path: Path) -> list[str]:
    """The names of the columns; none of a file that cannot be read or for want of pyarrow."""
    try:
        return list(open_parquet(path).schema_arrow.names)
    except (ConfigError, OSError, ValueError):
        return []


def has_sound(path: Path) -> bool:
    """Whether a parquet file holds the bytes of sound files."""
    try:
        return bool(sound_column(open_parquet(path).schema_arrow))
    except (OSError, ValueError):
        return False


def parquet_rows(
    path: Path, columns: Sequence[str] | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number, from 1 on, and values of every row.

    Args:
        path: of the file.
        columns: which to read, all of them when None; `audio.path` reads that field only.

    Raises:
        DumpError: if the file cannot be read.
    """
    file = open_parquet(path)
    number = 0
    batches = file.iter_batches(_ROWS_AHEAD, columns=columns, use_threads=False)
    while True:
        try:
            batch = next(batches, None)
        except Exception as error:  # of damaged pages pyarrow says so with errors of many kinds
            raise DumpError(
                f"{path}: is damaged behind row {number:,} ({first_line(error)}); get it again"
            ) from error
        if batch is None:
            return
        for row in batch.to_pylist():
            number += 1
            yield number, row
