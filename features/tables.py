"""Open a shard's file and read its small tables, trusting nothing in it.

Whatever a shard says is checked here, once, before anybody uses it: that its values lie in the file
itself (HDF5 can point to any other file), that every table has the type and the length that the
others imply, that offsets lead from row to row, that paths stay inside their folder. What needs the
values themselves (whether they are finite) is left to `features.verify`.
"""

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from features.common.errors import FormatError
from features.common.reading import check_ordinary, stays_inside
from features.heaps import CheckedFile
from features.spec import TAG_LOGITS, UNKNOWN, StreamSpec, check_version

_STORED = ("<f2", "<f4")  # as numpy calls little-endian float16 and float32
# A file that only cannot be read now may be whole.
_PASSING = (
    errno.EACCES, errno.EPERM, errno.EAGAIN, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE,
    errno.ENOMEM, errno.ETIMEDOUT, errno.EINTR,
)  # fmt: skip
REDO = "delete it and run the same extraction again, which redoes this shard only"


@dataclass(frozen=True, kw_only=True)
class Tables:
    """A shard without its values.

    Attributes:
        bytes: the file's size.
        split: its split.
        ids, paths: n clips.
        durations_s: float64 [n].
        caption_texts: m captions.
        caption_offset: int64 [n + 1], from 0 to m.
        streams: by name.
        offsets: by stream, int64 [n + 1], from 0 to its rows, rising.
        layouts: by stream, where its values begin in the file, and their shape [rows, D].
    """

    bytes: int
    split: str
    ids: list[str]
    paths: list[str]
    durations_s: np.ndarray
    caption_texts: list[str]
    caption_offset: np.ndarray
    streams: dict[str, StreamSpec]
    offsets: dict[str, np.ndarray]
    layouts: dict[str, tuple[int, tuple[int, int]]]


class _Wrong(Exception):
    """What is wrong with a shard, in words."""


def read_tables(path: Path) -> Tables:
    """Read and check a shard's tables.

    Raises:
        FormatError: naming the file and what is wrong with it; it advises to delete only what was
            read and is wrong.
    """
    try:
        size = check_ordinary(path)
        checked = CheckedFile(path)
    except FileNotFoundError as error:
        raise FormatError(
            f"{path}: the file is not there; run the same extraction again"
        ) from error
    except OSError as error:
        raise FormatError(f"{path}: cannot be opened now ({error.strerror})") from error
    try:
        with checked, h5py.File(checked, "r") as file:
            if file.id.get_create_plist().get_sizes() != (8, 8):
                raise _Wrong("its addresses and lengths are not of 8 bytes each")
            check_version(path, _attribute(file, "format"), _attribute(file, "version"))
            return _Reader(file, size).tables()
    except FormatError as error:
        told = str(error)
        raise FormatError(
            told if told.startswith(f"{path}: ") else f"{path}: {told}; {REDO}"
        ) from error
    except MemoryError:
        raise
    except Exception as error:  # HDF5 meets damaged bytes with every kind of error there is
        if isinstance(error, OSError) and error.errno in _PASSING:
            raise FormatError(f"{path}: cannot be read now ({error})") from error
        raise FormatError(f"{path}: not a readable shard ({error}); {REDO}") from error


