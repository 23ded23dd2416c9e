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

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

from features.common.errors import FormatError

FORMAT = "tagbart-features"
VERSION = 1
INDEX_NAME = "features.json"
FAILURES_NAME = "failures.csv"
FAILURES_COLUMNS = ("clip", "path", "reason")

TAG_LOGITS = "tag_logits"
EMBEDDING = "embedding"
KINDS = (TAG_LOGITS, EMBEDDING)
DTYPES = ("float16", "float32")

# What Clotho calls its splits. Folders extracted before 0.2 name them so; they are read as ours.
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
        precision: of the network's arithmetic, `float32` or `bf16`.
        width: D, columns of `values`.
        dtype: of `values`, `float16` or `float32`.
        classes: D display names for tag_logits, empty for embeddings.
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

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise FormatError(f"stream {self.name}: kind is {self.kind!r}, expected one of {KINDS}")
        if self.dtype not in DTYPES:
            raise FormatError(
                f"stream {self.name}: dtype is {self.dtype!r}, expected one of {DTYPES}"
            )
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


@dataclass(frozen=True, kw_only=True)
class ShardEntry:
    """One finished shard: path relative to the features folder, clip count, size, checksum."""

    file: str
    clips: int
    bytes: int
    sha256: str


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
    def read(cls, root: Path) -> Self:
        """Read and check ROOT/features.json.

        Raises:
            FormatError: if it is absent, not JSON, or of another format or version.
        """
        path = root / INDEX_NAME
        if not path.is_file():
            raise FormatError(
                f"{root}: found no {INDEX_NAME}, so this is no finished features folder; make it "
                f"(or finish it) with: python -m extract run DUMP --out {root}"
            )
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise FormatError(f"{path}: not valid JSON ({error}); extract again") from error
        if not isinstance(raw, dict):
            raise FormatError(f"{path}: holds no JSON object; extract again")
        check_version(path, raw.get("format"), raw.get("version"))
        try:
            splits = {
                name: SplitEntry(
                    **{
                        **_known(SplitEntry, entry),
                        "shards": tuple(
                            ShardEntry(**_known(ShardEntry, shard)) for shard in entry["shards"]
                        ),
                    }
                )
                for name, entry in raw["splits"].items()
            }
            return cls(streams=raw["streams"], splits=_as_ours(splits))
        except (KeyError, TypeError, AttributeError) as error:
            raise FormatError(f"{path}: a record lacks {error}; extract again") from error

    def split(self, root: Path, name: str) -> SplitEntry:
        """The entry of one split, by our name or the dump's own.

        Raises:
            FormatError: if the folder has no such split.
        """
        return self.splits[self.split_name(root, name)]

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


def check_version(path: Path, found_format: Any, found_version: Any) -> None:
    """Refuse by name whatever is not format version 1.

    Raises:
        FormatError: if format or version differ.
    """
    if found_format != FORMAT:
        raise FormatError(f"{path}: format is {found_format!r}, expected {FORMAT!r}")
    if found_version != VERSION:
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
