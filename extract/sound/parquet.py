"""Sound inside parquet files, as Hugging Face's data sets hold it: read in order, a bit ahead."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from features.common.damaged import seen_in
from features.common.errors import ClipError, ConfigError, DumpError, first_line

_ROWS_AHEAD = 8
_BUFFER = 1 << 20
_PLAIN = ("audio", "bytes", "audio_bytes", "wav", "flac", "mp3", "ogg")


def open_parquet(path: Path) -> Any:
    """A pyarrow.parquet.ParquetFile that reads pages as they are needed.

    Raises:
        ConfigError: if pyarrow is not installed.
        DumpError: if the file is no whole parquet file, or cannot be read.
    """
    try:
        from pyarrow.lib import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise ConfigError(f"{path}: parquet needs pyarrow: run `make setup-datasets`") from error
    try:
        # Without pre-buffering a row group's pages come one by one: memory holds a few clips.
        return ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER, memory_map=False)
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise DumpError(f"{path}: cannot be read ({reason})") from error
    except ArrowException as error:
        what = seen_in(path, binary=True)
        reason = first_line(error)
        told = (
            f"it {what}"
            if "not the file itself" in what
            else f"{reason.rstrip(chr(46))}; get it again"
        )
        raise DumpError(f"{path}: no whole parquet file; {told}") from error


def sound_column(schema: Any) -> str:
    """The column that holds the bytes of sound files, "" if there is none.

    It is a struct with the field `bytes`, as `datasets.Audio` is, or binary under a name for sound.
    """
    from pyarrow import types

    for field in schema:
        inner = field.type
        if types.is_struct(inner) and inner.get_field_index("bytes") >= 0:
            return f"{field.name}.bytes"
        binary = types.is_binary(inner) or types.is_large_binary(inner)
        if binary and field.name.lower() in _PLAIN:
            return field.name
    return ""


class ParquetSounds:
    """One file's sounds by row. Rows asked for in their order are read in one go."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = open_parquet(path)
        self._column = sound_column(self._file.schema_arrow)
        if not self._column:
            raise ClipError(f"{path} holds no sound")
        self._next, self._end = 0, 0  # of the rows in `_values`, which is part of a row group
        self._values: Iterator[bytes | None] = iter(())

    def __getitem__(self, row: int) -> bytes:
        """The bytes of the sound file in a row, counted from 0.

        Raises:
            ClipError: if there are none, or the file is damaged there.
        """
        from pyarrow.lib import ArrowException

        try:
            if not self._next <= row < self._end:
                self._open_group_of(row)
            while self._next <= row:
                value = next(self._values)
                self._next += 1
        except (ArrowException, OSError, StopIteration, IndexError) as error:
            reason = first_line(error) if str(error) else "no such row"
            raise ClipError(
                f"row {row + 1} of the parquet file cannot be read: {reason}"
            ) from error
        if value is None:
            raise ClipError(f"row {row + 1} of the parquet file holds no sound")
        return value

    def _open_group_of(self, row: int) -> None:
        start = 0
        for group in range(self._file.num_row_groups):
            end = start + self._file.metadata.row_group(group).num_rows
            if row < end:
                self._next, self._end, self._values = start, end, self._values_of(group)
                return
            start = end
        raise IndexError("no such row")

    def _values_of(self, group: int) -> Iterator[bytes | None]:
        for batch in self._file.iter_batches(
            _ROWS_AHEAD, row_groups=[group], columns=[self._column], use_threads=False
        ):
            column = batch.column(0)
            for item in column.field("bytes") if "." in self._column else column:
                yield item.as_py()