class _Reader:
    """Reads one opened shard; any error means that it is wrong."""

    def __init__(self, file: h5py.File, size: int) -> None:
        self._file, self._size = file, size

    def tables(self) -> Tables:
        file = self._file
        split = _attribute(file, "split")
        if not isinstance(split, str):
            raise _Wrong(f"its split is {split!r}, expected a text")
        clips, captions, group = (
            self._member(file, name, h5py.Group) for name in ("clips", "captions", "streams")
        )
        streams, offsets, layouts = {}, {}, {}
        count = self._texts_dataset(clips, "id").shape[0]
        for name in group:
            stream = self._member(group, name, h5py.Group)
            layouts[name], spec = self._stream(name, stream)
            streams[name] = spec
            offsets[name] = self._offset(stream, count, layouts[name][1][0], least=1)
        ids, paths = self._texts(clips, "id"), self._texts(clips, "path", count)
        for path in paths:
            if not stays_inside(path):
                raise _Wrong(f"the path {path!r} of a clip leads out of the dump")
        texts = self._texts(captions, "text")
        return Tables(
            bytes=self._size,
            split=split,
            ids=ids,
            paths=paths,
            durations_s=self._durations(clips, count),
            caption_texts=texts,
            caption_offset=self._offset(captions, count, len(texts), least=0),
            streams=streams,
            offsets=offsets,
            layouts=layouts,
        )

    def _stream(
        self, name: str, group: h5py.Group
    ) -> tuple[tuple[int, tuple[int, int]], StreamSpec]:
        """Where a stream's values lie, and what they are."""
        values = self._dataset(group, "values")
        if values.ndim != 2 or values.dtype.str not in _STORED:
            raise _Wrong(
                f"stream {name}: its values are {values.dtype.str} {values.shape}, expected "
                "little-endian float16 or float32 [rows, width]"
            )
        rows, width = values.shape
        start = values.id.get_offset()
        if values.id.get_create_plist().get_layout() != h5py.h5d.CONTIGUOUS or (
            rows and start is None
        ):
            raise _Wrong(f"stream {name}: is chunked or compressed, not contiguous")
        start = start or 0
        if start + rows * width * values.dtype.itemsize > self._size:
            raise _Wrong(f"stream {name}: its values end beyond the end of the file")
        attrs = {key: _attribute(group, key) for key in StreamSpec.__dataclass_fields__}
        attrs["heard_audiocaps"] = attrs["heard_audiocaps"] or UNKNOWN  # older shards
        attrs |= {"name": name, "width": width, "dtype": values.dtype.name}
        tags = attrs["kind"] == TAG_LOGITS
        attrs["classes"] = tuple(self._texts(group, "classes", width)) if tags else ()
        return (start, (rows, width)), StreamSpec(**attrs)

    def _durations(self, clips: h5py.Group, count: int) -> np.ndarray:
        found = self._dataset(clips, "duration_s")
        if found.shape != (count,) or found.dtype.kind != "f":
            raise _Wrong(
                f"clips/duration_s is {found.dtype} {found.shape}, expected float [{count}]"
            )
        seconds = found[:].astype(np.float64)
        if not (np.isfinite(seconds) & (seconds >= 0)).all():
            raise _Wrong("clips/duration_s holds what is no duration")
        return seconds

    def _offset(self, group: h5py.Group, count: int, rows: int, *, least: int) -> np.ndarray:
        """Offsets of `count` clips into `rows` rows, at least `least` to each."""
        found = self._dataset(group, "offset")
        where = f"{group.name.strip('/')}/offset"
        if found.shape != (count + 1,) or found.dtype.kind not in "iu":
            raise _Wrong(f"{where} is {found.dtype} {found.shape}, expected int64 [{count + 1}]")
        offset = found[:].astype(np.int64)
        if offset[0] != 0 or offset[-1] != rows:
            raise _Wrong(f"{where} leads from {offset[0]} to {offset[-1]}, expected 0 to {rows}")
        if (offset[1:] < offset[:-1]).any():
            raise _Wrong(f"{where} falls somewhere, expected it to rise from 0 to {rows}")
        if (offset[1:] - offset[:-1] < least).any():
            raise _Wrong(f"{where}: a clip without rows")
        return offset

    def _texts(self, group: h5py.Group, name: str, count: int | None = None) -> list[str]:
        found = self._texts_dataset(group, name)
        if count is not None and found.shape != (count,):
            raise _Wrong(f"{found.name.strip('/')} has {found.shape[0]} rows, expected {count}")
        return list(found.asstr()[:])

    def _texts_dataset(self, group: h5py.Group, name: str) -> h5py.Dataset:
        found = self._dataset(group, name)
        if found.ndim != 1 or h5py.check_string_dtype(found.dtype) is None:
            raise _Wrong(f"{found.name.strip('/')} is {found.dtype} {found.shape}, expected texts")
        return found

    def _dataset(self, group: h5py.Group, name: str) -> h5py.Dataset:
        """A table that lies in this file, and is no larger than it."""
        found = self._member(group, name, h5py.Dataset)
        where = found.name.strip("/")
        made = found.id.get_create_plist()
        if made.get_external_count() or made.get_layout() == h5py.h5d.VIRTUAL:
            raise _Wrong(f"{where} keeps its values in another file")
        if found.shape is None:
            raise _Wrong(f"{where} holds nothing")
        # In Python's numbers, which do not overflow.
        if int(np.prod(found.shape, dtype=object)) * found.dtype.itemsize > self._size:
            raise _Wrong(f"{where} claims more rows than the file has bytes for: {found.shape}")
        return found

    def _member(self, group: h5py.Group, name: str, kind: type) -> Any:
        """A member of a group, never by a link that may lead elsewhere."""
        where = f"{group.name.rstrip('/')}/{name}".strip("/")
        links, key = group.id.links, name.encode("utf-8", "surrogateescape")
        if not links.exists(key):
            raise _Wrong(f"has no {where}")
        if links.get_info(key).type != h5py.h5l.TYPE_HARD:
            raise _Wrong(f"{where} is a link to elsewhere")
        found = group[name]
        if not isinstance(found, kind):
            raise _Wrong(f"{where} is a {type(found).__name__}, expected a {kind.__name__}")
        return found


def _attribute(group: h5py.Group, key: str) -> Any:
    """An attribute as a plain value; None where it is absent."""
    value = group.attrs.get(key)
    return value.item() if isinstance(value, np.generic) else value
