"""Read a features folder: clips by index or id, and whole shards as zero-copy maps.

No file handle is kept: a shard's small tables are read with h5py, its values are mapped by numpy.
Nothing is opened before it is used, nothing opened is inherited by a pickled copy, so a reader can
be handed to worker processes.
"""

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from features.common.errors import FormatError
from features.spec import KINDS, TAG_LOGITS, Index, StreamSpec, check_version


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One clip: `streams` maps a stream's name to its rows [T, D], views into the shard's map."""

    id: str
    path: str
    duration_s: float
    captions: tuple[str, ...]
    streams: dict[str, np.ndarray]


class Shard:
    """One shard. `ids`, `captions` … are read at first use; `values(name)` is a map of the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._maps: dict[str, np.ndarray] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_maps": {}}

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def split(self) -> str:
        return self._tables["split"]

    @property
    def ids(self) -> list[str]:
        return self._tables["ids"]

    @property
    def paths(self) -> list[str]:
        return self._tables["paths"]

    @property
    def durations_s(self) -> np.ndarray:
        """float64 [n]."""
        return self._tables["durations_s"]

    @property
    def caption_texts(self) -> list[str]:
        return self._tables["caption_texts"]

    @property
    def caption_offset(self) -> np.ndarray:
        """int64 [n + 1], clip i owns caption_texts[offset[i]:offset[i + 1]]."""
        return self._tables["caption_offset"]

    @property
    def streams(self) -> dict[str, StreamSpec]:
        return self._tables["streams"]

    def captions(self, index: int) -> tuple[str, ...]:
        """The captions of clip `index`."""
        start, stop = self.caption_offset[index : index + 2]
        return tuple(self.caption_texts[start:stop])

    def offset(self, name: str) -> np.ndarray:
        """int64 [n + 1], clip i owns rows offset[i] to offset[i + 1] of `values(name)`."""
        self._spec(name)
        return self._tables["offsets"][name]

    def values(self, name: str) -> np.ndarray:
        """All rows of a stream, [sum T, D], mapped read-only from the file without a copy."""
        if name not in self._maps:
            spec = self._spec(name)
            byte, shape = self._tables["layouts"][name]
            if shape[0] == 0:
                self._maps[name] = np.zeros(shape, spec.dtype)
            else:
                self._maps[name] = np.memmap(self.path, spec.dtype, "r", byte, shape)
        return self._maps[name]

    def rows(self, name: str, index: int) -> np.ndarray:
        """The rows of clip `index`, [T, D], a view."""
        start, stop = self.offset(name)[index : index + 2]
        return self.values(name)[start:stop]

    def clip(self, index: int) -> Clip:
        """Clip number `index` of this shard with all its streams."""
        return Clip(
            id=self.ids[index],
            path=self.paths[index],
            duration_s=float(self.durations_s[index]),
            captions=self.captions(index),
            streams={name: self.rows(name, index) for name in self.streams},
        )

    def _spec(self, name: str) -> StreamSpec:
        if name not in self.streams:
            raise FormatError(f"{self.path}: has no stream {name!r}; it holds {list(self.streams)}")
        return self.streams[name]

    @cached_property
    def _tables(self) -> dict[str, Any]:
        try:
            # Without locking: it fails on NFS, and nobody writes into a finished shard.
            with h5py.File(self.path, "r", locking=False) as file:
                check_version(
                    self.path,
                    _plain(file.attrs.get("format")),
                    _plain(file.attrs.get("version")),
                )
                return _read_tables(self.path, file)
        except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
            reason = "the file is not there" if not self.path.exists() else str(error)
            raise FormatError(
                f"{self.path}: not a readable shard ({reason}); delete it and run the same "
                "extraction again, which redoes this shard only"
            ) from error


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
        """
        self.root, self.index = root, Index.read(root)
        self.split = self.index.split_name(root, split)
        self.entry = self.index.split(root, split)
        self.shards = [Shard(root / shard.file) for shard in self.entry.shards]
        self._starts = [0, *accumulate(shard.clips for shard in self.entry.shards)]

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, key: int | str) -> Clip:
        shard, row = self.locate(self._position[key] if isinstance(key, str) else key)
        return self.shards[shard].clip(row)

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
        return {
            clip: start + row
            for start, shard in zip(self._starts, self.shards, strict=False)
            for row, clip in enumerate(shard.ids)
        }


def _read_tables(path: Path, file: h5py.File) -> dict[str, Any]:
    streams, offsets, layouts = {}, {}, {}
    for name, group in file["streams"].items():
        attrs = {key: _plain(value) for key, value in group.attrs.items()}
        values = group["values"]
        classes = tuple(group["classes"].asstr()) if attrs.get("kind") == TAG_LOGITS else ()
        if attrs.get("kind") not in KINDS:
            raise FormatError(f"{path}: stream {name} has kind {attrs.get('kind')!r}, not {KINDS}")
        attrs |= {"name": name, "width": values.shape[1], "dtype": values.dtype.name}
        known = {key: attrs[key] for key in StreamSpec.__dataclass_fields__ if key in attrs}
        streams[name] = StreamSpec(**known, classes=classes)
        offsets[name] = group["offset"][:]
        byte = values.id.get_offset()
        if byte is None and values.shape[0]:
            raise FormatError(f"{path}: stream {name} is chunked or compressed, not contiguous")
        layouts[name] = (byte, values.shape)
    return {
        "split": file.attrs["split"],
        "ids": list(file["clips/id"].asstr()[:]),
        "paths": list(file["clips/path"].asstr()[:]),
        "durations_s": file["clips/duration_s"][:],
        "caption_texts": list(file["captions/text"].asstr()[:]),
        "caption_offset": file["captions/offset"][:],
        "streams": streams,
        "offsets": offsets,
        "layouts": layouts,
    }


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
