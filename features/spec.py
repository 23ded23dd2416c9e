"""Format version 1 of a features folder: names, versions and the records in `features.json`.

FEATURES/features.json            format, version, streams, splits; written last
FEATURES/failures.csv             clip, path, reason
FEATURES/<split>/00000.h5 …       about 2,000 clips each
  attrs       format="tagbart-features" version=1 split=…
  /clips      id, path, duration_s          one row per clip, never per caption
  /captions   text, offset[n+1]             clip i owns text[offset[i]:offset[i+1]]
  /streams/<name>   values[sum T, D], offset[n+1]; attrs: the fields of StreamSpec
  /streams/<tags>/classes           display names, so that a shard needs no side file
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

from features.common.errors import FormatError
from features.common.reading import read_json, stays_inside

FORMAT = "tagbart-features"
VERSION = 1
INDEX_NAME = "features.json"
FAILURES_NAME = "failures.csv"
FAILURES_COLUMNS = ("clip", "path", "reason")

TAG_LOGITS = "tag_logits"
EMBEDDING = "embedding"
KINDS = (TAG_LOGITS, EMBEDDING)
DTYPES = ("float16", "float32")
UNKNOWN = "unknown"

# What Clotho calls its splits; a folder that has them under these names is read as ours.
CLOTHO_SPLITS = {"train": "development", "val": "validation", "test": "evaluation"}


@dataclass(frozen=True, kw_only=True)
class StreamSpec:
    """What one stream of a features folder holds and how it was made.

    Attributes:
        name: its group under /streams.
        kind: `tag_logits` (values are logits over `classes`) or `embedding`.
        network: the frozen network's name and variant.
        weights_sha256: of the weights file that was loaded.
        sample_rate_hz: of the waveform that the network heard.
        window_s: seconds of sound behind a row.
        hop_s: seconds from a row to the next.
        resampler: library, version and filter.
        precision: of the network's arithmetic, `float32`, `tf32` or `bf16`.
        width: D, columns of `values`.
        dtype: of `values`, `float16` or `float32`.
        classes: D display names for tag_logits, empty for embeddings.
        heard_audiocaps: whether AudioCaps' test clips were among those that the network learnt
            from: "yes", "no" or "unknown", which is what older shards say by not having it.
    """

    name: str
    kind: str
    network: str
    weights_sha256: str
    sample_rate_hz: int
    window_s: float
    hop_s: float
    resampler: str
    precision: str
    width: int
    dtype: str
    classes: tuple[str, ...] = field(default=(), repr=False)
    heard_audiocaps: str = UNKNOWN

    def __post_init__(self) -> None:
        check_attrs(self.name, vars(self))
        nul = [text for text in (self.name, self.network, *self.classes) if "\0" in text]
        if nul:
            raise FormatError(
                f"stream {self.name!r}: {nul[0]!r} holds a NUL byte; mend its weights"
            )
        expected = self.width if self.kind == TAG_LOGITS else 0
        if len(self.classes) != expected:
            raise FormatError(
                f"stream {self.name}: {len(self.classes)} classes for kind {self.kind} "
                f"of width {self.width}, expected {expected}"
            )

    def attrs(self) -> dict[str, Any]:
        """The fields kept as HDF5 attributes and in `features.json` (all but `classes`)."""
        return {key: value for key, value in asdict(self).items() if key != "classes"}


def check_attrs(stream: str, attrs: Mapping[str, Any]) -> None:
    """Refuse what cannot be a stream's attributes; further ones may be there.

    Raises:
        FormatError: naming the stream and the attribute.
    """
    for key in ("name", "kind", "network", "weights_sha256", "resampler", "precision", "dtype"):
        if not isinstance(attrs.get(key), str):
            raise FormatError(f"stream {stream}: {key} is {attrs.get(key)!r}, expected a text")
    for key in ("sample_rate_hz", "width"):
        if not _is_count(attrs.get(key), least=1):
            raise FormatError(
                f"stream {stream}: {key} is {attrs.get(key)!r}, expected a whole number from 1"
            )
    for key in ("window_s", "hop_s"):
        if not _is_seconds(attrs.get(key)):
            raise FormatError(
                f"stream {stream}: {key} is {attrs.get(key)!r}, expected seconds above 0"
            )
    for key, known in (("kind", KINDS), ("dtype", DTYPES)):
        if attrs[key] not in known:
            raise FormatError(f"stream {stream}: {key} is {attrs[key]!r}, expected one of {known}")
    if attrs["name"] != stream:
        raise FormatError(f"stream {stream}: calls itself {attrs['name']!r}")


@dataclass(frozen=True, kw_only=True)
class ShardEntry:
    """One finished shard: path relative to the features folder, clip count, size, checksum."""

    file: str
    clips: int
    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        if not isinstance(self.file, str) or not self.file or not stays_inside(self.file):
            raise FormatError(f"the shard {self.file!r} is not a path inside the features folder")
        if not isinstance(self.sha256, str):
            raise FormatError(f"shard {self.file}: sha256 is {self.sha256!r}, expected a text")
        _check_counts(f"shard {self.file}", clips=self.clips, bytes=self.bytes)


@dataclass(frozen=True, kw_only=True)
class SplitEntry:
    """One split: its shards, and what became of every clip that the captions list.

    clips_listed = clips in shards + clips_missing (no audio) + clips_failed (audio unusable).
    `original` is what the dump calls the split, "" where it calls it as we do.
    """

    shards: tuple[ShardEntry, ...]
    clips_listed: int
    clips_missing: int
    clips_failed: int
    original: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.original, str):
            raise FormatError(f"a split: original is {self.original!r}, expected a text")
        found = vars(self).items()
        _check_counts("a split", **{key: value for key, value in found if key.startswith("clips")})

    @property
    def clips(self) -> int:
        return sum(shard.clips for shard in self.shards)


@dataclass(frozen=True, kw_only=True)
class Index:
    """The contents of `features.json`. `streams` holds StreamSpec.attrs() by stream name."""

    streams: dict[str, dict[str, Any]]
    splits: dict[str, SplitEntry]

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT, "version": VERSION, **asdict(self)}

    @classmethod
    def read(cls, root: Path, name: str = INDEX_NAME) -> Self:
        """Read and check ROOT/features.json, or what stands under another name there.

        Raises:
            FormatError: if it is absent, not JSON, or of another format or version.
        """
        path = root / name
        try:
            raw = read_json(path)
        except (FileNotFoundError, NotADirectoryError):
            if (root.parent / INDEX_NAME).is_file():
                raise FormatError(f"{root}: name the features folder: {root.parent}") from None
            raise FormatError(
                f"{root}: found no {INDEX_NAME}, so this is no finished features folder; make it "
                f"(or finish it) with: python -m extract run DUMP --out {root}"
            ) from None
        except OSError as error:
            raise FormatError(f"{path}: cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise FormatError(f"{path}: not valid JSON ({error}); extract again") from error
        if not isinstance(raw, dict):
            raise FormatError(f"{path}: holds no JSON object; extract again")
        check_version(path, raw.get("format"), raw.get("version"))
        try:
            splits = {name: _split_entry(name, entry) for name, entry in raw["splits"].items()}
            for name, attrs in raw["streams"].items():
                check_attrs(name, attrs)
        except FormatError as error:
            raise FormatError(f"{path}: {error}; extract again") from error
        except (KeyError, TypeError, AttributeError) as error:
            raise FormatError(f"{path}: a record lacks {error}; extract again") from error
        return cls(streams=raw["streams"], splits=_as_ours(splits))

    def split_name(self, root: Path, name: str) -> str:
        """Our name of a split that is called by ours or by the dump's own.

        Raises:
            FormatError: if the folder has no such split.
        """
        if name in self.splits:
            return name
        for ours, entry in self.splits.items():
            if name in (entry.original, CLOTHO_SPLITS.get(ours)):
                return ours
        raise FormatError(f"{root}: has no split {name!r}; it holds {sorted(self.splits)}")


def heard_test_clips(streams: Iterable[Mapping[str, Any]]) -> str:
    """Whether any network behind some streams has heard AudioCaps' test clips.

    Args:
        streams: the attributes of each, as StreamSpec.attrs() gives them.
    """
    words = {stream.get("heard_audiocaps") or UNKNOWN for stream in streams} or {UNKNOWN}
    return "yes" if "yes" in words else "no" if words == {"no"} else UNKNOWN


def check_version(path: Path, found_format: Any, found_version: Any) -> None:
    """Refuse by name whatever is not format version 1.

    Raises:
        FormatError: if format or version differ.
    """
    if not isinstance(found_format, str) or found_format != FORMAT:
        raise FormatError(f"{path}: format is {found_format!r}, expected {FORMAT!r}")
    # Not by "!=" alone: True and 1.0 equal 1 as well.
    if not _is_count(found_version, least=0) or found_version != VERSION:
        raise FormatError(
            f"{path}: format version is {found_version!r}, this program reads version {VERSION}; "
            "update tagbart or extract again"
        )


def shard_name(index: int) -> str:
    """File name of a split's shard number `index`."""
    return f"{index:05d}.h5"


