"""Rows of a parquet file: its texts only; sound in it is read where it is decoded."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from extract.sound.parquet import open_parquet, sound_column
from features.common.errors import ConfigError, DumpError, first_line

_ROWS_AHEAD = 1024
_LEAST_BYTES = 44  # of a sound file: a wav's header


def parquet_columns(path: Path) -> list[str]:
    """The names of the columns; none of a file that cannot be read or for want of pyarrow."""
    try:
        return list(open_parquet(path).schema_arrow.names)
    except (ConfigError, OSError, ValueError):
        return []


def has_sound(path: Path) -> bool:
    """Whether a parquet file holds the bytes of sound files, and not only paths beside them."""
    try:
        file = open_parquet(path)
    except (OSError, ValueError):
        return False
    column = sound_column(file.schema_arrow)
    groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
    chunks = [group.column(number) for group in groups for number in range(group.num_columns)]
    return bool(column) and not all(_is_null(c) for c in chunks if c.path_in_schema == column)


def _is_null(chunk: Any) -> bool:
    """Whether a column chunk holds nothing; pyarrow writes no statistics of such a one."""
    if chunk.statistics and chunk.statistics.null_count is not None:
        return bool(chunk.statistics.null_count == chunk.num_values)
    return bool(chunk.total_uncompressed_size < _LEAST_BYTES * chunk.num_values)


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
