"""Read a features folder: clips by index or id, and whole shards.

No file handle is kept: a shard's small tables are read with h5py, rows where they are needed.
Nothing is opened before it is used, nothing opened is inherited by a pickled copy, so a reader can
be handed to worker processes.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, Self

import numpy as np

from features.common.errors import FormatError
from features.file_rows import FileRows
from features.spec import INDEX_NAME, UNKNOWN, Index, ShardEntry, StreamSpec
from features.tables import REDO, Tables, read_tables


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One clip: `streams` maps a stream's name to its rows [T, D]."""

    id: str
    path: str
    duration_s: float
    captions: tuple[str, ...]
    streams: dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What `features.json` says of a shard.

    Attributes:
        splits: what its split may be called, our name first, or "".
        entry: file, clips, size, checksum.
        streams: StreamSpec.attrs() by stream name.
    """

    splits: tuple[str, str]
    entry: ShardEntry
    streams: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, index: Index, split: str, entry: ShardEntry) -> Self:
        """What an index says of a shard of a split, called by our name."""
        splits = (split, index.splits[split].original)
        return cls(splits=splits, entry=entry, streams=index.streams)

    def problems(self, found: Tables) -> Iterator[str]:
        """In which ways a shard is another one than the index lists."""
        if found.bytes != self.entry.bytes:
            word = "truncated" if found.bytes < self.entry.bytes else "too long"
            yield f"{word}: {found.bytes:,} bytes, expected {self.entry.bytes:,}"
        if found.split not in self.splits:
            yield f"is of split {found.split!r}, listed under {self.splits[0]!r}"
        if len(found.ids) != self.entry.clips:
            yield f"holds {len(found.ids)} clips, expected {self.entry.clips}"
        if not self.streams.keys() <= found.streams.keys():
            yield f"holds streams {sorted(found.streams)}, expected {sorted(self.streams)}"
        for name in sorted(self.streams.keys() & found.streams.keys()):
            for key, value in found.streams[name].attrs().items():
                listed = self.streams[name].get(key, UNKNOWN)  # older ones lack some
                if listed != value:
                    yield f"stream {name}: {key} is {value!r}, {INDEX_NAME} says {listed!r}"


class Shard:
    """One shard. `ids`, `captions` … are read at first use; `values(name)` is a map of the file."""

    def __init__(self, path: Path, expected: Expected | None = None) -> None:
        """Name a shard; it is opened and checked at first use.

        Args:
            path: its file.
            expected: what the index says of it.
        """
        self.path, self.expected = path, expected

    def fresh(self) -> Self:
        """The same shard, nothing of it read yet."""
        return type(self)(self.path, self.expected)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "expected": self.expected}

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def ids(self) -> list[str]:
        return self._tables.ids

    @property
    def durations_s(self) -> np.ndarray:
        """float64 [n]."""
        return self._tables.durations_s

    @property
    def caption_texts(self) -> list[str]:
        return self._tables.caption_texts

    @property
    def caption_offset(self) -> np.ndarray:
        """int64 [n + 1], clip i owns caption_texts[offset[i]:offset[i + 1]]."""
        return self._tables.caption_offset

    @property
    def streams(self) -> dict[str, StreamSpec]:
        return self._tables.streams

    def captions(self, index: int) -> tuple[str, ...]:
        """The captions of clip `index`."""
        start, stop = self.caption_offset[index : index + 2]
        return tuple(self.caption_texts[start:stop])

    def offset(self, name: str) -> np.ndarray:
        """int64 [n + 1], clip i owns rows offset[i] to offset[i + 1] of `values(name)`."""
        self._spec(name)
        return self._tables.offsets[name]

    def values(self, name: str) -> np.ndarray:
        """All rows of a stream, [sum T, D], mapped read-only from the file without a copy.

        If the file is shortened while the map is read, the system ends the program (SIGBUS):
        `rows` and `file_rows` say it instead.
        """
        spec = self._spec(name)
        byte, shape = self._tables.layouts[name]
        if shape[0] == 0:  # of which there is no map
            return np.zeros(shape, spec.dtype)
        try:
            self._check_size()
            return np.memmap(self.path, spec.dtype, "r", byte, shape)
        except (OSError, ValueError) as error:
            raise FormatError(f"{self.path}: cannot be read now ({error})") from error

    def rows(self, name: str, index: int) -> np.ndarray:
        """The rows of clip `index`, [T, D], read from the file."""
        start, stop = self.offset(name)[index : index + 2]
        return self.file_rows(name)[start:stop]

    def file_rows(self, name: str) -> FileRows:
        """All rows of a stream, [sum T, D], of which slices can be read; keeps the file open.

        Raises:
            FormatError: if the file cannot be opened, or is another one by now.
        """
        spec = self._spec(name)
        byte, shape = self._tables.layouts[name]
        try:
            self._check_size()
            return FileRows(self.path, spec.dtype, byte, shape)
        except OSError as error:
            raise FormatError(f"{self.path}: cannot be read now ({error.strerror})") from error

    def clip(self, index: int) -> Clip:
        """Clip number `index` of this shard with all its streams."""
        return Clip(
            id=self.ids[index],
            path=self._tables.paths[index],
            duration_s=float(self.durations_s[index]),
            captions=self.captions(index),
            streams={name: self.rows(name, index) for name in self.streams},
        )

    def _spec(self, name: str) -> StreamSpec:
        if name not in self.streams:
            raise FormatError(f"{self.path}: has no stream {name!r}; it holds {list(self.streams)}")
        return self.streams[name]

    def _check_size(self) -> None:
        found, expected = self.path.stat().st_size, self._tables.bytes
        if found != expected:
            word = "shortened" if found < expected else "changed"
            raise FormatError(
                f"{self.path}: was {word} while it was in use (now {found:,} bytes, it had "
                f"{expected:,}); bring the shard back, then run the same command again"
            )

    @cached_property
    def _tables(self) -> Tables:
        tables = read_tables(self.path)
        for problem in self.expected.problems(tables) if self.expected else ():
            raise FormatError(f"{self.path}: {problem}; {REDO}")
        return tables


class Features:
    """One split of a features folder, as a sequence of clips.

    Example:
        clips = Features(Path("features-audiocaps"), "train")
        clip = clips[0]                       # or clips["r1nicOVtvkQ_130"]
        clip.streams["yamnet"]                # [10, 521] logits
    """

    def __init__(self, root: Path, split: str) -> None:
        """Read ROOT/features.json; shards are opened when they are used.

        Args:
            root: the folder.
            split: by our name or the dump's own (`test` or `evaluation` of Clotho).

        Raises:
            FormatError: if the folder is not finished, of another version, or has no such split.

        Whatever is used of a shard raises FormatError if the shard is damaged, not as the format
        has it, or not the one that features.json lists.
        """
        self.root, self.index = root, Index.read(root)
        self.split = self.index.split_name(root, split)
        self.entry = self.index.splits[self.split]
        self.shards = [
            Shard(root / shard.file, Expected.of(self.index, self.split, shard))
            for shard in self.entry.shards
        ]
        self._starts = [0, *accumulate(shard.clips for shard in self.entry.shards)]

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, key: int | str) -> Clip:
        shard, row = self.locate(self._position[key] if isinstance(key, str) else key)
        return self.shards[shard].clip(row)

    def __iter__(self) -> Iterator[Clip]:
        return (self[index] for index in range(len(self)))

    @property
    def ids(self) -> list[str]:
        """All clip ids, in order."""
        return list(self._position)

    @cached_property
    def streams(self) -> dict[str, StreamSpec]:
        """The streams by name, as the first shard tells them."""
        if not self.shards:
            raise FormatError(f"{self.root}: split {self.split!r} holds no clips")
        return self.shards[0].streams

    def stream(self, name: str, kind: str) -> StreamSpec:
        """A stream that must be there and of a given kind.

        Raises:
            FormatError: naming what is there instead.
        """
        spec = self.streams.get(name)
        if spec is None:
            raise FormatError(
                f"{self.root}: has no stream {name!r}; it holds {list(self.streams)}. Add it with: "
                f"python -m extract run DUMP --out {self.root} --streams {name}"
            )
        if spec.kind != kind:
            raise FormatError(f"{self.root}: stream {name!r} is of kind {spec.kind}, not {kind}")
        return spec

    def locate(self, index: int) -> tuple[int, int]:
        """Shard number and row of clip `index`.

        Raises:
            IndexError: if there is no such clip.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        shard = bisect_right(self._starts, index) - 1
        return shard, index - self._starts[shard]

    @cached_property
    def _position(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for start, shard in zip(self._starts, self.shards, strict=False):
            for row, clip in enumerate(shard.ids):
                if found.setdefault(clip, start + row) != start + row:
                    raise FormatError(
                        f"{shard.path}: holds clip {clip!r}, which split {self.split!r} has "
                        "already; extract again"
                    )
        return found