def _as_ours(splits: dict[str, SplitEntry]) -> dict[str, SplitEntry]:
    """Splits under our names, where all of them have Clotho's."""
    ours = {original: split for split, original in CLOTHO_SPLITS.items()}
    if not splits.keys() <= ours.keys():
        return splits
    return {ours[name]: replace(entry, original=name) for name, entry in splits.items()}


def _known(kind: type, record: dict[str, Any]) -> dict[str, Any]:
    """Keep the fields that `kind` has: later minor additions must not break this reader."""
    names = {item.name for item in fields(kind)}
    return {key: value for key, value in record.items() if key in names}


def _split_entry(name: str, entry: dict[str, Any]) -> SplitEntry:
    if "/" in name or not name or not stays_inside(name):
        raise FormatError(f"the split {name!r} is not the name of a folder")
    shards = tuple(ShardEntry(**_known(ShardEntry, shard)) for shard in entry["shards"])
    return SplitEntry(**{**_known(SplitEntry, entry), "shards": shards})


def _check_counts(whose: str, **counts: Any) -> None:
    for key, value in counts.items():
        if not _is_count(value, least=0):
            raise FormatError(f"{whose}: {key} is {value!r}, expected a whole number")


def _is_seconds(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < math.inf


def _is_count(value: Any, *, least: int) -> bool:
    # 2 ** 63: what arrays of numbers can hold.
    return type(value) is int and least <= value < 1 << 63
